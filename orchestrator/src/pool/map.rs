//! Many jobs from an iterator or a stream: [`Map`].

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream};
use protocol::{Encoding, Task};
use tokio_util::sync::PollSemaphore;

use super::clock;
use super::front::Handles;
use super::{JobError, JobHandle, PoolError, RawJob};

/// The results of [`Pool::map`](super::Pool::map), in the order of the inputs
/// unless it is [`unordered`](Map::unordered): a `Stream`, with a `next` of its
/// own. Cancel-safe. Dropping it lets the jobs that were accepted run on and
/// takes no further inputs.
///
/// Never more than [`window`](Map::window) inputs are taken whose results were
/// not given yet, [`PoolConfig::max_pending`](super::PoolConfig::max_pending)
/// unless it says otherwise. An error takes the place of its job's result, and
/// the others go on.
///
/// ```
/// # use orchestrator::{Registry, Task, ThreadPool, block_on};
/// # struct Double;
/// # impl Task for Double {
/// #     const NAME: &'static str = "double";
/// #     type Input = u64;
/// #     type Output = u64;
/// # }
/// # let tasks = || Registry::without_command().task(Double, |n| 2 * n);
/// # block_on(async {
/// # let pool = ThreadPool::start(2, tasks)?;
/// let mut results = pool.map(Double, 0..).window(16); // without end
/// assert_eq!(results.next().await.unwrap()?, 0);
/// assert_eq!(results.next().await.unwrap()?, 2);
///
/// // From a stream, here a channel's receiving end, and as they come.
/// let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
/// let inputs = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
/// let results = pool.map_stream(Double, inputs).unordered();
/// sender.send(1).await?;
/// sender.send(2).await?;
/// drop(sender);
/// let mut all = results.try_collect().await?;
/// all.sort();
/// assert_eq!(all, [2, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "no input is taken before the first result is asked for"]
pub struct Map<T: Task, S> {
    inputs: S,
    /// An input that is waiting for room.
    next: Option<RawJob>,
    exhausted: bool,
    window: usize,
    room: PollSemaphore,
    /// Whether it stands in line for room.
    queues: bool,
    shared: Arc<Handles>,
    waiting: Waiting<T::Output>,
    task: PhantomData<fn() -> T>,
}

/// How long inputs are taken without a pause: an iterator may be slow, or wait for
/// a terminal, and neither results nor anybody else shall wait for all of it.
const FILL_TIME: Duration = Duration::from_millis(1);

/// What is under way.
enum Waiting<O> {
    Ordered(VecDeque<Result<JobHandle<O>, PoolError>>),
    Unordered {
        handles: FuturesUnordered<JobHandle<O>>,
        refused: VecDeque<PoolError>,
    },
}

// Nothing in it is ever pinned.
impl<T: Task, S> Unpin for Map<T, S> {}

impl<T: Task, S> fmt::Debug for Map<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("task", &T::NAME)
            .field("waiting", &self.waiting.len())
            .field("exhausted", &self.exhausted)
            .finish_non_exhaustive()
    }
}

impl<T: Task, S: Stream<Item = T::Input> + Unpin> Map<T, S> {
    pub(super) fn new(shared: Arc<Handles>, inputs: S) -> Map<T, S> {
        Map {
            inputs,
            next: None,
            exhausted: false,
            window: shared.max_pending,
            room: PollSemaphore::new(Arc::clone(&shared.room)),
            queues: false,
            shared,
            waiting: Waiting::Ordered(VecDeque::new()),
            task: PhantomData,
        }
    }

    /// Gives results as they come, so that a slow job holds up no other.
    ///
    /// # Panics
    /// When a result was asked for already.
    pub fn unordered(mut self) -> Self {
        assert!(
            self.waiting.len() == 0 && self.next.is_none() && !self.exhausted,
            "a map is made unordered before it is asked for a result"
        );
        self.waiting = Waiting::Unordered {
            handles: FuturesUnordered::new(),
            refused: VecDeque::new(),
        };
        self
    }

    /// Takes at most so many inputs, at least one, whose results were not given
    /// yet: `buffersize`. Fewer than twice the number of workers may leave some
    /// of them idle.
    pub fn window(mut self, inputs: usize) -> Self {
        self.window = inputs.max(1);
        self
    }

