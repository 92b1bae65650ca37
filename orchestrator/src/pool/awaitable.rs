//! What can be waited for together with others: [`Awaitable`], and the box in
//! which different kinds of it are mixed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Something that runs by itself, or is driven by being waited for, and ends
/// with a `Result`: a [`JobHandle`](super::JobHandle) of a process pool or of a
/// thread pool, or any future by way of [`future`].
///
/// [`gather`](super::gather), [`wait`](super::wait()) and
/// [`as_completed`](super::as_completed) take anything of this kind. Things of
/// different kinds go into one list as [`Mixed`]:
///
/// ```
/// use orchestrator::{Awaitable, JobError, block_on, future, gather};
///
/// block_on(async {
///     let slow = future(async {
///         tokio::time::sleep(std::time::Duration::from_millis(1)).await;
///         Ok::<_, JobError>(1)
///     });
///     let quick = future(async { Ok(2) });
///     assert_eq!(gather([slow, quick]).await.unwrap(), [1, 2]);
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be waited for together with others",
    note = "jobs and their handles can; any other future that gives a `Result` is wrapped: \
            `orchestrator::future(…)`"
)]
pub trait Awaitable: Future<Output = Result<Self::Value, Self::Error>> + Unpin {
    /// What a good end gives.
    type Value;
    /// What a bad end gives.
    type Error;

    /// Waits for the end without taking the result: ready, with whether the end
    /// was good, when awaiting does not wait any more. May be called again.
    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<bool>;

    /// Asks for the end of what runs by itself. A future is not touched: it is
    /// ended by being dropped.
    fn cancel(&self);

    /// The same, in a form that may stand in a list with others.
    fn mixed<'a>(self) -> Mixed<'a, Self::Value, Self::Error>
    where
        Self: Sized + Send + 'a,
    {
        Mixed(Box::new(self))
    }
}

/// What becomes [`Awaitable`] when it is waited for: a [`Job`](super::Job), which
/// is submitted then, and everything that is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be waited for together with others",
    note = "jobs and their handles can; any other future that gives a `Result` is wrapped: \
            `orchestrator::future(…)`"
)]
pub trait IntoAwaitable {
    /// What it becomes.
    type Awaitable: Awaitable;

    /// Turns it into that.
    fn into_awaitable(self) -> Self::Awaitable;
}

impl<A: Awaitable> IntoAwaitable for A {
    type Awaitable = A;

    fn into_awaitable(self) -> A {
        self
    }
}

impl<A: Awaitable + ?Sized> Awaitable for &mut A {
    type Value = A::Value;
    type Error = A::Error;

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        (**self).poll_finished(cx)
    }

    fn cancel(&self) {
        (**self).cancel();
    }
}

/// Anything [`Awaitable`] with this result. Dropping it does what dropping the
/// thing itself does: a job's handle detaches, a future is cancelled.
pub struct Mixed<'a, T, E>(Box<AnyAwaitable<'a, T, E>>);

type AnyAwaitable<'a, T, E> =
    dyn Awaitable<Output = Result<T, E>, Value = T, Error = E> + Send + 'a;

impl<T, E> fmt::Debug for Mixed<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mixed(..)")
    }
}

impl<T, E> Future for Mixed<'_, T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T, E> Awaitable for Mixed<'_, T, E> {
    type Value = T;
    type Error = E;

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.0.poll_finished(cx)
    }

    fn cancel(&self) {
        self.0.cancel();
    }
}

/// Makes any future something to be waited for together with jobs. It does
/// nothing until it is awaited or waited for; dropping it cancels it.
pub fn future<'a, T, E, F>(future: F) -> Mixed<'a, T, E>
where
    T: Send + 'a,
    E: Send + 'a,
    F: Future<Output = Result<T, E>> + Send + 'a,
{
    let kept = Kept {
        future: Box::pin(future),
        outcome: None,
    };
    kept.mixed()
}

/// A future that keeps its result until it is taken.
struct Kept<F, T, E> {
    future: Pin<Box<F>>,
    outcome: Option<Result<T, E>>,
}

// The future is pinned in its box.
impl<F, T, E> Unpin for Kept<F, T, E> {}

impl<T, E, F: Future<Output = Result<T, E>>> Future for Kept<F, T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => self.future.as_mut().poll(cx),
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Awaitable for Kept<F, T, E> {
    type Value = T;
    type Error = E;

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.outcome.is_none() {
            self.outcome = Some(ready!(self.future.as_mut().poll(cx)));
        }
        Poll::Ready(matches!(self.outcome, Some(Ok(_))))
    }

    fn cancel(&self) {}
}
