//! Folds a run file into what a page knows of it, one row after the other.

use std::collections::HashMap;
use std::path::Path;

use super::axis::Axis;
use super::bins::{COLUMNS, Grid, Measure, log_bin};
use super::groups::{Groups, why};
use super::hosts::Hosts;
use super::lists::{self, Last, RETRIED_KEPT, Retries, Slowest};
use super::model::{About, FORMAT, Figures, Kind, Model};
use super::notes;
use super::rows::{JobSeen, Jobs};
use super::spans::Timeline;
use super::waiting::Waiting;
use crate::run::runfile::{End, Look, RunFileError, State, Try};
use crate::run::text;

/// What tells verdicts apart; a file of anybody's making may hold more.
const WORDS: usize = 40;

/// Bins of the pictures of waiting, running and memory, for each power of ten.
pub(super) const WAIT_RUN: u32 = 8;
pub(super) const MEMORY: u32 = 16;

/// Reads a run file, at this point in time; `name` is what it is called in commands.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn gather(path: &Path, name: &str, now_us: i64) -> Result<Model, RunFileError> {
    let look = Look::open(path)?;
    let (ends, bad) = look.counts()?;
    let stopped = figures(&look).stopped() as usize;
    let jobs = Jobs::new(ends.saturating_add(stopped), bad.saturating_add(stopped));
    let mut gatherer = Gatherer::new(&look, now_us, jobs);
    look.tries(|one| gatherer.tried(one))?;
    look.ends(|end| gatherer.ended(end))?;
    look.unfinished(|end| gatherer.unfinished(end))?;
    if look.state.writer.is_some() && gatherer.kind == Kind::Full {
        look.open_jobs(|queued| gatherer.waits(queued))?;
    }
    Ok(gatherer.finish(look, name, now_us))
}

/// What is known of a job from the tries before its last.
#[derive(Debug, Default)]
struct Before {
    tries: u32,
    /// The run and the time of the first, if that is known.
    first: Option<(i64, i64)>,
}

struct Gatherer {
    kind: Kind,
    axis: Axis,
    words: Vec<String>,
    timeline: Timeline,
    jobs: Jobs,
    before: HashMap<i64, Before>,
    details: HashMap<i64, lists::Words>,
    retried: Retries,
    figures: Figures,
    run: Measure,
    wait: Measure,
    rss: Measure,
    wait_run: Grid,
    memory: Grid,
    waiting: Waiting,
    groups: Groups,
    hosts: Hosts,
    slowest: Slowest,
    seen: notes::Seen,
    last_run: i64,
    last_end: i64,
    labels_are_lines: bool,
}

impl Gatherer {
    fn new(look: &Look, now_us: i64, jobs: Jobs) -> Gatherer {
        let running = look.state.writer.is_some();
        let axis = Axis::new(&look.runs, running.then_some(now_us));
        let kind = match &look.state {
            State { light: true, .. } => Kind::Light,
            State {
                of_executor: true, ..
            } => Kind::Executor,
            _ => Kind::Full,
        };
        let mut hosts = Hosts::default();
        for (host, slots) in look.runs.iter().flat_map(|run| &run.hosts) {
            hosts.slots(host, *slots);
        }
        Gatherer {
            kind,
            hosts,
            waiting: Waiting::new(axis.total),
            timeline: Timeline::new(axis.total),
            axis,
            words: vec!["ok".into()],
            jobs,
            before: HashMap::new(),
            details: HashMap::new(),
            retried: Retries::default(),
            figures: figures(look),
            run: Measure::default(),
            wait: Measure::default(),
            rss: Measure::default(),
            wait_run: Grid::default(),
            memory: Grid::default(),
            groups: Groups::default(),
            slowest: Slowest::default(),
            seen: notes::Seen::default(),
            last_run: look.runs.last().map_or(0, |run| run.run),
            last_end: 0,
            labels_are_lines: true,
        }
    }

    /// The number of a verdict.
    fn word(&mut self, verdict: &str) -> u16 {
        let found = self.words.iter().position(|word| word == verdict);
        let at = found.unwrap_or_else(|| {
            if self.words.len() < WORDS {
                self.words.push(verdict.to_owned());
            }
            self.words.len() - 1
        });
        at as u16
    }

    /// Puts a try on the timeline. Of a light record there is none: what succeeded is
    /// missing.
    fn place(&mut self, one: &Try, retried: bool) -> Option<usize> {
        let word = self.word(&one.verdict);
        let start = self.axis.at(one.run, one.started_us?)?;
        let wall = one.wall_us.unwrap_or_default();
        self.figures.busy_us = self.figures.busy_us.saturating_add(wall);
        let cpu = one.cpu_us.unwrap_or_default();
        self.figures.cpu_us = self.figures.cpu_us.saturating_add(cpu);
        self.seen.tried(one, wall);
        let host = self.hosts.tried(one);
        if self.kind == Kind::Light {
            return None;
        }
        Some(self.timeline.put(one, (start, wall), word, retried, host))
    }

