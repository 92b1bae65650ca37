//! Where goes what jobs print: [`Printed`], a setting of the pool and of single
//! jobs, and [`PrintedPart`], what a receiver gets.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use protocol::{JobId, Stream, WorkerId};
use tokio::sync::mpsc;

/// Where goes what jobs print, live: as it is printed, by every attempt,
/// those included that fail and are tried again.
///
/// Lines are delivered whole, never mixed with each other. A last line without
/// a line feed is delivered at its job's end; one that is longer than
/// 64 KiB in pieces of that size. A job's report comes after all that it
/// printed has been delivered, unless it was cancelled or its time was up.
///
/// What a function prints to stdout is the job's. Its stderr is its worker's: it
/// comes as well, and is known to be the worker's only; so is what a worker
/// prints while it runs no job. What is said here about lines is true of these
/// too.
///
/// Nothing is lost to somebody who is slow: when lines are not taken, first the
/// worker that printed them waits, then its jobs do, and that counts as time of
/// their attempts. Other workers go on. At most about 4 MiB wait, and per
/// worker about 1 MiB, and 1 MiB more whenever it is told something. Only
/// [`Pool::shutdown_now`](super::Pool::shutdown_now), and dropping the pool, give up
/// in the end.
///
/// ```standalone_crate
/// use std::sync::{Arc, Mutex};
///
/// use orchestrator::{JobError, Pool, Printed, Registry, Task, block_on};
///
/// struct Greet;
///
/// impl Task for Greet {
///     const NAME: &'static str = "greet";
///     type Input = String;
///     type Output = ();
/// }
///
/// fn main() -> Result<(), JobError> {
///     orchestrator::init(Registry::new().task(Greet, |name| println!("hello {name}")));
///     let seen = Arc::new(Mutex::new(Vec::new()));
///     let lines = Arc::clone(&seen);
///     let take = Printed::call(move |line| lines.lock().unwrap().push(line.data));
///     block_on(async {
///         let pool = Pool::builder().workers(1).printed(take).start()?;
///         pool.run(Greet, "you".into()).await?;
///         assert_eq!(*seen.lock().unwrap(), ["hello you"]);
///         // This one's with its report.
///         let captured = pool.job(Greet, "me".into()).printed(Printed::Capture);
///         let report = captured.submit().await?.into_raw().await?;
///         assert_eq!(report.stdout.to_vec().unwrap(), b"hello me\n");
///         Ok(pool.shutdown().await?)
///     })
/// }
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Printed {
    /// To this process's stdout and stderr, by a thread of the pool. It takes no
    /// lock of `std::io::stdout()`, which may be held while a job is waited for,
    /// and writes past what that keeps in memory: text without a line feed which
    /// this program prints comes after a `flush`.
    ///
    /// When one of them cannot be written (nobody reads the pipe, the disk is
    /// full), no more is written to it, and jobs are not affected: the lines
    /// that were lost are counted, and
    /// [`Pool::shutdown`](super::Pool::shutdown) fails with
    /// [`PoolError::NotPrinted`](super::PoolError::NotPrinted).
    #[default]
    Inherit,
    /// With the job: see [`JobReport::stdout`](super::JobReport::stdout). What
    /// belongs to no job comes with the pool's events only.
    Capture,
    /// Calls this with every line (the line feed is not included), on a thread
    /// of the pool that calls nothing else: it may block, but must not wait for
    /// a job of this pool. Lines for which it panics are counted as
    /// [`PoolError::NotPrinted`](super::PoolError::NotPrinted). See
    /// [`Printed::call`].
    Call(Arc<dyn Fn(PrintedPart) + Send + Sync>),
    /// Every line (the line feed is not included) to this channel, which must be
    /// read while jobs run. What comes after the receiver was dropped is
    /// discarded.
    Lines(mpsc::Sender<PrintedPart>),
    /// The bytes as they come, for what is not text: pieces of up to 1 MiB to
    /// this channel, which must be read while jobs run. What comes after the
    /// receiver was dropped is discarded.
    Chunks(mpsc::Sender<PrintedPart>),
}

impl Printed {
    /// Calls this with every line; see [`Printed::Call`].
    #[must_use]
    pub fn call(take: impl Fn(PrintedPart) + Send + Sync + 'static) -> Printed {
        Printed::Call(Arc::new(take))
    }
}

impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Printed::Inherit => "Inherit",
            Printed::Capture => "Capture",
            Printed::Call(_) => "Call(..)",
            Printed::Lines(_) => "Lines(..)",
            Printed::Chunks(_) => "Chunks(..)",
        })
    }
}

/// A line, or some bytes, that were printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintedPart {
    /// By which worker.
    pub worker: WorkerId,
    /// By which job; absent when no job is known to have done it.
    pub job: Option<JobId>,
    /// Where to.
    pub stream: Stream,
    /// The line without its line feed, or the bytes.
    pub data: Bytes,
}
