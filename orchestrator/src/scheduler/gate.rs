//! When the next job may start: not too soon behind the one before, not without
//! leave where leave is needed; and how one that has started makes room again.

use std::time::Duration;

use protocol::JobId;

use super::core::Scheduler;
use super::input::{Action, SchedulerConfig};
use super::job::{Ending, Job, Place};
use super::timer::Timer;
use super::verdict::Verdict;
use super::worker::Worker;

/// A pause that grows does not grow beyond this.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Stands between the queue and the workers, where anything has been said about
/// when jobs may start.
#[derive(Debug)]
pub(super) struct Gate {
    /// The time between two starts.
    delay: Duration,
    /// Whether that grows with failures and shrinks with successes.
    adapts: bool,
    /// When the next job may start.
    opens_at: Duration,
    /// How many may start until somebody says otherwise; any number when absent.
    leave: Option<usize>,
}

impl Gate {
    /// The gate of this pool, if it needs one.
    pub(super) fn of(config: &SchedulerConfig) -> Option<Gate> {
        let needed = config.start_delay > Duration::ZERO || config.starts_by_leave;
        needed.then(|| Gate {
            delay: config.start_delay,
            adapts: config.start_delay_adapts,
            opens_at: Duration::ZERO,
            leave: config.starts_by_leave.then_some(0),
        })
    }

    fn is_open(&self, now: Duration) -> bool {
        self.leave != Some(0) && self.opens_at <= now
    }

    /// A job has started.
    pub(super) fn passed(&mut self, now: Duration) {
        self.opens_at = now + self.delay;
        self.leave = self.leave.map(|leave| leave.saturating_sub(1));
    }

    /// An attempt at a job has ended.
    pub(super) fn ended(&mut self, well: bool) {
        if self.adapts {
            let delay = self.delay.mul_f64(if well { 0.9 } else { 1.3 });
            self.delay = delay.min(LONGEST);
        }
    }
}

impl Scheduler {
    /// Whether a job may start now; if only the time forbids it, it will be asked
    /// again then.
    pub(super) fn may_start(&mut self) -> bool {
        let Some(gate) = &self.gate else {
            return true;
        };
        if gate.is_open(self.now) {
            return true;
        }
        if gate.leave != Some(0) {
            self.timers.set(Timer::Gate, gate.opens_at);
        }
        false
    }

    /// So many jobs may start until somebody says otherwise.
    pub(super) fn give_leave(&mut self, starts: usize) {
        if let Some(gate) = &mut self.gate
            && gate.leave.is_some()
        {
            gate.leave = Some(starts);
        }
    }

    /// The job whose end would cost the least: the one that began last. Not the only
    /// one, which might never end, and none while another one is making room.
    pub(crate) fn spare(&self) -> Option<JobId> {
        let running = self.running();
        let ending = |id: JobId| self.jobs.get(&id).and_then(|job| job.ending);
        let makes_room = |id| ending(id) == Some(Ending::PutBack);
        if running.len() < 2 || running.iter().any(|r| makes_room(r.job)) {
            return None;
        }
        let mut jobs = running.iter().rev().map(|r| r.job);
        jobs.find(|&id| ending(id).is_none())
    }

    /// This job is ended, and begins again when its turn comes.
    pub(super) fn make_room(&mut self, id: JobId) {
        let runs = |job: &Job| matches!(job.place, Place::Sent(_)) && job.since.is_some();
        if self.jobs.get(&id).is_some_and(runs) {
            self.end_job(id, Ending::PutBack);
        }
    }

    /// An attempt that was to make room has ended, and that was no try.
    pub(super) fn put_back(&mut self, id: JobId) {
        self.timers.stop(Timer::Cancel(id));
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.come_back();
        job.ending = None;
        job.since = None;
        self.requeue(id);
        self.actions.push_back(Action::PutBack { job: id });
    }
}

impl Job {
    /// Whether it has ended only to make room, and is to begin again.
    pub(super) fn makes_room(&self, verdict: Verdict) -> bool {
        let told = self.ending == Some(Ending::PutBack) && verdict == Verdict::Interrupted;
        told && !self.withdrawn && !self.recalled
    }
}

/// For jobs without a time limit of their own: a multiple of the time that others
/// took.
#[derive(Debug)]
pub(super) struct Usual {
    percent: f64,
    /// How many jobs have taken how long, by classes of time that are some percent
    /// wide each.
    classes: Box<[u64]>,
    all: u64,
    /// The class of the median, and how many are below it.
    middle: usize,
    below: u64,
    /// The limit by which timers were set last.
    pub(super) set: Option<Duration>,
}

/// Classes for each doubling of the time.
const PARTS: usize = 32;

impl Usual {
    pub(super) fn of(config: &SchedulerConfig) -> Option<Usual> {
        config.timeout_percent.map(|percent| Usual {
            percent,
            classes: vec![0; 64 * PARTS].into(),
            all: 0,
            middle: 0,
            below: 0,
            set: None,
        })
    }

