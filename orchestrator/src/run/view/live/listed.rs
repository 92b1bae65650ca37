//! Jobs and bars of a page that goes with the run: all of them while they are few; then every
//! so manieth of the jobs that succeed, and bars that stand for several tries. A page that has
//! the old ones begins anew.

use std::collections::HashMap;

use serde::Serialize;

use super::super::columns::Column;
use super::super::model::{Deaths, Rows, Spans};
use super::super::rows::{JobSeen, Messages, rows};
use super::super::spans::{Bar, written};

/// How many jobs are listed that succeeded, and how many that did not.
const GOOD: usize = 60_000;
const BAD: usize = 20_000;

/// How many bars there are.
const BARS: usize = 80_000;

/// How many messages, and of how many bytes together.
const MESSAGES: usize = 2_000;
const MESSAGE_BYTES: usize = 256 << 10;

/// How many rows and bars a page is given at once.
const PART: usize = 10_000;

/// How much of it a page has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    generation: u64,
    rows: usize,
    bars: usize,
    deaths: usize,
}

/// What a page has not got yet; the same columns as in a model.
#[derive(Debug, Serialize)]
pub(crate) struct More {
    /// What it has is to be forgotten.
    reset: bool,
    /// There is more than this.
    pub(crate) more: bool,
    draw_jobs: bool,
    spans: Spans,
    deaths: Deaths,
    jobs: Rows,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Listed {
    generation: u64,
    rows: Vec<JobSeen>,
    good: usize,
    bad: usize,
    pub(super) every: usize,
    pub(super) cut: bool,
    pub(super) messages: Messages,
    bars: Vec<Bar>,
    /// Bars that others may be joined with, by their lanes and states.
    open: HashMap<(u32, u16), Bar>,
    /// How long a point in time is within which bars are joined, once they are.
    pixel: Option<i64>,
    most: Most,
}

/// How many there are at most.
#[derive(Clone, Copy, Debug)]
struct Most {
    good: usize,
    bad: usize,
    bars: usize,
}

impl Default for Listed {
    fn default() -> Listed {
        // None is page zero: it begins with what is there.
        Listed::within(Most {
            good: GOOD,
            bad: BAD,
            bars: BARS,
        })
    }
}

impl Listed {
    fn within(most: Most) -> Listed {
        Listed {
            generation: 1,
            rows: Vec::new(),
            good: 0,
            bad: 0,
            every: 1,
            cut: false,
            messages: Messages::default(),
            bars: Vec::new(),
            open: HashMap::new(),
            pixel: None,
            most,
        }
    }

    /// Whether each job's last try is drawn as one bar.
    pub(super) fn draws_jobs(&self) -> bool {
        self.pixel.is_none()
    }

    /// A try that another one follows.
    pub(super) fn tried(&mut self, bar: Bar, now: i64) {
        self.put(bar);
        self.keep_few(now);
    }

    /// A job has ended; its last try is this bar, if it had one. It is listed if it has a row.
    pub(super) fn ended(
        &mut self,
        row: Option<JobSeen>,
        bar: Option<Bar>,
        message: Option<String>,
        now: i64,
    ) {
        if let Some(mut row) = row {
            let is_bad = row.verdict != 0;
            if is_bad && self.bad == self.most.bad {
                // Its bar is all that there will be of it.
                self.cut = true;
                self.join(now);
            } else {
                if let Some(message) = message {
                    row.message = self.messages.number(message, MESSAGES, MESSAGE_BYTES);
                }
                *(if is_bad {
                    &mut self.bad
                } else {
                    &mut self.good
                }) += 1;
                self.rows.push(row);
            }
        }
        if let Some(bar) = bar.filter(|_| !self.draws_jobs()) {
            self.put(bar);
        }
        self.keep_few(now);
    }

    fn put(&mut self, bar: Bar) {
        let Some(pixel) = self.pixel else {
            self.bars.push(bar);
            return;
        };
        let key = (bar.lane, bar.state());
        match self.open.get_mut(&key) {
            Some(last) if last.takes(&bar, pixel) => last.join(&bar),
            _ => self.bars.extend(self.open.insert(key, bar)),
        }
    }

    /// Nothing more comes that began before.
    pub(super) fn close(&mut self, before: i64) {
        let Some(pixel) = self.pixel else {
            return;
        };
        let is_over = |bar: &Bar| bar.place(pixel).1 < before / pixel;
        let over = self.open.iter().filter(|(_, bar)| is_over(bar));
        let over: Vec<_> = over.map(|(&key, _)| key).collect();
        for key in over {
            self.bars.extend(self.open.remove(&key));
        }
    }

    fn keep_few(&mut self, now: i64) {
        if self.good > self.most.good {
            self.join(now);
            self.thin();
        }
        if self.bars.len() + self.open.len() > self.most.bars {
            match self.pixel {
                None => self.join(now),
                Some(pixel) => self.coarsen(pixel.saturating_mul(2)),
            }
        }
    }

    /// Half of the jobs that succeeded are enough.
    fn thin(&mut self) {
        self.every = self.every.saturating_mul(2);
        let mut takes = false;
        self.rows.retain(|row| {
            takes ^= row.verdict == 0;
            row.verdict != 0 || takes
        });
        self.good = self.good.div_ceil(2);
        self.generation += 1;
    }

