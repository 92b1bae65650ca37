//! What pools of processes and of threads have in common: [`Executor`].

use futures_util::Stream;
use protocol::Task;

use super::map::{Inputs, Map};
use super::{Job, JobError, JobHandle, Pool, PoolError, ThreadPool, TrySubmitError};

/// A pool of processes or of threads, for code that does not care which. The
/// methods are those of [`Pool`], where they are described.
///
/// ```
/// # use orchestrator::{Executor, JobError, Registry, Task, ThreadPool, block_on, gather};
/// # struct Double;
/// # impl Task for Double {
/// #     const NAME: &'static str = "double";
/// #     type Input = u64;
/// #     type Output = u64;
/// # }
/// async fn double_all(pool: &impl Executor, numbers: &[u64]) -> Result<Vec<u64>, JobError> {
///     let mut handles = Vec::new();
///     for &n in numbers {
///         handles.push(pool.submit(Double, n).await?);
///     }
///     gather(handles).await
/// }
/// # block_on(async {
/// # let pool = ThreadPool::start(2, || Registry::without_command().task(Double, |n| 2 * n)).unwrap();
/// # assert_eq!(double_all(&pool, &[1, 2, 3]).await.unwrap(), [2, 4, 6]);
/// # });
/// ```
pub trait Executor: Sync {
    /// The pool that does the work.
    fn pool(&self) -> &Pool;

    /// See [`Pool::job`].
    fn job<T: Task>(&self, task: T, input: T::Input) -> Job<'_, T> {
        self.pool().job(task, input)
    }

    /// See [`Pool::submit`].
    fn submit<T: Task>(
        &self,
        task: T,
        input: T::Input,
    ) -> impl Future<Output = Result<JobHandle<T::Output>, PoolError>> + Send {
        self.pool().submit(task, input)
    }

    /// See [`Pool::try_submit`].
    ///
    /// # Errors
    /// When the pool is full, or over.
    fn try_submit<T: Task>(
        &self,
        task: T,
        input: T::Input,
    ) -> Result<JobHandle<T::Output>, TrySubmitError<T::Input>> {
        self.pool().try_submit(task, input)
    }

    /// See [`Pool::run`].
    fn run<T: Task>(
        &self,
        task: T,
        input: T::Input,
    ) -> impl Future<Output = Result<T::Output, JobError>> + Send {
        self.pool().run(task, input)
    }

    /// See [`Pool::map`].
    fn map<T: Task, I: IntoIterator<Item = T::Input>>(
        &self,
        task: T,
        inputs: I,
    ) -> Map<T, Inputs<I::IntoIter>> {
        self.pool().map(task, inputs)
    }

    /// See [`Pool::map_stream`].
    fn map_stream<T: Task, S: Stream<Item = T::Input> + Unpin>(
        &self,
        task: T,
        inputs: S,
    ) -> Map<T, S> {
        self.pool().map_stream(task, inputs)
    }
}

impl Executor for Pool {
    fn pool(&self) -> &Pool {
        self
    }
}

impl Executor for ThreadPool {
    fn pool(&self) -> &Pool {
        self
    }
}

impl<E: Executor> Executor for &E {
    fn pool(&self) -> &Pool {
        (**self).pool()
    }
}

impl<E: Executor + Send> Executor for std::sync::Arc<E> {
    fn pool(&self) -> &Pool {
        (**self).pool()
    }
}
