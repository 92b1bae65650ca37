//! A page that goes with its run: what has happened, folded into the same model as a report's.
//! Its memory is bounded, whatever the run's length.

mod listed;
mod metrics;
mod model;
mod places;
mod status;

use std::collections::HashMap;
use std::time::Duration;

use self::listed::Listed;
pub(crate) use self::listed::{Cursor, More};
pub(crate) use self::metrics::metrics;
use self::places::Places;
pub(crate) use self::status::status;
use super::bins::{Grid, Growing, Sizes, log_bin};
use super::gather::{MEMORY, WAIT_RUN};
use super::groups::{Groups, why};
use super::hosts::Hosts;
use super::lists::{self, Last, RETRIED_KEPT, Retries, Slowest};
use super::model::Figures;
use super::notes;
use super::rows::JobSeen;
use super::spans::{Bar, DEATHS};
use crate::run::observe::live::{Seen, Told};
use crate::run::observe::stand::Stand;
use crate::run::report::Summary;
use crate::run::runfile::{RunSeen, Try};
use crate::scheduler::Verdict;

/// How many points in time it is known of how many jobs waited.
const SAMPLES: usize = 1_200;
/// What a page says of its run from the beginning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Base {
    /// What the run is called in commands; empty when it is not recorded.
    pub(crate) name: String,
    pub(crate) run_id: String,
    pub(crate) purpose: String,
    pub(crate) run: RunSeen,
}

/// How a run has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    /// What it is called in commands now.
    pub(crate) name: String,
    /// Whether all of its input was read.
    pub(crate) whole: bool,
    /// Why it failed, if it was not the jobs.
    pub(crate) failure: Option<String>,
}

/// The tries before a job's last.
#[derive(Debug, Default)]
struct Before {
    count: i64,
    wait_us: Option<i64>,
    tries: lists::Words,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Live {
    base: Base,
    stand: Stand,
    ended: Option<Ended>,
    words: Vec<&'static str>,
    figures: Figures,
    run: Sizes,
    wait: Sizes,
    rss: Sizes,
    wait_run: Grid,
    memory: Growing,
    /// When how many jobs waited.
    samples: Vec<(i64, i64)>,
    groups: Groups,
    slowest: Slowest,
    retried: Retries,
    hosts: Hosts,
    before: HashMap<u64, Before>,
    seen: notes::Seen,
    places: Places,
    deaths: Vec<(i64, u32)>,
    listed: Listed,
    last_end: i64,
    /// What has happened and is only counted.
    missed: u64,
    labels_are_lines: bool,
}

impl Live {
    pub(crate) fn new(base: Base) -> Live {
        Live {
            base,
            stand: Stand::default(),
            ended: None,
            words: vec![Verdict::Ok.word()],
            figures: Figures::default(),
            run: Sizes::default(),
            wait: Sizes::default(),
            rss: Sizes::default(),
            wait_run: Grid::default(),
            memory: Growing::default(),
            samples: Vec::new(),
            groups: Groups::default(),
            slowest: Slowest::default(),
            retried: Retries::default(),
            hosts: Hosts::default(),
            before: HashMap::new(),
            seen: notes::Seen::default(),
            places: Places::default(),
            deaths: Vec::new(),
            listed: Listed::default(),
            last_end: 0,
            missed: 0,
            labels_are_lines: true,
        }
    }

    /// The run stands like this.
    pub(crate) fn stands(&mut self, stand: Stand) {
        if self.samples.len() == SAMPLES {
            let mut takes = false;
            self.samples.retain(|_| {
                takes = !takes;
                takes
            });
        }
        self.samples
            .push((us(stand.elapsed), stand.stats.waiting as i64));
        self.stand = stand;
    }

    /// The run has come to this, and has ended so.
    pub(crate) fn ends(&mut self, summary: &Summary, ended: Ended) {
        self.stand.end(summary);
        self.listed.close(i64::MAX);
        self.ended = Some(ended);
    }

