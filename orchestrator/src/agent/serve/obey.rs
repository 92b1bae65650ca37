//! What the client asks for, and what the agent does about it.

use std::time::Duration;

use bytes::Bytes;
use protocol::{Answer, Assignment, FromWorker, JobOptions, Outcome, ToWorker};

use super::told::not_run;
use super::{Agent, End, Leaving, Stop};
use crate::agent::ending;
use crate::agent::link::Inlet;
use crate::agent::pairs::{Effect, Whole};
use crate::pool::{Batch, RawJob, instant};

impl<C: Fn(&str)> Agent<'_, C> {
    /// All that has come, message by message.
    pub(super) fn take_in(&mut self, input: &mut Inlet) -> Result<(), Stop> {
        loop {
            let message = match input.next() {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(e) => return Err(Stop::AtOnce(End::Violation(e.to_string()))),
            };
            if message == ToWorker::Bye {
                return Err(Stop::AtOnce(End::Good));
            }
            if let Err(what) = self.obey(message) {
                return Err(Stop::AtOnce(End::Violation(what)));
            }
            self.settle();
        }
    }

    /// Obeys one message.
    fn obey(&mut self, message: ToWorker) -> Result<(), String> {
        match message {
            ToWorker::Hello(_) => return Err("hello comes only once".into()),
            ToWorker::Init(_) => {
                return Err("init comes once, as announced, and behind hello".into());
            }
            blob @ ToWorker::Blob { .. } => self.pool.blob(blob),
            ToWorker::RunMany(jobs) => self.assign(None, jobs)?,
            ToWorker::RunManyWith(options, jobs) => self.assign(Some(options), jobs)?,
            ToWorker::InputChunk { job, attempt, data } => {
                let whole = self.pairs.chunk((job, attempt), &data, &mut self.effects)?;
                if let Some(whole) = whole {
                    let mut batch = self.pool.batch();
                    batch.take_room(1);
                    self.enter(whole, &mut batch);
                }
            }
            ToWorker::Credit {
                job,
                attempt,
                chunks,
            } => {
                self.outbox.credit((job, attempt), chunks);
            }
            ToWorker::Cancel { job, attempt } => {
                self.pairs.cancel((job, attempt), &mut self.effects);
            }
            ToWorker::Recall(pairs) => {
                self.pairs.recall(pairs, &mut self.effects);
            }
            ToWorker::Pause => self.control.stand_still(),
            ToWorker::Resume => self.control.resume(),
            ToWorker::Drain => {
                // Told to end by somebody here, it goes on with that.
                self.leaving.get_or_insert(Leaving::Drained);
            }
            ToWorker::WindDown => self.pool.wind_down(),
            ToWorker::Resize(0) => return Err("no agent is without workers".into()),
            ToWorker::Resize(slots) => {
                if let Err(e) = self.control.resize(slots as usize) {
                    (self.complain)(&format!("resize to {slots}: {e}"));
                }
            }
            ToWorker::Ping(n) => self.outbox.say(&FromWorker::Pong(n)),
            // Nothing here depends on how far the client has read.
            ToWorker::Ack(_) => {}
            // Dealt with before.
            ToWorker::Bye => {}
        }
        Ok(())
    }

    /// The client assigns these.
    fn assign(&mut self, options: Option<JobOptions>, jobs: Vec<Assignment>) -> Result<(), String> {
        match self.leaving {
            Some(Leaving::Drained) => return Err("jobs come after drain".into()),
            Some(Leaving::Terminated) => return Ok(()),
            None if self.tasks.is_none() => return Err("jobs come before ready".into()),
            None => {}
        }
        let mut batch = self.pool.batch();
        batch.take_room(jobs.len());
        for assignment in jobs {
            if let Some(whole) = self.pairs.assign(options, assignment)? {
                self.enter(whole, &mut batch);
            }
        }
        self.watch.has_come(instant);
        Ok(())
    }

    /// Gives a job to the pool with others.
    fn enter(&mut self, job: Whole, batch: &mut Batch<'_>) {
        let Whole {
            header,
            options,
            input,
        } = job;
        let pair = (header.job, header.attempt);
        let tasks = self.tasks.as_deref().unwrap_or_default();
        let Some(&task) = tasks.get(header.task as usize) else {
            self.pairs.forget(pair, &mut self.effects);
            self.answers.push(Answer {
                header: not_run(pair, Outcome::Rejected),
                payload: ending::unknown_task(header.task),
            });
            return;
        };
        let mut job = RawJob::encoded(task, input, header.encoding);
        if let Some(options) = options {
            job.timeout = options.time_limit_ms.map(Duration::from_millis);
            job.retries = Some(options.retries);
            job.priority = options.priority;
            job.grace = Some(Duration::from_millis(options.grace_ms));
            job.memory_limit = options.memory_limit;
        }
        let id = batch.add_raw(job, &self.reports);
        self.pairs.entered(pair, id);
    }

    /// Does what the last message has brought about.
    pub(super) fn settle(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Cancelled(pair) => self.answers.push(Answer {
                    header: not_run(pair, Outcome::Cancelled),
                    payload: Bytes::new(),
                }),
                Effect::Cancel(job) => self.pool.cancel(job),
                Effect::Credit((job, attempt), chunks) => self.outbox.say(&FromWorker::Credit {
                    job,
                    attempt,
                    chunks,
                }),
                Effect::GiveBack(jobs) => self.pool.give_back(jobs),
            }
        }
        self.effects = effects;
        self.send_answers();
        self.tell_recalled();
    }
}
