//! What a run came to: its jobs' verdicts, counted, and one line about it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::highlights::Highlights;
use super::places::Places;
use super::runfile::{Counts, Remembered};
use super::text;
use crate::pool::JobReport;
use crate::scheduler::Verdict;

/// When the run began, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// By the calendar; only ever printed.
    pub(crate) wall: SystemTime,
    steady: Instant,
    /// CPU time that was used before: also by children that this process had
    /// as another program, such as the compilers of `cargo run`.
    cpu: Duration,
}

impl Clock {
    /// Begins now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clocks of a run, for printing"
    )]
    pub(crate) fn start() -> Clock {
        Clock {
            wall: calendar(),
            steady: Instant::now(),
            cpu: cpu_time(),
        }
    }

    /// How long ago that was.
    pub(crate) fn elapsed(&self) -> Duration {
        self.steady.elapsed()
    }

    /// CPU time that this process and all children that have ended used since.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_time().saturating_sub(self.cpu)
    }
}

/// What the calendar says now; only ever printed, or recorded for that.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock, for printing"
)]
pub(crate) fn calendar() -> SystemTime {
    SystemTime::now()
}

/// CPU time of this process and of all children that have ended, ever.
pub(crate) fn cpu_time() -> Duration {
    let of = |who| {
        getrusage(who).map_or(Duration::ZERO, |used| {
            time(used.user_time()) + time(used.system_time())
        })
    };
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}

fn time(value: TimeVal) -> Duration {
    Duration::new(
        value.tv_sec().unsigned_abs(),
        value.tv_usec().unsigned_abs() as u32 * 1000,
    )
}

/// In a shorter run the start of the workers is most of it, and a share of CPU
/// time says nothing.
const SHORT: Duration = Duration::from_millis(20);

/// In a shorter run nobody has gained anything by running jobs side by side.
const BRIEF: Duration = Duration::from_millis(100);

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Jobs whose verdict is `ok`.
    pub(crate) succeeded: u64,
    /// Jobs with any other verdict, lines that were no job included.
    pub(crate) failed: u64,
    /// Jobs that the pool had taken when it failed, and did not finish.
    pub(crate) lost: u64,
    /// Jobs that were told to end, or not started, because the run was stopped.
    pub(crate) interrupted: u64,
    /// What the input was, compared to what a run file had recorded.
    pub(crate) resumed: Option<Counts>,
    /// Recorded jobs that have failed before and that the input says nothing of.
    pub(crate) failed_before: u64,
    /// Whether its jobs come from a run file, or a job log says what is left out.
    pub(crate) again: bool,
    /// Whether some input was given to processes and not read by them.
    pub(crate) unread: bool,
    /// Whether something may hold jobs back: a delay, the load, too little memory.
    pub(crate) held: bool,
    /// The end that made it stop, with `--halt`.
    pub(crate) decided: Option<Verdict>,
    /// How many jobs there are in all, once that is known.
    pub(crate) total: Option<u64>,
    /// The light record of what did not succeed.
    pub(crate) remembered: Option<Remembered>,
    /// How many workers there were, here and on other hosts.
    pub(crate) workers: usize,
    /// How it stands with those that are wanted.
    pub(crate) places: Places,
    /// From start to end.
    pub(crate) wall: Duration,
    /// CPU time of the orchestrator, its workers and their jobs.
    pub(crate) cpu: Duration,
    /// How long all jobs took together, in their last attempts, in microseconds.
    pub(crate) busy_us: u64,
    /// Jobs that have not succeeded, by the word for their verdict.
    pub(crate) bad: BTreeMap<&'static str, u64>,
    /// Attempts that were followed by another one.
    pub(crate) retries: u64,
    /// Workers that have ended without being asked to.
    pub(crate) workers_died: u64,
    /// When jobs have ended, in microseconds: the last ones, half as many as there are workers.
    pub(crate) last_ends: VecDeque<u64>,
    /// Which jobs stand out.
    pub(crate) highlights: Highlights,
}

impl Summary {
    /// A job has ended.
    pub(crate) fn count(&mut self, report: &JobReport) {
        // A worker of anybody's making has measured it.
        self.busy_us = self.busy_us.saturating_add(report.usage.wall_us);
        if let Some(started) = report.started {
            let end = (started.as_micros() as u64).saturating_add(report.usage.wall_us);
            if self.last_ends.len() > self.workers / 2 {
                self.last_ends.pop_front();
            }
            self.last_ends.push_back(end);
        }
        let verdict = report.verdict;
        if verdict != Verdict::Ok {
            *self.bad.entry(verdict.word()).or_default() += 1;
        }
        match verdict {
            Verdict::Ok => self.succeeded += 1,
            Verdict::Lost => self.lost += 1,
            Verdict::Interrupted | Verdict::Cancelled => self.interrupted += 1,
            _ => self.failed += 1,
        }
    }