    /// A job has ended well after this time.
    pub(super) fn record(&mut self, took: Duration) {
        let class = class(took);
        self.classes[class] += 1;
        self.all += 1;
        self.below += u64::from(class < self.middle);
        let half = (self.all - 1) / 2;
        while self.below > half {
            self.middle -= 1;
            self.below -= self.classes[self.middle];
        }
        while self.below + self.classes[self.middle] <= half {
            self.below += self.classes[self.middle];
            self.middle += 1;
        }
    }

    /// How long a job may take, once one has ended well.
    pub(super) fn limit(&self) -> Option<Duration> {
        let median = Duration::from_micros(middle_of(self.middle));
        (self.all > 0).then(|| median.mul_f64(self.percent / 100.0))
    }
}

fn class(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let Some(exponent) = micros.checked_ilog2().map(|log| log as usize) else {
        return 0;
    };
    let part = match exponent.checked_sub(5) {
        Some(shift) => (micros >> shift) as usize % PARTS,
        None => (micros as usize) << (5 - exponent) & (PARTS - 1),
    };
    exponent * PARTS + part
}

/// The time in the middle of a class, in microseconds.
fn middle_of(class: usize) -> u64 {
    let (exponent, part) = (class / PARTS, (class % PARTS) as u64);
    match exponent.checked_sub(5) {
        // Half a part more, where a part is more than a microsecond.
        Some(shift) => ((PARTS as u64 + part) << shift) + (1 << shift >> 1),
        None => (PARTS as u64 + part) >> (5 - exponent),
    }
}

impl Scheduler {
    /// A job has ended well: others are measured by it.
    pub(super) fn took(&mut self, took: Duration) {
        let Some(usual) = &mut self.usual else {
            return;
        };
        usual.record(took);
        let Some(limit) = usual.limit() else {
            return;
        };
        // Not for each little change, with many jobs that run: who expires looks again.
        let enough = usual.set.is_some_and(|set| {
            let close = set / 16;
            limit + close > set && limit < set + close
        });
        if enough {
            return;
        }
        usual.set = Some(limit);
        let at_work: Vec<JobId> = self
            .workers
            .values()
            .filter(|worker| !worker.killed)
            .flat_map(Worker::at_work)
            .map(|&(job, _)| job)
            .collect();
        for id in at_work {
            self.limit_usual(id, limit);
        }
    }

    /// Sets the limit of a job that runs and has none of its own.
    fn limit_usual(&mut self, id: JobId, limit: Duration) {
        if let Some(job) = self.jobs.get(&id)
            && let Some(since) = job.since
            && job.ending.is_none()
            && job.terms.timeout.is_none()
        {
            self.timers.set(Timer::Limit(id), since + limit);
        }
    }

    /// How long a job without a limit of its own may take now.
    pub(crate) fn usual_limit(&self) -> Option<Duration> {
        self.usual.as_ref()?.limit()
    }

    /// A job's time is up, unless others take longer by now.
    pub(super) fn is_overdue(&mut self, id: JobId) -> bool {
        let Some(job) = self.jobs.get(&id) else {
            return false;
        };
        let (Some(since), None) = (job.since, job.terms.timeout) else {
            return true;
        };
        match self.usual_limit() {
            Some(limit) if since + limit > self.now => {
                self.timers.set(Timer::Limit(id), since + limit);
                false
            }
            Some(_) | None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sim::config;
    use super::*;

    fn usual() -> Usual {
        let mut rules = config(1);
        rules.timeout_percent = Some(200.0);
        Usual::of(&rules).unwrap()
    }

    #[test]
    fn the_limit_is_a_multiple_of_the_median() {
        let mut usual = usual();
        assert_eq!(usual.limit(), None);
        for (ms, limit_ms) in [(100, 200), (100, 200), (900, 200), (900, 200), (900, 1800)] {
            usual.record(Duration::from_millis(ms));
            let limit = usual.limit().unwrap().as_millis();
            let close = limit.abs_diff(limit_ms) <= limit_ms / 25;
            assert!(close, "{limit}, not {limit_ms}");
        }
    }

    proptest! {
        #[test]
        fn the_median_is_right_to_a_few_percent(times in prop::collection::vec(0..u64::MAX / 4, 1..60)) {
            let mut usual = usual();
            let mut sorted = Vec::new();
            for time in times {
                // Small and large ones.
                let time = time >> (time % 61);
                usual.record(Duration::from_micros(time));
                sorted.push(time);
                sorted.sort_unstable();
                let median = sorted[(sorted.len() - 1) / 2] as f64;
                let found = middle_of(usual.middle) as f64;
                prop_assert!((found - median).abs() <= median / 32.0 + 1.0, "{found}, not {median}");
            }
        }
    }

    #[test]
    fn a_delay_that_adapts_grows_faster_than_it_shrinks() {
        let mut rules = config(1);
        assert!(Gate::of(&rules).is_none());
        rules.start_delay = Duration::from_millis(100);
        for (adapts, after) in [(false, 100), (true, 117)] {
            rules.start_delay_adapts = adapts;
            let mut gate = Gate::of(&rules).unwrap();
            gate.ended(false);
            gate.ended(true);
            assert_eq!(gate.delay, Duration::from_millis(after));
        }
    }
}
