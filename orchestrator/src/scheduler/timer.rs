//! All deadlines in one table. The driver sleeps until the first of them; a
//! spurious call is harmless.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use protocol::{JobId, WorkerId};

/// What a deadline is for; at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// A worker that was started is not ready by then.
    Start(WorkerId),
    /// A worker that was asked to end has not ended by then.
    End(WorkerId),
    /// A worker that was killed is still there then.
    Reap(WorkerId),
    /// A worker may have had nothing to do for too long then.
    Idle(WorkerId),
    /// A worker's job has been running for so long then that no other waits for it.
    Stuck(WorkerId),
    /// A seat gets its next worker then.
    Respawn(usize),
    /// No worker could be started until then.
    Starved,
    /// The next job may start then.
    Gate,
    /// A job's attempt has taken as long as it may.
    Limit(JobId),
    /// It is to be seen then how large a job has made its worker.
    Weigh(JobId),
    /// A job that was told to end has not ended by then.
    Cancel(JobId),
    /// A job's next attempt is due.
    Retry(JobId),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Duration, Timer)>,
    by_timer: HashMap<Timer, Duration>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Duration) {
        self.stop(timer);
        self.by_timer.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.by_timer.contains_key(&timer)
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// Takes out the first timer that has expired.
    pub(super) fn expired(&mut self, now: Duration) -> Option<Timer> {
        let &(at, timer) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.stop(timer);
        Some(timer)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn iter(&self) -> impl Iterator<Item = Timer> + '_ {
        self.by_timer.keys().copied()
    }
}
