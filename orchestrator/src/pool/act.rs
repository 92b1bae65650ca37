//! What the scheduler has decided becomes orders, replies and events.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{
    Assignment, Attempt, Encoding, JobHeader, JobId, Outcome, TaskError, TaskErrorKind, ToWorker,
    Usage, WorkerId,
};
use tokio::sync::mpsc;

use super::PoolConfig;
use super::delivery::Delivery;
use super::driver::{Driver, Note};
use super::entry::{Ended, Entry, Reply, Traces};
use super::error::PoolError;
use super::event::EventKind;
use super::hired::{Crew, Hired};
use super::job::{Closure, JobReport, WorkerDeath};
use super::log;
use super::news::Order;
use super::spill::{Payload, Spill};
use super::{os, process, thread, turn};
use crate::scheduler::{Action, Input, Size, Verdict};

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
                Action::Spawn { worker, seat } => self.hire(worker, seat),
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
                    if log::is_on() {
                        self.log_retired(worker, failures);
                    }
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
                    worker,
                    pause,
                } => self.retry(job, (worker, attempts), verdict, pause),
                Action::Weigh { worker, job } => self.look_at_size(worker, job),
                Action::Kept { job } => self.note(Note::Kept(job)),
                Action::PutBack { job } => {
                    // What it has said is void.
                    drop(answer(&mut self.answers, job));
                    if let Some(entry) = self.jobs.get_mut(&job) {
                        entry.traces = None;
                    }
                }
                Action::Broken => {
                    let why = self.failure.take().or(self.deaths.last());
                    let why = why.unwrap_or(PoolError::Closed);
                    if log::is_on() {
                        self.log_broken(&why);
                    }
                    self.close(why.clone());
                    self.failure = Some(why);
                }
                Action::Ended => self.ended = true,
            }
        }
        debug_assert!(self.answers.is_empty(), "each answer ends an attempt");
        self.answers.clear();
        self.flush();
        self.announce();
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

    /// A job may have made its worker larger than it may.
    fn look_at_size(&mut self, worker: WorkerId, job: JobId) {
        let pid = self.workers.get(&worker).map_or(0, |hired| hired.pid);
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        let limit = entry.wishes.as_ref().and_then(|w| w.memory_limit);
        if let (Some(limit), Some(size)) = (limit, os::resident(pid))
            && size > limit
        {
            entry.traces().outgrown = Some(size);
            self.tell(Input::Outgrown { job });
        }
    }

    fn hire(&mut self, worker: WorkerId, seat: usize) {
        let config = Arc::clone(&self.config);
        let news = self.news_sender.clone();
        match &self.crew {
            Crew::Processes => {
                let delivery = Delivery::new(worker, self.route.clone(), self.printing.lost());
                let dialling = Arc::clone(&self.dialling);
                let (orders, actor) =
                    process::hire((worker, seat), config, (news, dialling), delivery);
                self.employ((worker, seat), orders, actor);
            }
            Crew::Threads(factory) => {
                let factory = Arc::clone(factory);
                let (orders, actor) = thread::hire(worker, config, factory, news);
                self.employ((worker, seat), orders, actor);
            }
        }
    }

    fn employ(
        &mut self,
        (worker, seat): (WorkerId, usize),
        orders: mpsc::UnboundedSender<Order>,
        actor: impl Future<Output = ()> + Send + 'static,
    ) {
        let hired = Hired {
            orders,
            actor: self.actors.spawn(actor),
            pid: 0,
            host: self
                .config
                .agents
                .get(seat)
                .map(|agent| Arc::clone(&agent.host)),
            seat,
            tasks: None,
            files: None,
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
            if log::is_on() {
                self.log_gone(worker, Some(&how));
            }
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
        if let Some((worker, jobs)) = self.outbox.take() {
            self.outbox_len = jobs.len();
            if let Some(hired) = self.workers.get(&worker) {
                hired.orders.send(Order::Run(jobs)).ok();
            }
        }
    }

    fn send(&mut self, worker: WorkerId, job: JobId, attempt: Attempt) {
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        let wishes = entry.wishes.as_deref();
        if let Some(call) = wishes.and_then(|w| w.call.clone()) {
            entry.sent = Some(self.now);
            self.call(worker, (job, attempt), call);
            return;
        }
        let hired = self.workers.get_mut(&worker);
        let mut tasks = hired.and_then(|h| h.tasks.as_mut());
        let number = tasks.as_mut().and_then(|t| t.number(&entry.errand));
        let Some(task) = number else {
            let offered = tasks.map_or_else(Vec::new, |t| t.names());
            let text = format!(
                "the worker has no task named `{}`; its tasks are: {}",
                entry.errand.task,
                offered.join(", ")
            );
            let error = TaskError::new(text).of(TaskErrorKind::UnknownTask);
            entry.traces().error = Some(error);
            self.reject(worker, job, attempt);
            return;
        };
        // What an earlier attempt said is void.
        entry.traces = None;
        entry.sent = Some(self.now);
        let assignment = Assignment {
            header: JobHeader {
                job,
                attempt,
                task,
                encoding: entry.errand.encoding,
                input_len: entry.errand.input.len() as u64,
            },
            // Shorter than announced if it lacks its head, which goes before it.
            input: entry.errand.input.bytes.clone(),
        };
        if let Some(printed) = wishes.and_then(|w| w.printed.clone()) {
            let route = self.printing.route(&printed);
            self.order(worker, Order::Redirect(job, route));
        }
        match &mut self.outbox {
            Some((to, jobs)) if *to == worker => jobs.push(assignment),
            _ => {
                self.flush();
                let mut jobs = Vec::with_capacity(self.outbox_len.max(1));
                jobs.push(assignment);
                self.outbox = Some((worker, jobs));
            }
        }
        self.tell_sent(worker, job, attempt);
    }

    fn tell_sent(&mut self, worker: WorkerId, job: JobId, attempt: Attempt) {
        if log::is_on() {
            self.log_sent(job, attempt, worker);
        }
        self.emit_of_job(|| EventKind::JobSent {
            job,
            attempt,
            worker,
        });
    }

    /// A function instead of a task goes to a thread, and nowhere else.
    fn call(&mut self, worker: WorkerId, (job, attempt): (JobId, Attempt), call: Closure) {
        match self.crew {
            Crew::Threads(_) => {
                self.order(worker, Order::Call((job, attempt), call));
                self.tell_sent(worker, job, attempt);
            }
            Crew::Processes => {
                if let Some(entry) = self.jobs.get_mut(&job) {
                    let text = "a closure cannot be sent to a process: it needs a `ThreadPool`";
                    let error = TaskError::new(text).of(TaskErrorKind::UnknownTask);
                    entry.traces().error = Some(error);
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
            size: Size::default(),
        });
    }

    /// An attempt has failed and another one follows.
    fn retry(
        &mut self,
        job: JobId,
        (worker, attempts): (Option<WorkerId>, u32),
        verdict: Verdict,
        pause: Duration,
    ) {
        self.counted.retries += 1;
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        let answer = answer(&mut self.answers, job);
        let limit = limit(entry, &self.config, self.scheduler.usual_limit());
        if self.out_of_memory {
            entry.traces().out_of_memory = true;
        }
        let verdict = judged(entry, verdict);
        let error = reason(entry, answer.as_ref(), verdict, limit, &self.how);
        let printed = entry.traces.as_mut();
        let printed = printed.map(|t| (t.stdout.len(), std::mem::take(&mut t.stderr)));
        let (stdout, stderr) = printed.unwrap_or_default();
        let (usage, _) = answer.unwrap_or_default();
        let started = began(self.now, entry.sent, usage);
        if log::is_on() {
            self.log_over((job, attempts), (verdict, false), error.as_deref(), usage);
        }
        self.emit(EventKind::JobRetried {
            job,
            verdict,
            error,
            stdout,
            stderr: Arc::new(stderr),
            usage,
            started,
            worker,
            host: self.host_of(worker),
            attempts,
            pause,
        });
    }

    fn conclude(
        &mut self,
        job: JobId,
        mut verdict: Verdict,
        worker: Option<WorkerId>,
        attempts: u32,
    ) {
        let Some(mut entry) = self.jobs.remove(&job) else {
            return;
        };
        let answer = answer(&mut self.answers, job);
        let mut error = None;
        let mut death = None;
        if verdict != Verdict::Ok {
            let told = entry.traces.as_mut().and_then(|t| t.death.take());
            death = told.or_else(|| self.death_of(verdict, worker));
            if self.out_of_memory {
                entry.traces().out_of_memory = true;
            }
            verdict = judged(&entry, verdict);
            let limit = limit(&entry, &self.config, self.scheduler.usual_limit());
            error = reason(&mut entry, answer.as_ref(), verdict, limit, &self.how);
        }
        let (usage, payload) = answer.unwrap_or_default();
        let mut result = Payload::default();
        if verdict == Verdict::Ok {
            match keep(&self.results, entry.traces.as_deref_mut(), payload) {
                Ok(kept) => result = kept,
                Err(e) => {
                    verdict = Verdict::Lost;
                    self.failure.get_or_insert(PoolError::Spill(Arc::new(e)));
                    self.tell(Input::Hopeless);
                }
            }
        }
        self.counted.count(verdict);
        let (now, sent) = (self.now, entry.sent);
        if log::is_on() {
            self.log_over((job, attempts), (verdict, true), error.as_deref(), usage);
        }
        self.emit_of_job(|| EventKind::JobDone {
            job,
            verdict,
            death: death.clone(),
            usage,
            started: began(now, sent, usage),
            worker,
            attempts,
        });
        let reply = match entry.reply {
            Reply::Together(lane, number) if verdict == Verdict::Ok => {
                self.freed += 1;
                let end = Ok(result);
                return self.ends.put(lane, Ended { number, end });
            }
            reply => reply,
        };
        let printed = entry.traces.map(|t| (t.stdout, t.stderr, t.omitted));
        let (stdout, stderr, omitted) = printed.unwrap_or_default();
        let mut report = JobReport {
            job,
            label: entry.wishes.and_then(|wishes| wishes.label),
            verdict,
            result,
            error,
            death,
            stdout,
            stderr,
            omitted,
            usage,
            started: began(now, sent, usage),
            worker,
            host: self.host_of(worker),
            attempts,
        };
        // Nobody may be waiting: a dropped handle detaches its job.
        match reply {
            Reply::One(reply) => {
                self.freed += 1;
                report.result.part();
                drop(reply.send(Box::new(report)));
            }
            Reply::Shared(reports) => self.reports.put(reports, report),
            Reply::Together(lane, number) => {
                self.freed += 1;
                let end = Err(Box::new(report));
                self.ends.put(lane, Ended { number, end });
            }
        }
    }

    /// Where a worker is, if that is not here.
    fn host_of(&self, worker: Option<WorkerId>) -> Option<Arc<str>> {
        if self.config.agents.is_empty() {
            return None;
        }
        let worker = worker?;
        match (&self.dead, self.workers.get(&worker)) {
            (Some(dead), _) if dead.worker == worker => dead.host.clone(),
            (_, hired) => hired?.host.clone(),
        }
    }

    /// How the worker died, if that is how a job has ended.
    fn death_of(&self, verdict: Verdict, worker: Option<WorkerId>) -> Option<Arc<WorkerDeath>> {
        match verdict {
            Verdict::Crashed | Verdict::Oom | Verdict::Quarantined | Verdict::Timeout => {
                let dead = self.dead.as_ref()?;
                (worker == Some(dead.worker)).then(|| Arc::clone(&dead.death))
            }
            _ => None,
        }
    }

    /// Tells of what has ended in this turn, and of the room that it leaves.
    fn announce(&mut self) {
        // They are about jobs that have not ended.
        self.send_notes();
        if let Some(events) = &mut self.events {
            events.send(&self.room);
        }
        for (reports, ended) in self.reports.drain() {
            turn::send(reports.way(), ended, &self.room);
        }
        for (lane, ends) in self.ends.drain() {
            lane.0.send(ends).ok();
        }
        match std::mem::take(&mut self.freed) {
            0 => {}
            freed => self.room.add_permits(freed),
        }
    }
}

/// What the worker has answered, if it is that which ends the attempt.
fn answer(answers: &mut VecDeque<(JobId, Usage, Bytes)>, job: JobId) -> Option<(Usage, Bytes)> {
    let (_, usage, payload) = match answers.front() {
        Some((id, ..)) if *id == job => answers.pop_front()?,
        _ => {
            let at = answers.iter().position(|(id, ..)| *id == job)?;
            answers.remove(at)?
        }
    };
    Some((usage, payload))
}

/// How long an attempt at a job may take.
fn limit(entry: &Entry, config: &PoolConfig, usual: Option<Duration>) -> Duration {
    let wish = entry.wishes.as_ref().and_then(|wishes| wishes.timeout);
    // More than milliseconds says nothing.
    let usual = usual.map(|limit| Duration::from_millis(limit.as_millis() as u64));
    wish.or(config.timeout).or(usual).unwrap_or_default()
}

/// When an attempt began that was sent then, has used that, and is over now.
fn began(now: Duration, sent: Option<Duration>, usage: Usage) -> Option<Duration> {
    let wall = Duration::from_micros(usage.wall_us);
    match sent {
        Some(_) if usage.wall_us > 0 => Some(now.saturating_sub(wall)),
        sent => sent,
    }
}

/// Keeps a result, of which parts may have come before.
fn keep(results: &Arc<Spill>, traces: Option<&mut Traces>, last: Bytes) -> io::Result<Payload> {
    match traces {
        Some(traces) if !traces.result.is_empty() => {
            let mut parts = std::mem::take(&mut traces.result);
            parts.push(last);
            Payload::keep(results, parts)
        }
        _ if last.len() <= Payload::SMALL => Ok(last.into()),
        _ => Payload::keep(results, last.into()),
    }
}

/// To the scheduler, a worker that got no memory has crashed like any other, and a
/// command was ended by a signal.
fn judged(entry: &Entry, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Crashed | Verdict::Signaled(_)
            if entry.traces.as_ref().is_some_and(|t| t.out_of_memory) =>
        {
            Verdict::Oom
        }
        verdict => verdict,
    }
}

