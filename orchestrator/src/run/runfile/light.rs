//! The light record of a run without a run file: how it was called, how many jobs
//! there were, and those that did not succeed, so that they can be looked at and run
//! again after a run that nobody prepared.
//!
//! It is a run file in the state directory for which nothing waits: a run that is
//! killed may leave none, or half of one. It is made with the first job that fails,
//! or at the end. When it cannot be made or written, the run goes on without.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::error::RunFileError;
use super::history::History;
use super::key::{Key, Keys, Purpose};
use super::open::{Access, Request, open};
use super::recorder::{Entry, Mode, Recorder};
use super::rows::{JobRow, LIGHT_TAIL};
use crate::pool::{Capture, JobReport, Payload, Spill};
use crate::run::report::Summary;
use crate::run::source::lines::Content;
use crate::run::source::work::Ticket;
use crate::scheduler::Verdict;

/// How large a record becomes, about, in bytes.
const MOST: u64 = 64 << 20;

/// What a row takes beside what is in it, about.
const ROW: u64 = 400;

/// How long the end of a run may wait for its record to be written: the directory
/// may be somewhere on the network.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a run is called that has no run file.
#[derive(Clone, Debug)]
pub(crate) struct LightRequest {
    pub(crate) history: History,
    pub(crate) purpose: Purpose,
    /// The words behind `run`.
    pub(crate) arguments: Vec<Vec<u8>>,
}

/// A light record that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// How many jobs that did not succeed are only counted there.
    pub(crate) dropped: u64,
}

/// A light record, which may not be there yet.
#[derive(Debug)]
pub(crate) struct Light {
    request: LightRequest,
    started: SystemTime,
    keys: Keys,
    room: Arc<Spill>,
    /// How much more may be written.
    left: u64,
    /// The number of the last job.
    last: i64,
    /// What was not handed over yet; bounded by what may be written.
    rows: Vec<(JobRow, JobReport)>,
    /// Jobs that did not succeed and for which there was no room.
    unrecorded: BTreeMap<&'static str, u64>,
    recorder: Option<Recorder>,
}

impl Light {
    /// For a run that has just begun; the room is for what its jobs print.
    pub(crate) fn new(request: LightRequest, started: SystemTime, room: Arc<Spill>) -> Light {
        Light {
            keys: Keys::of(&request.purpose),
            request,
            started,
            room,
            left: MOST,
            last: 0,
            rows: Vec::new(),
            unrecorded: BTreeMap::new(),
            recorder: None,
        }
    }

    /// A job has come to an end that was not good, or to none.
    pub(crate) fn put(&mut self, ticket: &Ticket, report: &JobReport) {
        let item = ticket.item.clone();
        // What cannot be read back is not there.
        let stderr = report.stderr.tail(LIGHT_TAIL).unwrap_or_default();
        let error = report.error.as_ref().map_or(0, |e| e.message.len());
        let size = item.as_ref().map_or(0, |item| item.len()) + stderr.len() + error;
        let size = size as u64 + ROW;
        if size > self.left {
            *self.unrecorded.entry(report.verdict.word()).or_default() += 1;
            return;
        }
        self.left -= size;
        self.last += 1;
        let row = JobRow {
            job: self.last,
            key: match &item {
                Some(item) => self.keys.key(&Content::Whole(item.clone())),
                // Which long line it was is not known any more.
                None => Key([0; 16]),
            },
            seq: ticket.seq,
            line: ticket.line,
            id: ticket.id.clone(),
            item,
        };
        let report = JobReport {
            job: report.job,
            label: None,
            verdict: report.verdict,
            result: Payload::default(),
            error: report.error.clone(),
            death: None,
            stdout: Capture::default(),
            stderr: Capture::of(&self.room, &stderr).unwrap_or_default(),
            omitted: report.omitted,
            usage: report.usage,
            started: report.started,
            worker: report.worker,
            host: report.host.clone(),
            attempts: report.attempts,
        };
        self.rows.push((row, report));
    }

    /// Hands what was put to the thread that writes, if that is not behind: the run
    /// never waits for it.
    pub(in crate::run) fn flush(&mut self) {
        if self.rows.is_empty() || self.recorder().is_none() {
            return;
        }
        let rows = Entry::Light(std::mem::take(&mut self.rows));
        if let Some(recorder) = &mut self.recorder
            && let Some(Entry::Light(rows)) = recorder.try_send(rows)
        {
            self.rows = rows;
        }
    }