    /// A try that another one followed.
    fn tried(&mut self, one: Try) {
        self.figures.retries += 1;
        let wall = one.wall_us.unwrap_or_default();
        self.figures.lost_us = self.figures.lost_us.saturating_add(wall);
        self.place(&one, true);
        let before = self.before.entry(one.job).or_default();
        before.tries += 1;
        if before.tries == 1 {
            before.first = one.started_us.map(|us| (one.run, us));
        }
        let room = self.details.len() < RETRIED_KEPT || self.details.contains_key(&one.job);
        if room {
            lists::keep(self.details.entry(one.job).or_default(), &one);
        }
    }

    /// A job's end.
    fn ended(&mut self, end: &End<'_>) {
        let one = &end.last;
        let bad = one.verdict != "ok";
        let span = self.place(one, false);
        let before = self.before.get(&one.job);
        let first = match before {
            None => one.started_us.map(|us| (one.run, us)),
            Some(before) => before.first,
        };
        let wait = first.zip(end.queued_us).map(|((run, start), queued)| {
            // A job of a run that goes on waits from then on.
            let from = queued.max(self.axis.began(run).unwrap_or_default());
            (run, from, start.saturating_sub(from).max(0))
        });
        let wait_us = wait.map(|(_, _, us)| us);
        if self.kind != Kind::Light {
            self.measure(end, bad, wait_us);
            if let Some((run, from, us)) = wait {
                let until = self.axis.at(run, from.saturating_add(us));
                if let Some((from, until)) = self.axis.at(run, from).zip(until) {
                    self.waiting.add(from, until);
                }
            }
            self.list(end, bad, wait_us);
        }
        self.seen.ended(end);
        self.row(end, wait_us, span, false);
    }

    /// A job has ended without a verdict, and is run when the run goes on.
    fn unfinished(&mut self, end: &End<'_>) {
        let span = self.place(&end.last, false);
        self.row(end, None, span, true);
    }

    /// A job's row in the table, and its place among those that did not succeed.
    fn row(&mut self, end: &End<'_>, wait_us: Option<i64>, span: Option<usize>, open: bool) {
        let one = &end.last;
        let bad = one.verdict != "ok";
        let host = self.hosts.ended(one);
        if bad {
            self.groups.add(&label(end), end.line, one, open);
        }
        let line = end.item.filter(|item| !item.contains(&0));
        self.labels_are_lines &= end.id.is_none() && line.is_some();
        if self.jobs.wants(bad) {
            let verdict = self.word(&one.verdict);
            let message = bad.then(|| why(one));
            self.jobs.push(
                JobSeen {
                    label: label(end).into(),
                    line: end.line,
                    tries: one.attempt,
                    verdict,
                    start: one.started_us.and_then(|us| self.axis.at(one.run, us)),
                    wall_us: one.wall_us,
                    wait_us,
                    cpu_us: one.cpu_us,
                    rss_kib: one.rss_kib,
                    span,
                    host,
                    message: 0,
                },
                message,
            );
        }
    }

    fn measure(&mut self, end: &End<'_>, bad: bool, wait_us: Option<i64>) {
        let one = &end.last;
        if let Some(wall) = one.wall_us {
            self.run.add(wall, bad);
            if let Some(wait) = wait_us {
                self.wait_run
                    .add(log_bin(wait, WAIT_RUN), log_bin(wall, WAIT_RUN), bad);
            }
        }
        if let Some(wait) = wait_us {
            self.wait.add(wait, bad);
        }
        let ended = one.started_us.and_then(|us| {
            let end = us.saturating_add(one.wall_us.unwrap_or_default());
            self.axis.at(one.run, end)
        });
        if let Some(ended) =
            ended.filter(|&ended| one.run == self.last_run && ended >= self.last_end)
        {
            self.last_end = ended;
            self.seen.last = Some(label(end));
        }
        if let Some(rss) = one.rss_kib.filter(|&rss| rss > 0) {
            self.rss.add(rss, bad);
            if let Some(ended) = ended {
                let parts = i128::from(ended) * i128::from(COLUMNS);
                let column = parts / i128::from(self.axis.total.max(1));
                let column = column.min(i128::from(COLUMNS) - 1) as u32;
                self.memory.add(column, log_bin(rss, MEMORY), bad);
            }
        }
    }

    /// Puts a job on the lists of those that stand out, if it does.
    fn list(&mut self, end: &End<'_>, bad: bool, wait_us: Option<i64>) {
        let one = &end.last;
        let start = one.started_us.and_then(|us| self.axis.at(one.run, us));
        let last = Last {
            one,
            line: end.line,
            start,
            wait_us,
        };
        self.slowest.add(&last, || label(end));
        let Some(before) = self.before.get(&one.job) else {
            return;
        };
        self.figures.retried_jobs += 1;
        self.figures.retried_ok += u64::from(!bad);
        if let Some(tries) = self.details.remove(&one.job) {
            let count = i64::from(before.tries);
            self.retried.add(&last, label(end), count, tries);
        }
    }