    /// A line of the input was no job, so the pool never saw it.
    pub(crate) fn refused(&mut self) {
        self.failed += 1;
        *self.bad.entry(Verdict::Rejected.word()).or_default() += 1;
    }

    /// A job that succeeded gave a result that cannot be shown.
    pub(crate) fn spoiled(&mut self) {
        self.succeeded = self.succeeded.saturating_sub(1);
        self.failed += 1;
        *self.bad.entry(Verdict::Failed(1).word()).or_default() += 1;
    }

    /// All jobs, in whatever way they have ended.
    pub(crate) fn jobs(&self) -> u64 {
        self.succeeded + self.failed + self.lost + self.interrupted
    }

    /// How many times as long its jobs would have taken one after the other, if that says
    /// anything.
    pub(crate) fn speed_up(&self) -> Option<f64> {
        let several = self.jobs() > 1 && self.workers > 1 && self.busy_us > 0;
        let busy = Duration::from_micros(self.busy_us).as_secs_f64();
        (several && self.wall >= BRIEF).then(|| busy / self.wall.as_secs_f64())
    }

    /// How long, towards the end, fewer than half of the workers had work: so many jobs were
    /// left; nothing where there are no others to compare with.
    pub(crate) fn tail(&self) -> Option<Duration> {
        let is_full = self.workers > 1 && self.last_ends.len() > self.workers / 2;
        let (first, last) = (self.last_ends.front()?, self.last_ends.iter().max()?);
        is_full.then(|| Duration::from_micros(last.saturating_sub(*first)))
    }

    /// Which part of the workers' time was taken by jobs' last attempts.
    pub(crate) fn busy(&self) -> f64 {
        let all = self.wall.as_secs_f64() * self.workers.max(1) as f64;
        Duration::from_micros(self.busy_us).as_secs_f64() / all.max(1e-6)
    }

    /// How many workers there were, and where.
    fn workers_told(&self) -> String {
        let there = self.places.slots().min(self.workers);
        let here = text::counted((self.workers - there) as u64, "worker");
        match self.places.told() {
            None => here,
            Some(hosts) if there == self.workers => {
                format!("{} on {hosts}", text::counted(there as u64, "worker"))
            }
            Some(hosts) if there == 0 => format!("{here} here, {hosts}"),
            Some(hosts) => format!("{here} here and {} on {hosts}", text::count(there as u64)),
        }
    }

    /// Whether this run goes on that another one has begun.
    fn goes_on(&self) -> bool {
        self.resumed.is_some() || self.failed_before > 0 || self.again
    }

    /// How many jobs of all have failed, now or before.
    pub(crate) fn all_failed(&self) -> u64 {
        self.failed + self.failed_before + self.resumed.map_or(0, |counts| counts.failed)
    }

    /// What the input was, compared to what was recorded, on one line.
    pub(crate) fn resumed_line(&self) -> Option<String> {
        let Counts {
            done,
            failed,
            open,
            new,
            gone,
        } = self.resumed?;
        let mut line = String::from("resumed: ");
        if open > 0 {
            line += &format!("{} unfinished, ", text::count(open));
        }
        line += &format!("{} new, {} gone", text::count(new), text::count(gone));
        line += &format!(", {} done", text::count(done));
        if failed > 0 {
            line += &format!(" ({} of them failed)", text::count(failed));
        }
        Some(line)
    }

    /// How many jobs have not succeeded, in which way.
    fn others(&self) -> impl Iterator<Item = String> {
        let all = [
            (self.failed, "failed"),
            (self.lost, "not finished"),
            (self.interrupted, "interrupted or not started"),
        ];
        let some = all.into_iter().filter(|&(number, _)| number > 0);
        some.map(|(number, what)| format!("{} {what}", text::count(number)))
    }

    /// A run that was stopped, on one line.
    pub(crate) fn stopped_line(&self) -> String {
        let succeeded = text::counted(self.succeeded, "job");
        let succeeded = [format!("{succeeded} succeeded")].into_iter();
        let parts: Vec<String> = succeeded.chain(self.others()).collect();
        let wall = text::duration(self.wall);
        format!("stopped after {wall}: {}", parts.join(", "))
    }

