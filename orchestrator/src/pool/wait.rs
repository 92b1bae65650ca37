//! Waiting for some of many: [`wait`] and [`as_completed`]. Neither ever
//! cancels anything.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream};

use super::{Awaitable, IntoAwaitable};

/// When [`wait`] returns, at the latest when all have ended or the time is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnWhen {
    /// When one has ended: `FIRST_COMPLETED`.
    FirstCompleted,
    /// When one has ended with an error: `FIRST_EXCEPTION`.
    #[doc(alias = "FirstException")]
    FirstError,
    /// When all have ended: `ALL_COMPLETED`.
    #[default]
    AllCompleted,
}

/// Waits for some or all of these, and gives those that have ended, in the order
/// in which they did, and those that have not, in the order given. Awaiting one
/// that has ended gives its result without waiting. When the time is up (`None`:
/// never) it returns what it has; that is no error. With nothing to wait for it
/// returns at once.
///
/// Dropping it cancels nothing: jobs whose handles it was given run on. To keep
/// the handles in that case too, hand them over by reference:
/// `wait(handles.iter_mut(), …)`.
///
/// ```
/// # use orchestrator::{JobError, ReturnWhen, block_on, future, wait};
/// # block_on(async {
/// let quick = future(async { Ok::<_, JobError>("quick") });
/// let never = future(std::future::pending());
/// let (mut done, pending) = wait([never, quick], None, ReturnWhen::FirstCompleted).await;
/// assert_eq!((done.len(), pending.len()), (1, 1));
/// assert_eq!(done.remove(0).await.unwrap(), "quick");
/// # });
/// ```
///
/// # Panics
/// With a time limit, outside a tokio runtime that has time enabled.
pub async fn wait<A: IntoAwaitable>(
    items: impl IntoIterator<Item = A>,
    timeout: impl Into<Option<Duration>>,
    until: ReturnWhen,
) -> (Vec<A::Awaitable>, Vec<A::Awaitable>) {
    let mut waiting = watch(items.into_iter().map(A::into_awaitable));
    let mut done = Vec::new();
    let enough = async {
        while let Some(ended) = next(&mut waiting).await {
            let enough = match until {
                ReturnWhen::FirstCompleted => true,
                ReturnWhen::FirstError => !ended.well,
                ReturnWhen::AllCompleted => false,
            };
            done.push(ended.item);
            if enough {
                break;
            }
        }
    };
    match timeout.into() {
        // Whether the time was up shows in what is pending.
        Some(limit) => tokio::time::timeout(limit, enough)
            .await
            .unwrap_or_default(),
        None => enough.await,
    }
    // What has ended at the same time is done too.
    std::future::poll_fn(|cx| {
        while let Poll::Ready(Some(ended)) = Pin::new(&mut waiting).poll_next(cx) {
            done.push(ended.item);
        }
        Poll::Ready(())
    })
    .await;
    let mut pending: Vec<Watched<A::Awaitable>> = waiting.into_iter().collect();
    pending.sort_unstable_by_key(|watched| watched.place);
    let pending = pending.into_iter().filter_map(|watched| watched.item);
    (done, pending.collect())
}

/// Gives these in the order in which they end, each as soon as it has; awaiting
/// one that was given does not wait. Dropping the stream cancels nothing, and
/// forgets the results that it has not given.
///
/// ```
/// # use std::time::Duration;
/// # use orchestrator::{JobError, as_completed, block_on, future};
/// # block_on(async {
/// let sleeps = [30, 10].map(|ms| {
///     future(async move {
///         tokio::time::sleep(Duration::from_millis(ms)).await;
///         Ok::<_, JobError>(ms)
///     })
/// });
/// let mut sleeps = as_completed(sleeps);
/// let mut order = Vec::new();
/// while let Some(ended) = sleeps.next().await {
///     order.push(ended.await.unwrap());
/// }
/// assert_eq!(order, [10, 30]);
/// # });
/// ```
pub fn as_completed<A: IntoAwaitable>(
    items: impl IntoIterator<Item = A>,
) -> AsCompleted<A::Awaitable> {
    AsCompleted {
        waiting: watch(items.into_iter().map(A::into_awaitable)),
    }
}

/// See [`as_completed`]: a `Stream`, with a `next` of its own.
#[must_use = "nothing is waited for until it is asked for the next one"]
pub struct AsCompleted<A> {
    waiting: FuturesUnordered<Watched<A>>,
}

impl<A> fmt::Debug for AsCompleted<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsCompleted")
            .field(&self.waiting.len())
            .finish()
    }
}

impl<A: Awaitable> AsCompleted<A> {
    /// The next one that ends, `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<A> {
        next(&mut self.waiting).await.map(|ended| ended.item)
    }

    /// How many have not been given yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.waiting.len()
    }
}

impl<A: Awaitable> Stream for AsCompleted<A> {
    type Item = A;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<A>> {
        pin!(self.next()).poll(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.waiting.len(), Some(self.waiting.len()))
    }
}

fn watch<A: Awaitable>(items: impl IntoIterator<Item = A>) -> FuturesUnordered<Watched<A>> {
    let watched = |(place, item)| Watched {
        place,
        item: Some(item),
    };
    items.into_iter().enumerate().map(watched).collect()
}

async fn next<A: Awaitable>(waiting: &mut FuturesUnordered<Watched<A>>) -> Option<Ended<A>> {
    std::future::poll_fn(|cx| Pin::new(&mut *waiting).poll_next(cx)).await
}

/// One of many, until it has ended.
struct Watched<A> {
    place: usize,
    item: Option<A>,
}

/// One that has, and whether it ended well.
struct Ended<A> {
    item: A,
    well: bool,
}

impl<A: Awaitable> Future for Watched<A> {
    type Output = Ended<A>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<A>> {
        let end = self.item.as_mut().map(|item| item.poll_finished(cx));
        match (end, self.item.take()) {
            (Some(Poll::Ready(well)), Some(item)) => Poll::Ready(Ended { item, well }),
            (_, item) => {
                self.item = item;
                Poll::Pending
            }
        }
    }
}
