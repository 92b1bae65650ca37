//! From a registered function to the answer of its job, wherever it runs.

use std::time::Duration;

use bytes::Bytes;
use protocol::{Encoded, Outcome, TaskError, TaskErrorKind, Usage};

use crate::context::WorkerContext;
use crate::os::Used;
use crate::outbox::error_payload;
use crate::registry::{Call, Called, Function, Start};
use crate::{clock, panics};

/// What a task that returned an error, or panicked, would have exited with.
const FAILED: i32 = 1;
const PANICKED: i32 = 101;

/// Does what a worker does once when it starts.
pub(crate) fn start(starts: Vec<Start>, worker: &WorkerContext) -> Result<(), TaskError> {
    starts
        .into_iter()
        .try_for_each(|start| panics::catch(|| start(worker)).unwrap_or_else(Err))
}

/// Runs a registered function; after a panic it gets a new state.
pub(crate) fn call(function: &mut dyn Function, call: Call<'_>) -> Called {
    panics::catch(|| function.call(call)).unwrap_or_else(|panic| {
        panics::catch(|| function.forget_state()).ok();
        Called::Failed(panic)
    })
}

/// What is said about the end of a job that may have been cancelled meanwhile.
pub(crate) fn judge(called: Called, cancelled: bool) -> (Outcome, Encoded) {
    match called {
        Called::Done(output) => (Outcome::Ok, output),
        Called::Rejected(e) => (Outcome::Rejected, error_payload(&e).into()),
        Called::Failed(_) if cancelled => (Outcome::Cancelled, Bytes::new().into()),
        Called::Failed(e) => {
            let code = match e.kind {
                TaskErrorKind::Panic => PANICKED,
                _ => FAILED,
            };
            (Outcome::Failed(code), error_payload(&e).into())
        }
    }
}

/// A result that is too large is a failure.
pub(crate) fn limited((outcome, payload): (Outcome, Encoded), limit: u64) -> (Outcome, Encoded) {
    let size = payload.len();
    if outcome != Outcome::Ok || size as u64 <= limit {
        return (outcome, payload);
    }
    let text =
        format!("result of {size} bytes is larger than the limit of {limit} (`max_payload`)");
    let error = TaskError::new(text).of(TaskErrorKind::TooLarge);
    (Outcome::Failed(FAILED), error_payload(&error).into())
}

/// What a function took that ran on this thread between two looks.
pub(crate) fn usage(before: &Used, after: &Used, wall: Duration) -> Usage {
    Usage {
        wall_us: clock::micros(wall),
        user_us: after.user_us.saturating_sub(before.user_us),
        system_us: after.system_us.saturating_sub(before.system_us),
        max_rss_kib: after.max_rss_kib,
        leaked: 0,
    }
}
