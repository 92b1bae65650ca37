//! What a page knows of a run. `docs/report.md` describes it as JSON, since a page is
//! fed with that; what is not given to the script is marked here.

use serde::Serialize;

use super::bins::{Cells, Measured};
use super::columns::Written;
use crate::run::runfile::RunSeen;

/// The number of this model's shape.
pub(crate) const FORMAT: u32 = 2;

/// A run as a page shows it. Times are in microseconds on the page's own time, which
/// leaves out the pauses between a run and the one that went on with it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Model {
    pub(super) format: u32,
    /// What the page's time comes to.
    pub(super) total_us: i64,
    /// When a run went on that another had begun.
    pub(super) marks: Vec<i64>,
    /// How many rows the timeline has, and whether each is a worker's, or one of the places for
    /// jobs that a host has.
    pub(super) lanes: u32,
    pub(super) lanes_are_workers: bool,
    /// The host of each row.
    pub(super) lane_hosts: Written,
    /// What the numbers of hosts mean, of which the first is this machine; none when there is no
    /// other.
    pub(super) hosts: Vec<String>,
    /// What the numbers of verdicts mean.
    pub(super) verdicts: Vec<String>,
    /// What the numbers of messages mean, from 1.
    pub(super) messages: Vec<String>,
    pub(super) figures: Figures,
    /// How many jobs waited, at equal distances of time.
    pub(super) waiting: Vec<i64>,
    /// Jobs by how long they waited and ran.
    pub(super) wait_run: Cells,
    /// Jobs by when they ended, and their memory in KiB.
    pub(super) memory: Cells,
    /// Tries that another one followed, or, when there are more tries than
    /// [`super::spans::SPANS`], all of them, with those that are too short for any
    /// picture joined.
    pub(super) spans: Spans,
    /// Whether jobs are to be drawn as well, since `spans` does not have them.
    pub(super) draw_jobs: bool,
    /// Whether jobs are called by their lines of the input.
    pub(super) labels_are_lines: bool,
    /// When a worker took the place of one that died.
    pub(super) deaths: Deaths,
    pub(super) jobs: Rows,
    /// The other facts: only the server-side part of the page shows them.
    #[serde(skip)]
    pub(super) about: About,
}

/// What a run came to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// Jobs that are known, and those of them that have ended, well or not.
    pub(super) jobs: u64,
    pub(super) ended: u64,
    pub(super) ok: u64,
    pub(super) bad: u64,
    /// How many jobs have which verdict, `ok` first.
    pub(super) verdicts: Vec<(String, u64)>,
    /// How many jobs have ended in which way without one, and are run when the run goes on.
    pub(super) unfinished: Vec<(String, u64)>,
    /// How long all runs took together.
    pub(super) wall_us: i64,
    /// How many jobs could run at once in the last run, as far as that is known.
    pub(super) workers: u64,
    /// What all tries took, and their CPU time.
    pub(super) busy_us: i64,
    pub(super) cpu_us: i64,
    /// What the workers' time came to.
    pub(super) capacity_us: i64,
    /// Tries that another one followed, of how many jobs; how many of those are ok, and
    /// what the tries took.
    pub(super) retries: u64,
    pub(super) retried_jobs: u64,
    pub(super) retried_ok: u64,
    pub(super) lost_us: i64,
    /// The last try's time; from the line's reading to the first try; its largest
    /// resident set in KiB.
    pub(super) run: Measured,
    pub(super) wait: Measured,
    pub(super) rss: Measured,
}

impl Figures {
    /// Jobs that ended in each second.
    pub(super) fn rate(&self) -> f64 {
        self.ended as f64 / (self.wall_us.max(1) as f64 / 1e6)
    }

    /// Which part of their time the workers ran jobs.
    pub(super) fn busy(&self) -> Option<f64> {
        let share = self.busy_us as f64 / self.capacity_us as f64;
        (self.capacity_us > 0).then(|| share.min(1.0))
    }

    /// How many jobs have ended without a verdict.
    pub(super) fn stopped(&self) -> u64 {
        let jobs = self.unfinished.iter().map(|&(_, jobs)| jobs);
        jobs.fold(0, u64::saturating_add)
    }

    /// How many jobs have ended in which way, with a verdict or without.
    pub(super) fn ends(&self) -> impl Iterator<Item = &(String, u64)> {
        self.verdicts.iter().chain(&self.unfinished)
    }

    /// How many jobs have this verdict.
    pub(super) fn with(&self, verdict: &str) -> u64 {
        let found = self.verdicts.iter().find(|(word, _)| word == verdict);
        found.map_or(0, |&(_, jobs)| jobs)
    }
}

/// Bars of the timeline, as columns: see `docs/report.md`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Spans {
    pub(super) n: usize,
    pub(super) lane: Written,
    pub(super) start: Written,
    pub(super) dur: Written,
    /// Twice the verdict's number, and one more for a try that another followed.
    pub(super) state: Written,
    /// How many tries it stands for, and how long they took.
    pub(super) count: Written,
    pub(super) busy: Written,
}

