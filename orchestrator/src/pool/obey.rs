//! What the handles of a pool ask of its driver, and what that does about it.

use protocol::{JobId, ToWorker};
use tokio::sync::{mpsc, oneshot};

use super::control::{RunningJob, Status};
use super::driver::{Driver, Note};
use super::entry::Entry;
use super::error::PoolError;
use super::event::EventKind;
use super::news::Order;
use super::start::FOREVER;
use super::stats::Stats;
use crate::scheduler::{Input, Terms};

/// What the handles ask of the driver. The channel is unbounded: submissions
/// are bounded by the room in the pool, cancels by the handles that exist, all
/// else by how often people ask.
#[derive(Debug)]
pub(super) enum Command {
    Submit(Box<Entry>),
    /// Jobs that were made together.
    SubmitMany(Vec<Entry>),
    Cancel(JobId),
    /// These are wanted back, unless they have started: then that is noted.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "agents ask for it"))]
    GiveBack(Vec<JobId>),
    /// Where notes go.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "agents ask for it"))]
    Notes(mpsc::UnboundedSender<Vec<Note>>),
    /// A piece of data for every worker, before all jobs that come later.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "agents ask for it"))]
    Blob(ToWorker),
    /// Tell the workers that all jobs are about to have come.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "agents ask for it"))]
    WindDown,
    /// What runs?
    Status(oneshot::Sender<Status>),
    /// How much has there been?
    Stats(oneshot::Sender<Stats>),
    /// So many workers from now on.
    Resize(usize),
    /// So many jobs may start until this is said again.
    AllowStarts(usize),
    /// End the job that began last and put it back; which one it is.
    PutBack(oneshot::Sender<RunningJob>),
    /// Stand still; the sender is dropped when all workers have been told.
    Pause(mpsc::Sender<()>),
    Resume,
    /// So many verdicts have been taken note of.
    Seen(usize),
    /// Nothing has happened for a while.
    #[cfg(feature = "cli")]
    Rest,
    /// What has not started is not wanted any more.
    Withdraw,
    /// No more jobs will come.
    Drain,
    /// Ask all jobs to end, and end.
    Interrupt,
    /// End now.
    Stop,
    /// Kill everything, and end.
    Kill,
}

impl Driver {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Submit(entry) => self.submit(*entry),
            Command::SubmitMany(entries) => {
                for entry in entries {
                    self.submit(entry);
                }
            }
            Command::Cancel(job) => self.tell(Input::Cancel { job }),
            Command::GiveBack(jobs) => self.tell(Input::GiveBack { jobs }),
            Command::Notes(way) => self.noted = Some(way),
            Command::Blob(frame) => {
                for hired in self.workers.values().filter(|w| w.tasks.is_some()) {
                    hired.orders.send(Order::Say(frame.clone())).ok();
                }
                self.blobs.push(frame);
            }
            Command::WindDown => self.wind_down(),
            // Whoever asked may have gone.
            Command::Status(reply) => drop(reply.send(self.status())),
            Command::Stats(reply) => drop(reply.send(self.stats())),
            Command::Resize(workers) => self.tell(Input::Resize { workers }),
            Command::AllowStarts(starts) => self.tell(Input::Leave { starts }),
            Command::PutBack(reply) => self.put_back(reply),
            Command::Pause(told) => self.pause(&told),
            Command::Resume => self.resume(),
            Command::Seen(verdicts) => self.tell(Input::Seen { verdicts }),
            #[cfg(feature = "cli")]
            Command::Rest => {
                self.jobs.rest();
                self.scheduler.shrink();
                super::os::return_free_memory();
            }
            Command::Withdraw => self.tell(Input::Withdraw),
            Command::Drain => {
                self.close(PoolError::Closed);
                self.wind_down();
                self.tell(Input::Drain);
            }
            Command::Interrupt => self.end_with(Input::Interrupt),
            Command::Stop => self.end_with(Input::Stop),
            Command::Kill => {
                // No end from now on is a loss.
                let workers = self.workers.values_mut();
                workers.for_each(|hired| hired.asked_to_end = true);
                self.end_with(Input::Kill);
            }
        }
    }

    fn submit(&mut self, entry: Entry) {
        let id = entry.id;
        let mut terms = Terms {
            timeout: self.config.timeout,
            retries: self.config.retries,
            retry_backoff: None,
            priority: 0,
            grace: None,
            weighed: false,
        };
        if let Some(wishes) = &entry.wishes {
            terms = Terms {
                timeout: wishes.timeout.map(|t| t.min(FOREVER)).or(terms.timeout),
                retries: match &wishes.call {
                    // There is only one of it.
                    Some(_) => 0,
                    None => wishes.retries.unwrap_or(terms.retries),
                },
                retry_backoff: wishes.retry_backoff.map(|t| t.min(FOREVER)),
                priority: wishes.priority,
                grace: wishes.grace.map(|t| t.min(FOREVER)),
                weighed: wishes.memory_limit.is_some(),
            };
        }
        self.counted.submitted += 1;
        self.jobs.insert(id, entry);
        self.emit_of_job(|| EventKind::JobQueued { job: id });
        self.tell(Input::Submit { job: id, terms });
    }

    /// Endless tasks are told that everybody else is about to leave.
    fn wind_down(&mut self) {
        self.winding_down = true;
        for hired in self.workers.values().filter(|w| w.tasks.is_some()) {
            hired.orders.send(Order::Say(ToWorker::WindDown)).ok();
        }
    }

    /// Nobody can end while time stands still.
    pub(super) fn end_with(&mut self, how: Input) {
        self.hurried = true;
        self.resume();
        self.close(PoolError::Closed);
        self.tell(how);
    }

    fn pause(&mut self, told: &mpsc::Sender<()>) {
        self.tell(Input::Pause);
        self.clock.pause();
        for hired in self.workers.values() {
            // One that has ended needs no telling.
            hired.orders.send(Order::Pause(told.clone())).ok();
        }
    }

    fn resume(&mut self) {
        if !self.clock.resume() {
            return;
        }
        self.tell(Input::Resume);
        for hired in self.workers.values() {
            hired.orders.send(Order::Say(ToWorker::Resume)).ok();
        }
    }

    fn put_back(&mut self, reply: oneshot::Sender<RunningJob>) {
        let Some(job) = self.scheduler.spare() else {
            return;
        };
        let mut running = self.status().running.into_iter();
        let spare = running.find(|running| running.job == job);
        self.tell(Input::PutBack { job });
        // Whoever asked may have gone.
        spare.map(|spare| reply.send(spare));
    }

    fn status(&self) -> Status {
        let counted = self.clock.counted(self.now);
        let running: Vec<RunningJob> = self
            .scheduler
            .running()
            .into_iter()
            .map(|running| RunningJob {
                job: running.job,
                label: self.label(running.job),
                attempt: running.attempt,
                worker: running.worker,
                pid: self.workers.get(&running.worker).map_or(0, |w| w.pid),
                elapsed: counted.saturating_sub(running.since),
            })
            .collect();
        Status {
            waiting: self.scheduler.unfinished() - running.len(),
            running,
            workers: self.workers.len(),
        }
    }

    fn stats(&self) -> Stats {
        let unfinished = self.scheduler.unfinished();
        let census = self.scheduler.census();
        self.counted.now(self.workers.len(), unfinished, census)
    }
}
