//! What CPU time all processes of a run have used, also those that go on.

use std::fs;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use crate::run::report;

/// More processes than this are not looked at.
const MOST: usize = 4096;

/// How often to look.
const PAUSE: Duration = Duration::from_secs(1);

/// A look may take such a share of the time.
const SHARE: u32 = 100;

/// How many CPUs a run keeps busy, from looks at `/proc`.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    last: Option<(Duration, Duration)>,
    /// When to look again.
    next: Duration,
    cpus: Option<f64>,
}

impl Usage {
    /// How many CPUs were kept busy between the last two looks; this is the time, and
    /// perhaps that for another one.
    pub(crate) fn look(&mut self, clock: impl Fn() -> Duration) -> Option<f64> {
        let now = clock();
        if now < self.next {
            return self.cpus;
        }
        let used = report::cpu_time() + below();
        self.next = now + PAUSE.max((clock().saturating_sub(now)) * SHARE);
        if let Some((then, before)) = self.last {
            let time = now.saturating_sub(then).as_secs_f64();
            // What ends without being waited for takes its time with it.
            let used = used.saturating_sub(before).as_secs_f64();
            self.cpus = (time > 0.0).then(|| used / time);
        }
        self.last = Some((now, used));
        self.cpus
    }
}

/// CPU time of all processes below this one, and of those that have ended below them.
fn below() -> Duration {
    let mut ticks = 0;
    let mut seen = 0;
    let mut parents = vec!["self".to_owned()];
    while let Some(parent) = parents.pop() {
        for child in worker::tree::children_of(&parent) {
            let child = child.to_string();
            let stat = fs::read_to_string(format!("/proc/{child}/stat"));
            ticks += stat.ok().and_then(|stat| ticks_in(&stat)).unwrap_or(0);
            parents.push(child);
            seen += 1;
            if seen == MOST {
                parents.clear();
                break;
            }
        }
    }
    let each = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let each = each.filter(|&each| each > 0).unwrap_or(100);
    Duration::from_secs_f64(ticks as f64 / each as f64)
}

/// What `/proc/PID/stat` says of CPU time: its own, and that of children which it has waited
/// for.
fn ticks_in(stat: &str) -> Option<u64> {
    // The name before may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_ascii_whitespace().skip(11).take(4);
    let times: Vec<u64> = times.filter_map(|time| time.parse().ok()).collect();
    (times.len() == 4).then(|| times.into_iter().fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_times_are_found_whatever_the_name() {
        let stat = "7 (a) R (b)) S 1 7 7 0 -1 4194560 100 0 0 0 25 5 300 70 20 0 1 0 5 6 7";
        assert_eq!(ticks_in(stat), Some(400));
        assert_eq!(ticks_in("7 (a) S 1"), None);
        assert_eq!(ticks_in(""), None);
    }

    #[test]
    fn a_busy_process_is_seen_between_two_looks() {
        let mut usage = Usage::default();
        let now = Cell::new(Duration::from_secs(1));
        assert_eq!(usage.look(|| now.get()), None);
        let begin = report::cpu_time();
        while report::cpu_time() < begin + Duration::from_millis(50) {
            std::hint::black_box(begin);
        }
        now.set(Duration::from_secs(2));
        let cpus = usage.look(|| now.get());
        assert!(cpus.is_some_and(|cpus| cpus >= 0.049), "{cpus:?}");
        now.set(Duration::from_millis(2_500));
        assert_eq!(usage.look(|| now.get()), cpus, "too soon");
    }
}
