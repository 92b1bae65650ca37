//! Jobs and their ends as rows, and back.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use protocol::{JobId, TaskError, Usage, WorkerId};
use rusqlite::{Connection, Row, Statement, named_params};

use super::blobs::{Blobs, Kept};
use super::error::Fault;
use super::key::{Key, Keys};
use crate::pool::{Capture, JobReport, Omitted, Payload, Spill};
use crate::run::report::calendar;
use crate::run::source::lines::{Content, Line};
use crate::scheduler::Verdict;

/// How much of what an earlier attempt wrote to stderr is kept: its end.
const STDERR_TAIL: usize = 64 << 10;

/// The same for what a job's last attempt wrote, in a light record.
pub(super) const LIGHT_TAIL: usize = 4 << 10;

/// The end of the year 9999, since 1970 in microseconds: no later time can be written
/// as text.
pub(crate) const LAST_US: i64 = 253_402_300_799_000_000;

/// A job, as it is recorded when its line was read.
#[derive(Clone, Debug)]
pub(crate) struct JobRow {
    pub(crate) job: i64,
    pub(crate) key: Key,
    pub(crate) seq: u64,
    pub(crate) line: u64,
    pub(crate) id: Option<Box<str>>,
    /// Absent when it was too long.
    pub(crate) item: Option<Bytes>,
}

/// An attempt that another one follows.
#[derive(Debug)]
pub(crate) struct AttemptRow {
    pub(crate) job: i64,
    pub(crate) attempt: u32,
    pub(crate) verdict: Verdict,
    pub(crate) error: Option<Box<TaskError>>,
    pub(crate) stderr: Arc<Capture>,
    /// What it used; zero when its worker died.
    pub(crate) usage: Usage,
    /// When it began and ended, by the pool's clock.
    pub(crate) started: Option<Duration>,
    pub(crate) ended: Duration,
    pub(crate) worker: Option<WorkerId>,
    pub(crate) host: Option<Arc<str>>,
}

/// What stands in the table of attempts.
struct Attempt<'a> {
    job: i64,
    attempt: u32,
    verdict: Verdict,
    error: Option<&'a TaskError>,
    stderr: &'a Capture,
    usage: Usage,
    started: Option<Duration>,
    /// Since 1970, about.
    ended_us: Option<i64>,
    worker: Option<WorkerId>,
    host: Option<&'a str>,
}

/// A verdict in four columns.
struct Columns {
    word: &'static str,
    exit: Option<i32>,
    signal: Option<i32>,
    errno: Option<i32>,
}

impl From<Verdict> for Columns {
    fn from(verdict: Verdict) -> Columns {
        let (exit, signal, errno) = match verdict {
            Verdict::Ok => (Some(0), None, None),
            Verdict::Failed(code) => (Some(code), None, None),
            Verdict::Signaled(signal) => (None, Some(signal), None),
            Verdict::SpawnError(errno) => (None, None, Some(errno)),
            _ => (None, None, None),
        };
        Columns {
            word: verdict.word(),
            exit,
            signal,
            errno,
        }
    }
}

/// The verdict of a row.
fn verdict(row: &Row<'_>) -> rusqlite::Result<Option<Verdict>> {
    let word: String = row.get("verdict")?;
    let number = |name| {
        row.get::<_, Option<i32>>(name)
            .map(Option::unwrap_or_default)
    };
    let (exit, signal, errno) = (number("exit")?, number("signal")?, number("errno")?);
    let all = [
        Verdict::Ok,
        Verdict::Failed(exit),
        Verdict::Signaled(signal),
        Verdict::Timeout,
        Verdict::Crashed,
        Verdict::Oom,
        Verdict::Quarantined,
        Verdict::Unkillable,
        Verdict::SpawnError(errno),
        Verdict::Rejected,
        Verdict::OutputLimit,
        Verdict::Cancelled,
        Verdict::Interrupted,
        Verdict::Lost,
    ];
    Ok(all.into_iter().find(|verdict| verdict.word() == word))
}

