//! What a report reads of a run file: every try and every end, one after the other,
//! also while a run writes to it, and also in files of an earlier version.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde::Deserialize;

use super::LAST_US;
use super::blobs::Blobs;
use super::error::{Fault, RunFileError};
use super::read::{self, ENDS_WITHOUT_VERDICT, State};
use super::{file, schema};
use crate::scheduler::Verdict;

/// How much of what a job wrote to stderr is given: its end, in bytes.
const STDERR: usize = 4 << 10;

/// How many of the large ones are read, which lie in files of their own.
const LARGE: usize = 200;

/// A time at which a run was begun or went on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunSeen {
    pub(crate) run: i64,
    pub(crate) began_us: i64,
    /// Absent after a crash, and while it runs.
    pub(crate) ended_us: Option<i64>,
    pub(crate) failure: Option<String>,
    pub(crate) version: String,
    pub(crate) host: String,
    pub(crate) cwd: Vec<u8>,
    /// The words behind `run`.
    pub(crate) arguments: Vec<Vec<u8>>,
    /// How many jobs could run at once; unknown of older files.
    pub(crate) workers: Option<i64>,
    /// The hosts that it had beside this one, and how many jobs each could run at once.
    pub(crate) hosts: Vec<(String, i64)>,
    /// When the last of its jobs ended, as far as that is known.
    pub(crate) last_us: Option<i64>,
}

/// A try at a job, the last one or one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Try {
    pub(crate) job: i64,
    pub(crate) run: i64,
    /// Which one it was, from 1; 0 when there was none.
    pub(crate) attempt: i64,
    pub(crate) verdict: String,
    pub(crate) exit: Option<i64>,
    pub(crate) signal: Option<i64>,
    pub(crate) errno: Option<i64>,
    /// What its error says.
    pub(crate) message: Option<String>,
    pub(crate) worker: Option<i64>,
    /// Where it was made, if that was not here.
    pub(crate) host: Option<String>,
    pub(crate) started_us: Option<i64>,
    /// From its start to its end; as far as anybody saw it, when its worker died.
    pub(crate) wall_us: Option<i64>,
    pub(crate) cpu_us: Option<i64>,
    pub(crate) rss_kib: Option<i64>,
    /// The end of what it wrote to stderr; of a try that succeeded nothing.
    pub(crate) stderr: Vec<u8>,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct End<'a> {
    pub(crate) last: Try,
    pub(crate) line: i64,
    /// What the input calls it, as JSON.
    pub(crate) id: Option<&'a str>,
    pub(crate) item: Option<&'a [u8]>,
    /// When its line was read.
    pub(crate) queued_us: Option<i64>,
    /// Processes that it left behind.
    pub(crate) leaked: i64,
    /// Bytes of what it printed that were left out.
    pub(crate) omitted: i64,
}

/// A run file that is looked at; what is in it does not change meanwhile.
pub(crate) struct Look {
    connection: Connection,
    path: PathBuf,
    name: PathBuf,
    version: usize,
    pub(crate) state: State,
    pub(crate) runs: Vec<RunSeen>,
}

impl Look {
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn open(name: &Path) -> Result<Look, RunFileError> {
        let open = || -> Result<Look, Fault> {
            let opened = file::open_to_read(name)?;
            let connection = opened.connection;
            connection.execute_batch("begin")?;
            let version = schema::version(&connection)?;
            Ok(Look {
                state: read::state_in(&connection, &opened.path)?,
                runs: runs(&connection, version)?,
                version,
                connection,
                path: opened.path,
                name: name.to_owned(),
            })
        };
        open().map_err(|e| e.of(name))
    }

    /// The columns of a try that is no outcome.
    fn columns(&self) -> String {
        let detail = match self.version {
            2.. => {
                "a.worker, a.started_us, a.ended_us, a.wall_us, a.user_us + a.system_us as cpu_us, \
                 a.max_rss_kib"
            }
            _ => {
                "null as worker, null as started_us, null as ended_us, null as wall_us, \
                 null as cpu_us, null as max_rss_kib"
            }
        };
        let host = match self.version {
            3.. => "a.host",
            _ => "null as host",
        };
        format!(
            "a.run, a.attempt, a.verdict, a.exit, a.signal, a.errno, a.error, {detail}, {host}, \
             substr(a.stderr, -{STDERR}) as stderr"
        )
    }

