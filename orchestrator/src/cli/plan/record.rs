//! Where a run is recorded.

use std::path::PathBuf;

use crate::run::runfile::{Access, History, LightRequest, Purpose, Request};

/// Where a run is to be recorded.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// Nowhere.
    Nothing,
    /// In the state directory, what does not succeed.
    Light(LightRequest),
    /// In a run file.
    File(Request),
}

impl Record {
    /// Whether jobs come from there, and no input is read.
    pub(crate) fn is_input(&self) -> bool {
        matches!(self, Record::File(request) if matches!(request.access, Access::Again(_)))
    }
}

/// Where it is recorded.
pub(super) fn record(
    run_file: Option<PathBuf>,
    (resume, force, at_most_once): (bool, bool, bool),
    history: Option<&History>,
    purpose: &Purpose,
) -> Record {
    match (run_file, history) {
        (Some(path), _) => Record::File(Request {
            path,
            access: if resume {
                Access::Resume
            } else {
                Access::Begin
            },
            force,
            purpose: purpose.clone(),
            arguments: Vec::new(),
            at_most_once,
            light: false,
        }),
        (None, Some(history)) => Record::Light(LightRequest {
            history: history.clone(),
            purpose: purpose.clone(),
            arguments: Vec::new(),
        }),
        (None, None) => Record::Nothing,
    }
}
