//! A job's report as an answer.

use bytes::Bytes;
use protocol::{Death, Encoding, MAX_CHUNK, Outcome, TaskError, TaskErrorKind};
use serde_bytes::ByteBuf;

use crate::Verdict;
use crate::pool::JobReport;

/// How much of a worker's message is passed on when all of it is too long.
const MAX_MESSAGE: usize = 16 * 1024;

/// What to answer about a job that nobody can tell anything of any more.
pub(super) fn lost() -> Bytes {
    let death = Death {
        message: Verdict::Lost.to_string(),
        ..Death::default()
    };
    Encoding::Bincode.encode(&death).unwrap_or_default()
}

/// What to answer about a job whose task nobody offers.
pub(super) fn unknown_task(task: u32) -> Bytes {
    let error = TaskError::new(format!("no task {task}")).of(TaskErrorKind::UnknownTask);
    Encoding::Bincode.encode(&error).unwrap_or_default()
}

/// What to answer about a job that has not ended well.
pub(super) fn answer(report: &JobReport) -> (Outcome, Bytes) {
    let outcome = outcome(report.verdict);
    let payload = if outcome.is_of_agents() || outcome == Outcome::TimedOut {
        Encoding::Bincode.encode(&death(report))
    } else {
        match &report.error {
            None => Ok(Bytes::new()),
            Some(error) => told(error),
        }
    };
    // Neither has a part that has no form.
    (outcome, payload.unwrap_or_default())
}

fn outcome(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Ok => Outcome::Ok,
        Verdict::Failed(status) => Outcome::Failed(status),
        Verdict::Signaled(signal) => Outcome::Signaled(signal),
        Verdict::Timeout => Outcome::TimedOut,
        Verdict::Crashed => Outcome::Crashed,
        Verdict::Oom => Outcome::Oom,
        Verdict::Quarantined => Outcome::Quarantined,
        Verdict::Unkillable => Outcome::Unkillable,
        Verdict::SpawnError(errno) => Outcome::SpawnError(errno),
        Verdict::Rejected => Outcome::Rejected,
        Verdict::OutputLimit => Outcome::OutputLimit,
        Verdict::Cancelled => Outcome::Cancelled,
        // What was wanted back is no answer at all; else nobody interrupts here.
        Verdict::Interrupted | Verdict::Lost => Outcome::Lost,
    }
}

fn told(error: &TaskError) -> Result<Bytes, protocol::PayloadError> {
    let payload = Encoding::Bincode.encode(error)?;
    if payload.len() <= MAX_CHUNK {
        return Ok(payload);
    }
    let mut short = TaskError::new(cut(&error.message, MAX_MESSAGE)).of(error.kind);
    short.location = error.location.clone().filter(|l| l.len() <= MAX_MESSAGE);
    Encoding::Bincode.encode(&short)
}

fn death(report: &JobReport) -> Death {
    let why = report.error.as_ref().map(|error| error.message.as_str());
    let why = why.map(|why| cut(why, MAX_MESSAGE).replace('\n', " "));
    let message = match (report.verdict, why) {
        // "timed out after …"
        (Verdict::Timeout, Some(why)) => format!("{} {why}", report.verdict),
        (Verdict::Crashed, Some(why)) => why,
        (verdict, Some(why)) => format!("{verdict}: {why}"),
        (verdict, None) => verdict.to_string(),
    };
    let death = report.death.as_deref();
    let stderr = death.map_or("", |death| &death.stderr).as_bytes();
    let stderr = &stderr[stderr.len().saturating_sub(Death::MAX_STDERR)..];
    Death {
        message,
        exit_code: death.and_then(|death| death.exit_code),
        signal: death.and_then(|death| death.signal),
        attempts: report.attempts,
        stderr: ByteBuf::from(stderr),
    }
}

fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