    /// Gives every try that another one followed, or will follow.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn tries(&self, mut see: impl FnMut(Try)) -> Result<(), RunFileError> {
        let mut read = || -> Result<(), Fault> {
            let columns = self.columns();
            let lost = read::lost(&self.connection, &self.state)?;
            // An end without a verdict is no try when it came before the job was begun, and not
            // one of these as long as it is the last that is known.
            let mut query = self.connection.prepare(&format!(
                "select a.job, {columns} from attempt a left join {ENDS_WITHOUT_VERDICT} e using (job) \
                 where (e.newest is null or a.rowid <> e.newest or a.job in ({lost})) \
                 and a.attempt > 0 order by a.job, a.run, a.attempt"
            ))?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                see(one_try(row, None)?);
            }
            Ok(())
        };
        read().map_err(|e| e.of(&self.name))
    }

    /// Gives every end, in the order in which they came.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn ends(&self, mut see: impl FnMut(&End<'_>)) -> Result<(), RunFileError> {
        let blobs = Blobs::of(&self.path);
        let mut large = LARGE;
        let mut read = || -> Result<(), Fault> {
            let (queued, ended) = match self.version {
                2.. => ("j.queued_us", "o.ended_us"),
                _ => ("null", "null"),
            };
            let host = match self.version {
                3.. => "o.host",
                _ => "null as host",
            };
            let mut query = self.connection.prepare(&format!(
                "select o.job, o.run, o.attempts as attempt, o.verdict, o.exit, o.signal, o.errno, \
                 o.error, o.worker, {host}, o.started_us, {ended} as ended_us, o.wall_us, \
                 o.user_us + o.system_us as cpu_us, o.max_rss_kib, \
                 case when o.verdict <> 'ok' then substr(o.stderr, -{STDERR}) end as stderr, \
                 case when o.verdict <> 'ok' then o.stderr_file end as stderr_file, \
                 j.line, j.id, j.item, {queued} as queued_us, coalesce(o.leaked, 0) as leaked, \
                 coalesce(o.stdout_omitted, 0) + coalesce(o.stderr_omitted, 0) as omitted \
                 from outcome o join job j using (job) order by o.n"
            ))?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let file: Option<String> = row.get("stderr_file")?;
                let tail = match file {
                    Some(name) if large > 0 => {
                        large -= 1;
                        // Nothing when it cannot be had.
                        blobs.tail(&name, STDERR).ok()
                    }
                    _ => None,
                };
                see(&End {
                    leaked: row.get("leaked")?,
                    omitted: amount(row, "omitted")?.unwrap_or_default(),
                    ..end(row, one_try(row, tail)?)?
                });
            }
            Ok(())
        };
        read().map_err(|e| e.of(&self.name))
    }

    /// Gives how jobs without a verdict have ended: those that were stopped, and those that a
    /// run was at that was killed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn unfinished(&self, mut see: impl FnMut(&End<'_>)) -> Result<(), RunFileError> {
        let mut read = || -> Result<(), Fault> {
            let queued = match self.version {
                2.. => "j.queued_us",
                _ => "null",
            };
            let (columns, lost) = (self.columns(), read::lost(&self.connection, &self.state)?);
            let mut query = self.connection.prepare(&format!(
                "select j.job, {columns}, j.line, j.id, j.item, {queued} as queued_us, \
                 l.job is not null as lost \
                 from job j left join outcome o using (job) \
                 left join {ENDS_WITHOUT_VERDICT} e on e.job = j.job \
                 left join attempt a on a.rowid = e.newest \
                 left join ({lost}) l on l.job = j.job \
                 where o.n is null and (l.job is not null or a.verdict is not null) order by j.job"
            ))?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let last = match row.get("lost")? {
                    true => Try {
                        job: row.get("job")?,
                        run: self.runs.last().map_or(0, |run| run.run),
                        verdict: Verdict::Lost.word().to_owned(),
                        message: Some(read::LOST.to_owned()),
                        ..Try::default()
                    },
                    false => one_try(row, None)?,
                };
                see(&end(row, last)?);
            }
            Ok(())
        };
        read().map_err(|e| e.of(&self.name))
    }

    /// Gives when the lines of jobs were read that have no end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn open_jobs(&self, mut see: impl FnMut(i64)) -> Result<(), RunFileError> {
        if self.version < 2 {
            return Ok(());
        }
        let mut read = || -> Result<(), Fault> {
            let mut query = self.connection.prepare(
                "select j.queued_us from job j left join outcome o using (job) where o.n is null",
            )?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                if let Some(queued) = time(row, "queued_us")? {
                    see(queued);
                }
            }
            Ok(())
        };
        read().map_err(|e| e.of(&self.name))
    }

    /// How many jobs have an end in the file, and how many of them were no success.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn counts(&self) -> Result<(usize, usize), RunFileError> {
        let query = "select count(*), coalesce(sum(verdict <> 'ok'), 0) from outcome";
        let count = |number: i64| usize::try_from(number).unwrap_or_default();
        let read = self.connection.query_row(query, [], |row| {
            Ok((count(row.get(0)?), count(row.get(1)?)))
        });
        read.map_err(|e| Fault::from(e).of(&self.name))
    }
}

