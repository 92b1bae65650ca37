//! Many results at once: [`gather`] and [`gather_all`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::{FuturesUnordered, Stream};

use super::{Awaitable, IntoAwaitable};

/// Waits for all of these and gives their results in the order given. The first
/// error is given at once, and all others are cancelled (they are not waited
/// for: a job that has to be stopped goes on stopping in the background).
///
/// Dropping it before it is ready cancels all of them, as cancelling `gather`
/// does in asyncio. With nothing to wait for it is ready at once. For a few with
/// results of different types there is `tokio::try_join!`.
///
/// ```
/// # use orchestrator::{JobError, block_on, future, gather};
/// # block_on(async {
/// let squares = (1..=3).map(|n| future(async move { Ok::<_, JobError>(n * n) }));
/// assert_eq!(gather(squares).await.unwrap(), [1, 4, 9]);
/// # });
/// ```
pub fn gather<A: IntoAwaitable>(items: impl IntoIterator<Item = A>) -> Gather<A::Awaitable> {
    Gather(All::new(items.into_iter().map(A::into_awaitable)))
}

/// Waits for all of these and gives every outcome in the order given: `gather`
/// with `return_exceptions=True`.
///
/// Dropping it before it is ready cancels all of them. With nothing to wait for
/// it is ready at once.
///
/// ```
/// # use orchestrator::{block_on, future, gather_all};
/// # block_on(async {
/// let numbers = ["1", "one"].map(|text| future(async move { text.parse::<u8>() }));
/// let outcomes = gather_all(numbers).await;
/// assert!(outcomes[0].is_ok() && outcomes[1].is_err());
/// # });
/// ```
pub fn gather_all<A: IntoAwaitable>(items: impl IntoIterator<Item = A>) -> GatherAll<A::Awaitable> {
    GatherAll(All::new(items.into_iter().map(A::into_awaitable)))
}

/// See [`gather`].
#[must_use = "nothing is waited for until it is awaited"]
pub struct Gather<A: Awaitable>(All<A>);

/// See [`gather_all`].
#[must_use = "nothing is waited for until it is awaited"]
pub struct GatherAll<A: Awaitable>(All<A>);

impl<A: Awaitable> fmt::Debug for Gather<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gather")
            .field(&self.0.waiting.len())
            .finish()
    }
}

impl<A: Awaitable> fmt::Debug for GatherAll<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GatherAll")
            .field(&self.0.waiting.len())
            .finish()
    }
}

impl<A: Awaitable> Future for Gather<A> {
    type Output = Result<Vec<A::Value>, A::Error>;

    /// # Panics
    /// When polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let all = &mut self.0;
        assert!(
            !all.over,
            "`gather` was awaited after it had given its results"
        );
        loop {
            match ready!(Pin::new(&mut all.waiting).poll_next(cx)) {
                Some((place, outcome @ Ok(_))) => all.outcomes[place] = Some(outcome),
                Some((_, Err(e))) => {
                    all.cancel();
                    all.over = true;
                    return Poll::Ready(Err(e));
                }
                None => return Poll::Ready(all.take().collect()),
            }
        }
    }
}

impl<A: Awaitable> Future for GatherAll<A> {
    type Output = Vec<Result<A::Value, A::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let all = &mut self.0;
        assert!(
            !all.over,
            "`gather_all` was awaited after it had given its results"
        );
        while let Some((place, outcome)) = ready!(Pin::new(&mut all.waiting).poll_next(cx)) {
            all.outcomes[place] = Some(outcome);
        }
        Poll::Ready(all.take().collect())
    }
}

/// Things that are waited for together, and what has come of them.
struct All<A: Awaitable> {
    waiting: FuturesUnordered<Placed<A>>,
    outcomes: Vec<Option<Result<A::Value, A::Error>>>,
    /// Whether the results were given.
    over: bool,
}

// Nothing in it is ever pinned: what is waited for is `Unpin`.
impl<A: Awaitable> Unpin for All<A> {}

impl<A: Awaitable> All<A> {
    fn new(items: impl IntoIterator<Item = A>) -> All<A> {
        let place = |(place, item)| Placed { place, item };
        let waiting: FuturesUnordered<_> = items.into_iter().enumerate().map(place).collect();
        let outcomes = waiting.iter().map(|_| None).collect();
        All {
            waiting,
            outcomes,
            over: false,
        }
    }

    fn take(&mut self) -> impl Iterator<Item = Result<A::Value, A::Error>> {
        self.over = true;
        std::mem::take(&mut self.outcomes).into_iter().flatten()
    }

    /// Ends what runs by itself; futures end when they are dropped.
    fn cancel(&mut self) {
        self.waiting.iter().for_each(|placed| placed.item.cancel());
        self.waiting.clear();
    }
}

impl<A: Awaitable> Drop for All<A> {
    fn drop(&mut self) {
        self.cancel();
    }
}

struct Placed<A> {
    place: usize,
    item: A,
}

impl<A: Awaitable> Future for Placed<A> {
    type Output = (usize, Result<A::Value, A::Error>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.item).poll(cx));
        Poll::Ready((self.place, outcome))
    }
}
