//! What was recorded: to be run again, or shown again.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::blobs::Blobs;
use super::error::{Error, Fault, RunFileError};
use super::file::{self, Lock};
use super::key::{Keys, Purpose};
use super::rows::{self, RecordedJob};
use super::schema;
use crate::pool::{JobReport, Spill};

/// How many rows are read at once.
const PAGE: i64 = 256;

/// Bytes of output and results of which no more rows are read at once.
const PAGE_BYTES: u64 = 16 << 20;

/// Which recorded jobs are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Which {
    /// Those without a verdict.
    pub(crate) open: bool,
    /// Those with any verdict but `ok`.
    pub(crate) failed: bool,
}

/// How a recorded run was called.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// The words behind `run`.
    pub(crate) arguments: Vec<Vec<u8>>,
    /// Where it was started.
    pub(crate) cwd: PathBuf,
    /// When it first began, since 1970 in microseconds.
    pub(crate) began_us: i64,
    /// What is done, in words.
    pub(crate) purpose: String,
    /// Whether only jobs are recorded that did not succeed.
    pub(crate) light: bool,
}

/// The first of the words of a run that was no `orchestrator run`, but an `Executor` of a
/// Python program; behind it there are the program's own.
const EXECUTOR: &[u8] = b"--executor";

impl Configuration {
    /// Whether a Python program has recorded it, which alone can go on with it.
    pub(crate) fn is_of_executor(&self) -> bool {
        self.arguments.first().is_some_and(|word| word == EXECUTOR)
    }
}

/// A job of a Python program that did not succeed.
pub(crate) struct FailedCall {
    pub(crate) call: String,
    pub(crate) verdict: String,
    pub(crate) error: Option<String>,
    pub(crate) stderr: Vec<u8>,
}

