//! The timeline: what ran when on which worker.

use std::collections::HashMap;

use super::columns::{Column, Written};
use super::hosts::Hosts;
use super::lanes::{pack, pack_within, tail_from};
use super::model::{Deaths, Spans, Worker};
use crate::run::runfile::Try;

/// How many bars a page has.
pub(super) const SPANS: usize = 300_000;

/// How many deaths of workers are marked.
pub(super) const DEATHS: usize = 5_000;

/// No worker is known.
const NOBODY: u32 = u32::MAX;

/// A try.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: i64,
    dur: i64,
    life: u32,
    /// Twice the verdict's number, and one more for a try that another followed.
    state: u16,
}

impl Span {
    fn end(self) -> i64 {
        self.start + self.dur
    }

    fn is_bad(self) -> bool {
        self.state != 0
    }
}

/// A worker, from its first job to its last.
#[derive(Clone, Debug, Default)]
struct Life {
    first: i64,
    last: i64,
    /// The number of its host: one elsewhere runs several jobs at once.
    host: u16,
    /// Whether it died of the job that was its last.
    died: bool,
    cpu_us: i64,
    rss_kib: i64,
}

/// Tries, as they come.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    total: i64,
    spans: Vec<Span>,
    known: HashMap<(i64, i64), u32>,
    lives: Vec<Life>,
}

impl Timeline {
    pub(super) fn new(total: i64) -> Timeline {
        Timeline {
            total,
            ..Timeline::default()
        }
    }

    /// Adds a try that began then and took so long, at this host; gives its number.
    pub(super) fn put(
        &mut self,
        one: &Try,
        (start, wall): (i64, i64),
        verdict: u16,
        retried: bool,
        host: u16,
    ) -> usize {
        let span = Span {
            start,
            dur: wall.clamp(0, self.total - start),
            life: one
                .worker
                .map_or(NOBODY, |worker| self.life((one.run, worker), host)),
            state: verdict * 2 + u16::from(retried),
        };
        if let Some(life) = self.lives.get_mut(span.life as usize) {
            life.first = life.first.min(start);
            life.cpu_us = life.cpu_us.saturating_add(one.cpu_us.unwrap_or_default());
            life.rss_kib = life.rss_kib.max(one.rss_kib.unwrap_or_default());
            if span.end() >= life.last {
                life.last = span.end();
                life.died = matches!(
                    one.verdict.as_str(),
                    "crashed" | "oom" | "quarantined" | "unkillable" | "timeout"
                );
            }
        }
        self.spans.push(span);
        self.spans.len() - 1
    }

    fn life(&mut self, worker: (i64, i64), host: u16) -> u32 {
        let next = self.lives.len() as u32;
        let number = *self.known.entry(worker).or_insert(next);
        if number == next {
            self.lives.push(Life {
                first: i64::MAX,
                host,
                ..Life::default()
            });
        }
        number
    }

