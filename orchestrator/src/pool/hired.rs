//! Workers as the driver keeps them: what they are, and what it knows of each.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use protocol::WorkerId;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::job::{Errand, WorkerDeath};
use super::news::Order;
use super::thread::Factory;

/// A worker that has not been reaped.
pub(super) struct Hired {
    pub(super) orders: mpsc::UnboundedSender<Order>,
    pub(super) actor: AbortHandle,
    pub(super) pid: u32,
    /// Its place in the pool, from 0.
    pub(super) seat: usize,
    /// Where it is, if it is an agent.
    pub(super) host: Option<Arc<str>>,
    /// Its tasks, once it is ready.
    pub(super) tasks: Option<Tasks>,
    /// How many descriptors it had open when it was ready, if somebody counts.
    pub(super) files: Option<u64>,
    /// Whether it was killed before it was ready.
    pub(super) timed_out: bool,
    /// Whether its end was wanted.
    pub(super) asked_to_end: bool,
    /// How it broke the protocol, as a predicate.
    pub(super) violation: Option<String>,
}

/// A worker that is being dealt with as dead.
pub(super) struct Dead {
    pub(super) worker: WorkerId,
    pub(super) host: Option<Arc<str>>,
    pub(super) death: Arc<WorkerDeath>,
}

/// The tasks of a worker.
#[derive(Debug)]
pub(super) struct Tasks {
    numbers: HashMap<String, u32>,
    /// What was asked for last, which is mostly asked for again.
    last: (Cow<'static, str>, u32),
}

impl Tasks {
    pub(super) fn new(names: Vec<String>) -> Tasks {
        Tasks {
            last: (Cow::Owned(names.first().cloned().unwrap_or_default()), 0),
            numbers: names.into_iter().zip(0..).collect(),
        }
    }

    pub(super) fn number(&mut self, errand: &Errand) -> Option<u32> {
        let name = &errand.task;
        let last: &str = &self.last.0;
        // Not even compared when it is the very same text.
        if !std::ptr::eq(last, &**name) && last != name {
            let &number = self.numbers.get(&**name)?;
            self.last = (name.clone(), number);
        }
        Some(self.last.1)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.numbers.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// What a worker is.
pub(super) enum Crew {
    /// A process, started as the configuration says.
    Processes,
    /// A thread of this program, with tasks from here.
    Threads(Factory),
}