/// Why an attempt ended like this, when there is more to say than the verdict;
/// `how` its worker died, if it did.
fn reason(
    entry: &mut Entry,
    answer: Option<&(Usage, Bytes)>,
    verdict: Verdict,
    limit: Duration,
    how: &str,
) -> Option<Box<TaskError>> {
    let said = entry.traces.as_mut().and_then(|t| t.error.take());
    let outgrown = entry.traces.as_ref().and_then(|t| t.outgrown);
    let was_stopped = entry.traces.as_ref().is_some_and(|t| t.was_stopped);
    let payload = answer.map(|(_, payload)| payload);
    let error = match verdict {
        Verdict::Ok => None,
        Verdict::Oom if outgrown.is_some() => {
            let limit = entry.wishes.as_ref().and_then(|w| w.memory_limit);
            let (size, limit) = (outgrown.unwrap_or_default(), limit.unwrap_or_default());
            Some(TaskError::new(format!(
                "its worker had {size} bytes of memory, more than its limit of {limit}"
            )))
        }
        Verdict::Oom if answer.is_some() && said.is_none() => Some(TaskError::new(
            "it was killed by the kernel's out-of-memory killer",
        )),
        // Its agent knows.
        Verdict::Crashed | Verdict::Oom | Verdict::Quarantined | Verdict::Unkillable => {
            Some(said.unwrap_or_else(|| TaskError::new(format!("its worker {how}"))))
        }
        Verdict::Timeout if was_stopped => Some(TaskError::new(format!(
            "after {limit:?}; its worker had been stopped"
        ))),
        Verdict::Timeout => Some(TaskError::new(format!("after {limit:?}"))),
        _ => match payload {
            Some(payload) if !payload.is_empty() => Some(told(payload)),
            _ => said,
        },
    };
    error.map(Box::new)
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

    use super::super::driver::{Shared, State};
    use super::super::obey::Command;
    use super::super::{Launch, PoolConfig, RawJob, Reports, Spill};
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
        let Some(Action::Spawn { worker, .. }) = driver.scheduler.poll_action() else {
            panic!("a pool begins with a worker")
        };
        let (orders, _unheard) = mpsc::unbounded_channel();
        driver.employ((worker, 0), orders, async { panic!("a bug in an actor") });
        let (reports, mut reported) = Reports::channel();
        let entry = Entry::new(
            JobId(1),
            RawJob::encoded("t", Bytes::new(), Encoding::Raw),
            Reply::Shared(reports),
        );
        commands.send(Command::Submit(Box::new(entry))).unwrap();
        let end = driver.run().await.unwrap_err();
        assert!(end.to_string().contains("was lost: task"), "{end}");
        let report = reported.next().await.unwrap();
        assert_eq!(report.verdict, Verdict::Lost);
    }
}
