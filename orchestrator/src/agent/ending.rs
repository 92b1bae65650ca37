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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocol::{JobId, Usage};

    use super::*;
    use crate::pool::{Capture, Omitted, Payload, WorkerDeath};

    fn report(verdict: Verdict, error: Option<&str>) -> JobReport {
        JobReport {
            job: JobId(7),
            label: None,
            verdict,
            result: Payload::default(),
            error: error.map(|text| Box::new(TaskError::new(text))),
            death: None,
            stdout: Capture::default(),
            stderr: Capture::default(),
            omitted: Omitted::default(),
            usage: Usage::default(),
            started: None,
            worker: None,
            host: None,
            attempts: 2,
        }
    }

    fn death_in(payload: &[u8]) -> Death {
        Encoding::Bincode.decode(payload).unwrap()
    }

    #[test]
    fn a_death_is_told_in_one_line_with_all_that_is_known() {
        let mut crashed = report(Verdict::Crashed, Some("its worker was killed by SIGSEGV"));
        crashed.death = Some(Arc::new(WorkerDeath {
            exit_code: None,
            signal: Some(11),
            stderr: "x".repeat(5000) + "end",
        }));
        let (outcome, payload) = answer(&crashed);
        assert_eq!(outcome, Outcome::Crashed);
        let death = death_in(&payload);
        assert_eq!(death.message, "its worker was killed by SIGSEGV");
        assert_eq!((death.exit_code, death.signal), (None, Some(11)));
        assert_eq!(death.attempts, 2);
        assert_eq!(death.stderr.len(), Death::MAX_STDERR);
        assert!(death.stderr.ends_with(b"xend"));
        for (verdict, error, message) in [
            (Verdict::Timeout, Some("after 2s"), "timed out after 2s"),
            (
                Verdict::Oom,
                Some("two\nlines"),
                "ran out of memory: two lines",
            ),
            (Verdict::Lost, None, "was lost: the pool ended first"),
            (Verdict::Unkillable, None, "cannot be killed"),
        ] {
            let (_, payload) = answer(&report(verdict, error));
            assert_eq!(death_in(&payload).message, message);
        }
        assert_eq!(death_in(&lost()).message, "was lost: the pool ended first");
    }

    #[test]
    fn what_the_worker_said_itself_is_passed_on_as_far_as_it_fits() {
        let (outcome, payload) = answer(&report(Verdict::Failed(3), Some("no")));
        assert_eq!(outcome, Outcome::Failed(3));
        let error: TaskError = Encoding::Bincode.decode(&payload).unwrap();
        assert_eq!(error, TaskError::new("no"));
        let (_, payload) = answer(&report(Verdict::Cancelled, None));
        assert!(payload.is_empty());
        let long = "ä".repeat(MAX_CHUNK);
        let (_, payload) = answer(&report(Verdict::Failed(1), Some(&long)));
        let error: TaskError = Encoding::Bincode.decode(&payload).unwrap();
        assert_eq!(error.message.len(), MAX_MESSAGE);
    }
}