/// What is known of a job beside this try at it.
fn end<'a>(row: &'a Row<'_>, last: Try) -> rusqlite::Result<End<'a>> {
    let id = match row.get_ref("id")? {
        ValueRef::Text(id) => std::str::from_utf8(id).ok(),
        _ => None,
    };
    let item = match row.get_ref("item")? {
        ValueRef::Blob(item) | ValueRef::Text(item) => Some(item),
        _ => None,
    };
    Ok(End {
        last,
        line: row.get("line")?,
        id,
        item,
        queued_us: time(row, "queued_us")?,
        leaked: 0,
        omitted: 0,
    })
}

/// A point in time that can be counted with.
fn time(row: &Row<'_>, name: &str) -> rusqlite::Result<Option<i64>> {
    let time = match row.get_ref(name)? {
        ValueRef::Integer(us) => us,
        // What a sum becomes that is too large.
        ValueRef::Real(us) => us as i64,
        _ => return Ok(None),
    };
    Ok(Some(time.clamp(0, LAST_US)))
}

/// A number that is no less than 0, and can be counted with.
fn amount(row: &Row<'_>, name: &str) -> rusqlite::Result<Option<i64>> {
    time(row, name)
}

fn one_try(row: &Row<'_>, tail: Option<Vec<u8>>) -> rusqlite::Result<Try> {
    let started_us = time(row, "started_us")?;
    let ended_us = time(row, "ended_us")?;
    let seen = ended_us
        .zip(started_us)
        .map(|(end, start)| (end - start).max(0));
    let error = match row.get_ref("error")? {
        ValueRef::Text(error) => serde_json::from_slice::<Said>(error).ok(),
        _ => None,
    };
    let stderr = match row.get_ref("stderr")? {
        ValueRef::Blob(stderr) | ValueRef::Text(stderr) => stderr.to_vec(),
        _ => Vec::new(),
    };
    Ok(Try {
        job: row.get("job")?,
        run: row.get("run")?,
        attempt: row.get("attempt")?,
        verdict: row.get("verdict")?,
        exit: row.get("exit")?,
        signal: row.get("signal")?,
        errno: row.get("errno")?,
        message: error.map(|error| error.message),
        worker: row.get("worker")?,
        host: row.get("host")?,
        started_us,
        wall_us: amount(row, "wall_us")?.or(seen),
        cpu_us: amount(row, "cpu_us")?,
        rss_kib: amount(row, "max_rss_kib")?,
        stderr: tail.unwrap_or(stderr),
    })
}

/// What is wanted of an error.
#[derive(Deserialize)]
struct Said {
    message: String,
}

fn runs(connection: &Connection, version: usize) -> Result<Vec<RunSeen>, Fault> {
    let (workers, end) = match version {
        2.. => (
            "workers",
            "coalesce(o.started_us + o.wall_us, o.ended_us, o.started_us)",
        ),
        _ => ("null", "coalesce(o.started_us + o.wall_us, o.started_us)"),
    };
    let mut hosts = hosts(connection, version)?;
    // Only where it is not known when the run itself ended.
    let mut query = connection.prepare(&format!(
        "select run, began_us, ended_us, failure, version, host, cwd, arguments, {workers} as workers, \
         case when r.ended_us is null then \
           (select max({end}) from outcome o where o.run = r.run) end as last_us \
         from run r order by run"
    ))?;
    let rows = query.query_map([], |row| {
        let arguments: Vec<u8> = row.get("arguments")?;
        let run = row.get("run")?;
        Ok(RunSeen {
            run,
            hosts: hosts.remove(&run).unwrap_or_default(),
            began_us: time(row, "began_us")?.unwrap_or_default(),
            ended_us: time(row, "ended_us")?,
            failure: row.get("failure")?,
            version: row.get("version")?,
            host: row.get("host")?,
            cwd: row.get("cwd")?,
            arguments: read::words(&arguments),
            workers: row.get("workers")?,
            last_us: time(row, "last_us")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The hosts of each run.
fn hosts(
    connection: &Connection,
    version: usize,
) -> Result<HashMap<i64, Vec<(String, i64)>>, Fault> {
    let mut all = HashMap::<i64, Vec<(String, i64)>>::new();
    if version < 3 {
        return Ok(all);
    }
    let mut query = connection.prepare("select run, host, slots from host order by run, host")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let slots = amount(row, "slots")?.unwrap_or_default();
        let of = all.entry(row.get("run")?).or_default();
        of.push((row.get("host")?, slots));
    }
    Ok(all)
}
