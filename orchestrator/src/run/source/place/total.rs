//! How many jobs there are in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Said when all of the input was read, before the first job is made.
#[derive(Clone, Debug)]
pub(crate) struct Total(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    jobs: AtomicU64,
    wanted: AtomicBool,
}

impl Default for Total {
    fn default() -> Total {
        Total(Arc::new(Inner {
            // As long as it can be, for whoever measures commands before.
            jobs: AtomicU64::new(u64::MAX),
            wanted: AtomicBool::new(false),
        }))
    }
}

impl PartialEq for Total {
    fn eq(&self, other: &Total) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Total {}

impl Total {
    /// The same for a place that needs it.
    pub(super) fn asked(&self) -> Total {
        self.0.wanted.store(true, Ordering::Relaxed);
        self.clone()
    }

    /// Whether any place needs it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.wanted.load(Ordering::Relaxed)
    }

    /// So many there are.
    pub(crate) fn set(&self, jobs: u64) {
        self.0.jobs.store(jobs, Ordering::Relaxed);
    }

    /// How many there are.
    pub(super) fn get(&self) -> u64 {
        self.0.jobs.load(Ordering::Relaxed)
    }

    /// This number with zeros before it, so that it has as many digits as the number of all.
    pub(super) fn padded(&self, number: u64) -> String {
        let digits = self.get().checked_ilog10().unwrap_or(0) as usize + 1;
        format!("{number:0digits$}")
    }
}