/// Times and rows, as columns.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Deaths {
    pub(super) n: usize,
    pub(super) at: Written,
    pub(super) lane: Written,
}

/// Jobs, as columns.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Rows {
    pub(super) n: usize,
    pub(super) label: String,
    pub(super) line: Written,
    pub(super) verdict: Written,
    pub(super) tries: Written,
    pub(super) lane: Written,
    pub(super) start: Written,
    pub(super) dur: Written,
    pub(super) wait: Written,
    pub(super) cpu: Written,
    pub(super) rss: Written,
    pub(super) host: Written,
    pub(super) message: Written,
    /// Of how many jobs that succeeded one is here; 1 when all are.
    pub(super) every: usize,
    /// Whether jobs that did not succeed are missing.
    pub(super) cut: bool,
}

/// What is said in words.
#[derive(Debug, Default)]
pub(crate) struct About {
    /// What the file was called, for commands.
    pub(super) name: String,
    pub(super) run_id: String,
    pub(super) purpose: String,
    pub(super) kind: Kind,
    /// The process that still writes to the file.
    pub(super) running: Option<Option<i32>>,
    /// What runs now, on a page that goes with the run.
    pub(super) at_work: Option<AtWork>,
    pub(super) now_us: i64,
    pub(super) input_whole: bool,
    /// Jobs that did not succeed and are only counted.
    pub(super) dropped: u64,
    pub(super) runs: Vec<RunSeen>,
    pub(super) groups: Vec<Group>,
    /// How many jobs that did not succeed stand in no group.
    pub(super) ungrouped: u64,
    pub(super) slowest: Vec<Slow>,
    pub(super) retried: Vec<Retried>,
    pub(super) workers: Vec<Worker>,
    /// Where jobs ran; empty when that was only here.
    pub(super) hosts: Vec<Host>,
    pub(super) notes: Vec<Note>,
}

impl About {
    /// Whether it is not known how many jobs have succeeded: a light record is told at the end.
    pub(super) fn lacks_counts(&self) -> bool {
        let first = self.runs.first();
        self.kind == Kind::Light && first.is_some_and(|run| run.ended_us.is_none())
    }
}

/// Whose record it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Full,
    /// Only what did not succeed is in it.
    Light,
    /// A Python program's.
    Executor,
}

/// Jobs that failed in the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(super) verdict: String,
    /// What is said of the first of them.
    pub(super) what: String,
    /// Whether others differ in numbers or names.
    pub(super) varied: bool,
    /// Whether they have no verdict, and are run when the run goes on.
    pub(super) open: bool,
    pub(super) jobs: u64,
    pub(super) examples: Vec<Example>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Example {
    pub(super) label: String,
    pub(super) line: i64,
    pub(super) tries: i64,
    pub(super) what: String,
    pub(super) stderr: String,
}

/// A job that took long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slow {
    pub(super) wall_us: i64,
    pub(super) label: String,
    pub(super) line: i64,
    pub(super) verdict: String,
    pub(super) tries: i64,
    pub(super) start: Option<i64>,
    pub(super) wait_us: Option<i64>,
    pub(super) cpu_us: Option<i64>,
    pub(super) rss_kib: Option<i64>,
}

/// A job that took several tries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retried {
    pub(super) label: String,
    pub(super) line: i64,
    pub(super) verdict: String,
    /// What each came to, the last one included.
    pub(super) tries: Vec<(String, Option<i64>)>,
    /// How many there were: the list may hold fewer.
    pub(super) count: i64,
}

/// A row of the timeline.
#[derive(Clone, Debug, Default)]
pub(crate) struct Worker {
    pub(super) tries: u64,
    pub(super) bad: u64,
    pub(super) busy_us: i64,
    pub(super) cpu_us: i64,
    pub(super) rss_kib: i64,
    /// How many workers had this place, one after the other.
    pub(super) lives: u64,
}

/// A place where jobs ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Host {
    pub(super) name: String,
    /// Whether it is this machine.
    pub(super) is_here: bool,
    /// How many jobs it can run at once; 0 when nobody knows.
    pub(super) slots: i64,
    /// Jobs whose last try was there, and how many of them did not succeed.
    pub(super) jobs: u64,
    pub(super) bad: u64,
    pub(super) tries: u64,
    pub(super) busy_us: i64,
    pub(super) cpu_us: i64,
    pub(super) rss_kib: i64,
}

/// What runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct AtWork {
    /// How many jobs do, and some of them: those that run for longest.
    pub(super) count: u64,
    pub(super) longest: Vec<Working>,
    /// How many of the other machines are there, if any are wanted.
    pub(super) hosts: Option<String>,
}

/// A job that runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Working {
    pub(super) label: String,
    pub(super) line: i64,
    pub(super) attempt: i64,
    pub(super) pid: u32,
    pub(super) us: i64,
}

/// Something that limited the run, and what would help.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    pub(super) title: &'static str,
    /// Back-quotes are around what is typed or named.
    pub(super) text: String,
}
