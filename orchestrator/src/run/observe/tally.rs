//! How many jobs wait, run and have ended, and who runs what: folded from the pool's events.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::{JobId, WorkerId};

use crate::scheduler::{IdMap, Verdict};

/// What there is at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Jobs in the pool that no worker has begun, as far as that is known.
    pub(crate) waiting: u64,
    /// Jobs that run, here and on other machines.
    pub(crate) running: u64,
    /// Jobs that have succeeded.
    pub(crate) done: u64,
    /// Jobs that have ended in any other way, and lines that were no jobs.
    pub(crate) failed: u64,
}

/// A worker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    /// Its slot, from 1.
    pub(crate) slot: usize,
    pub(crate) pid: u32,
    /// Where it is, when it is an agent, and how many jobs it runs at once.
    pub(crate) host: Option<Arc<str>>,
    pub(crate) places: u32,
    /// Jobs that it was sent and that have not ended.
    jobs: u32,
    ended: bool,
}

impl Worker {
    /// How many jobs it runs; what else it has waits there.
    fn busy(&self) -> u64 {
        u64::from(self.jobs.min(self.places.max(1)))
    }
}

/// A job without a verdict.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Since when it waits for its next attempt.
    since: Duration,
    /// Who has it.
    at: Option<WorkerId>,
}

/// The state behind the counts: of jobs in the pool and of workers, which are both bounded.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    open: IdMap<JobId, Open>,
    workers: HashMap<WorkerId, Worker>,
    busy: u64,
    done: u64,
    failed: u64,
}

