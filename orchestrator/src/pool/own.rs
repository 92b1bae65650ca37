//! For programs without a runtime of their own: [`block_on`].

use std::future::Future;

/// Runs a future to its end on the current thread, on a tokio runtime made for
/// it: `asyncio.run(main())`. Pools that were started inside end with it; shut
/// them down to wait for their workers.
///
/// # Panics
/// Inside an asynchronous context, which it would block: await there. When the
/// system has no descriptors for a runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs a few descriptors and nothing else");
    runtime.block_on(future)
}
