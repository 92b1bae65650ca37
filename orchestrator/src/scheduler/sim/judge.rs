//! What the world knows and the scheduler does not: whether a verdict can be true, and a job
//! may be sent.

use protocol::JobId;

use super::{FakeWorker, World};
use crate::scheduler::Verdict;

impl World {
    pub(super) fn judge(&mut self, job: JobId, verdict: Verdict) {
        let plan = self.plans[&job];
        let caught = self.caught.contains(&job);
        let crashes = self.crashes.get(&job).copied().unwrap_or(0) + 1;
        let started = self.starts.get(&job).copied().unwrap_or(0);
        let told = self.stopped || self.withdrawn;
        let expected = match verdict {
            Verdict::Ok => started > plan.failures,
            Verdict::Failed(_) => started > 0,
            // What waits for another attempt ends as the last one did.
            Verdict::Crashed => caught && (told || crashes < self.config.quarantine),
            Verdict::Quarantined => caught && crashes == self.config.quarantine,
            Verdict::Timeout => plan.terms.timeout.is_some(),
            Verdict::Unkillable => self.undead.contains(&job),
            Verdict::Cancelled => self.stopped || self.cancelled.contains(&job),
            Verdict::Interrupted => told,
            Verdict::Lost => self.broken || self.late.contains(&job),
            Verdict::Signaled(_)
            | Verdict::SpawnError(_)
            | Verdict::Rejected
            | Verdict::OutputLimit
            | Verdict::Oom => false,
        };
        assert!(expected, "job {job}: {verdict:?}");
    }

    /// It is neither too soon nor without leave.
    pub(super) fn pass_gate(&mut self, job: JobId) {
        if self.config.starts_by_leave {
            assert!(self.leave > 0, "job {job} is sent without leave");
            self.leave -= 1;
        }
        let before = self.last_start.replace(self.seen());
        if let Some(before) = before.filter(|_| !self.config.start_delay_adapts) {
            let soonest = before + self.config.start_delay;
            assert!(self.seen() >= soonest, "job {job} is sent too soon");
        }
    }

    /// No more workers have jobs than there are to be, but for those that are
    /// at their last ones.
    pub(super) fn count_busy(&self) {
        let busy = |w: &&FakeWorker| w.running.is_some() || !w.queue.is_empty();
        let stays = |w: &&FakeWorker| !w.draining && !w.doomed;
        // One that was at its last jobs and had to be killed may not be dead when its successor begins.
        let dies = |w: &&FakeWorker| w.draining && w.killed;
        let all = self.workers.values().filter(busy).filter(|w| !dies(w));
        assert!(all.clone().count() <= self.largest, "too many at work");
        let wanted = self.scheduler.config.workers;
        assert!(all.filter(stays).count() <= wanted, "too many stay at work");
    }

    pub(super) fn all_have_verdicts(&self) {
        assert_eq!(self.verdicts.len(), self.plans.len());
    }
}