    /// From now on jobs are not drawn by their rows, but by bars that stand for several.
    fn join(&mut self, now: i64) {
        if self.pixel.is_some() {
            return;
        }
        let drawn = self.rows.iter().filter_map(|row| {
            let (lane, start) = (row.span? as u32, row.start?);
            let state = row.verdict * 2;
            Some(Bar::new(
                lane,
                start,
                row.wall_us.unwrap_or_default(),
                state,
            ))
        });
        self.bars.extend(drawn);
        let lanes = self.bars.iter().map(|bar| i64::from(bar.lane) + 1).max();
        let most = self.most.bars as i64;
        let pixel = now.saturating_mul(lanes.unwrap_or(1)) / (most / 4).max(1);
        self.coarsen(pixel.max(1));
    }

    fn coarsen(&mut self, mut pixel: i64) {
        self.bars.extend(self.open.drain().map(|(_, bar)| bar));
        loop {
            self.bars.sort_unstable_by_key(|bar| bar.place(pixel));
            let mut joined: Vec<Bar> = Vec::new();
            for bar in self.bars.drain(..) {
                match joined.last_mut() {
                    Some(last) if last.takes(&bar, pixel) => last.join(&bar),
                    _ => joined.push(bar),
                }
            }
            self.bars = joined;
            // Room for as many again.
            if self.bars.len() <= self.most.bars / 2 || pixel > i64::MAX / 4 {
                break;
            }
            pixel = pixel.saturating_mul(2);
        }
        self.pixel = Some(pixel);
        self.generation += 1;
    }

    /// What this page has not got, or a part of it.
    pub(super) fn more(&self, cursor: &mut Cursor, deaths: &[(i64, u32)]) -> More {
        let reset = cursor.generation != self.generation;
        if reset {
            *cursor = Cursor {
                generation: self.generation,
                ..Cursor::default()
            };
        }
        let (to, bars_to) = (
            self.rows.len().min(cursor.rows + PART),
            self.bars.len().min(cursor.bars + PART),
        );
        let jobs = rows(&self.rows[cursor.rows..to], |lane| lane as i64);
        let spans = written(self.bars[cursor.bars..bars_to].iter().copied());
        let (mut at, mut lane) = (Column::near(), Column::plain());
        let new = &deaths[cursor.deaths..];
        for &(us, row) in new {
            at.push(Some(us));
            lane.push(Some(i64::from(row)));
        }
        let deaths = Deaths {
            n: new.len(),
            at: at.finish(),
            lane: lane.finish(),
        };
        (cursor.rows, cursor.bars) = (to, bars_to);
        cursor.deaths += deaths.n;
        More {
            reset,
            more: to < self.rows.len() || bars_to < self.bars.len(),
            draw_jobs: self.draws_jobs(),
            spans,
            deaths,
            jobs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::columns::tests::read;
    use super::*;

    fn few() -> Listed {
        Listed::within(Most {
            good: 100,
            bad: 10,
            bars: 200,
        })
    }

    fn end(listed: &mut Listed, n: i64, verdict: u16) {
        let row = JobSeen {
            label: format!("job {n}").into(),
            line: n,
            verdict,
            start: Some(n * 10),
            wall_us: Some(10),
            span: Some((n % 4) as usize),
            ..JobSeen::default()
        };
        let bar = Bar::new((n % 4) as u32, n * 10, 10, verdict * 2);
        // As whoever tells of it does.
        let is_named = verdict != 0 || n % listed.every as i64 == 0;
        let row = Some(row).filter(|_| is_named);
        listed.ended(row, Some(bar), Some("why".into()), n * 10 + 10);
    }

    /// How many jobs and tries a page has that asks for all there is.
    fn seen(listed: &Listed, cursor: &mut Cursor) -> (usize, i64, bool) {
        let (mut jobs, mut tries, mut reset) = (0, 0, false);
        loop {
            let more = listed.more(cursor, &[]);
            reset |= more.reset;
            jobs += more.jobs.n;
            let counts = read(&more.spans.count, false, more.spans.n);
            tries += counts.into_iter().flatten().sum::<i64>();
            if !more.more {
                return (jobs, tries, reset);
            }
        }
    }

    #[test]
    fn a_page_is_given_what_is_new() {
        let mut listed = few();
        (0..50).for_each(|n| end(&mut listed, n, 0));
        let mut cursor = Cursor::default();
        assert_eq!(seen(&listed, &mut cursor), (50, 0, true));
        (50..60).for_each(|n| end(&mut listed, n, 0));
        listed.tried(Bar::new(0, 5, 5, 3), 600);
        assert_eq!(seen(&listed, &mut cursor), (10, 1, false));
        assert_eq!(seen(&listed, &mut cursor), (0, 0, false));
        assert!(listed.draws_jobs());
    }

    #[test]
    fn however_many_there_are_a_page_has_few_and_every_try_is_in_a_bar() {
        let mut listed = few();
        let mut cursor = Cursor::default();
        let all = 100_000;
        for n in 0..all {
            end(&mut listed, n, u16::from(n % 100 == 0));
            assert!(listed.rows.len() <= 111 && listed.bars.len() <= 200);
        }
        assert!(!listed.draws_jobs() && listed.cut && listed.every > 1);
        listed.close(i64::MAX);
        let (jobs, tries, reset) = seen(&listed, &mut cursor);
        assert!(jobs <= 110 && reset, "{jobs}");
        assert_eq!(tries, all);
        let held = listed.rows.iter().filter(|row| row.verdict == 1).count();
        assert_eq!(held, 10);
        assert_eq!(listed.messages.all, ["why"]);
    }
}