    /// The next result, `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<T::Output, JobError>> {
        /// Who does not wait any more does not stand in line.
        struct Next<'a, T: Task, S>(&'a mut Map<T, S>);
        impl<T: Task, S> Drop for Next<'_, T, S> {
            fn drop(&mut self) {
                self.0.leave_line();
            }
        }
        let mut next = Next(self);
        let next = &mut next;
        std::future::poll_fn(|cx| next.0.poll_result(cx)).await
    }

    /// All results, or the first error: `list(executor.map(…))`. Dropping the
    /// future, or an error, takes no further inputs and lets the jobs that were
    /// accepted run on.
    ///
    /// # Errors
    /// When a job gives no result.
    pub async fn try_collect(mut self) -> Result<Vec<T::Output>, JobError> {
        let mut results = Vec::new();
        while let Some(result) = self.next().await {
            results.push(result?);
        }
        Ok(results)
    }

    /// Submits as many inputs as the pool has room for now, and can be taken
    /// in no time; whether it could go on at once.
    fn fill(&mut self, cx: &mut Context<'_>) -> bool {
        let start = clock::instant();
        while !self.exhausted && self.waiting.len() < self.window {
            if self.next.is_none() {
                if start.elapsed() >= FILL_TIME {
                    return true;
                }
                let Poll::Ready(input) = Pin::new(&mut self.inputs).poll_next(cx) else {
                    return false;
                };
                let Some(input) = input else {
                    self.exhausted = true;
                    return false;
                };
                let job = RawJob::typed::<T>(&input).map_err(PoolError::from);
                match job.and_then(|job| self.shared.fits(&job).map(|()| job)) {
                    Ok(job) => self.next = Some(job),
                    Err(e) => {
                        self.waiting.push(Err(e));
                        continue;
                    }
                }
            }
            match self.room.poll_acquire_many(cx, self.shared.permits) {
                Poll::Ready(Some(room)) => {
                    self.queues = false;
                    if let Some(job) = self.next.take() {
                        let raw = self.shared.send_one(job, room);
                        let handle = JobHandle::new(raw, Encoding::Bincode);
                        self.waiting.push(Ok(handle));
                    }
                }
                Poll::Ready(None) => {
                    // The pool is over: say so once, in its place.
                    self.exhausted = true;
                    self.waiting.push(Err(self.shared.why_over()));
                }
                Poll::Pending => {
                    self.queues = true;
                    return false;
                }
            }
        }
        false
    }

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T::Output, JobError>>> {
        let more = self.fill(cx);
        let result = match self.waiting.len() {
            0 if self.exhausted => Poll::Ready(None),
            // If there is more to come, `fill` has left a waker with it.
            0 => Poll::Pending,
            _ => self.waiting.poll_next(cx).map(Some),
        };
        if result.is_ready() {
            self.leave_line();
        } else if more {
            // The pool's driver may need this very thread in between.
            cx.waker().wake_by_ref();
        }
        result
    }
}

impl<T: Task, S> Map<T, S> {
    /// Room that becomes free while nobody asks for a result is for others: who
    /// stands in line and does not look would keep it from them.
    fn leave_line(&mut self) {
        if std::mem::take(&mut self.queues) {
            self.room = PollSemaphore::new(Arc::clone(&self.shared.room));
        }
    }
}

impl<O> Waiting<O> {
    fn len(&self) -> usize {
        match self {
            Waiting::Ordered(waiting) => waiting.len(),
            Waiting::Unordered { handles, refused } => handles.len() + refused.len(),
        }
    }

    fn push(&mut self, submitted: Result<JobHandle<O>, PoolError>) {
        match (self, submitted) {
            (Waiting::Ordered(waiting), submitted) => waiting.push_back(submitted),
            (Waiting::Unordered { handles, .. }, Ok(handle)) => handles.push(handle),
            (Waiting::Unordered { refused, .. }, Err(e)) => refused.push_back(e),
        }
    }

    /// The next result of those that are under way, of which there are some.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<O, JobError>> {
        match self {
            Waiting::Ordered(waiting) => {
                let result = match waiting.front_mut() {
                    Some(Ok(handle)) => ready!(Pin::new(handle).poll(cx)),
                    Some(Err(e)) => Err(JobError::Pool(e.clone())),
                    None => return Poll::Pending,
                };
                waiting.pop_front();
                Poll::Ready(result)
            }
            Waiting::Unordered { handles, refused } => match refused.pop_front() {
                Some(e) => Poll::Ready(Err(JobError::Pool(e))),
                None => match ready!(Pin::new(handles).poll_next(cx)) {
                    Some(result) => Poll::Ready(result),
                    None => Poll::Pending,
                },
            },
        }
    }
}

impl<T: Task, S: Stream<Item = T::Input> + Unpin> Stream for Map<T, S> {
    type Item = Result<T::Output, JobError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_result(cx)
    }
}

/// The inputs of a [`Map`] that come from an iterator.
#[derive(Debug)]
pub struct Inputs<I>(pub(super) I);

// The iterator is not pinned.
impl<I> Unpin for Inputs<I> {}

impl<I: Iterator> Stream for Inputs<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}
