//! Ends of jobs that may be the doing of somebody who ends this program as well. Batch
//! systems and service managers send a signal to everything of theirs, one process after the
//! other: a command, or its worker, may have gone before this program hears of it, or is
//! killed itself. What has ended like that counts only when this program has lived on for a
//! while; if it has not, the jobs have not failed, but were lost with it. No I/O, no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::job::JobReport;
use crate::Verdict;

/// How long after the jobs this program may be met by a signal that is for all of them.
const SIGNALS_APART: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Doubts<T> {
    /// Until when it is not known what they mean; the oldest first.
    ends: VecDeque<(Instant, T)>,
}

impl<T> Default for Doubts<T> {
    fn default() -> Doubts<T> {
        Doubts {
            ends: VecDeque::new(),
        }
    }
}

impl<T> Doubts<T> {
    pub(crate) fn add(&mut self, end: T, now: Instant) {
        let until = now.checked_add(SIGNALS_APART).unwrap_or(now);
        self.ends.push_back((until, end));
    }

    /// When to look.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.ends.front().map(|(until, _)| *until)
    }

    /// Those that were meant: nothing has happened to this program since.
    pub(crate) fn believed(&mut self, now: Instant) -> impl Iterator<Item = T> {
        let count = self.ends.partition_point(|(until, _)| *until <= now);
        self.ends.drain(..count).map(|(_, end)| end)
    }

    /// All of them, whatever they mean.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.ends)
            .into_iter()
            .map(|(_, end)| end)
    }
}

/// Whether a signal has ended it that schedulers send, or its worker, or a part of it, whose
/// shell tells so by its status. What this program has killed has other verdicts.
pub(crate) fn is_doubtful(report: &JobReport) -> bool {
    let death = report.death.as_ref().and_then(|death| death.signal);
    is_sent(report.verdict, death)
}

fn is_sent(verdict: Verdict, death: Option<i32>) -> bool {
    let sent = |signal| matches!(signal, libc::SIGTERM | libc::SIGKILL);
    match verdict {
        Verdict::Signaled(signal) => sent(signal),
        Verdict::Failed(status) => sent(status.saturating_sub(128)),
        Verdict::Crashed | Verdict::Quarantined => death.is_some_and(sent),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::clock::instant;

    #[test]
    fn each_is_believed_when_its_own_time_has_passed() {
        let begun = instant();
        let at = |share| begun + SIGNALS_APART.mul_f64(share);
        let mut doubts = Doubts::default();
        assert_eq!(doubts.due(), None);
        doubts.add("first", begun);
        doubts.add("second", at(0.5));
        assert_eq!(doubts.due(), Some(at(1.0)));
        let mut believed = |share| doubts.believed(at(share)).collect::<Vec<_>>();
        assert!(believed(0.9).is_empty());
        assert_eq!(believed(1.0), ["first"]);
        assert!(believed(1.0).is_empty(), "it is younger");
        assert_eq!(doubts.due(), Some(at(1.5)));
        assert_eq!(doubts.take().collect::<Vec<_>>(), ["second"]);
        assert_eq!(doubts.due(), None);
    }

    #[test]
    fn what_schedulers_send_is_doubtful_and_nothing_else() {
        for signal in [libc::SIGTERM, libc::SIGKILL] {
            assert!(is_sent(Verdict::Signaled(signal), None));
            assert!(is_sent(Verdict::Failed(128 + signal), None));
            assert!(is_sent(Verdict::Crashed, Some(signal)));
            assert!(is_sent(Verdict::Quarantined, Some(signal)));
            assert!(!is_sent(Verdict::Failed(signal), None));
            assert!(!is_sent(Verdict::Timeout, Some(signal)));
            assert!(!is_sent(Verdict::Oom, Some(signal)));
        }
        assert!(!is_sent(Verdict::Signaled(libc::SIGSEGV), None));
        assert!(!is_sent(Verdict::Crashed, Some(libc::SIGSEGV)));
        assert!(!is_sent(Verdict::Crashed, None));
        assert!(!is_sent(Verdict::Failed(i32::MIN), None));
    }
}
