//! The jobs of the page's table: all of them, or, where these would be too many, those
//! that did not succeed and every so manieth of the others.

use std::collections::HashMap;

use super::columns::{Column, Names};
use super::model::Rows;
use super::spans::Laid;

/// How many jobs a page has as rows.
pub(super) const ROWS: usize = 250_000;

/// How many messages, and of how many bytes together.
const MESSAGES: usize = 20_000;
const MESSAGE_BYTES: usize = 4 << 20;

/// A job's row.
#[derive(Clone, Debug, Default)]
pub(super) struct JobSeen {
    pub(super) label: Box<str>,
    pub(super) line: i64,
    pub(super) tries: i64,
    pub(super) verdict: u16,
    /// When its last try began, on the page's time.
    pub(super) start: Option<i64>,
    pub(super) wall_us: Option<i64>,
    pub(super) wait_us: Option<i64>,
    pub(super) cpu_us: Option<i64>,
    pub(super) rss_kib: Option<i64>,
    /// Its last try on the timeline.
    pub(super) span: Option<usize>,
    /// The number of the host.
    pub(super) host: u16,
    pub(super) message: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    all: Vec<JobSeen>,
    messages: Messages,
    /// Of how many that succeeded one is taken, and how many were seen.
    every: usize,
    good: usize,
    /// How many more that did not succeed are taken.
    bad_room: usize,
    cut: bool,
}

impl Jobs {
    /// For so many jobs, of which so many did not succeed.
    pub(super) fn new(all: usize, bad: usize) -> Jobs {
        Jobs::within(ROWS, all, bad)
    }

    fn within(most: usize, all: usize, bad: usize) -> Jobs {
        let bad_room = most - most / 10;
        let room = most - bad.min(bad_room);
        Jobs {
            every: all.saturating_sub(bad).div_ceil(room).max(1),
            bad_room,
            ..Jobs::default()
        }
    }

    /// Whether the next job is taken.
    pub(super) fn wants(&mut self, bad: bool) -> bool {
        if bad {
            self.cut |= self.bad_room == 0;
            let room = self.bad_room > 0;
            self.bad_room = self.bad_room.saturating_sub(1);
            return room;
        }
        self.good += 1;
        (self.good - 1).is_multiple_of(self.every)
    }

    /// Takes a job, with what is said of it.
    pub(super) fn push(&mut self, mut job: JobSeen, message: Option<String>) {
        if let Some(message) = message {
            job.message = self.messages.number(message, MESSAGES, MESSAGE_BYTES);
        }
        self.all.push(job);
    }

    pub(super) fn finish(self, laid: &Laid) -> (Rows, Vec<String>) {
        let rows = Rows {
            every: self.every,
            cut: self.cut,
            ..rows(&self.all, |span| i64::from(laid.lane(span)))
        };
        (rows, self.messages.all)
    }
}

/// What is said of jobs, each once.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) all: Vec<String>,
    known: HashMap<String, u32>,
    bytes: usize,
}

impl Messages {
    /// The number of a message, from 1; 0 when there are more than so many, or of more bytes.
    pub(super) fn number(&mut self, message: String, most: usize, most_bytes: usize) -> u32 {
        if let Some(&number) = self.known.get(&message) {
            return number;
        }
        if self.all.len() >= most || self.bytes + message.len() > most_bytes {
            return 0;
        }
        self.bytes += message.len();
        self.all.push(message.clone());
        let number = self.all.len() as u32;
        self.known.insert(message, number);
        number
    }
}

/// These jobs as columns; the lane of one is found by its bar.
pub(super) fn rows(all: &[JobSeen], lane_of: impl Fn(usize) -> i64) -> Rows {
    let mut label = Names::default();
    let (mut line, mut start, mut rss) = (Column::near(), Column::near(), Column::near());
    let [mut lane, mut dur, mut wait, mut cpu] = std::array::from_fn(|_| Column::plain());
    let [mut verdict, mut host, mut message] = std::array::from_fn(|_| Column::mostly(0));
    let mut tries = Column::mostly(1);
    for job in all {
        label.push(&job.label);
        line.push(Some(job.line));
        verdict.push(Some(i64::from(job.verdict)));
        tries.push(Some(job.tries));
        lane.push(job.span.map(&lane_of));
        start.push(job.start);
        dur.push(job.wall_us);
        wait.push(job.wait_us);
        cpu.push(job.cpu_us);
        rss.push(job.rss_kib);
        host.push(Some(i64::from(job.host)));
        message.push(Some(i64::from(job.message)));
    }
    Rows {
        n: all.len(),
        label: label.finish(),
        line: line.finish(),
        verdict: verdict.finish(),
        tries: tries.finish(),
        lane: lane.finish(),
        start: start.finish(),
        dur: dur.finish(),
        wait: wait.finish(),
        cpu: cpu.finish(),
        rss: rss.finish(),
        host: host.finish(),
        message: message.finish(),
        every: 1,
        cut: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(most: usize, good: usize, bad: usize) -> (usize, usize, bool) {
        let mut jobs = Jobs::within(most, good + bad, bad);
        let bad = (0..bad).filter(|_| jobs.wants(true)).count();
        let good = (0..good).filter(|_| jobs.wants(false)).count();
        (good, bad, jobs.cut)
    }

    #[test]
    fn a_table_is_whole_or_has_what_did_not_succeed() {
        assert_eq!(taken(100, 100, 0), (100, 0, false));
        assert_eq!(taken(100, 90, 10), (90, 10, false));
        assert_eq!(taken(100, 1_000, 10), (84, 10, false));
        assert_eq!(taken(100, 1_000, 500), (10, 90, true));
        assert_eq!(taken(100, 0, 0), (0, 0, false));
    }

    #[test]
    fn a_message_has_one_number() {
        let mut jobs = Jobs::new(3, 3);
        for message in ["a", "b", "a"] {
            jobs.push(JobSeen::default(), Some(message.into()));
        }
        let numbers: Vec<_> = jobs.all.iter().map(|job| job.message).collect();
        assert_eq!((numbers, jobs.messages.all.len()), (vec![1, 2, 1], 2));
    }
}