    /// So much has happened of which nothing more is known.
    pub(crate) fn misses(&mut self, number: u64) {
        self.missed += number;
    }

    /// Of how many jobs that succeed one is listed.
    pub(crate) fn every(&self) -> usize {
        self.listed.every
    }

    pub(crate) fn take(&mut self, told: Told) {
        match told {
            Told::Sits(slot) => self.places.sits(slot),
            Told::Host(host, slots) => self.hosts.slots(&host, slots.into()),
            Told::Died(slot, at) => {
                if self.deaths.len() < DEATHS {
                    self.deaths.push((us(at), self.places.of(slot)));
                }
            }
            Told::Retried(seen) => self.retry(*seen),
            Told::Ended(seen) => self.end(*seen),
        }
    }

    fn word(&mut self, verdict: Verdict) -> u16 {
        let word = verdict.word();
        let found = self.words.iter().position(|known| *known == word);
        let at = found.unwrap_or_else(|| {
            self.words.push(word);
            self.words.len() - 1
        });
        at as u16
    }

    /// Adds a try to what its worker did; gives its bar.
    fn place(&mut self, one: &Try, seen: &Seen, retried: bool) -> Option<Bar> {
        self.seen.tried(one, one.wall_us.unwrap_or_default());
        let (start, wall) = (one.started_us?, one.wall_us.unwrap_or_default());
        let figures = &mut self.figures;
        figures.busy_us = figures.busy_us.saturating_add(wall);
        figures.cpu_us = figures
            .cpu_us
            .saturating_add(one.cpu_us.unwrap_or_default());
        let host = self.hosts.tried(one);
        let lane = match host {
            0 => self.places.of(seen.slot?),
            host => {
                let slots = self.hosts.slots_of(host);
                self.places.at(host, start, slots)
            }
        };
        self.places
            .tried(lane, one, seen.verdict != Verdict::Ok || retried);
        let state = self.word(seen.verdict) * 2 + u16::from(retried);
        Some(Bar::new(lane, start, wall, state))
    }

    fn retry(&mut self, seen: Seen) {
        let one = as_try(&seen);
        self.figures.retries += 1;
        let wall = one.wall_us.unwrap_or_default();
        self.figures.lost_us = self.figures.lost_us.saturating_add(wall);
        if let Some(bar) = self.place(&one, &seen, true) {
            self.listed.tried(bar, us(seen.ended));
        }
        let wait_us = waited(&seen);
        if self.before.len() < RETRIED_KEPT || self.before.contains_key(&seen.job.0) {
            let before = self.before.entry(seen.job.0).or_default();
            before.count += 1;
            if before.count == 1 {
                before.wait_us = wait_us;
            }
            lists::keep(&mut before.tries, &one);
        }
    }

    fn end(&mut self, seen: Seen) {
        let one = as_try(&seen);
        let bad = seen.verdict != Verdict::Ok;
        let bar = self.place(&one, &seen, false);
        let before = self.before.remove(&seen.job.0);
        let wait_us = match &before {
            None => waited(&seen),
            Some(before) => before.wait_us,
        };
        self.measure(&seen, &one, wait_us);
        self.seen.left(u64::from(seen.usage.leaked), seen.omitted);
        self.labels_are_lines &= seen.is_line;
        let label = seen.label.as_deref().unwrap_or_default();
        let last = Last {
            one: &one,
            line: line(&seen),
            start: one.started_us,
            wait_us,
        };
        self.slowest.add(&last, || match label {
            "" => format!("line {}", seen.line),
            label => label.to_owned(),
        });
        if let Some(before) = before {
            self.figures.retried_jobs += 1;
            self.figures.retried_ok += u64::from(!bad);
            let (count, tries) = (before.count, before.tries);
            self.retried.add(&last, label.to_owned(), count, tries);
        }
        if bad {
            let open = is_open(seen.verdict.word());
            self.groups.add(label, line(&seen), &one, open);
        }
        let host = self.hosts.ended(&one);
        let row = seen.label.as_deref().map(|label| JobSeen {
            label: label.into(),
            line: line(&seen),
            tries: one.attempt,
            verdict: 0,
            start: one.started_us,
            wall_us: one.wall_us,
            wait_us,
            cpu_us: one.cpu_us,
            rss_kib: one.rss_kib,
            span: bar.map(|bar| bar.lane as usize),
            host,
            message: 0,
        });
        let verdict = self.word(seen.verdict);
        let row = row.map(|row| JobSeen { verdict, ..row });
        let message = bad.then(|| why(&one));
        self.listed.ended(row, bar, message, us(seen.ended));
    }

