//! Many jobs from an iterator or a stream: [`Map`].

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures_util::stream::Stream;
use protocol::{Encoding, Task};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::PollSemaphore;

use super::admission::Handles;
use super::batch::Batch;
use super::clock;
use super::entry::{Ended, Lane, Reply};
use super::job::Errand;
use super::spill::Payload;
use super::{JobError, JobReport, PoolError};

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
    next: Option<Errand>,
    exhausted: bool,
    /// Where inputs are encoded.
    buffer: BytesMut,
    window: usize,
    room: PollSemaphore,
    /// Whether it stands in line for room.
    queues: bool,
    shared: Arc<Handles>,
    /// Where results come from while jobs are under way.
    results: mpsc::UnboundedReceiver<Vec<Ended>>,
    /// The way there. Weak: when all jobs that know it are gone, so is it.
    lane: mpsc::WeakUnboundedSender<Vec<Ended>>,
    waiting: Waiting,
    task: PhantomData<fn() -> T>,
}

/// How long inputs are taken without a pause: an iterator may be slow, or wait for
/// a terminal, and neither results nor anybody else shall wait for all of it.
const FILL_TIME: Duration = Duration::from_millis(1);
/// How many jobs are handed over together at most.
const BATCH: usize = 256;

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
        let (sender, results) = mpsc::unbounded_channel();
        Map {
            inputs,
            next: None,
            exhausted: false,
            buffer: BytesMut::new(),
            window: shared.max_pending,
            room: PollSemaphore::new(Arc::clone(&shared.room)),
            queues: false,
            shared,
            results,
            lane: sender.downgrade(),
            waiting: Waiting {
                ordered: true,
                ..Waiting::default()
            },
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
        self.waiting.ordered = false;
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
        let pace = Pace::start();
        let shared = Arc::clone(&self.shared);
        let mut batch = Batch::new(&shared);
        let lane = self.lane();
        for taken in 0.. {
            if self.exhausted || self.waiting.len() >= self.window {
                return false;
            }
            if self.next.is_none() {
                if taken == BATCH || pace.is_over(taken) {
                    return true;
                }
                let Poll::Ready(input) = Pin::new(&mut self.inputs).poll_next(cx) else {
                    return false;
                };
                let Some(input) = input else {
                    self.exhausted = true;
                    return false;
                };
                let errand = Errand::of::<T>(input, &mut self.buffer).map_err(PoolError::from);
                match errand.and_then(|e| shared.fits(e.input.len()).map(|()| e)) {
                    Ok(errand) => self.next = Some(errand),
                    Err(e) => {
                        self.waiting.refuse(e);
                        continue;
                    }
                }
            }
            if batch.room() == 0 {
                match self.find_room(cx) {
                    Poll::Ready(Some(room)) => batch.grant(room),
                    Poll::Ready(None) => {
                        // The pool is over: say so once, in its place.
                        self.exhausted = true;
                        self.waiting.refuse(shared.why_over());
                        return false;
                    }
                    Poll::Pending => return false,
                }
            }
            if let Some(errand) = self.next.take() {
                let number = self.waiting.expect();
                batch.add(errand, Reply::Together(Arc::clone(&lane), number));
            }
        }
        false
    }

    /// Room for one job at least; none when the pool is over.
    fn find_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<OwnedSemaphorePermit>> {
        let wanted = BATCH.min(self.window - self.waiting.len());
        let room = self.shared.room_for(wanted).filter(|_| !self.queues);
        if room.is_some() {
            return Poll::Ready(room);
        }
        let room = self.room.poll_acquire_many(cx, self.shared.permits);
        self.queues = room.is_pending();
        room
    }

    /// The way for the ends of the next jobs.
    fn lane(&mut self) -> Arc<Lane> {
        if let Some(sender) = self.lane.upgrade() {
            return Arc::new(Lane(sender));
        }
        // No job is under way: what has come of the last ones is here.
        while let Ok(ends) = self.results.try_recv() {
            self.waiting.take(ends);
        }
        self.waiting.give_up(&self.shared);
        let (sender, results) = mpsc::unbounded_channel();
        (self.lane, self.results) = (sender.downgrade(), results);
        Arc::new(Lane(sender))
    }

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T::Output, JobError>>> {
        // While there are results enough it is not worth the trouble.
        let least = BATCH.min(self.window.div_ceil(4));
        let scarce = self.waiting.len() + least <= self.window;
        let more = if !self.exhausted && (scarce || !self.waiting.has_next()) {
            self.fill(cx)
        } else {
            false
        };
        while !self.waiting.has_next() {
            match self.results.poll_recv(cx) {
                Poll::Ready(Some(ends)) => self.waiting.take(ends),
                // The driver is gone, and all jobs with it.
                Poll::Ready(None) if self.waiting.len() > 0 => self.waiting.give_up(&self.shared),
                // If there is more to come, `fill` has left a waker with it.
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if let Some(end) = self.waiting.next() {
            self.leave_line();
            return Poll::Ready(Some(self.judge(end)));
        }
        if self.waiting.len() == 0 && self.exhausted {
            self.leave_line();
            return Poll::Ready(None);
        }
        if more {
            // The pool's driver may need this very thread in between.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn judge(&self, end: End) -> Result<T::Output, JobError> {
        match end {
            End::Job(Ok(payload)) => match payload.decode(Encoding::Bincode) {
                Ok(decoded) => decoded.map_err(JobError::Undecodable),
                Err(e) => Err(JobError::Pool(PoolError::Spill(Arc::new(e)))),
            },
            End::Job(Err(report)) => Err(JobError::new(*report, || self.shared.why_over())),
            End::Refused(e) => Err(JobError::Pool(e)),
        }
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

/// Says when inputs were taken for long enough. A look at the clock costs as much
/// as a small input, so mostly the coarse one is asked, which is some
/// milliseconds late at most.
struct Pace {
    start: Instant,
    coarse: Duration,
}

impl Pace {
    fn start() -> Pace {
        Pace {
            start: clock::instant(),
            coarse: clock::coarse(),
        }
    }

    fn is_over(&self, taken: usize) -> bool {
        let look = taken % 16 == 1 || clock::coarse() != self.coarse;
        look && self.start.elapsed() >= FILL_TIME
    }
}

/// How one of the jobs has ended.
enum End {
    Job(Result<Payload, Box<JobReport>>),
    /// There was no room for it, or no pool.
    Refused(PoolError),
}

/// What is under way, and the ends that nobody has taken.
#[derive(Default)]
struct Waiting {
    ordered: bool,
    /// The number of the first place.
    first: u64,
    /// In order: a place for each that was not given. Else those that have ended.
    places: VecDeque<Option<End>>,
    /// How many have not ended.
    under_way: usize,
}

impl Waiting {
    /// How many were not given yet.
    fn len(&self) -> usize {
        match self.ordered {
            true => self.places.len(),
            false => self.places.len() + self.under_way,
        }
    }

    /// One more; its number.
    fn expect(&mut self) -> u64 {
        self.under_way += 1;
        let number = self.first + self.places.len() as u64;
        if self.ordered {
            self.places.push_back(None);
        }
        number
    }

    fn refuse(&mut self, why: PoolError) {
        self.places.push_back(Some(End::Refused(why)));
    }

    fn take(&mut self, ends: Vec<Ended>) {
        self.under_way -= ends.len();
        for Ended { number, end } in ends {
            let end = Some(End::Job(end));
            match number.checked_sub(self.first).filter(|_| self.ordered) {
                Some(place) => self.places[place as usize] = end,
                None => self.places.push_back(end),
            }
        }
    }

    /// Those that have not ended never will.
    fn give_up(&mut self, shared: &Handles) {
        let lost = || Some(End::Refused(shared.why_over()));
        if self.ordered {
            let open = self.places.iter_mut().filter(|place| place.is_none());
            open.for_each(|place| *place = lost());
        } else {
            self.places.extend((0..self.under_way).map(|_| lost()));
        }
        self.under_way = 0;
    }

    fn has_next(&self) -> bool {
        matches!(self.places.front(), Some(Some(_)))
    }

    fn next(&mut self) -> Option<End> {
        let end = self.places.front_mut()?.take()?;
        self.places.pop_front();
        self.first += 1;
        Some(end)
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
