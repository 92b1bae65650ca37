//! Where functions go that nobody will run.
//!
//! What they hold may do anything when it is dropped: panic, wait for long, or
//! end a tokio runtime, which panics where tasks run. Whoever lets go of the last
//! copy of a job may be the driver, and with it would go every other job.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use super::job::Function;

thread_local! {
    /// What was let go of on this thread. A whole pool may be cancelled in one
    /// turn: one thread that drops is enough for all of it.
    static HEAP: Arc<Heap> = Arc::default();
}

#[derive(Default)]
struct Heap(Mutex<Unwanted>);

#[derive(Default)]
struct Unwanted {
    functions: VecDeque<Function>,
    /// Whether somebody is about to drop them.
    attended: bool,
}

impl Heap {
    /// Whether nobody is about to drop it.
    fn add(&self, function: Function) -> bool {
        let mut unwanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unwanted.functions.push_back(function);
        !std::mem::replace(&mut unwanted.attended, true)
    }

    fn next(&self) -> Option<Function> {
        let mut unwanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = unwanted.functions.pop_front();
        unwanted.attended = next.is_some();
        next
    }
}

/// Drops a heap when it is dropped, so that one which a runtime that ends does
/// not run does it as well.
struct Sweeper(Arc<Heap>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        while let Some(function) = self.0.next() {
            drop_here(function);
        }
    }
}

/// Drops a function where nobody waits for it: on a thread of the current tokio
/// runtime on which code may block, and which that runtime waits for when it
/// ends. Without a runtime, here.
pub(super) fn discard(function: Function) {
    let Ok(runtime) = Handle::try_current() else {
        return drop_here(function);
    };
    // A thread that is about to end has lost its heap.
    let heap = HEAP.try_with(Arc::clone).unwrap_or_default();
    if heap.add(function) {
        let sweeper = Sweeper(heap);
        // It panics when the system has no thread left, and sweeps later.
        let spawn = || drop(runtime.spawn_blocking(move || drop(sweeper)));
        catch_unwind(AssertUnwindSafe(spawn)).ok();
    }
}

fn drop_here(function: Function) {
    // The panic hook has said what there is to be said.
    catch_unwind(AssertUnwindSafe(|| drop(function))).ok();
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};

    use super::super::RawJob;

    /// Says where it is dropped, and panics.
    struct Bomb(Sender<ThreadId>);

    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
            panic!("dropped, as this test wants");
        }
    }

    fn drop_some(count: usize, said: &Sender<ThreadId>) {
        for _ in 0..count {
            let bomb = Bomb(said.clone());
            drop(RawJob::call(move |_| drop(bomb)));
        }
    }

    #[test]
    fn without_a_runtime_it_is_dropped_in_place_and_a_panic_is_kept_in() {
        let (said, heard) = channel();
        drop_some(2, &said);
        let here = thread::current().id();
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [here, here]);
    }

    #[test]
    fn in_a_runtime_many_are_dropped_elsewhere_by_few_threads_before_it_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        let (said, heard) = channel();
        runtime.block_on(async { drop_some(200, &said) });
        drop(runtime);
        let all: Vec<ThreadId> = heard.try_iter().collect();
        assert_eq!(all.len(), 200);
        let threads: HashSet<ThreadId> = all.into_iter().collect();
        assert!(!threads.contains(&thread::current().id()));
        assert!(threads.len() < 20, "{}", threads.len());
    }
}