    /// The run on one line.
    pub(crate) fn line(&self) -> String {
        let jobs = self.jobs();
        if jobs == 0 && self.goes_on() {
            return "no jobs: nothing was left to do".into();
        }
        if jobs == 0 {
            return "no jobs: the input was empty".into();
        }
        let seconds = self.wall.as_secs_f64().max(1e-6);
        let rate = text::rate(jobs as f64 / seconds);
        let mut result = if self.succeeded == jobs {
            format!("{} succeeded", text::counted(jobs, "job"))
        } else {
            let succeeded = text::count(self.succeeded);
            format!("{succeeded} of {} succeeded,", text::counted(jobs, "job"))
        };
        self.others()
            .for_each(|part| result += &format!(" {part},"));
        let cpu = if self.wall < SHORT {
            String::new()
        } else {
            format!(", CPU {:.0}%", self.cpu.as_secs_f64() / seconds * 100.0)
        };
        let workers = self.workers_told();
        let speed_up = self.speed_up();
        let speed_up = speed_up.map(|times| format!(", speed-up {times:.1}"));
        format!(
            "{result} in {} ({rate}, {workers}{cpu}{})",
            text::duration(self.wall),
            speed_up.unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::sink::render::Format;
    use crate::run::sink::render::tests::{renderer, report};

    fn summary(succeeded: u64, failed: u64) -> Summary {
        Summary {
            succeeded,
            failed,
            workers: 4,
            wall: Duration::from_secs(90),
            cpu: Duration::from_millis(352_800),
            ..Summary::default()
        }
    }

    #[test]
    fn the_tail_is_when_so_few_jobs_were_left_that_half_of_the_workers_had_none() {
        let renderer = renderer(Format::Text, None);
        let end = |summary: &mut Summary, ms: u64| {
            let mut report = report(&renderer, Verdict::Ok, b"", b"");
            report.usage.wall_us = 1_000;
            report.started = Some(Duration::from_millis(ms - 1));
            summary.count(&report);
        };
        let mut run = summary(0, 0);
        assert_eq!(run.tail(), None);
        (1..=100).for_each(|ms| end(&mut run, ms));
        assert_eq!(run.tail(), Some(Duration::from_millis(2)));
        // With four workers, two jobs were left then.
        end(&mut run, 500);
        end(&mut run, 900);
        assert_eq!(run.tail(), Some(Duration::from_millis(800)));
        let alone = Summary { workers: 1, ..run };
        assert_eq!(alone.tail(), None);
    }

    #[test]
    fn the_line_says_what_matters() {
        assert_eq!(
            summary(10_000, 0).line(),
            "10,000 jobs succeeded in 1m 30s (111/s, 4 workers, CPU 392%)"
        );
        assert_eq!(
            summary(9_991, 9).line(),
            "9,991 of 10,000 jobs succeeded, 9 failed, in 1m 30s (111/s, 4 workers, CPU 392%)"
        );
        let measured = Summary {
            busy_us: 351_000_000,
            ..summary(10_000, 0)
        };
        assert_eq!(
            measured.line(),
            "10,000 jobs succeeded in 1m 30s (111/s, 4 workers, CPU 392%, speed-up 3.9)"
        );
        // A story: all was done here before any host was up, and it said `4 workers on 0 of 2 hosts`.
        let mixed = Summary {
            places: Places::new(2),
            ..summary(10_000, 0)
        };
        assert_eq!(
            mixed.line(),
            "10,000 jobs succeeded in 1m 30s (111/s, 4 workers here, 0 of 2 hosts, 2 pending, CPU 392%)"
        );
        let broken = Summary {
            lost: 2,
            ..summary(1, 0)
        };
        assert!(
            broken
                .line()
                .starts_with("1 of 3 jobs succeeded, 2 not finished, in 1m 30s")
        );
        let one = Summary {
            workers: 1,
            ..summary(1, 0)
        };
        assert_eq!(
            one.line(),
            "1 job succeeded in 1m 30s (0.67/min, 1 worker, CPU 392%)"
        );
        let short = Summary {
            wall: Duration::from_millis(10),
            ..summary(1, 0)
        };
        assert_eq!(short.line(), "1 job succeeded in 10ms (100/s, 4 workers)");
        assert_eq!(Summary::default().line(), "no jobs: the input was empty");
    }

    #[test]
    fn every_job_is_counted_once() {
        let mut summary = Summary::default();
        let renderer = renderer(Format::Text, None);
        for verdict in [Verdict::Ok, Verdict::Ok, Verdict::Crashed] {
            summary.count(&report(&renderer, verdict, b"", b""));
        }
        summary.refused();
        summary.spoiled();
        assert_eq!((summary.succeeded, summary.failed), (1, 3));
        let bad = [("crashed", 1), ("failed", 1), ("rejected", 1)];
        assert_eq!(summary.bad, BTreeMap::from(bad));
        assert_eq!(summary.busy_us, 3 * 1_500_000);
    }
}