fn json(error: Option<&TaskError>) -> io::Result<Option<String>> {
    let json = error.map(serde_json::to_string).transpose();
    json.map_err(io::Error::from)
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// A point in time as it stands in the file.
pub(crate) fn since_1970(time: SystemTime) -> i64 {
    micros(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Everything that a run writes again and again.
pub(super) struct Statements<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    job: Statement<'c>,
    outcome: Statement<'c>,
    replaced: Statement<'c>,
    stderr_file: Statement<'c>,
    attempt: Statement<'c>,
    host: Statement<'c>,
    workers: Statement<'c>,
    starting: Statement<'c>,
    not_started: Statement<'c>,
    forget: Statement<'c>,
    forget_attempts: Statement<'c>,
    unrecorded: Statement<'c>,
    whole: Statement<'c>,
    shown: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn new(connection: &'c Connection) -> rusqlite::Result<Statements<'c>> {
        Ok(Statements {
            begin: connection.prepare("begin immediate")?,
            commit: connection.prepare("commit")?,
            job: connection.prepare(
                "insert into job (job, key, seq, line, id, item, queued_us) \
                 values (?, ?, ?, ?, ?, ?, ?)",
            )?,
            outcome: connection.prepare(
                "insert or replace into outcome values (:n, :job, :run, :verdict, :exit, :signal, \
                 :errno, :error, :attempts, :worker, :started_us, :wall_us, :user_us, :system_us, \
                 :max_rss_kib, :leaked, :stdout_omitted, :stderr_omitted, :stdout, :stderr, :value, \
                 :stdout_file, :stderr_file, :value_file, :ended_us, :host)",
            )?,
            replaced: connection.prepare(
                "insert into attempt select job, run, attempts, verdict, exit, signal, errno, error, \
                 coalesce(stderr, ?2), worker, started_us, ended_us, wall_us, user_us, system_us, \
                 max_rss_kib, host from outcome where job = ?1",
            )?,
            stderr_file: connection.prepare("select stderr_file from outcome where job = ?")?,
            attempt: connection.prepare(
                "insert into attempt values (:job, :run, :attempt, :verdict, :exit, :signal, :errno, \
                 :error, :stderr, :worker, :started_us, :ended_us, :wall_us, :user_us, :system_us, \
                 :max_rss_kib, :host)",
            )?,
            host: connection.prepare("insert or replace into host values (?, ?, ?)")?,
            workers: connection.prepare("update run set workers = ? where run = ?")?,
            starting: connection.prepare("update job set started = ? where job = ?")?,
            not_started: connection.prepare("update job set started = null where job = ?")?,
            forget: connection.prepare("delete from job where job = ?")?,
            forget_attempts: connection.prepare("delete from attempt where job = ?")?,
            unrecorded: connection.prepare("insert into unrecorded values (?, ?, ?)")?,
            whole: connection.prepare("update state set input_whole = 1")?,
            shown: connection.prepare("update state set shown = ?")?,
        })
    }

    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.begin.execute([]).map(drop)
    }

    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        self.commit.execute([]).map(drop)
    }

    /// Records a job, and when its line was read, if that is known.
    pub(super) fn job(&mut self, row: &JobRow, queued_us: Option<i64>) -> rusqlite::Result<()> {
        let item = row.item.as_deref();
        let (seq, line) = (int(row.seq), int(row.line));
        let id = row.id.as_deref();
        self.job
            .execute((row.job, &row.key.0[..], seq, line, id, item, queued_us))
            .map(drop)
    }

    /// Records an end as the outcome number `n`. With `again`, the job may have one
    /// already, which becomes an earlier attempt.
    pub(super) fn outcome(
        &mut self,
        blobs: &Blobs,
        place: OutcomePlace,
        report: &JobReport,
    ) -> Result<(), Fault> {
        let OutcomePlace {
            n,
            job,
            run,
            started,
            again,
            light,
        } = place;
        if again {
            let mut rows = self.stderr_file.query([job])?;
            let name: Option<String> = match rows.next()? {
                Some(row) => row.get(0)?,
                None => None,
            };
            drop(rows);
            let tail = name
                .map(|name| blobs.tail(&name, STDERR_TAIL))
                .transpose()?;
            self.replaced.execute((job, tail))?;
        }
        let verdict = Columns::from(report.verdict);
        let (stdout, stderr, value) = if light {
            let tail = report.stderr.tail(LIGHT_TAIL)?;
            (Kept::Nothing, blobs.keep_bytes(&tail)?, Kept::Nothing)
        } else {
            let value = report.result.bytes()?;
            (
                blobs.keep(&report.stdout)?,
                blobs.keep(&report.stderr)?,
                blobs.keep_bytes(&value)?,
            )
        };
        // All zero when there was nobody left to measure it.
        let usage = Some(report.usage).filter(Usage::is_measured);
        let began = report.started.and_then(|at| started.checked_add(at));
        // Then it ended about now.
        let ended = (began.is_some() && usage.is_none()).then(|| since_1970(calendar()));
        self.outcome.execute(named_params! {
            ":n": n,
            ":job": job,
            ":run": run,
            ":verdict": verdict.word,
            ":exit": verdict.exit,
            ":signal": verdict.signal,
            ":errno": verdict.errno,
            ":error": json(report.error.as_deref())?,
            ":attempts": report.attempts,
            ":worker": report.worker.map(|worker| worker.0),
            ":started_us": began.map(since_1970),
            ":wall_us": usage.map(|u| int(u.wall_us)),
            ":user_us": usage.map(|u| int(u.user_us)),
            ":system_us": usage.map(|u| int(u.system_us)),
            ":max_rss_kib": usage.map(|u| int(u.max_rss_kib)),
            ":leaked": usage.map(|u| u.leaked),
            ":stdout_omitted": int(report.omitted.stdout),
            ":stderr_omitted": int(report.omitted.stderr),
            ":stdout": stdout.columns().0,
            ":stderr": stderr.columns().0,
            ":value": value.columns().0,
            ":stdout_file": stdout.columns().1,
            ":stderr_file": stderr.columns().1,
            ":value_file": value.columns().1,
            ":ended_us": ended,
            ":host": report.host.as_deref(),
        })?;
        Ok(())
    }

    /// Records an end that is no verdict: the job is run when the run goes on.
    pub(super) fn unfinished(
        &mut self,
        place: OutcomePlace,
        report: &JobReport,
    ) -> Result<(), Fault> {
        let OutcomePlace {
            job, run, started, ..
        } = place;
        // Of what was only sent ahead there is nobody who has begun it.
        let began = report.attempts > 0 && report.worker.is_some();
        let attempt = Attempt {
            job,
            attempt: report.attempts,
            verdict: report.verdict,
            error: report.error.as_deref(),
            stderr: &report.stderr,
            usage: report.usage,
            started: report.started.filter(|_| began),
            ended_us: Some(since_1970(calendar())),
            worker: report.worker.filter(|_| began),
            host: report.host.as_deref().filter(|_| began),
        };
        self.try_at(run, started, &attempt)
    }

    /// Records an attempt of a run whose pool's clock was zero at `zero`.
    pub(super) fn attempt(
        &mut self,
        run: i64,
        zero: SystemTime,
        row: &AttemptRow,
    ) -> Result<(), Fault> {
        let attempt = Attempt {
            job: row.job,
            attempt: row.attempt,
            verdict: row.verdict,
            error: row.error.as_deref(),
            stderr: &row.stderr,
            usage: row.usage,
            started: row.started,
            ended_us: zero.checked_add(row.ended).map(since_1970),
            worker: row.worker,
            host: row.host.as_deref(),
        };
        self.try_at(run, zero, &attempt)
    }

    fn try_at(&mut self, run: i64, zero: SystemTime, row: &Attempt<'_>) -> Result<(), Fault> {
        let verdict = Columns::from(row.verdict);
        let stderr = (!row.stderr.is_empty())
            .then(|| row.stderr.tail(STDERR_TAIL))
            .transpose()?;
        let usage = Some(row.usage).filter(Usage::is_measured);
        let began = row.started.and_then(|time| zero.checked_add(time));
        let ended = row.ended_us.filter(|_| began.is_some() && usage.is_none());
        self.attempt.execute(named_params! {
            ":job": row.job,
            ":run": run,
            ":attempt": row.attempt,
            ":verdict": verdict.word,
            ":exit": verdict.exit,
            ":signal": verdict.signal,
            ":errno": verdict.errno,
            ":error": json(row.error)?,
            ":stderr": stderr,
            ":worker": row.worker.map(|worker| worker.0),
            ":started_us": began.map(since_1970),
            ":ended_us": ended,
            ":wall_us": usage.map(|u| int(u.wall_us)),
            ":user_us": usage.map(|u| int(u.user_us)),
            ":system_us": usage.map(|u| int(u.system_us)),
            ":max_rss_kib": usage.map(|u| int(u.max_rss_kib)),
            ":host": row.host,
        })?;
        Ok(())
    }

    /// A host runs so many jobs at once.
    pub(super) fn host(&mut self, run: i64, host: &str, slots: usize) -> rusqlite::Result<()> {
        let slots = i64::try_from(slots).unwrap_or(i64::MAX);
        self.host.execute((run, host, slots)).map(drop)
    }

    /// So many jobs can run at once.
    pub(super) fn workers(&mut self, run: i64, workers: i64) -> rusqlite::Result<()> {
        self.workers.execute([workers, run]).map(drop)
    }

    /// From here on it may have been started in this run.
    pub(super) fn starting(&mut self, run: i64, job: i64) -> rusqlite::Result<()> {
        self.starting.execute([run, job]).map(drop)
    }

    pub(super) fn not_started(&mut self, job: i64) -> rusqlite::Result<()> {
        self.not_started.execute([job]).map(drop)
    }

    /// What has become of this job before is not kept.
    pub(super) fn forget_tries(&mut self, job: i64) -> rusqlite::Result<()> {
        self.forget_attempts.execute([job]).map(drop)
    }

    /// A job without an outcome whose line is gone.
    pub(super) fn forget(&mut self, job: i64) -> rusqlite::Result<()> {
        self.forget_tries(job)?;
        self.forget.execute([job]).map(drop)
    }

    /// So many jobs of this run have ended in this way that have no row.
    pub(super) fn unrecorded(
        &mut self,
        run: i64,
        verdict: &str,
        jobs: u64,
    ) -> rusqlite::Result<()> {
        self.unrecorded.execute((run, verdict, int(jobs))).map(drop)
    }

    pub(super) fn whole(&mut self) -> rusqlite::Result<()> {
        self.whole.execute([]).map(drop)
    }

    pub(super) fn shown(&mut self, n: u64) -> rusqlite::Result<()> {
        self.shown.execute([int(n)]).map(drop)
    }
}

/// Where an end belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutcomePlace {
    pub(super) n: i64,
    pub(super) job: i64,
    pub(super) run: i64,
    /// When the pool's clock was zero.
    pub(super) started: SystemTime,
    /// Whether the job may have an outcome already.
    pub(super) again: bool,
    /// Whether of all that it gave only the end of stderr is kept.
    pub(super) light: bool,
}

