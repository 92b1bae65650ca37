//! What the scheduler has decided becomes orders, replies and events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{
    Assignment, Attempt, Encoding, JobHeader, JobId, Outcome, TaskError, TaskErrorKind, ToWorker,
    Usage, WorkerId,
};
use tokio::sync::mpsc;

use super::delivery::Delivery;
use super::driver::{Crew, Driver, Entry, Hired, Reply};
use super::error::PoolError;
use super::event::EventKind;
use super::job::{Closure, JobReport};
use super::news::Order;
use super::spill::{Capture, Payload};
use super::{process, thread};
use crate::scheduler::{Action, Input, Verdict};

impl Driver {
    /// Does what the scheduler has decided.
    pub(super) fn act(&mut self) {
        while let Some(action) = self.scheduler.poll_action() {
            match action {
                Action::Send {
                    worker,
                    job,
                    attempt,
                } => self.send(worker, job, attempt),
                Action::Verdict {
                    job,
                    verdict,
                    worker,
                    attempts,
                } => self.conclude(job, verdict, worker, attempts),
                Action::Spawn { worker } => self.hire(worker),
                Action::Cancel {
                    worker,
                    job,
                    attempt,
                    overdue,
                } => {
                    if overdue {
                        self.order(worker, Order::Rouse(job));
                    }
                    self.order(worker, Order::Say(ToWorker::Cancel { job, attempt }));
                }
                Action::Recall { worker, jobs } => {
                    self.order(worker, Order::Say(ToWorker::Recall(jobs)));
                }
                Action::Retire { worker, failures } => {
                    self.emit(EventKind::WorkerRetired { worker, failures });
                    self.end(worker, Order::Say(ToWorker::Drain));
                }
                Action::Drain { worker } => self.end(worker, Order::Say(ToWorker::Drain)),
                Action::Close { worker } => self.end(worker, Order::Close),
                Action::Kill { worker } => {
                    if let Some(hired) = self.workers.get_mut(&worker) {
                        hired.timed_out = hired.tasks.is_none();
                    }
                    self.order(worker, Order::Kill);
                }
                Action::Abandon { worker } => self.abandon(worker),
                Action::Retry {
                    job,
                    attempts,
                    verdict,
                    pause,
                } => self.retry(job, attempts, verdict, pause),
                Action::Broken => {
                    let why = self.failure.take().or(self.deaths.last());
                    let why = why.unwrap_or(PoolError::Closed);
                    self.close(why.clone());
                    self.failure = Some(why);
                }
                Action::Ended => self.ended = true,
            }
        }
        self.flush();
        #[cfg(debug_assertions)]
        self.check();
    }

    /// A check looks at every job, so it is made the more rarely the more there
    /// are.
    #[cfg(debug_assertions)]
    fn check(&mut self) {
        self.unchecked += 64;
        if self.unchecked >= self.scheduler.unfinished() {
            self.unchecked = 0;
            self.scheduler.check();
        }
    }

    fn hire(&mut self, worker: WorkerId) {
        let config = Arc::clone(&self.config);
        let news = self.news_sender.clone();
        match &self.crew {
            Crew::Processes => {
                let delivery = Delivery::new(worker, self.route.clone(), self.printing.lost());
                let (orders, actor) = process::hire(worker, config, news, delivery);
                self.employ(worker, orders, actor);
            }
            Crew::Threads(factory) => {
                let factory = Arc::clone(factory);
                let (orders, actor) = thread::hire(worker, config, factory, news);
                self.employ(worker, orders, actor);
            }
        }
    }

    fn employ(
        &mut self,
        worker: WorkerId,
        orders: mpsc::UnboundedSender<Order>,
        actor: impl Future<Output = ()> + Send + 'static,
    ) {
        let hired = Hired {
            orders,
            actor: self.actors.spawn(actor),
            pid: 0,
            tasks: None,
            timed_out: false,
            asked_to_end: false,
            violation: None,
        };
        self.counted.workers_started += 1;
        self.actor_ids.insert(hired.actor.id(), worker);
        self.workers.insert(worker, hired);
    }

    /// The kernel does not let a worker end; whoever reaps it will be the
    /// runtime, or nobody.
    fn abandon(&mut self, worker: WorkerId) {
        if let Some(hired) = self.workers.remove(&worker) {
            hired.actor.abort();
            self.counted.workers_died += 1;
            let how = format!("was killed and does not end (pid {})", hired.pid);
            self.emit(EventKind::WorkerEnded {
                worker,
                unexpected: Some(Arc::from(how.as_str())),
            });
            self.how = how;
        }
    }

    /// Gives an order, after the jobs that were collected before it.
    pub(super) fn order(&mut self, worker: WorkerId, order: Order) {
        self.flush();
        if let Some(hired) = self.workers.get(&worker) {
            // An actor that has ended has said so, and is about to be heard.
            hired.orders.send(order).ok();
        }
    }

