//! How attempts at jobs end: what an attempt has left behind becomes a report, for
//! whoever submitted the job, or an event when another one follows.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{Encoding, JobId, TaskError, Usage, WorkerId};

use super::PoolConfig;
use super::driver::Driver;
use super::entry::{Ended, Entry, Reply, Traces};
use super::error::PoolError;
use super::event::EventKind;
use super::job::{JobReport, WorkerDeath};
use super::log;
use super::spill::{Payload, Spill};
use crate::scheduler::{Input, Verdict};

impl Driver {
    /// An attempt has failed and another one follows.
    pub(super) fn retry(
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

    pub(super) fn conclude(
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
        let report = JobReport {
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
        self.reply(reply, report);
    }

    /// Sends a job's report where it is wanted.
    fn reply(&mut self, reply: Reply, mut report: JobReport) {
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
}

/// What the worker has answered, if it is that which ends the attempt.
pub(super) fn answer(
    answers: &mut VecDeque<(JobId, Usage, Bytes)>,
    job: JobId,
) -> Option<(Usage, Bytes)> {
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
        Some(_) if usage.is_measured() => Some(now.saturating_sub(wall)),
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
    use protocol::TaskErrorKind;

    use super::*;

    #[test]
    fn an_attempt_began_as_long_ago_as_it_took_even_if_that_is_nothing() {
        let (sent, now) = (Duration::from_millis(3), Duration::from_millis(50));
        let of = |wall_us, max_rss_kib| {
            let usage = Usage {
                wall_us,
                max_rss_kib,
                ..Usage::default()
            };
            began(now, Some(sent), usage)
        };
        assert_eq!(of(2_000, 900), Some(Duration::from_millis(48)));
        assert_eq!(of(0, 900), Some(now));
        assert_eq!(of(0, 0), Some(sent), "nobody was left to measure it");
        assert_eq!(began(now, None, Usage::default()), None);
    }

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
}