/// The first jobs of a Python program that did not succeed.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn failed_calls(path: &Path, most: usize) -> Result<Vec<FailedCall>, RunFileError> {
    let read = || -> Result<_, Fault> {
        let connection = file::open_to_read(path)?.connection;
        let mut query = connection.prepare(
            "select coalesce(label, ''), verdict, error, coalesce(cast(stderr as blob), x'') \
             from verdict where verdict <> 'ok' order by n limit ?",
        )?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = query.query_map([most], |row| {
            Ok(FailedCall {
                call: row.get(0)?,
                verdict: row.get(1)?,
                error: row.get(2)?,
                stderr: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    read().map_err(|e| e.of(path))
}

/// How the last run with this file was called.
///
/// # Errors
/// When that cannot be read.
pub(crate) fn configuration(path: &Path) -> Result<Configuration, RunFileError> {
    let read = || -> Result<_, Fault> {
        let connection = file::open_to_read(path)?.connection;
        let query = "select arguments, cwd, purpose, (select min(began_us) from run), light \
             from run, state order by run desc limit 1";
        let found: Option<(Vec<u8>, Vec<u8>, _, _, _)> = connection
            .query_row(query, [], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            })
            .optional()?;
        let (arguments, cwd, purpose, began_us, light) = found.ok_or(Error::Missing)?;
        Ok(Configuration {
            arguments: words(&arguments),
            cwd: std::ffi::OsString::from_vec(cwd).into(),
            began_us,
            purpose,
            light,
        })
    };
    read().map_err(|e| e.of(path))
}

/// The words of a run, each of which is ended by a zero byte.
pub(super) fn words(arguments: &[u8]) -> Vec<Vec<u8>> {
    let words = arguments.split_inclusive(|&byte| byte == 0);
    let words = words.map(|word| word.strip_suffix(&[0]).unwrap_or(word).to_vec());
    words.collect()
}

/// Jobs of a run file, a page at a time.
pub(crate) struct Pages {
    connection: Connection,
    path: PathBuf,
    query: String,
    keys: Keys,
    /// The place in the input and the number of the last job.
    after: (i64, i64),
    end: i64,
}

impl Pages {
    /// Those of these jobs that are there now and that these keys are for: with
    /// another command, a job is another one. With `by_seq` in the order of the input;
    /// else in that in which they were recorded, which is the same but in a light
    /// record.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn open(
        path: &Path,
        which: Which,
        keys: Keys,
        by_seq: bool,
    ) -> Result<Pages, RunFileError> {
        let open = || -> Result<_, Fault> {
            let connection = file::open_to_read(path)?.connection;
            let last = "select coalesce(max(job), 0) from job";
            let end = connection.query_row(last, [], |row| row.get(0))?;
            Ok((connection, end))
        };
        let (connection, end) = open().map_err(|e| e.of(path))?;
        let wanted = match which {
            Which {
                open: true,
                failed: true,
            } => "o.verdict is not 'ok'",
            Which {
                open: true,
                failed: false,
            } => "o.n is null",
            Which { failed: true, .. } => "o.verdict <> 'ok'",
            Which { .. } => "false",
        };
        let columns = RecordedJob::COLUMNS;
        let order = if by_seq {
            "(seq, job) > (?1, ?2) and job <= ?3 and {wanted} order by seq, job"
        } else {
            "?1 is not null and job > ?2 and job <= ?3 and {wanted} order by job"
        };
        let order = order.replace("{wanted}", wanted);
        let query = format!(
            "select {columns} from job j left join outcome o using (job) \
             where {order} limit {PAGE}"
        );
        Ok(Pages {
            connection,
            path: path.to_owned(),
            query,
            keys,
            after: (0, 0),
            end,
        })
    }

    /// The next jobs; none when there are no more.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn next(&mut self) -> Result<Vec<RecordedJob>, RunFileError> {
        let read = |(seq, job)| -> Result<Vec<RecordedJob>, Fault> {
            let mut query = self.connection.prepare_cached(&self.query)?;
            let rows = query.query_map([seq, job, self.end], RecordedJob::read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        loop {
            let mut jobs = read(self.after).map_err(|e| e.of(&self.path))?;
            let Some(last) = jobs.last() else {
                return Ok(jobs);
            };
            self.after = (i64::try_from(last.seq).unwrap_or(i64::MAX), last.job);
            jobs.retain(|job| job.is_for(self.keys));
            if !jobs.is_empty() {
                return Ok(jobs);
            }
        }
    }
}

/// A job and its end, to be shown again.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) n: u64,
    pub(crate) job: RecordedJob,
    /// Its times count from 1970.
    pub(crate) report: JobReport,
}

/// Which outcomes are shown again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// Only those that are not `ok`.
    pub(crate) failed: bool,
    /// In the order of the input, not in that in which they came.
    pub(crate) by_seq: bool,
}

/// Which outcomes are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Those behind this number.
    pub(super) after: u64,
    /// Only those that are not `ok`.
    pub(super) failed: bool,
    /// Only those of jobs that these are for.
    pub(super) keys: Keys,
    /// How many are looked at.
    pub(super) limit: i64,
}

impl Wanted {
    /// All of these, a page at a time.
    pub(super) fn pages(failed: bool, keys: Keys) -> Wanted {
        Wanted {
            after: 0,
            failed,
            keys,
            limit: PAGE,
        }
    }

    fn condition(&self) -> &'static str {
        match self.failed {
            true => "o.verdict <> 'ok'",
            false => "true",
        }
    }
}

/// Some of these outcomes, in the order in which they came, and the number of the last
/// that was looked at; nothing when there are no more.
pub(super) fn page(
    connection: &Connection,
    path: &Path,
    room: &Arc<Spill>,
    wanted: &Wanted,
) -> Result<Option<(Vec<Shown>, u64)>, Fault> {
    let blobs = Blobs::of(path);
    let which = wanted.condition();
    let mut query = connection.prepare_cached(&format!(
        "select o.*, j.key, j.seq, j.line, j.item from outcome o join job j using (job) \
         where n > ? and {which} order by n limit ?"
    ))?;
    let after = i64::try_from(wanted.after).unwrap_or(i64::MAX);
    let mut rows = query.query([after, wanted.limit])?;
    let (mut all, mut last, mut size) = (Vec::new(), None, 0);
    while let Some(row) = rows.next()? {
        let n = row.get::<_, i64>("n")?.unsigned_abs();
        last = Some(n);
        let job = RecordedJob::read(row)?;
        if !job.is_for(wanted.keys) {
            continue;
        }
        let (report, bytes) = rows::report(row, &blobs, room)?;
        all.push(Shown { n, job, report });
        size += bytes;
        if size > PAGE_BYTES {
            break;
        }
    }
    Ok(last.map(|last| (all, last)))
}