    fn end(&mut self, worker: WorkerId, order: Order) {
        if let Some(hired) = self.workers.get_mut(&worker) {
            hired.asked_to_end = true;
        }
        self.order(worker, order);
    }

    fn flush(&mut self) {
        if let Some((worker, jobs)) = self.outbox.take()
            && let Some(hired) = self.workers.get(&worker)
        {
            hired.orders.send(Order::Run(jobs)).ok();
        }
    }

    fn send(&mut self, worker: WorkerId, job: JobId, attempt: Attempt) {
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        if let Some(call) = entry.job.call.clone() {
            entry.sent = Some(self.now);
            self.call(worker, (job, attempt), call);
            return;
        }
        let hired = self.workers.get(&worker);
        let tasks = hired.and_then(|h| h.tasks.as_ref());
        let Some(&task) = tasks.and_then(|t| t.get(&*entry.job.task)) else {
            let mut offered: Vec<&str> = tasks.into_iter().flatten().map(|(t, _)| &**t).collect();
            offered.sort_unstable();
            let text = format!(
                "the worker has no task named `{}`; its tasks are: {}",
                entry.job.task,
                offered.join(", ")
            );
            entry.error = Some(TaskError::new(text).of(TaskErrorKind::UnknownTask));
            self.reject(worker, job, attempt);
            return;
        };
        // What an earlier attempt said is void.
        entry.stdout = Capture::default();
        entry.stderr = Capture::default();
        entry.result.clear();
        entry.answer = None;
        entry.was_stopped = false;
        entry.out_of_memory = false;
        entry.sent = Some(self.now);
        let assignment = Assignment {
            header: JobHeader {
                job,
                attempt,
                task,
                encoding: entry.job.encoding,
                input_len: entry.job.input.len() as u64,
            },
            input: entry.job.input.clone(),
        };
        if let Some(printed) = entry.job.printed.clone() {
            let route = self.printing.route(&printed);
            self.order(worker, Order::Redirect(job, route));
        }
        match &mut self.outbox {
            Some((to, jobs)) if *to == worker => jobs.push(assignment),
            _ => {
                self.flush();
                self.outbox = Some((worker, vec![assignment]));
            }
        }
        let event = EventKind::JobSent {
            job,
            attempt,
            worker,
        };
        self.emit(event);
    }

    /// A function instead of a task goes to a thread, and nowhere else.
    fn call(&mut self, worker: WorkerId, (job, attempt): (JobId, Attempt), call: Closure) {
        match self.crew {
            Crew::Threads(_) => {
                self.order(worker, Order::Call((job, attempt), call));
                self.emit(EventKind::JobSent {
                    job,
                    attempt,
                    worker,
                });
            }
            Crew::Processes => {
                if let Some(entry) = self.jobs.get_mut(&job) {
                    let text = "a closure cannot be sent to a process: it needs a `ThreadPool`";
                    entry.error = Some(TaskError::new(text).of(TaskErrorKind::UnknownTask));
                }
                self.reject(worker, job, attempt);
            }
        }
    }

    /// This worker cannot run that job.
    fn reject(&mut self, worker: WorkerId, job: JobId, attempt: Attempt) {
        self.tell(Input::Done {
            worker,
            job,
            attempt,
            outcome: Outcome::Rejected,
            took: Duration::ZERO,
            rss: 0,
        });
    }

    /// An attempt has failed and another one follows.
    fn retry(&mut self, job: JobId, attempts: u32, verdict: Verdict, pause: Duration) {
        self.counted.retries += 1;
        let limit = self.limit(job);
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        entry.out_of_memory |= self.out_of_memory;
        let verdict = judged(entry, verdict);
        let error = reason(entry, verdict, limit, &self.how);
        let stderr = Arc::new(std::mem::take(&mut entry.stderr));
        self.emit(EventKind::JobRetried {
            job,
            verdict,
            error,
            stderr,
            attempts,
            pause,
        });
    }

    /// How long an attempt at this job may take.
    fn limit(&self, job: JobId) -> Duration {
        let own = self.jobs.get(&job).and_then(|entry| entry.job.timeout);
        own.or(self.config.timeout).unwrap_or_default()
    }

