//! What is shown of a batch's progress: a line for a terminal of any width, a line for a log,
//! a JSON object. Pure.

use std::time::Duration;

use serde::Serialize;

use super::sample::Sample;
use crate::run::places::Hosts;
use crate::run::screen::Badge;
use crate::run::text;
use crate::run::width;

/// Between two parts of a line.
const GAP: usize = 2;

/// A bar has so many columns at least, and at most, its ends included.
const BAR: (usize, usize) = (12, 32);

/// So much of a name is worth showing.
const NAME: usize = 8;

/// What has not been running for so long is not told by its name.
const LONG: Duration = Duration::from_secs(1);

/// What a JSON object of progress looks like.
const VERSION: u32 = 1;

/// All that is known of a batch at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct View {
    /// What it is doing.
    pub(crate) sample: Sample,
    /// How many jobs end in a second.
    pub(crate) rate: Option<f64>,
    /// How long the rest will take.
    pub(crate) left: Option<Duration>,
    /// How many CPUs its processes keep busy.
    pub(crate) cpus: Option<f64>,
}

/// A part of a line.
struct Part {
    /// Those with a low number are there first when there is little room.
    rank: u8,
    text: String,
    colour: Option<&'static str>,
}

/// Where the bar stands.
const BAR_RANK: u8 = u8::MAX;
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

impl View {
    /// The line for a terminal that has so many columns; the last of them stays free.
    pub(crate) fn line(&self, columns: usize, colour: bool) -> String {
        let room = columns.saturating_sub(1);
        let mut parts = self.parts();
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|&i| parts[i].rank);
        let mut used = 0;
        let mut shown = vec![false; parts.len()];
        for i in order {
            let gap = if used == 0 { 0 } else { GAP };
            let width = gap + width::of(&parts[i].text);
            if parts[i].rank != BAR_RANK && used + width <= room {
                used += width;
                shown[i] = true;
            }
        }
        // What is left goes to the name first, and then to the bar.
        let left = room.saturating_sub(used);
        if let Some((name, time)) = self.longest() {
            let text = longest(name, time, left.saturating_sub(GAP));
            if !text.is_empty() && used > 0 && GAP + width::of(&text) <= left {
                used += GAP + width::of(&text);
                parts.push(Part {
                    rank: 0,
                    text,
                    colour: None,
                });
                shown.push(true);
            }
        }
        let left = room.saturating_sub(used + GAP);
        let bar = parts.iter().position(|part| part.rank == BAR_RANK);
        if let (Some(bar), true) = (bar, left >= BAR.0) {
            parts[bar].text = self.bar(left.min(BAR.1));
            shown[bar] = true;
        }
        let mut line = String::new();
        let mut is_first = true;
        for (part, _) in parts.iter().zip(shown).filter(|(_, shown)| *shown) {
            if !is_first {
                line.push_str("  ");
            }
            is_first = false;
            match part.colour.filter(|_| colour) {
                Some(start) => line += &format!("{start}{}{PLAIN}", part.text),
                None => line += &part.text,
            }
        }
        line
    }

    /// What there is to be told, in the order in which it is shown.
    fn parts(&self) -> Vec<Part> {
        let sample = &self.sample;
        let mut parts = Vec::new();
        let mut add = |rank, text, colour| parts.push(Part { rank, text, colour });
        if sample.stopping {
            add(1, "stopping".to_owned(), None);
        }
        let done = text::count(sample.done());
        match sample.total {
            Some(total) => {
                add(1, format!("{:>3}%", percent(sample.done(), total)), None);
                add(BAR_RANK, String::new(), None);
                add(0, format!("{done}/{}", text::count(total)), None);
            }
            None => add(0, format!("{done}/?"), None),
        }
        if sample.failed > 0 {
            let failed = text::count(sample.failed);
            add(2, format!("{failed} failed"), Some(RED));
        }
        match self.left {
            Some(left) => add(3, format!("{} left", about(left)), None),
            None => add(3, about(sample.at), None),
        }
        if let Some(rate) = self.rate {
            add(4, text::rate(rate), None);
        }
        let running = text::count(sample.at_work.running as u64);
        add(5, format!("{running} running"), None);
        if let Some(hosts) = sample.hosts.filter(|hosts| hosts.up < hosts.wanted) {
            add(5, hosts.words(), None);
        }
        if let Some(cpus) = self.cpus {
            add(6, format!("CPU {:.0}%", cpus * 100.0), None);
        }
        if sample.retries > 0 {
            let retries = text::count(sample.retries);
            add(7, format!("{retries} retried"), None);
        }
        parts
    }

    fn longest(&self) -> Option<(&str, Duration)> {
        let (name, time) = self.sample.at_work.longest.as_ref()?;
        (*time >= LONG).then_some((name, *time))
    }

    /// A bar with so many columns.
    fn bar(&self, columns: usize) -> String {
        let within = columns.saturating_sub(2);
        let (done, total) = (self.sample.done(), self.sample.total.unwrap_or(0));
        let full = done.min(total) as f64 / total.max(1) as f64;
        let full = (full * within as f64) as usize;
        format!("[{}{}]", "#".repeat(full), ".".repeat(within - full))
    }

    /// The line for a log.
    pub(crate) fn text(&self) -> String {
        let sample = &self.sample;
        let total = match sample.total {
            Some(total) => text::count(total),
            None => "?".into(),
        };
        let done = text::count(sample.done());
        let mut parts = vec![format!("{done} of {total} done")];
        if sample.failed > 0 {
            parts.push(format!("{} failed", text::count(sample.failed)));
        }
        parts.push(format!(
            "{} running",
            text::count(sample.at_work.running as u64)
        ));
        if let Some(hosts) = sample.hosts {
            parts.push(hosts.words());
        }
        if sample.retries > 0 {
            parts.push(format!("{} retried", text::count(sample.retries)));
        }
        if let Some(rate) = self.rate {
            parts.push(text::rate(rate));
        }
        if let Some(cpus) = self.cpus {
            parts.push(format!("CPU {:.0}%", cpus * 100.0));
        }
        if let Some(left) = self.left {
            parts.push(format!("about {} left", about(left)));
        }
        if let Some((name, time)) = self.longest() {
            parts.push(longest(name, time, usize::MAX));
        }
        if sample.stopping {
            parts.push("stopping".into());
        }
        format!("{}: {}", about(sample.at), parts.join(", "))
    }

    /// The JSON object for programs, as documented in `docs/progress.md`.
    pub(crate) fn json(&self) -> String {
        let sample = &self.sample;
        let longest = sample.at_work.longest.as_ref();
        let object = Object {
            progress: VERSION,
            seconds: rounded(sample.at.as_secs_f64()),
            done: sample.done(),
            total: sample.total,
            succeeded: sample.succeeded,
            failed: sample.failed,
            running: sample.at_work.running,
            retries: sample.retries,
            hosts: sample.hosts,
            rate: self.rate.map(rounded),
            eta_s: self.left.map(|left| rounded(left.as_secs_f64())),
            cpus: self.cpus.map(rounded),
            longest: longest.map(|(name, time)| Longest {
                name,
                seconds: rounded(time.as_secs_f64()),
            }),
            stopping: sample.stopping,
        };
        serde_json::to_string(&object).expect("strings and numbers are JSON")
    }
}