    /// Gives each worker its row, and each host as many as jobs ran there at once.
    pub(super) fn lay(self, hosts: &Hosts) -> Laid {
        let lives = self.lives;
        let mut order: Vec<u32> = (0..lives.len() as u32).collect();
        order.retain(|&i| lives[i as usize].host == 0);
        order.sort_by_key(|&i| (lives[i as usize].first, i));
        let rows = pack(order.iter().map(|&i| {
            let life = &lives[i as usize];
            (life.first, life.last)
        }));
        let mut life_lanes = vec![0; lives.len()];
        for (&i, row) in order.iter().zip(rows) {
            life_lanes[i as usize] = row;
        }
        let above = life_lanes.iter().max().copied();
        let above = above
            .filter(|_| !order.is_empty())
            .map_or(0, |most| most + 1);
        let mut lane_hosts = vec![0; above as usize];
        let mut lanes: Vec<u32> = self
            .spans
            .iter()
            .map(|span| life_lanes.get(span.life as usize).copied().unwrap_or(0))
            .collect();
        let mut elsewhere: HashMap<u16, Vec<u32>> = HashMap::new();
        // Tries of which nobody knows where they ran.
        let mut lost: Vec<u32> = Vec::new();
        for (i, span) in (0..).zip(&self.spans) {
            match lives.get(span.life as usize) {
                None => lost.push(i),
                Some(life) if life.host == 0 => {}
                Some(life) => elsewhere.entry(life.host).or_default().push(i),
            }
        }
        let mut lay = |mut those: Vec<u32>, host: u16, most: Option<u32>| {
            those.sort_by_key(|&i| self.spans[i as usize].start);
            let above = lane_hosts.len() as u32;
            let spans = those.iter().map(|&i| {
                let span = self.spans[i as usize];
                (span.start, span.end())
            });
            for (&i, row) in those.iter().zip(pack_within(spans, most)) {
                lanes[i as usize] = above + row;
                let there = lane_hosts.len().max((above + row + 1) as usize);
                lane_hosts.resize(there, host);
            }
        };
        for host in hosts.order() {
            if let Some(those) = elsewhere.remove(&host) {
                let most = u32::try_from(hosts.slots_of(host)).ok();
                lay(those, host, most.filter(|&most| most > 0));
            }
        }
        let are_workers = lost.is_empty();
        lay(lost, 0, None);
        Laid {
            total: self.total,
            lanes: lane_hosts.len() as u32,
            lane_hosts,
            are_workers,
            spans: self.spans,
            span_lanes: lanes,
            by_lane: order.iter().map(|&i| (life_lanes[i as usize], i)).collect(),
            lives,
        }
    }
}

/// Tries, each in its row.
#[derive(Debug)]
pub(super) struct Laid {
    total: i64,
    pub(super) lanes: u32,
    /// The number of each row's host.
    lane_hosts: Vec<u16>,
    /// Whether each row is a worker's, or a place at a host.
    pub(super) are_workers: bool,
    spans: Vec<Span>,
    span_lanes: Vec<u32>,
    /// Rows and workers, in the order of their first jobs.
    by_lane: Vec<(u32, u32)>,
    lives: Vec<Life>,
}

impl Laid {
    pub(super) fn lane(&self, span: usize) -> u32 {
        self.span_lanes[span]
    }

    /// Whether all bars have room in a page.
    pub(super) fn fits(&self) -> bool {
        self.spans.len() <= SPANS
    }

    /// The hosts of the rows.
    pub(super) fn hosts(&self) -> Written {
        let mut hosts = Column::plain();
        for &host in &self.lane_hosts {
            hosts.push(Some(i64::from(host)));
        }
        hosts.finish()
    }

    /// What each row has come to, if rows are workers.
    pub(super) fn workers(&self) -> Vec<Worker> {
        if !self.are_workers {
            return Vec::new();
        }
        let mut all = vec![Worker::default(); self.lanes as usize];
        for (span, &lane) in self.spans.iter().zip(&self.span_lanes) {
            let worker = &mut all[lane as usize];
            worker.tries += 1;
            worker.bad += u64::from(span.is_bad());
            worker.busy_us = worker.busy_us.saturating_add(span.dur);
        }
        for &(lane, life) in &self.by_lane {
            let (worker, life) = (&mut all[lane as usize], &self.lives[life as usize]);
            worker.lives += 1;
            worker.cpu_us = worker.cpu_us.saturating_add(life.cpu_us);
            worker.rss_kib = worker.rss_kib.max(life.rss_kib);
        }
        all
    }

    /// How long before `end` fewer than half of the rows had work.
    pub(super) fn tail_us(&self, end: i64) -> Option<i64> {
        let mut ends = vec![0; self.lanes as usize];
        for (span, &lane) in self.spans.iter().zip(&self.span_lanes) {
            let last = &mut ends[lane as usize];
            *last = span.end().max(*last);
        }
        tail_from(ends).map(|from| end.saturating_sub(from).max(0))
    }

