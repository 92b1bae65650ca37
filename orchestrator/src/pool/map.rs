//! Many jobs from an iterator, their results in order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use protocol::{Encoding, Task};
use tokio_util::sync::PollSemaphore;

use super::front::Handles;
use super::{JobError, JobHandle, PoolError, RawJob};

/// The results of [`super::Pool::map`], in the order of the inputs: a `Stream`, with a
/// `next` of its own. Cancel-safe. Dropping it lets the jobs that were accepted
/// run on and takes no further inputs.
#[must_use = "no input is taken before the first result is asked for"]
pub struct Map<T: Task, I> {
    task: T,
    inputs: I,
    /// An input that is waiting for room.
    next: Option<RawJob>,
    exhausted: bool,
    room: PollSemaphore,
    shared: Arc<Handles>,
    waiting: VecDeque<Result<JobHandle<T::Output>, PoolError>>,
}

// Nothing in it is ever pinned.
impl<T: Task, I> Unpin for Map<T, I> {}

impl<T: Task, I: Iterator<Item = T::Input>> Map<T, I> {
    pub(super) fn new(shared: Arc<Handles>, task: T, inputs: I) -> Map<T, I> {
        Map {
            task,
            inputs,
            next: None,
            exhausted: false,
            room: PollSemaphore::new(Arc::clone(&shared.room)),
            shared,
            waiting: VecDeque::new(),
        }
    }

    /// The next result, `None` after the last.
    pub async fn next(&mut self) -> Option<Result<T::Output, JobError>> {
        std::future::poll_fn(|cx| self.poll_result(cx)).await
    }

    /// Submits as many inputs as the pool has room for now.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while !self.exhausted && self.waiting.len() < self.shared.max_pending {
            if self.next.is_none() {
                let Some(input) = self.inputs.next() else {
                    self.exhausted = true;
                    return;
                };
                let job = RawJob::new(&self.task, &input).map_err(PoolError::from);
                match job.and_then(|job| self.shared.fits(&job).map(|()| job)) {
                    Ok(job) => self.next = Some(job),
                    Err(e) => {
                        self.waiting.push_back(Err(e));
                        continue;
                    }
                }
            }
            match self.room.poll_acquire_many(cx, self.shared.permits) {
                Poll::Ready(Some(room)) => {
                    if let Some(job) = self.next.take() {
                        let raw = self.shared.send_one(job, room);
                        let handle = JobHandle::new(raw, Encoding::Bincode);
                        self.waiting.push_back(Ok(handle));
                    }
                }
                Poll::Ready(None) => {
                    // The pool is over: say so once, in its place.
                    self.exhausted = true;
                    self.waiting.push_back(Err(self.shared.why_over()));
                }
                Poll::Pending => return,
            }
        }
    }

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T::Output, JobError>>> {
        self.fill(cx);
        let result = match self.waiting.front_mut() {
            None if self.exhausted => return Poll::Ready(None),
            // `fill` has left a waker with the pool's room.
            None => return Poll::Pending,
            Some(Ok(handle)) => ready!(Pin::new(handle).poll(cx)),
            Some(Err(e)) => Err(JobError::Pool(e.clone())),
        };
        self.waiting.pop_front();
        Poll::Ready(Some(result))
    }
}

impl<T: Task, I: Iterator<Item = T::Input>> Stream for Map<T, I> {
    type Item = Result<T::Output, JobError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_result(cx)
    }
}
