//! Panics of jobs become those jobs' failures instead of text on stderr.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};

use protocol::{TaskError, TaskErrorKind};

thread_local! {
    /// Whether a job runs here whose first panic is to be kept: else they are
    /// none of our business.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    /// That panic.
    static PANIC: RefCell<Option<TaskError>> = const { RefCell::new(None) };
}

/// From now on a job's panic prints nothing; all others print as before.
pub(crate) fn install_hook() {
    let previous = take_hook();
    set_hook(Box::new(move |info| {
        if !record(info) {
            previous(info);
        }
    }));
}

/// Keeps the first panic of a job. A second one is printed: it may be about to
/// abort the process, and then nobody would learn of it otherwise.
fn record(info: &PanicHookInfo<'_>) -> bool {
    let watched = WATCHED.replace(false);
    if watched {
        PANIC.set(Some(TaskError {
            message: message(info.payload()),
            location: info.location().map(ToString::to_string),
            chain: Vec::new(),
            kind: TaskErrorKind::Panic,
        }));
    }
    watched
}

/// Runs user code; its panic is an error value.
pub(crate) fn catch<R>(run: impl FnOnce() -> R) -> Result<R, TaskError> {
    WATCHED.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    let recorded = !WATCHED.replace(false);
    // The job itself may have caught one.
    let panic = if recorded { PANIC.take() } else { None };
    result.map_err(|payload| {
        let message = message(&*payload);
        // A panic of dropping this value would be a second one; leak it.
        std::mem::forget(payload);
        let same = panic.filter(|panic| panic.message == message);
        TaskError {
            message,
            location: same.and_then(|panic| panic.location),
            chain: Vec::new(),
            kind: TaskErrorKind::Panic,
        }
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic with a value that is not text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_has_its_message_and_place() {
        install_hook();
        let (error, line) = (catch(|| panic!("no {}", "luck")).unwrap_err(), line!());
        assert_eq!(error.message, "no luck");
        let location = error.location.unwrap();
        assert!(location.contains("panics.rs:"), "{location}");
        assert!(location.contains(&format!(":{line}:")), "{location}");
        assert_eq!(error.kind, TaskErrorKind::Panic);

        let resumed = catch(|| std::panic::resume_unwind(Box::new(7))).unwrap_err();
        assert_eq!(resumed.location, None);
        assert_eq!(catch(|| 3).unwrap(), 3);
    }
}
