//! A run file is opened for a run: is it there, is it this run's, and what is in it?

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use nix::unistd::gethostname;
use rusqlite::{Connection, OptionalExtension};

use super::error::{Error, Fault, RunFileError};
use super::key::{Key, Keys, Purpose};
use super::known::{End, Known, Recorded};
use super::ledger::Ledger;
use super::read::{self, Pages, Shown, Wanted, Which};
use super::recorder::{Mode, Recorder};
use super::{file, rows, schema};
use crate::pool::Spill;
use crate::run::report::calendar;

/// How a run file is to be used.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: PathBuf,
    /// What may be there.
    pub(crate) access: Access,
    /// Whether it may be about something else.
    pub(crate) force: bool,
    pub(crate) purpose: Purpose,
    /// The words of the command line that say how to run it, behind `run`.
    pub(crate) arguments: Vec<Vec<u8>>,
    /// Whether a job that may have been started is never started again.
    pub(crate) at_most_once: bool,
    /// Whether it is to be a light record, if it is new.
    pub(crate) light: bool,
}

/// What may be there, and what is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: the run begins.
    Begin,
    /// A run that goes on with this input, or nothing.
    Resume,
    /// A run whose recorded jobs are run.
    Again(Which),
}

/// A run file that is to be written to, and what is in it.
#[derive(Debug)]
pub(crate) struct RunFile {
    writable: file::Writable,
    run: i64,
    run_id: String,
    mode: Mode,
    keys: Keys,
    known: Known,
    last: i64,
    shown: Arc<AtomicU64>,
    access: Access,
    resumed: bool,
    failed_before: u64,
    gaps: Option<Gaps>,
}

/// Opens a run file to record a run in it.
///
/// # Errors
/// When it is not there and must be, or is and must not be; when it is no run
/// file, another run's, in use, or damaged; when it cannot be written.
pub(crate) fn open(request: &Request) -> Result<RunFile, RunFileError> {
    open_in(request).map_err(|e| e.of(&request.path))
}

fn open_in(request: &Request) -> Result<RunFile, Fault> {
    let Request {
        path,
        access,
        purpose,
        ..
    } = request;
    let again = matches!(access, Access::Again(_));
    let opening = file::Opening {
        make: !again,
        // Where jobs come from the file, it is read beside.
        exclusive: !again,
        light: request.light,
    };
    let mut writable = file::open_to_write(path, opening)?;
    let before = last_run(&writable.connection)?;
    let light = match &before {
        Some(_) => one(&writable.connection, "select light from state")? != 0,
        None => request.light,
    };
    let whole = one(&writable.connection, "select input_whole from state")? != 0;
    check(request, before.as_ref(), light, whole)?;
    // Not before: whoever it belongs to may know no later version.
    schema::migrate(&mut writable.connection)?;
    let gaps = match &before {
        Some(before) if light => Some(gaps(&writable.connection, before, whole)?),
        _ => None,
    };
    if light {
        // It is there for convenience.
        let connection = &writable.connection;
        connection.pragma_update(None, "synchronous", "off")?;
        if again {
            // Jobs are recorded in the order in which they have failed.
            let index = "create index if not exists job_seq on job (seq, job)";
            connection.execute(index, [])?;
        }
    }
    let keys = Keys::of(purpose);
    let run = before.as_ref().map_or(1, |before| before.run + 1);
    let run_id = match &before {
        Some(before) => before.run_id.clone(),
        None => new_id()?,
    };
    if let Some(before) = before.as_ref().filter(|_| !light) {
        remember_lost(&writable.connection, before)?;
    }
    begin(&mut writable.connection, request, run, &run_id, light)?;
    let connection = &writable.connection;
    let known = match access {
        Access::Resume => Known::new(recorded(connection)?),
        Access::Begin | Access::Again(_) => Known::default(),
    };
    // Also of those that are gone.
    let last = "select coalesce(max(seq), 0) from sqlite_sequence where name = 'job'";
    let last = connection.query_row(last, [], |row| row.get(0))?;
    let shown = match light {
        // What is there was shown by the run that it is of.
        true => one(connection, "select coalesce(max(n), 0) from outcome")?,
        false => one(connection, "select shown from state")?,
    };
    // Those that are not run again, and that no line of the input will speak of.
    let failed_before = match access {
        Access::Again(Which { failed: false, .. }) => read::count_failed(connection, keys)?,
        _ => 0,
    };
    let dropped = gaps.as_ref().map_or(0, |gaps| gaps.dropped);
    Ok(RunFile {
        failed_before: failed_before + dropped,
        gaps,
        run,
        run_id,
        mode: Mode {
            at_most_once: request.at_most_once,
            again: matches!(access, Access::Again(which) if which.failed),
            light,
            workers: 0,
        },
        keys,
        known,
        last,
        shown: Arc::new(AtomicU64::new(shown.unsigned_abs())),
        access: *access,
        resumed: before.is_some(),
        writable,
    })
}