/// How many recorded jobs that these keys are for have failed.
pub(super) fn count_failed(connection: &Connection, keys: Keys) -> Result<u64, Fault> {
    let columns = RecordedJob::COLUMNS;
    let mut query = connection.prepare(&format!(
        "select {columns} from outcome o join job j using (job) where o.verdict <> 'ok'"
    ))?;
    let mut rows = query.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += u64::from(RecordedJob::read(row)?.is_for(keys));
    }
    Ok(count)
}

/// Gives all outcomes of jobs of this purpose that are asked for.
///
/// # Errors
/// When the file cannot be read, or `show` says so.
pub(crate) fn outcomes<E: From<RunFileError>>(
    path: &Path,
    purpose: &Purpose,
    room: &Arc<Spill>,
    asked: Asked,
    mut show: impl FnMut(Shown) -> Result<(), E>,
) -> Result<(), E> {
    let opened = file::open_to_read(path).map_err(|e| e.of(path))?;
    let connection = &opened.connection;
    let mut wanted = Wanted::pages(asked.failed, Keys::of(purpose));
    if asked.by_seq {
        wanted.limit = 1;
        let all = in_order_of_input(connection, &wanted).map_err(|e| e.of(path))?;
        return all.into_iter().try_for_each(|n| {
            wanted.after = n - 1;
            let read = page(connection, &opened.path, room, &wanted);
            let found = read.map_err(|e| e.of(path))?;
            // It may have been replaced meanwhile.
            let found = found.into_iter().flat_map(|(shown, _)| shown);
            found.filter(|shown| shown.n == n).try_for_each(&mut show)
        });
    }
    loop {
        let read = page(connection, &opened.path, room, &wanted);
        let Some((shown, last)) = read.map_err(|e| e.of(path))? else {
            return Ok(());
        };
        wanted.after = last;
        shown.into_iter().try_for_each(&mut show)?;
    }
}

/// The numbers of these outcomes, in the order of their jobs in the input.
fn in_order_of_input(connection: &Connection, wanted: &Wanted) -> Result<Vec<u64>, Fault> {
    let which = wanted.condition();
    let mut query = connection.prepare(&format!(
        "select n from outcome o join job j using (job) where n > 0 and {which} order by seq, job"
    ))?;
    let rows = query.query_map([], |row| row.get::<_, i64>(0))?;
    let numbers = rows.map(|n| n.map(i64::unsigned_abs));
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// What a run file says about its run.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) run_id: String,
    pub(crate) purpose: String,
    /// When it first began and last ended, since 1970 in microseconds.
    pub(crate) began_us: i64,
    pub(crate) ended_us: Option<i64>,
    /// Why the last run itself failed, if it did.
    pub(crate) failure: Option<String>,
    /// How often it was begun or went on.
    pub(crate) runs: i64,
    /// The process that writes to it, if one does; its number if that is known.
    pub(crate) writer: Option<Option<i32>>,
    pub(crate) input_whole: bool,
    /// Whether only jobs are recorded that did not succeed.
    pub(crate) light: bool,
    /// Whether a Python program has recorded it.
    pub(crate) of_executor: bool,
    /// How many jobs that did not succeed are only counted.
    pub(crate) dropped: i64,
    pub(crate) jobs: i64,
    /// Words for verdicts, and how many jobs have each, `ok` first.
    pub(crate) verdicts: Vec<(String, i64)>,
    /// The same for jobs that have ended without one, and are run when the run goes on.
    pub(crate) unfinished: Vec<(String, i64)>,
}

/// What became of a job that a run may have been at when it was killed.
pub(crate) const LOST: &str = "the run was killed while it may have been running";

/// Jobs whose last try that is recorded was an end without a verdict, and that try's row: a
/// table expression. Whether they have come to a verdict since, it does not say.
pub(super) const ENDS_WITHOUT_VERDICT: &str = "(select job, newest from ( \
     select job, max(rowid) as newest, verdict as word from attempt \
     where job in (select job from attempt where verdict in ('interrupted', 'cancelled', 'lost')) \
     group by job) \
   where word in ('interrupted', 'cancelled', 'lost') \
     and job not in (select job from outcome))";