    /// The end of the run is near: begins with what takes a moment.
    pub(in crate::run) fn begin(&mut self) {
        self.flush();
        self.recorder();
    }

    /// The run has ended so, or failed; what came of its record, if it has one.
    pub(in crate::run) async fn finish(
        mut self,
        summary: &Summary,
        whole: bool,
        failure: Option<&'static str>,
    ) -> Option<Remembered> {
        if summary.jobs() == 0 {
            return None;
        }
        let dropped = self.unrecorded.values().sum();
        let mut counts = std::mem::take(&mut self.unrecorded);
        if summary.succeeded > 0 {
            counts.insert(Verdict::Ok.word(), summary.succeeded);
        }
        self.recorder()?;
        let recorder = self.recorder.take()?;
        let sender = recorder.sender();
        let rows = std::mem::take(&mut self.rows);
        let last = async {
            if !rows.is_empty() {
                sender.send(Entry::Light(rows)).await;
            }
            for (verdict, jobs) in counts {
                sender.send(Entry::Unrecorded(verdict, jobs)).await;
            }
            if whole {
                sender.send(Entry::InputEnd(Vec::new())).await;
            }
            recorder.finish(failure).await.1
        };
        let written = timeout(PATIENCE, last).await.ok()?;
        written.ok().map(|()| Remembered {
            path: self.request.history.path(self.started),
            dropped,
        })
    }

    /// Starts the thread that writes, if it was not; nothing when there is none left.
    fn recorder(&mut self) -> Option<&mut Recorder> {
        if self.recorder.is_none() {
            let (request, started) = (self.request.clone(), self.started);
            let begin = move || make(&request, started);
            let mode = Mode {
                light: true,
                ..Mode::default()
            };
            let shown = Arc::new(AtomicU64::new(0));
            self.recorder = Recorder::start(begin, mode, started, shown).ok();
        }
        self.recorder.as_mut()
    }
}

/// Makes the file, and room for it.
fn make(
    request: &LightRequest,
    started: SystemTime,
) -> Result<(super::file::Writable, i64), RunFileError> {
    let history = &request.history;
    let path = history.path(started);
    let prepared = history.prepare();
    prepared.map_err(|e| super::Error::from(e).of(&path))?;
    let file = open(&Request {
        path: path.clone(),
        access: Access::Begin,
        force: false,
        purpose: request.purpose.clone(),
        arguments: request.arguments.clone(),
        at_most_once: false,
        light: true,
    });
    match file {
        Ok(file) => {
            history.trim();
            Ok(file.into_writable())
        }
        Err(e) => {
            // Half of one would only be in the way.
            history.delete(&path);
            Err(e)
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::run::sink::render::Format;
    use crate::run::sink::render::tests::{renderer, report, ticket};

    #[test]
    fn what_is_kept_has_a_limit_beyond_which_jobs_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let request = LightRequest {
            history: History::of(Some(dir.path().into()), None).unwrap(),
            purpose: Purpose {
                words: Vec::new(),
                cwd: "/".into(),
            },
            arguments: Vec::new(),
        };
        let renderer = renderer(Format::Text, None);
        let room = Arc::clone(&renderer.room);
        let mut light = Light::new(request, SystemTime::UNIX_EPOCH, room);
        light.left = 2 * (ROW + 100 + LIGHT_TAIL as u64);
        let ticket = Ticket {
            item: Some(Bytes::from(vec![b'x'; 100])),
            ..ticket(&[b"x"])
        };
        let stderr = [b"a".repeat(10_000), b"end".to_vec()].concat();
        for _ in 0..5 {
            let report = report(&renderer, Verdict::Failed(1), b"out", &stderr);
            light.put(&ticket, &report);
        }
        assert_eq!(light.rows.len(), 2);
        assert_eq!(light.unrecorded, BTreeMap::from([("failed", 3)]));
        let kept = &light.rows[1].1;
        assert!(kept.stdout.is_empty());
        let kept = kept.stderr.to_vec().unwrap();
        assert_eq!(kept.len(), LIGHT_TAIL);
        assert!(kept.ends_with(b"aend"));
    }
}
