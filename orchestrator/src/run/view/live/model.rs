//! The model of which a page is made, as the run stands.

use super::super::gather::{MEMORY, WAIT_RUN};
use super::super::lanes::tail_from;
use super::super::lists::SLOWEST;
use super::super::model::{About, AtWork, FORMAT, Figures, Kind, Model, Rows, Working};
use super::super::notes;
use super::{Base, Live, is_open, us};
use crate::run::runfile::RunSeen;
use crate::scheduler::Verdict;

pub(super) const POINTS: i64 = 600;

/// So long after its end, a try may still come to be known.
const LATE_US: i64 = 2_000_000;

impl Live {
    /// The model without its rows, as it is now.
    pub(crate) fn model(&mut self) -> Model {
        let now = us(self.stand.elapsed).max(self.last_end);
        self.listed.close(now.saturating_sub(LATE_US));
        let figures = self.figures(now);
        let waiting = self.waiting(now);
        let (names, hosts) = self.hosts.finish(&self.base.run.host);
        let about = About {
            hosts,
            ..self.about(&figures, &waiting, now)
        };
        Model {
            format: FORMAT,
            total_us: now,
            lanes: self.places.count(),
            lanes_are_workers: true,
            lane_hosts: self.places.hosts(),
            hosts: names,
            verdicts: self.words.iter().map(|&word| word.to_owned()).collect(),
            messages: self.listed.messages.all.clone(),
            figures,
            waiting,
            wait_run: self.wait_run.finish(Some(WAIT_RUN), WAIT_RUN),
            memory: self.memory.finish(now, MEMORY),
            draw_jobs: self.listed.draws_jobs(),
            labels_are_lines: self.labels_are_lines,
            jobs: Rows {
                every: self.listed.every,
                cut: self.listed.cut || self.missed > 0,
                ..Rows::default()
            },
            about,
            ..Model::default()
        }
    }

    fn figures(&self, now: i64) -> Figures {
        let stand = &self.stand;
        let mut verdicts = Vec::new();
        if stand.succeeded > 0 {
            verdicts.push((Verdict::Ok.word().to_owned(), stand.succeeded));
        }
        let mut bad: Vec<_> = stand
            .bad
            .iter()
            .map(|(word, &jobs)| ((*word).to_owned(), jobs))
            .collect();
        bad.sort_by_key(|&(_, jobs)| std::cmp::Reverse(jobs));
        bad.retain(|&(_, jobs)| jobs > 0);
        let (unfinished, bad): (Vec<_>, _) = bad.into_iter().partition(|(word, _)| is_open(word));
        verdicts.extend(bad);
        let ended = verdicts.iter().map(|&(_, jobs)| jobs).sum::<u64>();
        let known = stand.ended() + (stand.stats.waiting + stand.stats.running) as u64;
        Figures {
            jobs: stand.total.unwrap_or(known).max(stand.ended()),
            ended,
            ok: stand.succeeded,
            bad: ended - stand.succeeded,
            verdicts,
            unfinished,
            wall_us: now,
            workers: stand.workers as u64,
            capacity_us: now.saturating_mul(stand.workers as i64),
            retries: stand.retries,
            run: self.run.measured(),
            wait: self.wait.measured(),
            rss: self.rss.measured(),
            ..self.figures.clone()
        }
    }

    /// How many waited, at equal distances of time.
    fn waiting(&self, now: i64) -> Vec<i64> {
        if self.samples.is_empty() {
            return Vec::new();
        }
        let mut samples = self.samples.iter().peekable();
        let mut last = 0;
        let points = (0..POINTS).map(|point| {
            let at = i128::from(now) * i128::from(point + 1) / i128::from(POINTS);
            while let Some(&(_, waiting)) = samples.next_if(|&&(us, _)| i128::from(us) <= at) {
                last = waiting;
            }
            last
        });
        points.collect()
    }

    fn about(&self, figures: &Figures, waiting: &[i64], now: i64) -> About {
        let Base {
            name,
            run_id,
            purpose,
            run,
        } = self.base.clone();
        let began_us = run.began_us;
        let (groups, ungrouped) = self.groups.clone().finish();
        let ended = self.ended.as_ref();
        let run = RunSeen {
            ended_us: ended.map(|_| began_us.saturating_add(now)),
            failure: ended.and_then(|ended| ended.failure.clone()),
            workers: Some(self.stand.workers as i64),
            ..run
        };
        let mut about = About {
            name: ended.map_or(name, |ended| ended.name.clone()),
            run_id,
            purpose,
            kind: Kind::Full,
            running: ended
                .is_none()
                .then(|| i32::try_from(std::process::id()).ok()),
            at_work: ended.is_none().then(|| self.at_work()),
            now_us: began_us.saturating_add(now),
            input_whole: match ended {
                Some(ended) => ended.whole,
                None => self.stand.total.is_some(),
            },
            runs: vec![run],
            groups,
            ungrouped,
            slowest: self.slowest.0.clone(),
            retried: self.retried.0.clone(),
            workers: self.places.workers.clone(),
            ..About::default()
        };
        let tail = tail_from(self.places.last_ends.clone());
        let tail = tail.map(|from| self.last_end.saturating_sub(from).max(0));
        about.notes = notes::notes(figures, &about, &self.seen, tail, waiting);
        about
    }

    fn at_work(&self) -> AtWork {
        let longest = self.stand.running.iter().map(|job| Working {
            label: job.name.clone(),
            line: i64::try_from(job.line).unwrap_or(i64::MAX),
            attempt: i64::from(job.attempt),
            pid: job.pid,
            us: us(job.elapsed),
        });
        AtWork {
            count: self.stand.stats.running as u64,
            hosts: self.stand.hosts.map(|hosts| hosts.words()),
            longest: longest.take(SLOWEST).collect(),
        }
    }
}
