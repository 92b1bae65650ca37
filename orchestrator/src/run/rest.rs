//! A batch at rest gives back the memory that its busiest moment took.
//!
//! Tables of jobs, and the lists of what one turn ends, are large when jobs are tiny.
//! They are kept for the next turn, which is what makes them cheap; but a batch may
//! wait for its next line for hours.

use std::time::Duration;

/// So many jobs leave enough behind that looking for it pays.
const MANY: usize = 10_000;

/// How long nothing is under way before it is rest, and no pause between two
/// groups of lines.
const PAUSE: Duration = Duration::from_millis(100);

/// What has happened since the last rest.
#[derive(Debug, Default)]
pub(super) struct Rest {
    jobs: usize,
}

impl Rest {
    /// So many jobs have ended.
    pub(super) fn ended(&mut self, jobs: usize) {
        self.jobs = self.jobs.saturating_add(jobs);
    }

    /// Waits for rest, if there is a use for it; asked only while nothing is
    /// under way. May be dropped and asked again, and then begins anew.
    pub(super) async fn comes(&self) {
        if self.jobs < MANY {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(PAUSE).await;
    }

    /// It is here.
    pub(super) fn take(&mut self) {
        self.jobs = 0;
    }
}