    /// When a worker took the place of one that had died.
    pub(super) fn deaths(&self) -> Deaths {
        let mut last: HashMap<u32, u32> = HashMap::new();
        let (mut at, mut lanes, mut n) = (Column::near(), Column::plain(), 0);
        for &(lane, life) in &self.by_lane {
            let before = last.insert(lane, life).map(|i| &self.lives[i as usize]);
            if n < DEATHS && before.is_some_and(|before| before.died) {
                at.push(before.map(|before| before.last));
                lanes.push(Some(i64::from(lane)));
                n += 1;
            }
        }
        Deaths {
            n,
            at: at.finish(),
            lane: lanes.finish(),
        }
    }

    /// The bars: only of tries that another followed where the page draws the others by
    /// itself; else of all, joined where nobody could tell them apart.
    pub(super) fn spans(&self, others_are_drawn: bool) -> Spans {
        let mut order: Vec<usize> = (0..self.spans.len()).collect();
        if others_are_drawn {
            order.retain(|&i| self.spans[i].state % 2 == 1);
            order.sort_by_key(|&i| self.spans[i].start);
            let bars = order
                .into_iter()
                .map(|i| Bar::of(self.spans[i], self.lane(i)));
            return written(bars);
        }
        let pixel = self.total.saturating_mul(i64::from(self.lanes)) / (SPANS as i64 / 2);
        let pixel = pixel.max(1);
        order.sort_by_key(|&i| Bar::of(self.spans[i], self.lane(i)).place(pixel));
        let mut bars: Vec<Bar> = Vec::new();
        for i in order {
            let bar = Bar::of(self.spans[i], self.lane(i));
            match bars.last_mut() {
                Some(last) if last.takes(&bar, pixel) => last.join(&bar),
                _ => bars.push(bar),
            }
        }
        written(bars.into_iter())
    }
}

/// One try or several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    span: Span,
    pub(super) lane: u32,
    pub(super) count: i64,
    busy: i64,
}

impl Bar {
    /// One try.
    pub(super) fn new(lane: u32, start: i64, dur: i64, state: u16) -> Bar {
        let span = Span {
            start,
            dur,
            life: NOBODY,
            state,
        };
        Bar::of(span, lane)
    }

    pub(super) fn state(&self) -> u16 {
        self.span.state
    }

    /// Where it stands among bars that are to be joined at this width.
    pub(super) fn place(&self, pixel: i64) -> (u32, i64, u16, i64) {
        let Span { start, state, .. } = self.span;
        (self.lane, start / pixel, state, start)
    }

    fn of(span: Span, lane: u32) -> Bar {
        Bar {
            span,
            lane,
            count: 1,
            busy: span.dur,
        }
    }

    pub(super) fn takes(&self, next: &Bar, pixel: i64) -> bool {
        let is_short = self.busy < pixel && next.busy < pixel;
        let same_place = self.lane == next.lane && self.span.state == next.span.state;
        is_short && same_place && self.span.start / pixel == next.span.start / pixel
    }

    pub(super) fn join(&mut self, next: &Bar) {
        let end = self.span.end().max(next.span.end());
        self.span.start = self.span.start.min(next.span.start);
        self.span.dur = end - self.span.start;
        self.count += next.count;
        self.busy = self.busy.saturating_add(next.busy);
    }
}

