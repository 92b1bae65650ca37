//! What the scheduler has decided becomes orders, replies and events.

use std::time::Duration;

use protocol::{
    Assignment, Attempt, JobHeader, JobId, Outcome, TaskError, TaskErrorKind, ToWorker, WorkerId,
};

use super::conclude::answer;
use super::driver::{Driver, Note};
use super::error::PoolError;
use super::event::EventKind;
use super::hired::Crew;
use super::job::Closure;
use super::log;
use super::news::Order;
use super::{os, turn};
use crate::scheduler::{Action, Input, Size};

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
                Action::PutBack { job } => self.forget_attempt(job),
                Action::Broken => self.break_down(),
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

    /// What a job has said is void: it is run again as if it had not been.
    fn forget_attempt(&mut self, job: JobId) {
        drop(answer(&mut self.answers, job));
        if let Some(entry) = self.jobs.get_mut(&job) {
            entry.traces = None;
        }
    }

    /// No worker can be kept alive.
    fn break_down(&mut self) {
        let why = self.failure.take().or(self.deaths.last());
        let why = why.unwrap_or(PoolError::Closed);
        if log::is_on() {
            self.log_broken(&why);
        }
        self.close(why.clone());
        self.failure = Some(why);
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