#[derive(Serialize)]
struct Object<'a> {
    progress: u32,
    seconds: f64,
    done: u64,
    total: Option<u64>,
    succeeded: u64,
    failed: u64,
    running: usize,
    retries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<Hosts>,
    rate: Option<f64>,
    eta_s: Option<f64>,
    cpus: Option<f64>,
    longest: Option<Longest<'a>>,
    stopping: bool,
}

#[derive(Serialize)]
struct Longest<'a> {
    name: &'a str,
    seconds: f64,
}

/// What has been running for longest, in so many columns; nothing where there is no room for
/// some of its name.
fn longest(name: &str, time: Duration, columns: usize) -> String {
    let time = about(time);
    let around = width::of("longest: ") + 1 + width::of(&time);
    let room = columns.saturating_sub(around);
    if room < NAME.min(width::of(name)) {
        return String::new();
    }
    format!("longest: {} {time}", width::cut(name, room))
}

impl View {
    /// How far it is, for a terminal that shows that itself.
    pub(crate) fn badge(&self) -> Badge {
        let Some(total) = self.sample.total else {
            return Badge::Busy;
        };
        let percent = percent(self.sample.done(), total) as u8;
        match self.sample.failed {
            0 => Badge::Percent(percent),
            _ => Badge::Failing(percent),
        }
    }
}

fn percent(done: u64, total: u64) -> u64 {
    // All of it is 100, and nothing less.
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    u64::try_from(percent).unwrap_or(100).min(100)
}