    fn conclude(
        &mut self,
        job: JobId,
        mut verdict: Verdict,
        worker: Option<WorkerId>,
        attempts: u32,
    ) {
        let limit = self.limit(job);
        let Some(entry) = self.jobs.remove(&job) else {
            return;
        };
        let mut entry = *entry;
        entry.out_of_memory |= self.out_of_memory;
        verdict = judged(&entry, verdict);
        let why = reason(&mut entry, verdict, limit, &self.how);
        let (usage, payload) = match entry.answer {
            Some((header, payload)) => (header.usage, payload),
            None => (Usage::default(), Bytes::new()),
        };
        let mut error = why;
        let mut result = Payload::default();
        if verdict == Verdict::Ok {
            let whole = if entry.result.is_empty() {
                payload
            } else {
                let mut parts = entry.result;
                parts.extend_from_slice(&payload);
                parts.freeze()
            };
            match Payload::keep(&self.results, whole) {
                Ok(kept) => result = kept,
                Err(e) => {
                    (verdict, error) = (Verdict::Lost, None);
                    self.failure.get_or_insert(PoolError::Spill(Arc::new(e)));
                    self.tell(Input::Hopeless);
                }
            }
        }
        self.counted.count(verdict);
        let wall = Duration::from_micros(usage.wall_us);
        let started = match entry.sent {
            Some(_) if usage.wall_us > 0 => Some(self.now.saturating_sub(wall)),
            sent => sent,
        };
        let mut room = entry.room;
        if let Some(events) = &mut self.events {
            let done = EventKind::JobDone {
                job,
                verdict,
                usage,
                attempts,
            };
            // Half of it; see `Handles::permits`.
            events.emit(self.now, done, room.split(1));
        }
        let mut report = JobReport {
            job,
            label: entry.job.label,
            verdict,
            result,
            error,
            stdout: entry.stdout,
            stderr: entry.stderr,
            usage,
            started,
            worker,
            attempts,
            _room: Some(room),
        };
        // Nobody may be waiting: a dropped handle detaches its job.
        match entry.reply {
            Reply::One(reply) => {
                report._room = None;
                report.result.part();
                drop(reply.send(Box::new(report)));
            }
            Reply::Shared(reply) => drop(reply.send(report)),
        }
    }
}

/// To the scheduler, a worker that got no memory has crashed like any other.
fn judged(entry: &Entry, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Crashed if entry.out_of_memory => Verdict::Oom,
        verdict => verdict,
    }
}

/// Why an attempt ended like this, when there is more to say than the verdict;
/// `how` its worker died, if it did.
fn reason(entry: &mut Entry, verdict: Verdict, limit: Duration, how: &str) -> Option<TaskError> {
    let said = entry.error.take();
    let payload = entry.answer.as_ref().map(|(_, payload)| payload);
    match verdict {
        Verdict::Ok => None,
        Verdict::Crashed | Verdict::Oom | Verdict::Quarantined | Verdict::Unkillable => {
            Some(TaskError::new(format!("its worker {how}")))
        }
        Verdict::Timeout if entry.was_stopped => Some(TaskError::new(format!(
            "after {limit:?}; its worker had been stopped"
        ))),
        Verdict::Timeout => Some(TaskError::new(format!("after {limit:?}"))),
        _ => match payload {
            Some(payload) if !payload.is_empty() => Some(told(payload)),
            _ => said,
        },
    }
}

/// What a worker says about a failure. It may say nonsense, which is shown.
fn told(payload: &[u8]) -> TaskError {
    Encoding::Bincode
        .decode(payload)
        .unwrap_or_else(|e| TaskError::new(format!("the worker's error cannot be decoded: {e}")))
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use tokio::sync::{Semaphore, watch};

    use super::super::driver::{Command, Shared, State};
    use super::super::{Launch, PoolConfig, RawJob, Spill};
    use super::*;

    #[test]
    fn an_error_of_an_unknown_kind_is_shown_as_one_that_cannot_be_read() {
        let known = TaskError::new("x").of(TaskErrorKind::TooLarge);
        let mut payload = Vec::from(Encoding::Bincode.encode(&known).unwrap());
        assert_eq!(told(&payload), known);
        payload.truncate(payload.len() - 4);
        payload.put_u32_le(77);
        let shown = told(&payload);
        assert_eq!(shown.kind, TaskErrorKind::Error);
        assert!(shown.message.starts_with("the worker's error cannot"));
    }

    #[tokio::test]
    async fn f101_an_actor_that_panics_is_a_lost_worker_and_no_job_waits_for_it() {
        let config = PoolConfig {
            workers: 1,
            start_attempts: 1,
            ..PoolConfig::new(Launch::program("/bin/false"))
        };
        let (commands, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(8));
        let mut driver = Driver::new(Shared {
            config: Arc::new(config),
            crew: Crew::Processes,
            commands: receiver,
            events: None,
            state: watch::Sender::new(State::Starting),
            room: Arc::clone(&room),
            spill: Spill::new(0),
        });
        let Some(Action::Spawn { worker }) = driver.scheduler.poll_action() else {
            panic!("a pool begins with a worker")
        };
        let (orders, _unheard) = mpsc::unbounded_channel();
        driver.employ(worker, orders, async { panic!("a bug in an actor") });
        let (reports, mut reported) = mpsc::unbounded_channel();
        let entry = Entry::new(
            JobId(1),
            RawJob::encoded("t", Bytes::new(), Encoding::Raw),
            Reply::Shared(reports),
            room.acquire_owned().await.unwrap(),
        );
        commands.send(Command::Submit(Box::new(entry))).unwrap();
        let end = driver.run().await.unwrap_err();
        assert!(end.to_string().contains("was lost: task"), "{end}");
        let report = reported.recv().await.unwrap();
        assert_eq!(report.verdict, Verdict::Lost);
    }
}