/// A job as it was recorded.
#[derive(Debug)]
pub(crate) struct RecordedJob {
    pub(crate) job: i64,
    pub(crate) key: Key,
    pub(crate) seq: u64,
    pub(crate) line: Line,
}

impl RecordedJob {
    /// Whether it was recorded for the purpose of these keys. What was too long was
    /// not kept, and may be.
    pub(super) fn is_for(&self, keys: Keys) -> bool {
        match &self.line.content {
            whole @ Content::Whole(_) => keys.key(whole) == self.key,
            Content::TooLong { .. } | Content::Unfit(_) => true,
        }
    }

    /// The columns that make one.
    pub(super) const COLUMNS: &str = "job, key, seq, line, item";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<RecordedJob> {
        let item: Option<Vec<u8>> = row.get("item")?;
        Ok(RecordedJob {
            job: row.get("job")?,
            key: Key(row.get("key")?),
            seq: uint(row.get("seq")?),
            line: Line {
                number: uint(row.get("line")?),
                content: match item {
                    Some(bytes) => Content::Whole(bytes.into()),
                    None => Content::TooLong {
                        start: Bytes::new(),
                        length: 0,
                    },
                },
            },
        })
    }
}

/// An outcome as the report that it was made of, and how many bytes it printed and
/// gave; times count from 1970.
pub(super) fn report(
    row: &Row<'_>,
    blobs: &Blobs,
    room: &Arc<Spill>,
) -> Result<(JobReport, u64), Fault> {
    let capture = |inline, file| -> Result<Capture, Fault> {
        let mut capture = Capture::default();
        let bytes: Option<&[u8]> = row
            .get_ref(inline)?
            .as_blob_or_null()
            .map_err(rusqlite::Error::from)?;
        if let Some(bytes) = bytes {
            capture.push(room, bytes)?;
        }
        if let Some(name) = row.get::<_, Option<String>>(file)? {
            blobs.read(&name, |piece| capture.push(room, piece))?;
        }
        Ok(capture)
    };
    let value = capture("value", "value_file")?;
    let job: i64 = row.get("job")?;
    let error: Option<String> = row.get("error")?;
    let number = |name| {
        row.get::<_, Option<i64>>(name)
            .map(|n| uint(n.unwrap_or_default()))
    };
    let started: Option<i64> = row.get("started_us")?;
    let host: Option<String> = match row.as_ref().column_index("host") {
        Ok(column) => row.get(column)?,
        // Of an earlier version.
        Err(_) => None,
    };
    let error = match error {
        Some(json) => Some(serde_json::from_str(&json).map_err(io::Error::from)?),
        None => None,
    };
    let (stdout, stderr) = (
        capture("stdout", "stdout_file")?,
        capture("stderr", "stderr_file")?,
    );
    let size = value.len() + stdout.len() + stderr.len();
    let report = JobReport {
        job: JobId(uint(job)),
        label: None,
        verdict: verdict(row)?.ok_or_else(|| io::Error::other("it holds an unknown verdict"))?,
        result: Payload::from(Bytes::from(value.to_vec()?)),
        error,
        death: None,
        stdout,
        stderr,
        omitted: Omitted {
            stdout: number("stdout_omitted")?,
            stderr: number("stderr_omitted")?,
        },
        usage: Usage {
            wall_us: number("wall_us")?,
            user_us: number("user_us")?,
            system_us: number("system_us")?,
            max_rss_kib: number("max_rss_kib")?,
            leaked: u32::try_from(number("leaked")?).unwrap_or(u32::MAX),
        },
        started: started.map(|us| Duration::from_micros(uint(us.min(LAST_US)))),
        worker: row.get::<_, Option<u32>>("worker")?.map(WorkerId),
        host: host.map(Arc::from),
        attempts: row.get("attempts")?,
    };
    Ok((report, size))
}