impl Tally {
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            waiting: (self.open.len() as u64).saturating_sub(self.busy),
            running: self.busy,
            done: self.done,
            failed: self.failed,
        }
    }

    /// A worker, also for a while after its end.
    pub(crate) fn worker(&self, worker: WorkerId) -> Option<&Worker> {
        self.workers.get(&worker)
    }

    /// An agent takes jobs: now it is known where it is.
    pub(crate) fn ready(&mut self, worker: WorkerId, places: u32, host: &Option<Arc<str>>) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            self.busy -= worker.busy();
            worker.places = places;
            worker.host.clone_from(host);
            self.busy += worker.busy();
        }
    }

    /// How many jobs run at once at this host, where several agents may be.
    pub(crate) fn places_at(&self, host: &Arc<str>) -> u32 {
        let there = self.workers.values();
        let there = there.filter(|worker| !worker.ended && worker.host.as_ref() == Some(host));
        there.fold(0, |sum, worker| sum.saturating_add(worker.places))
    }

    pub(crate) fn spawned(
        &mut self,
        worker: WorkerId,
        pid: u32,
        slot: usize,
        host: &Option<Arc<str>>,
    ) {
        // Whoever had this place is spoken of no more, unless it is at its last job.
        self.workers.retain(|_, old| old.slot != slot || !old.ended);
        let new = Worker {
            slot,
            pid,
            host: host.clone(),
            // Until it is ready.
            places: 0,
            jobs: 0,
            ended: false,
        };
        self.workers.insert(worker, new);
    }

    pub(crate) fn ended(&mut self, worker: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            // What it had goes back, or ends.
            self.busy -= worker.busy();
            worker.jobs = 0;
            worker.ended = true;
        }
    }

    pub(crate) fn queued(&mut self, job: JobId, at: Duration) {
        let open = Open {
            since: at,
            at: None,
        };
        self.open.insert(job, open);
    }

    pub(crate) fn sent(&mut self, job: JobId, to: WorkerId) {
        let Some(open) = self.open.get_mut(&job) else {
            return;
        };
        // One that was recalled is sent again.
        let before = open.at.replace(to);
        before.into_iter().for_each(|worker| self.less(worker));
        if let Some(worker) = self.workers.get_mut(&to).filter(|worker| !worker.ended) {
            self.busy -= worker.busy();
            worker.jobs += 1;
            self.busy += worker.busy();
        }
    }

    /// An attempt is over, and another one follows; since when the job had waited for this one.
    pub(crate) fn retried(&mut self, job: JobId, now: Duration) -> Option<Duration> {
        let open = self.open.get_mut(&job)?;
        let since = std::mem::replace(&mut open.since, now);
        let at = open.at.take();
        at.into_iter().for_each(|worker| self.less(worker));
        Some(since)
    }

    /// A job has its verdict; since when it had waited for its last attempt.
    pub(crate) fn concluded(&mut self, job: JobId, verdict: Verdict) -> Option<Duration> {
        self.count(verdict);
        let open = self.open.remove(&job)?;
        open.at.into_iter().for_each(|worker| self.less(worker));
        Some(open.since)
    }

    /// A job, or a line that is none, has ended like this.
    pub(crate) fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Ok => self.done += 1,
            _ => self.failed += 1,
        }
    }

    fn less(&mut self, worker: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&worker)
            && worker.jobs > 0
        {
            self.busy -= worker.busy();
            worker.jobs -= 1;
            self.busy += worker.busy();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::from_millis(3);

    fn counts(waiting: u64, running: u64, done: u64, failed: u64) -> Counts {
        Counts {
            waiting,
            running,
            done,
            failed,
        }
    }

    #[test]
    fn each_job_is_counted_in_one_place() {
        let mut tally = Tally::default();
        let (one, two) = (WorkerId(1), WorkerId(2));
        tally.spawned(one, 11, 1, &None);
        tally.spawned(two, 12, 2, &None);
        (1..=4).for_each(|job| tally.queued(JobId(job), AT));
        assert_eq!(tally.counts(), counts(4, 0, 0, 0));
        (1..=3).for_each(|job| tally.sent(JobId(job), one));
        // The first is running, two are ready behind it.
        assert_eq!(tally.counts(), counts(3, 1, 0, 0));
        // One of them was recalled.
        tally.sent(JobId(3), two);
        assert_eq!(tally.counts(), counts(2, 2, 0, 0));
        assert_eq!(tally.concluded(JobId(1), Verdict::Ok), Some(AT));
        assert_eq!(tally.retried(JobId(2), 2 * AT), Some(AT));
        assert_eq!(tally.counts(), counts(2, 1, 1, 0));
        tally.sent(JobId(2), two);
        tally.ended(two);
        assert_eq!(tally.counts(), counts(3, 0, 1, 0));
        assert_eq!(tally.worker(two).map(|worker| worker.slot), Some(2));
        assert_eq!(tally.concluded(JobId(2), Verdict::Crashed), Some(2 * AT));
        tally.spawned(WorkerId(3), 13, 2, &None);
        assert_eq!(tally.worker(two), None, "its place has another one");
        tally.sent(JobId(3), WorkerId(3));
        assert_eq!(tally.counts(), counts(1, 1, 1, 1));
        for job in [3, 4] {
            tally.concluded(JobId(job), Verdict::Ok);
        }
        assert_eq!(tally.counts(), counts(0, 0, 3, 1));
    }

    #[test]
    fn an_agent_runs_as_many_jobs_as_it_has_places() {
        let mut tally = Tally::default();
        let (one, two) = (WorkerId(1), WorkerId(2));
        let host = Some(Arc::from("h"));
        tally.spawned(one, 11, 1, &host);
        tally.spawned(two, 12, 2, &host);
        tally.ready(one, 3, &host);
        let name: Arc<str> = Arc::from("h");
        assert_eq!(tally.places_at(&name), 3, "the other is not there yet");
        tally.ready(two, 2, &host);
        assert_eq!(tally.places_at(&name), 5);
        (1..=9).for_each(|job| tally.queued(JobId(job), AT));
        (1..=4).for_each(|job| tally.sent(JobId(job), one));
        tally.sent(JobId(5), two);
        assert_eq!(tally.counts(), counts(5, 4, 0, 0));
        tally.concluded(JobId(1), Verdict::Ok);
        assert_eq!(tally.counts(), counts(4, 4, 1, 0));
        tally.concluded(JobId(2), Verdict::Ok);
        assert_eq!(tally.counts(), counts(4, 3, 2, 0));
        tally.ended(one);
        assert_eq!(tally.counts(), counts(6, 1, 2, 0));
        assert_eq!(tally.places_at(&name), 2);
    }
}