    fn measure(&mut self, seen: &Seen, one: &Try, wait_us: Option<i64>) {
        let bad = seen.verdict != Verdict::Ok;
        if let Some(wall) = one.wall_us {
            self.run.add(wall, bad);
            if let Some(wait) = wait_us {
                let (wait, wall) = (log_bin(wait, WAIT_RUN), log_bin(wall, WAIT_RUN));
                self.wait_run.add(wait, wall, bad);
            }
        }
        if let Some(wait) = wait_us {
            self.wait.add(wait, bad);
        }
        let ended = us(seen.ended);
        if one.started_us.is_some() && ended >= self.last_end {
            self.last_end = ended;
            self.seen.last = seen.label.clone().or(self.seen.last.take());
        }
        if let Some(rss) = one.rss_kib.filter(|&rss| rss > 0) {
            self.rss.add(rss, bad);
            self.memory.add(ended, log_bin(rss, MEMORY), bad);
        }
    }

    /// What a page has not got of the rows.
    pub(crate) fn more(&self, cursor: &mut Cursor) -> More {
        self.listed.more(cursor, &self.deaths)
    }
}

/// Whether who has ended so has no verdict, and is run when the run goes on.
fn is_open(word: &str) -> bool {
    let open = [Verdict::Interrupted, Verdict::Cancelled, Verdict::Lost];
    open.iter().any(|open| open.word() == word)
}

fn us(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn line(seen: &Seen) -> i64 {
    i64::try_from(seen.line).unwrap_or(i64::MAX)
}

/// How long a job waited for its first try, if this was that.
fn waited(seen: &Seen) -> Option<i64> {
    let (queued, started) = seen.queued.zip(seen.started)?;
    Some(us(started.saturating_sub(queued)))
}

/// The same as a run file has it.
fn as_try(seen: &Seen) -> Try {
    let (exit, signal, errno) = match seen.verdict {
        Verdict::Ok => (Some(0), None, None),
        Verdict::Failed(code) => (Some(i64::from(code)), None, None),
        Verdict::Signaled(signal) => (None, Some(i64::from(signal)), None),
        Verdict::SpawnError(errno) => (None, None, Some(i64::from(errno))),
        _ => (None, None, None),
    };
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let usage = seen.usage;
    let is_measured = usage.is_measured();
    // A worker of anybody's making has measured it: nothing takes longer than the run.
    let wall_us = number(usage.wall_us).min(us(seen.ended));
    let watched = seen
        .started
        .map(|started| us(seen.ended.saturating_sub(started)));
    Try {
        job: number(seen.job.0),
        run: 1,
        attempt: i64::from(seen.attempt),
        verdict: seen.verdict.word().to_owned(),
        exit,
        signal,
        errno,
        message: seen.message.clone(),
        worker: None,
        host: seen.host.as_deref().map(str::to_owned),
        started_us: seen.started.map(us),
        // When its worker died, nobody was left to measure it.
        wall_us: is_measured.then_some(wall_us).or(watched),
        cpu_us: is_measured.then(|| number(usage.user_us.saturating_add(usage.system_us))),
        rss_kib: is_measured.then(|| number(usage.max_rss_kib)),
        stderr: seen.stderr.clone(),
    }
}

#[cfg(test)]
mod tests;