    /// A job waits that has no end.
    fn waits(&mut self, queued_us: i64) {
        let from = queued_us.max(self.axis.began(self.last_run).unwrap_or_default());
        if let Some(from) = self.axis.at(self.last_run, from) {
            self.waiting.add(from, self.axis.total);
        }
    }

    fn finish(self, look: Look, name: &str, now_us: i64) -> Model {
        let Look { state, runs, .. } = look;
        let laid = self.timeline.lay(&self.hosts);
        let mut figures = self.figures;
        let lanes = i64::from(laid.lanes);
        let known = |run: i64| {
            let of = runs.iter().find(|seen| seen.run == run);
            of.and_then(|seen| seen.workers)
                .filter(|&workers| workers > 0)
        };
        let capacity = self
            .axis
            .lengths()
            .map(|(run, length)| length.saturating_mul(known(run).unwrap_or(lanes)));
        figures.capacity_us = capacity.fold(0, i64::saturating_add);
        figures.wall_us = self.axis.total;
        figures.workers = known(self.last_run).unwrap_or(lanes).unsigned_abs();
        if self.kind == Kind::Light {
            (figures.capacity_us, figures.busy_us) = (0, 0);
        }
        figures.run = self.run.finish();
        figures.wait = self.wait.finish();
        figures.rss = self.rss.finish();
        let (groups, ungrouped) = self.groups.finish();
        let (jobs, messages) = self.jobs.finish(&laid);
        let whole = jobs.every == 1 && !jobs.cut && laid.fits();
        let waiting = self.waiting.finish();
        let here = runs.last().map_or("", |run| &run.host);
        let (names, hosts) = self.hosts.finish(here);
        let mut about = About {
            name: name.to_owned(),
            now_us,
            run_id: state.run_id,
            purpose: state.purpose,
            kind: self.kind,
            running: state.writer,
            input_whole: state.input_whole,
            dropped: state.dropped.unsigned_abs(),
            groups,
            ungrouped,
            slowest: self.slowest.0,
            retried: self.retried.0,
            workers: laid.workers(),
            hosts,
            runs,
            ..About::default()
        };
        let tail = (laid.lanes > 1)
            .then(|| laid.tail_us(self.last_end))
            .flatten();
        about.notes = notes::notes(&figures, &about, &self.seen, tail, &waiting);
        Model {
            format: FORMAT,
            total_us: self.axis.total,
            marks: self.axis.marks(),
            lanes: laid.lanes,
            lanes_are_workers: laid.are_workers,
            lane_hosts: laid.hosts(),
            hosts: names,
            verdicts: self
                .words
                .iter()
                .map(|word| text::clipped(word.as_bytes()))
                .collect(),
            messages,
            figures,
            waiting,
            wait_run: self.wait_run.finish(Some(WAIT_RUN), WAIT_RUN),
            memory: self.memory.finish(None, MEMORY),
            spans: laid.spans(whole),
            draw_jobs: whole && self.kind != Kind::Light,
            labels_are_lines: self.labels_are_lines,
            deaths: laid.deaths(),
            jobs,
            about,
        }
    }
}

/// What the file says of all jobs.
fn figures(look: &Look) -> Figures {
    let state = &look.state;
    let counts = |all: &[(String, i64)]| -> Vec<(String, u64)> {
        let all = all.iter();
        all.map(|(word, jobs)| (word.clone(), jobs.unsigned_abs()))
            .collect()
    };
    let verdicts = counts(&state.verdicts);
    let ended = verdicts.iter().map(|(_, jobs)| jobs).sum();
    let mut figures = Figures {
        jobs: state.jobs.unsigned_abs(),
        ended,
        verdicts,
        unfinished: counts(&state.unfinished),
        ..Figures::default()
    };
    figures.ok = figures.with("ok");
    figures.bad = figures.ended.saturating_sub(figures.ok);
    figures
}

/// What a job is called: by the input, else its line.
fn label(end: &End<'_>) -> String {
    if let Some(id) = end.id {
        let name = serde_json::from_str::<String>(id);
        return text::clipped(name.as_deref().unwrap_or(id).as_bytes());
    }
    match end.item {
        // Between the fields of an item there is a zero byte.
        Some(item) if item.contains(&0) => {
            let item: Vec<u8> = item
                .iter()
                .map(|&b| if b == 0 { b' ' } else { b })
                .collect();
            text::clipped(&item)
        }
        Some(item) => text::clipped(item),
        None => format!("line {}", end.line),
    }
}
