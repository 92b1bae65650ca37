//! The run file: a record of a run on disk, with which it goes on after anything
//! that has ended it.
//!
//! - [`open`]: what it is to be used for, and whether it can be; [`file`]: the file
//!   itself, locked; [`schema`]: its tables.
//! - [`key`]: what a job is known by; [`known`]: which lines are recorded jobs;
//!   [`ledger`]: both, for the thread that reads the input.
//! - [`recorder`]: the thread that writes; [`rows`]: jobs and ends as rows;
//!   [`blobs`]: large results, in files beside.
//! - [`light`]: the record of a run that has no run file; [`history`]: where those
//!   are.
//! - [`read`]: what was recorded, to be run or shown again; [`look`]: the same for a report.
//!
//! A job is recorded when its line is read and has its verdict when that is
//! committed. Only then is the verdict shown, so what was seen is never
//! forgotten. What has no verdict is run when the run goes on: at least once, or,
//! with [`Mode::at_most_once`], never when it may have been started.

mod blobs;
mod error;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod history;
mod key;
mod known;
mod ledger;
mod light;
mod look;
mod open;
mod read;
mod recorder;
mod rows;
mod schema;

pub(crate) use error::{Error, RunFileError};
pub(crate) use history::History;
pub(crate) use key::Purpose;
pub(crate) use known::Counts;
pub(crate) use ledger::{Ledger, environment, job_id};
pub(crate) use light::{Light, LightRequest, Remembered};
pub(crate) use look::{End, Look, RunSeen, Try};
pub(crate) use open::{Access, Gaps, Request, RunFile, open};
pub(crate) use read::{
    Asked, Configuration, FailedCall, Pages, Shown, State, Which, configuration, failed_calls,
    outcomes, state,
};
pub(super) use recorder::Committed;
pub(crate) use recorder::{Recorder, Starter};
pub(crate) use rows::{AttemptRow, LAST_US, since_1970};