/// Whether what is there is what was asked for.
fn check(
    request: &Request,
    before: Option<&LastRun>,
    light: bool,
    whole: bool,
) -> Result<(), Fault> {
    let access = request.access;
    let Some(before) = before else {
        return match access {
            Access::Again(_) => Err(Error::Missing.into()),
            Access::Begin | Access::Resume => Ok(()),
        };
    };
    match access {
        Access::Begin => return Err(Error::Exists.into()),
        // What has succeeded would be run again.
        Access::Resume if light => return Err(Error::Light.into()),
        Access::Resume | Access::Again(_) => {}
    }
    if before.fingerprint != request.purpose.fingerprint() && !request.force {
        return Err(Error::OtherPurpose {
            recorded: before.purpose.clone(),
            wanted: request.purpose.with_place(),
        }
        .into());
    }
    // Of a light record there is no input that could be given once more.
    if matches!(access, Access::Again(which) if which.open) && !whole && !light {
        return Err(Error::InputNotWhole.into());
    }
    Ok(())
}

/// What is missing in a light record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    /// How many jobs did not succeed and are only counted, for want of room.
    pub(crate) dropped: u64,
    /// How many jobs there were, when there may have been more in the input.
    pub(crate) cut: Option<u64>,
    /// The last run has not come to its own end: what it has done is not known.
    pub(crate) killed: bool,
    /// Why the last run itself failed, if it did.
    pub(crate) failure: Option<String>,
}

fn gaps(connection: &Connection, before: &LastRun, whole: bool) -> rusqlite::Result<Gaps> {
    let dropped = "select cast(total(jobs) as integer) from unrecorded where verdict <> 'ok'";
    let jobs = "select (select count(*) from job) + cast(total(jobs) as integer) from unrecorded";
    let killed = before.ended_us.is_none();
    Ok(Gaps {
        dropped: one(connection, dropped)?.unsigned_abs(),
        cut: match whole || killed {
            true => None,
            false => Some(one(connection, jobs)?.unsigned_abs()),
        },
        killed,
        failure: before.failure.clone(),
    })
}

impl RunFile {
    /// Where it is, from the root.
    pub(crate) fn path(&self) -> &Path {
        &self.writable.path
    }

    /// What it was called, for messages.
    pub(crate) fn name(&self) -> &Path {
        &self.writable.name
    }

    /// The id that all runs with this file have in common.
    pub(crate) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// How many recorded jobs have failed and are not run again, as far as that does
    /// not depend on the input.
    pub(crate) fn failed_before(&self) -> u64 {
        self.failed_before
    }

    /// Whether lines that are done are left out.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Whether only jobs are recorded that have not succeeded.
    pub(crate) fn is_light(&self) -> bool {
        self.mode.light
    }

    /// What is missing in a light record.
    pub(crate) fn gaps(&self) -> Option<&Gaps> {
        self.gaps.as_ref()
    }

    /// The file to write to and the number of the run, without more.
    pub(super) fn into_writable(self) -> (file::Writable, i64) {
        (self.writable, self.run)
    }

    /// Whether it lies on a file system on which only this process can use it.
    pub(crate) fn is_on_network(&self) -> bool {
        self.writable.network
    }

    /// Those of the recorded jobs that are run.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn pages(&self, which: Which) -> Result<Pages, RunFileError> {
        Pages::open(self.path(), which, self.keys, self.is_light())
    }

    /// Whether jobs come from here and not from standard input, and which.
    pub(crate) fn which(&self) -> Option<Which> {
        match self.access {
            Access::Again(which) => Some(which),
            Access::Begin | Access::Resume => None,
        }
    }

    /// Where the number of the last outcome belongs that was written to stdout with
    /// all before it.
    pub(crate) fn shown(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shown)
    }

    /// The number of the last outcome that earlier runs have written to stdout with
    /// all before it.
    pub(crate) fn shown_before(&self) -> u64 {
        self.shown.load(Ordering::Relaxed)
    }

    /// Outcomes that were recorded and never written to stdout, after that number, and
    /// the number of the last that was looked at; nothing when there are no more.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn unshown(
        &self,
        room: &Arc<Spill>,
        after: u64,
    ) -> Result<Option<(Vec<Shown>, u64)>, RunFileError> {
        let read = Wanted {
            after,
            ..Wanted::pages(false, self.keys)
        };
        let page = read::page(&self.writable.connection, self.path(), room, &read);
        page.map_err(|e| e.of(&self.writable.name))
    }

    /// Starts to record a run with so many workers; the ledger is for the thread that
    /// reads the input, unless the jobs come from the file itself.
    ///
    /// # Errors
    /// When there is no thread left for it.
    pub(crate) fn record(
        self,
        started: SystemTime,
        workers: usize,
    ) -> std::io::Result<(Recorder, Option<Ledger>)> {
        let (writable, run) = (self.writable, self.run);
        let open = move || Ok((writable, run));
        let mode = Mode {
            workers,
            ..self.mode
        };
        let recorder = Recorder::start(open, mode, started, self.shown)?;
        let from_input = !matches!(self.access, Access::Again(_));
        let ledger = from_input.then(|| Ledger {
            keys: self.keys,
            known: self.known,
            last: self.last,
            rows: Vec::new(),
            sender: recorder.sender(),
            resumed: self.resumed,
        });
        Ok((recorder, ledger))
    }
}