pub(super) fn written(bars: impl Iterator<Item = Bar>) -> Spans {
    let (mut start, mut n) = (Column::near(), 0);
    let [mut lane, mut dur, mut state, mut count, mut busy] =
        std::array::from_fn(|_| Column::plain());
    for bar in bars {
        n += 1;
        lane.push(Some(i64::from(bar.lane)));
        start.push(Some(bar.span.start));
        dur.push(Some(bar.span.dur));
        state.push(Some(i64::from(bar.span.state)));
        count.push(Some(bar.count));
        busy.push((bar.count > 1).then_some(bar.busy));
    }
    Spans {
        n,
        lane: lane.finish(),
        start: start.finish(),
        dur: dur.finish(),
        state: state.finish(),
        count: count.finish(),
        busy: busy.finish(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::tests::read;
    use super::*;

    fn one(worker: Option<i64>, verdict: &str) -> Try {
        Try {
            run: 1,
            worker,
            verdict: verdict.into(),
            cpu_us: Some(5),
            rss_kib: Some(7),
            ..Try::default()
        }
    }

    #[test]
    fn who_takes_the_place_of_a_dead_worker_has_its_row() {
        let mut timeline = Timeline::new(100_000);
        timeline.put(&one(Some(1), "ok"), (0, 90_000), 0, false, 0);
        timeline.put(&one(Some(2), "ok"), (10, 10_000), 0, false, 0);
        timeline.put(&one(Some(2), "crashed"), (10_010, 10_000), 1, true, 0);
        timeline.put(&one(Some(3), "ok"), (30_000, 90_000), 0, false, 0);
        let laid = timeline.lay(&Hosts::default());
        assert_eq!((laid.lanes, laid.are_workers), (2, true));
        assert_eq!(laid.span_lanes, [0, 1, 1, 1]);
        let workers = laid.workers();
        assert_eq!(
            (workers[1].lives, workers[1].tries, workers[1].bad),
            (2, 3, 1)
        );
        // What is beyond the end is cut.
        assert_eq!(workers[1].busy_us, 90_000);
        let deaths = laid.deaths();
        assert_eq!(
            (deaths.n, read(&deaths.at, true, 1)),
            (1, vec![Some(20_010)])
        );
        let bars = laid.spans(true);
        assert_eq!((bars.n, read(&bars.state, false, 1)), (1, vec![Some(3)]));
        assert_eq!(laid.tail_us(100_000), Some(0));
    }

    #[test]
    fn a_host_has_as_many_rows_as_jobs_ran_there_at_once_and_no_more_than_it_has_places() {
        let mut hosts = Hosts::default();
        hosts.slots("b", 2);
        hosts.number(Some("a"));
        let mut timeline = Timeline::new(100_000);
        let mut put = |worker, start, wall, host| {
            timeline.put(&one(Some(worker), "ok"), (start, wall), 0, false, host);
        };
        // One agent at each, the one at `b` a second time; and a worker here.
        put(1, 0, 50_000, 1);
        put(1, 10_000, 50_000, 1);
        put(1, 20_000, 9_000, 1);
        put(2, 0, 30_000, 2);
        put(3, 0, 90_000, 0);
        put(4, 60_000, 9_000, 1);
        let laid = timeline.lay(&hosts);
        assert_eq!(laid.span_lanes, [2, 3, 2, 1, 0, 2]);
        assert_eq!(laid.lane_hosts, [0, 2, 1, 1]);
        assert_eq!((laid.lanes, laid.are_workers), (4, true));
        assert_eq!(laid.workers()[2].tries, 3);
        assert_eq!(read(&laid.hosts(), false, 4).len(), 4);
    }

    #[test]
    fn bars_that_nobody_could_tell_apart_are_joined() {
        let total = 1_000_000_000;
        let mut timeline = Timeline::new(total);
        let n = 2 * SPANS as i64;
        for i in 0..n {
            timeline.put(&one(None, "ok"), (i * total / n, total / n), 0, false, 0);
        }
        timeline.put(&one(None, "failed"), (5, 1), 1, false, 0);
        let laid = timeline.lay(&Hosts::default());
        assert!(!laid.fits() && !laid.are_workers && laid.workers().is_empty());
        let bars = laid.spans(false);
        assert!(bars.n <= SPANS, "{}", bars.n);
        let sum = |column, n| -> i64 { read(column, false, n).into_iter().flatten().sum() };
        assert_eq!(sum(&bars.count, bars.n), n + 1);
        assert!(read(&bars.state, false, bars.n).contains(&Some(2)));
    }
}
