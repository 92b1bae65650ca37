//! How workers died that nobody wanted dead: what the pool says about itself
//! when no worker can be kept alive.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use protocol::PROTOCOL_VERSION;

use super::news::{Ending, StartFailure};
use super::{PoolConfig, PoolError};

#[derive(Debug, Default)]
pub(super) struct Deaths {
    /// How the last one died.
    last: Option<PoolError>,
    /// What was wrong with each host of late.
    hosts: BTreeMap<Arc<str>, String>,
    /// How many died since a job was done.
    count: u32,
    /// Whether any worker was ever ready.
    ever_ready: bool,
}

impl Deaths {
    /// A worker is ready; whether it is the first.
    pub(super) fn one_is_ready(&mut self) -> bool {
        !std::mem::replace(&mut self.ever_ready, true)
    }

    /// A job was done: whatever was wrong is over.
    pub(super) fn job_done(&mut self) {
        self.count = 0;
    }

    /// Why no worker can be kept alive.
    pub(super) fn last(&mut self) -> Option<PoolError> {
        if self.last.is_none() && !self.hosts.is_empty() {
            let hosts = std::mem::take(&mut self.hosts).into_iter().collect();
            return Some(PoolError::Hosts { hosts });
        }
        self.last.take()
    }

    /// A worker died. Whether the next one would die in the same way, which is
    /// only assumed while none has ever been ready.
    pub(super) fn note(
        &mut self,
        config: &PoolConfig,
        (timed_out, agent): (bool, Option<(&str, &str)>),
        ending: &Ending,
    ) -> bool {
        self.count += 1;
        if let Some((host, how)) = agent {
            // Another host may do.
            self.hosts.insert(Arc::from(host), how.to_owned());
            return false;
        }
        let (mut error, certain) = self.explain(config, timed_out, ending);
        let started = !matches!(ending.start, None | Some(StartFailure::Spawn(_)));
        if started && config.launch.is_own_worker() {
            error = PoolError::OwnWorker(Box::new(error));
        }
        self.last = Some(error);
        certain && !self.ever_ready && config.agents.is_empty()
    }

    fn explain(&self, config: &PoolConfig, timed_out: bool, ending: &Ending) -> (PoolError, bool) {
        let program = config.launch.name.clone();
        match &ending.start {
            Some(StartFailure::Spawn(e)) => {
                let source = Arc::new(copy(e));
                let certain = !StartFailure::is_scarcity(e);
                (PoolError::Spawn { program, source }, certain)
            }
            Some(StartFailure::NotAWorker(printed)) => {
                let printed = printed.clone();
                (PoolError::NotAWorker { program, printed }, true)
            }
            Some(StartFailure::Version(theirs)) => {
                let error = PoolError::Version {
                    program,
                    theirs: *theirs,
                    ours: PROTOCOL_VERSION,
                };
                (error, true)
            }
            Some(StartFailure::Died) if timed_out => {
                let error = PoolError::StartTimeout {
                    program,
                    after: config.start_timeout,
                    stderr: ending.stderr.clone(),
                };
                (error, true)
            }
            Some(StartFailure::Died | StartFailure::Wanting) | None => {
                let error = PoolError::KeepsDying {
                    program,
                    status: ending.how.clone(),
                    ready: ending.start.is_none(),
                    attempts: self.count,
                    stderr: ending.stderr.clone(),
                };
                (error, false)
            }
        }
    }
}

/// The same error once more.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
