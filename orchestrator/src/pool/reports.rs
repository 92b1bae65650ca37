//! The reports of many jobs for one reader: [`Reports`] and [`ReportStream`].

use std::sync::Arc;
#[cfg(feature = "cli")]
use std::vec;

use super::JobReport;
use super::turn::{self, Item, Reader, Sender};

/// Where the reports of many jobs go, see [`Pool::submit_to`](super::Pool::submit_to).
/// Unbounded, and bounded by [`PoolConfig::max_pending`](super::PoolConfig::max_pending):
/// a job keeps its room in the pool until its report is taken.
#[derive(Clone, Debug)]
pub struct Reports(Arc<Sender<JobReport>>);

impl Reports {
    /// A new one, and where its reports come out.
    #[must_use]
    pub fn channel() -> (Reports, ReportStream) {
        let (sender, reader) = turn::channel();
        (Reports(Arc::new(sender)), ReportStream(reader))
    }

    pub(super) fn way(&self) -> &Sender<JobReport> {
        &self.0
    }
}

impl PartialEq for Reports {
    fn eq(&self, other: &Reports) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The reports of many jobs, in the order in which the jobs end. Dropping it
/// lets the jobs run on.
#[derive(Debug)]
pub struct ReportStream(Reader<JobReport>);

impl ReportStream {
    /// The next report; `None` when all jobs have ended that were submitted with
    /// its [`Reports`], and nobody has those any more. Cancel-safe.
    pub async fn next(&mut self) -> Option<JobReport> {
        self.0.next().await
    }

    /// The next report if there is one already.
    pub fn try_next(&mut self) -> Option<JobReport> {
        self.0.try_next()
    }

    /// The reports of jobs that have ended together. Cancel-safe.
    #[cfg(feature = "cli")]
    pub(crate) async fn next_turn(&mut self) -> Option<vec::IntoIter<JobReport>> {
        self.0.next_turn().await
    }

    /// The same if there are some already.
    #[cfg(feature = "cli")]
    pub(crate) fn try_next_turn(&mut self) -> Option<vec::IntoIter<JobReport>> {
        self.0.try_next_turn()
    }
}

impl Item for JobReport {
    fn keeps_room(&self) -> bool {
        true
    }
}