/// The last run that has written here.
struct LastRun {
    run: i64,
    ended_us: Option<i64>,
    failure: Option<String>,
    run_id: String,
    purpose: String,
    fingerprint: Vec<u8>,
}

fn last_run(connection: &Connection) -> rusqlite::Result<Option<LastRun>> {
    let query = "select run, run_id, purpose, fingerprint, failure, ended_us from run order by run desc limit 1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(LastRun {
            run: row.get(0)?,
            run_id: row.get(1)?,
            purpose: row.get(2)?,
            fingerprint: row.get(3)?,
            failure: row.get(4)?,
            ended_us: row.get(5)?,
        })
    };
    connection.query_row(query, [], read).optional()
}

/// What the last run may have been at when it was killed is remembered as its jobs' past, unless
/// it has said which jobs it began: those get a verdict.
fn remember_lost(connection: &Connection, before: &LastRun) -> rusqlite::Result<()> {
    let tells = "select exists (select 1 from job where started = ?)";
    if before.ended_us.is_some() || connection.query_row(tells, [before.run], |row| row.get(0))? {
        return Ok(());
    }
    let lost = read::first_open(before.run);
    let error = serde_json::json!({
        "message": read::LOST, "location": null, "chain": [], "kind": "Error"
    });
    connection.execute(
        &format!(
            "insert into attempt (job, run, attempt, verdict, error) \
             select job, ?, 0, 'lost', ? from ({lost})"
        ),
        (before.run, error.to_string()),
    )?;
    Ok(())
}

fn begin(
    connection: &mut Connection,
    request: &Request,
    run: i64,
    run_id: &str,
    light: bool,
) -> Result<(), Fault> {
    let host = gethostname().unwrap_or_default();
    let mut arguments = Vec::new();
    for word in &request.arguments {
        arguments.extend_from_slice(word);
        arguments.push(0);
    }
    let purpose = &request.purpose;
    let cwd = purpose.cwd.as_os_str().as_encoded_bytes();
    let transaction = connection.transaction()?;
    transaction.execute(
        "insert into run values (?, ?, ?, null, null, ?, ?, ?, ?, ?, ?, ?, null)",
        rusqlite::params![
            run,
            run_id,
            rows::since_1970(calendar()),
            env!("CARGO_PKG_VERSION"),
            host.to_string_lossy(),
            std::process::id(),
            cwd,
            arguments,
            purpose.with_place(),
            purpose.fingerprint(),
        ],
    )?;
    if !matches!(request.access, Access::Again(_)) {
        // Of the input that comes now, nothing was read.
        transaction.execute("update state set input_whole = 0, light = ?", [light])?;
    }
    // These may have been started by a run that promised to start nothing twice.
    transaction.execute(
        "insert into outcome (job, run, verdict, error, attempts) \
         select job, started, 'interrupted', \
         '{\"message\":\"the run ended while it may have been running\",\"location\":null,\
          \"chain\":[],\"kind\":\"Error\"}', 1 \
         from job where started is not null and job not in (select job from outcome) order by job",
        [],
    )?;
    transaction.commit()?;
    Ok(())
}

/// The one number that this asks for.
fn one(connection: &Connection, query: &str) -> rusqlite::Result<i64> {
    connection.query_row(query, [], |row| row.get(0))
}

/// What is done where, in words.
/// All jobs that are recorded.
fn recorded(connection: &Connection) -> Result<Vec<Recorded>, Fault> {
    let count: i64 = connection.query_row("select count(*) from job", [], |row| row.get(0))?;
    let mut all = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
    let mut jobs = connection.prepare(
        "select j.key, j.job, o.verdict = 'ok' from job j left join outcome o using (job)",
    )?;
    let mut rows = jobs.query([])?;
    while let Some(row) = rows.next()? {
        let key = Key(row.get(0)?);
        let end = match row.get(2)? {
            None => End::Open,
            Some(true) => End::Ok,
            Some(false) => End::Failed,
        };
        all.push(Recorded {
            key,
            job: row.get(1)?,
            end,
        });
    }
    Ok(all)
}

/// An id that no other run has.
fn new_id() -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}