/// A time for somebody who looks at it once: `34s`, `4m`, `1h 10m`.
fn about(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..100 => format!("{secs}s"),
        100..6000 => format!("{}m", (secs + 30) / 60),
        6000..360_000 => format!("{}h {}m", secs / 3600, secs / 60 % 60),
        _ => format!("{}d {}h", secs / 86_400, secs / 3600 % 24),
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::AtWork;
    use super::*;

    fn view() -> View {
        View {
            sample: Sample {
                at: Duration::from_secs(56),
                succeeded: 6_211,
                failed: 3,
                total: Some(10_000),
                at_work: AtWork {
                    running: 16,
                    longest: Some(("img-009850".into(), Duration::from_secs(12))),
                },
                retries: 18,
                ..Sample::default()
            },
            rate: Some(111.2),
            left: Some(Duration::from_secs(34)),
            cpus: Some(1.87),
        }
    }

    #[test]
    fn a_line_has_what_matters_most_for_its_width() {
        let view = view();
        for (columns, line) in [
            (
                120,
                " 62%  [######.....]  6,214/10,000  3 failed  34s left  111/s  16 running  \
                 CPU 187%  18 retried  longest: img-009850 12s",
            ),
            (
                80,
                " 62%  6,214/10,000  3 failed  34s left  111/s  16 running  CPU 187%  18 retried",
            ),
            (
                60,
                " 62%  6,214/10,000  3 failed  34s left  111/s  16 running",
            ),
            (40, " 62%  6,214/10,000  3 failed  34s left"),
            (30, " 62%  6,214/10,000  3 failed"),
            (20, " 62%  6,214/10,000"),
            (15, "6,214/10,000"),
            (12, " 62%  111/s"),
            (4, ""),
            (0, ""),
        ] {
            assert_eq!(view.line(columns, false), line, "{columns}");
        }
        assert!(view.line(40, true).contains("  \x1b[31m3 failed\x1b[0m  "));
    }

    #[test]
    fn a_total_that_is_not_known_is_said_so() {
        let mut view = View {
            left: None,
            ..view()
        };
        view.sample.total = None;
        view.sample.stopping = true;
        assert_eq!(
            view.line(50, false),
            "stopping  6,214/?  3 failed  56s  111/s  CPU 187%"
        );
        assert_eq!(
            view.text(),
            "56s: 6,214 of ? done, 3 failed, 16 running, 18 retried, 111/s, CPU 187%, \
             longest: img-009850 12s, stopping"
        );
    }

    #[test]
    fn hosts_that_are_not_there_are_told_beside_what_runs() {
        let hosts = Hosts {
            wanted: 6,
            up: 4,
            pending: 2,
        };
        let mut view = view();
        view.sample.hosts = Some(hosts);
        let line = view.line(120, false);
        assert!(
            line.contains("  16 running  4 of 6 hosts up, 2 pending  CPU"),
            "{line}"
        );
        assert!(
            view.text()
                .contains(", 16 running, 4 of 6 hosts up, 2 pending, ")
        );
        let json: serde_json::Value = serde_json::from_str(&view.json()).unwrap();
        let expected = serde_json::json!({"wanted": 6, "up": 4, "pending": 2});
        assert_eq!(json["hosts"], expected);
        view.sample.hosts = Some(Hosts {
            up: 6,
            pending: 0,
            ..hosts
        });
        assert!(!view.line(120, false).contains("hosts"));
        assert!(view.text().contains(", 6 of 6 hosts up, "));
    }

    #[test]
    fn programs_get_numbers() {
        let value: serde_json::Value = serde_json::from_str(&view().json()).unwrap();
        let expected = serde_json::json!({
            "progress": 1, "seconds": 56.0, "done": 6214, "total": 10000, "succeeded": 6211,
            "failed": 3, "running": 16, "retries": 18, "rate": 111.2, "eta_s": 34.0,
            "cpus": 1.87, "longest": {"name": "img-009850", "seconds": 12.0}, "stopping": false,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn numbers_are_as_long_as_they_matter() {
        let about = |secs| about(Duration::from_secs(secs));
        assert_eq!([34, 99].map(about), ["34s", "99s"]);
        assert_eq!([240, 4_200].map(about), ["4m", "70m"]);
        assert_eq!([7_800, 400_000].map(about), ["2h 10m", "4d 15h"]);
        let badge = |failed, total| {
            let sample = Sample {
                succeeded: 3,
                failed,
                total,
                ..Sample::default()
            };
            View {
                sample,
                ..View::default()
            }
            .badge()
        };
        assert_eq!(badge(0, None), Badge::Busy);
        assert_eq!(badge(0, Some(6)), Badge::Percent(50));
        assert_eq!(badge(1, Some(8)), Badge::Failing(50));
        assert_eq!(
            (percent(999, 1_000), percent(7, 5), percent(0, 0)),
            (99, 100, 0)
        );
    }

    proptest! {
        #[test]
        fn nothing_wraps_whatever_the_names_and_numbers(
            columns in 0..300_usize,
            name in "\\PC{0,40}|[a-z]{0,300}|[한字🎉é]{0,60}",
            (succeeded, failed, total) in any::<(u32, u32, Option<u64>)>(),
            (running, retries, secs) in any::<(u16, u32, u32)>(),
            rate in prop::option::of(0.0..1e9_f64),
            left in prop::option::of(any::<u32>()),
            (cpus, colour, stopping) in (prop::option::of(0.0..999.0_f64), any::<bool>(), any::<bool>()),
        ) {
            let view = View {
                sample: Sample {
                    at: Duration::from_secs(secs.into()),
                    succeeded: succeeded.into(),
                    failed: failed.into(),
                    broken_off: 0,
                    total,
                    at_work: AtWork {
                        running: running.into(),
                        longest: Some((name, Duration::from_secs(secs.into()))),
                    },
                    retries: retries.into(),
                    hosts: None,
                    stopping,
                },
                rate,
                left: left.map(|secs| Duration::from_secs(secs.into())),
                cpus,
            };
            let line = view.line(columns, colour);
            let plain = line.replace(RED, "").replace(PLAIN, "");
            prop_assert!(width::of(&plain) < columns.max(1), "{plain:?}");
            prop_assert!(!plain.contains(char::is_control), "{plain:?}");
        }
    }
}
