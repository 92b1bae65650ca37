//! Why a run file cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::run::text;

/// What is wrong with which run file.
#[derive(Debug, thiserror::Error)]
#[error("run file {}: {error}", text::escaped(path.as_os_str().as_encoded_bytes()))]
pub(crate) struct RunFileError {
    path: PathBuf,
    /// What is wrong with it.
    pub(crate) error: Error,
}

impl RunFileError {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// What is wrong with a run file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// There is one already.
    #[error("it exists already")]
    Exists,
    /// It is no regular file.
    #[error("it is {0}, not a regular file")]
    Kind(&'static str),
    /// What would be its lock file is something else.
    #[error("beside it there is {0}, which is no lock of ours")]
    Beside(String),
    /// Somebody else's.
    #[error("it belongs to another user")]
    Owner,
    /// No SQLite database, or another program's.
    #[error("it is not a run file")]
    Foreign,
    /// From a later version of this program.
    #[error("it is of version {0}, which this program is too old for")]
    Newer(i64),
    /// Another process writes to it.
    #[error("another run writes to it{}", holder(.0))]
    Locked(Option<i32>),
    /// It has been damaged.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The file system is full.
    #[error("no space left on device")]
    Full,
    /// The system refuses.
    #[error("{}", text::reason(.0))]
    Io(io::Error),
    /// All else that SQLite says.
    #[error("{0}")]
    Sqlite(rusqlite::Error),
    /// It was deleted, or another file was put in its place.
    #[error("it was deleted or replaced while it was in use")]
    Replaced,
    /// It is about something else: what it was, what it is now.
    #[error("it is of another run")]
    OtherPurpose { recorded: String, wanted: String },
    /// What has succeeded is not in it.
    #[error("it is a light record, which holds only jobs that did not succeed")]
    Light,
    /// Nobody knows all of its jobs.
    #[error("its input was not read to the end")]
    InputNotWhole,
    /// The thread has died: a bug.
    #[error("internal error: the thread that writes it has died")]
    Died,
}

fn holder(pid: &Option<i32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

/// An error of ours or of SQLite, of a file yet to be named.
pub(super) type Fault = Box<Error>;

impl Error {
    pub(super) fn of(self, path: &Path) -> RunFileError {
        RunFileError {
            path: path.to_owned(),
            error: self,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        let Some(code) = error.sqlite_error_code() else {
            return Error::Sqlite(error);
        };
        // What the write-ahead log shares could not be made as large as it must be.
        let extended = error.sqlite_error().map(|error| error.extended_code);
        if extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) {
            return Error::Full;
        }
        match code {
            ErrorCode::DiskFull => Error::Full,
            ErrorCode::NotADatabase => Error::Foreign,
            ErrorCode::DatabaseCorrupt => Error::Damaged(error.to_string()),
            _ => Error::Sqlite(error),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
            _ => Error::Io(error),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Box::new(error.into())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Box::new(error.into())
    }
}