/// The jobs that the last run may have been at when it was killed, as a query: those that it
/// has recorded as begun, or else the first ones without a verdict, as many as it could run
/// at once, since jobs are begun in their order. None when it was not killed.
pub(super) fn lost(connection: &Connection, state: &State) -> Result<String, Fault> {
    let none = "select job from job where false".to_owned();
    let killed = state.ended_us.is_none() && state.writer.is_none();
    if !killed || state.light || state.of_executor {
        return Ok(none);
    }
    let last: i64 = connection.query_row("select max(run) from run", [], |row| row.get(0))?;
    let tells = "select exists (select 1 from job where started = ?)";
    if connection.query_row(tells, [last], |row| row.get(0))? {
        return Ok(format!("{OPEN} and j.started = {last}"));
    }
    match schema::version(connection)? {
        2.. => Ok(first_open(last)),
        _ => Ok(none),
    }
}

const OPEN: &str = "select j.job from job j left join outcome o using (job) where o.n is null";

/// The first jobs without a verdict, as many as this run could run at once.
pub(super) fn first_open(run: i64) -> String {
    format!(
        "{OPEN} order by j.job limit (select coalesce(max(workers), 0) from run where run = {run})"
    )
}

impl State {
    /// How many jobs have no verdict.
    pub(crate) fn open(&self) -> i64 {
        let verdicts: i64 = self.verdicts.iter().map(|(_, number)| number).sum();
        (self.jobs - verdicts).max(0)
    }
}

/// What a run file says about its run, also while it goes on.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn state(path: &Path) -> Result<State, RunFileError> {
    let read = || -> Result<State, Fault> {
        let mut opened = file::open_to_read(path)?;
        let connection = opened.connection.transaction()?;
        state_in(&connection, &opened.path)
    };
    read().map_err(|e| e.of(path))
}

/// The same of a file that is open, in one transaction.
pub(super) fn state_in(connection: &Connection, path: &Path) -> Result<State, Fault> {
    let (run_id, purpose, ended_us, failure, arguments): (_, _, _, _, Vec<u8>) = connection
        .query_row(
            "select run_id, purpose, ended_us, failure, arguments from run order by run desc limit 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )
        .optional()?
        .ok_or(Error::Missing)?;
    let (began_us, runs) =
        connection.query_row("select min(began_us), count(*) from run", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let number = |query| connection.query_row(query, [], |row| row.get(0));
    let mut verdicts = connection.prepare(
        "select verdict, cast(total(jobs) as integer) as jobs from ( \
           select verdict, count(*) as jobs from outcome group by verdict \
           union all select verdict, jobs from unrecorded) \
         group by verdict order by verdict <> 'ok', jobs desc, verdict",
    )?;
    let verdicts = verdicts.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut state = State {
        run_id,
        purpose,
        began_us,
        ended_us,
        failure,
        runs,
        writer: Lock::holder(path),
        input_whole: number("select input_whole from state")? != 0,
        light: number("select light from state")? != 0,
        of_executor: arguments.split(|&byte| byte == 0).next() == Some(EXECUTOR),
        dropped: number(
            "select cast(total(jobs) as integer) from unrecorded where verdict <> 'ok'",
        )?,
        jobs: number(
            "select (select count(*) from job) + cast(total(jobs) as integer) from unrecorded",
        )?,
        verdicts: verdicts.collect::<Result<_, _>>()?,
        unfinished: Vec::new(),
    };
    state.unfinished = unfinished(connection, &state)?;
    Ok(state)
}

/// How many jobs without a verdict have ended how.
fn unfinished(connection: &Connection, state: &State) -> Result<Vec<(String, i64)>, Fault> {
    let lost = lost(connection, state)?;
    let mut query = connection.prepare(&format!(
        "with lost as ({lost}) select verdict, count(*) from ( \
           select 'lost' as verdict from lost \
           union all select a.verdict from {ENDS_WITHOUT_VERDICT} e join attempt a on a.rowid = e.newest \
             where e.job not in (select job from lost)) \
         group by verdict order by verdict"
    ))?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
