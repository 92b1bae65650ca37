//! Ends of jobs that are kept back for a moment, where what is recorded decides what is run
//! again: what ended a job may be about to end this program, too. Then the job was
//! interrupted, and has not failed.

use std::vec;

use crate::Verdict;
use crate::pool::{Doubts, JobReport, ReportStream, instant, is_doubtful, until};

/// The reports of a pool.
pub(super) struct Doubting {
    reports: ReportStream,
    /// Nothing where no end is doubted.
    doubts: Option<Doubts<JobReport>>,
    /// Whether this program was told to end.
    interrupted: bool,
}

impl Doubting {
    pub(super) fn new(reports: ReportStream, doubts: bool) -> Doubting {
        Doubting {
            reports,
            doubts: doubts.then(Doubts::default),
            interrupted: false,
        }
    }

    /// Waits for ends of jobs; nothing when there can be no more. Cancel-safe.
    pub(super) async fn next_turn(&mut self) -> Option<vec::IntoIter<JobReport>> {
        loop {
            if let Some(reports) = self.interrupted.then(|| self.take()).flatten() {
                return Some(reports);
            }
            let due = self.doubts.as_ref().and_then(Doubts::due);
            tokio::select! {
                Some(reports) = self.reports.next_turn() => {
                    let reports = self.sift(reports);
                    if reports.len() > 0 {
                        return Some(reports);
                    }
                }
                () = until(due), if due.is_some() => {
                    let doubts = self.doubts.iter_mut();
                    let now = instant();
                    let believed = doubts.flat_map(|doubts| doubts.believed(now));
                    return Some(believed.collect::<Vec<_>>().into_iter());
                }
                else => return None,
            }
        }
    }

    /// What has ended by now, of a pool that has ended itself.
    pub(super) fn try_next_turn(&mut self) -> Option<vec::IntoIter<JobReport>> {
        if let Some(reports) = self.reports.try_next_turn() {
            return Some(self.sift(reports));
        }
        self.take()
    }

    /// This program was told to end: so that is what was meant by what is doubted.
    pub(super) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// What is doubted, if anything is.
    fn take(&mut self) -> Option<vec::IntoIter<JobReport>> {
        let mut reports: Vec<_> = self.doubts.as_mut()?.take().collect();
        if self.interrupted {
            reports.iter_mut().for_each(was_interrupted);
        }
        Some(reports.into_iter()).filter(|reports| reports.len() > 0)
    }

    /// Those that mean what they say.
    fn sift(&mut self, mut reports: vec::IntoIter<JobReport>) -> vec::IntoIter<JobReport> {
        let Some(doubts) = &mut self.doubts else {
            return reports;
        };
        if !reports.as_slice().iter().any(is_doubtful) {
            return reports;
        }
        if self.interrupted {
            let doubtful = reports.as_mut_slice().iter_mut();
            doubtful
                .filter(|report| is_doubtful(report))
                .for_each(was_interrupted);
            return reports;
        }
        let (doubtful, rest): (Vec<_>, Vec<_>) = reports.partition(is_doubtful);
        let now = instant();
        doubtful
            .into_iter()
            .for_each(|report| doubts.add(report, now));
        rest.into_iter()
    }
}

fn was_interrupted(report: &mut JobReport) {
    report.verdict = Verdict::Interrupted;
    report.error = None;
}
