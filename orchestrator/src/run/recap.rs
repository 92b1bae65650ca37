//! What is told of a run at its end, beside the line that says what it came to: what stands
//! out, and what can be done next. In lines for a person, or as one JSON object.

mod layout;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::highlights::Failure;
use super::report::Summary;
use super::text;
use layout::{BAR, told};

pub(crate) use layout::headline;

/// What the JSON object looks like.
const VERSION: u32 = 1;

/// In a shorter run nobody waits for the slowest.
const SLOW: Duration = Duration::from_secs(1);

/// How many notes there are at most; of less time than this there is none.
const NOTES: usize = 2;
const MOMENT: Duration = Duration::from_millis(500);

/// So many jobs say something of all, and one that is shorter costs as much as its start.
const MANY: u64 = 1_000;
const TINY_US: u64 = 3_000;

/// What can be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// A command line, fit to be pasted; nothing where there is none.
    pub(crate) command: Option<String>,
    /// What for, for a person.
    pub(crate) what: String,
}

/// How a run ended, beside what it came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ended<'a> {
    /// Whether all of the input was taken.
    pub(crate) whole: bool,
    /// Whether it was told to stop.
    pub(crate) stopped: bool,
    /// Why it is not complete, if it is not.
    pub(crate) failure: Option<&'a str>,
}

/// Lines about what stands out: none when all is well, unless it is to be all. On a terminal,
/// none is longer than its columns.
pub(crate) fn lines(summary: &Summary, next: &[Next], all: bool, columns: Option<usize>) -> String {
    if summary.bad.is_empty() && summary.all_failed() == 0 && !all {
        return told(&[], next, columns);
    }
    told(&rows(summary, all), next, columns)
}

/// What stands out, with what each is about, if that is not what the one before is about.
fn rows(summary: &Summary, all: bool) -> Vec<(&'static str, String)> {
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let Some(verdicts) = verdicts(summary, all) {
        rows.push(("verdicts", verdicts));
    }
    if summary.wall >= SLOW || all {
        let cpu = text::duration(summary.cpu);
        let busy = text::duration(Duration::from_micros(summary.busy_us));
        rows.push((
            "time",
            format!("CPU {cpu}, all jobs one after the other {busy}"),
        ));
        for (i, slow) in summary.highlights.slowest.iter().enumerate() {
            let head = if i == 0 { "slowest" } else { "" };
            let took = text::duration(slow.took);
            rows.push((
                head,
                format!("{took:>6}  {} (line {})", slow.name, slow.line),
            ));
        }
    }
    let counts = [
        (summary.retries, "attempt", "repeated"),
        (summary.workers_died, "worker", "lost and replaced"),
    ];
    let counts = counts.iter().filter(|(number, ..)| *number > 0);
    let counts: Vec<String> = counts
        .map(|(number, thing, what)| format!("{} {what}", text::counted(*number, thing)))
        .collect();
    if !counts.is_empty() {
        rows.push(("retries", counts.join(", ")));
    }
    if summary.wall >= SLOW && summary.interrupted + summary.lost == 0 {
        for (i, note) in notes(summary).into_iter().enumerate() {
            rows.push((if i == 0 { "note" } else { "" }, note));
        }
    }
    let failures = &summary.highlights.failures;
    for (i, failure) in failures.iter().enumerate() {
        let head = if i == 0 { "failed" } else { "" };
        rows.push((head, what(failure)));
        for line in &failure.stderr {
            rows.push(("", format!("{BAR}{}", text::clipped(line))));
        }
    }
    let more = summary.failed.saturating_sub(failures.len() as u64);
    if more > 0 && !failures.is_empty() {
        rows.push(("", format!("… and {} more", text::count(more))));
    }
    rows
}

/// Lines about what can be done next, and nothing else.
pub(crate) fn steps(next: &[Next], columns: Option<usize>) -> String {
    told(&[], next, columns)
}

/// What limited the run, and what would help: at most so much, and only what matters.
fn notes(summary: &Summary) -> Vec<String> {
    let mut notes = Vec::new();
    let wall = summary.wall.as_secs_f64();
    // Workers that were held back do not wait for the longest jobs.
    let tail = summary.tail().filter(|_| !summary.held);
    let tail = tail.unwrap_or_default();
    let share = tail.as_secs_f64() / wall.max(1e-6);
    if tail >= MOMENT && share > 0.05 {
        notes.push(format!(
            "for the last {} ({:.0}% of the run) fewer than half of the workers had work: put what takes long first",
            text::duration(tail),
            share * 100.0,
        ));
    }
    if let Some(&jobs) = summary.bad.get("oom") {
        notes.push(format!(
            "{} ran out of memory: fewer at once (-j), or none while memory is short (--memfree)",
            text::counted(jobs, "job"),
        ));
    }
    let average = summary.busy_us / summary.jobs().max(1);
    if summary.jobs() >= MANY && average < TINY_US {
        notes.push(format!(
            "a job took {:.1} ms on average, about what it costs to start a program: several values for each (-n, -X) cost less",
            average as f64 / 1e3,
        ));
    }
    // What earlier attempts took is in no sum.
    let idle = 1.0 - summary.busy() - share;
    let had_enough = summary.jobs() >= summary.workers as u64;
    if idle > 0.2 && summary.retries == 0 && summary.workers > 0 && had_enough {
        let why = match summary.held {
            true => "--delay, --load or --memfree held jobs back",
            false => "the input was slower than they are, or fewer would do",
        };
        let share = idle * 100.0;
        notes.push(format!(
            "workers had no job for {share:.0}% of the time: {why}"
        ));
    }
    notes.truncate(NOTES);
    notes
}

/// How many jobs have ended in which way, unless the first line says it.
fn verdicts(summary: &Summary, all: bool) -> Option<String> {
    let is_said = summary.bad.keys().all(|word| *word == "failed");
    if (is_said || summary.bad.len() < 2 && summary.failed == 0) && !all {
        return None;
    }
    let ok = all.then_some(("ok", summary.succeeded));
    let bad = summary.bad.iter().map(|(word, number)| (*word, *number));
    let words = ok.into_iter().chain(bad);
    let words = words.map(|(word, number)| format!("{} {word}", text::count(number)));
    Some(words.collect::<Vec<_>>().join(", "))
}

fn what(failure: &Failure) -> String {
    match failure.attempts {
        0 | 1 => failure.what.clone(),
        attempts => format!("{} ({attempts} attempts)", failure.what),
    }
}

/// One object, as documented in `docs/progress.md`.
pub(crate) fn json(summary: &Summary, ended: Ended<'_>, next: &[Next]) -> String {
    let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
    let ok = (summary.succeeded > 0).then_some(("ok", summary.succeeded));
    let bad = summary.bad.iter().map(|(word, number)| (*word, *number));
    let highlights = &summary.highlights;
    let object = Object {
        summary: VERSION,
        jobs: summary.jobs(),
        total: summary.total,
        succeeded: summary.succeeded,
        failed: summary.failed,
        interrupted: summary.interrupted,
        lost: summary.lost,
        verdicts: ok.into_iter().chain(bad).collect(),
        retries: summary.retries,
        workers: summary.workers,
        workers_died: summary.workers_died,
        wall_s: seconds(summary.wall),
        cpu_s: seconds(summary.cpu),
        busy_s: seconds(Duration::from_micros(summary.busy_us)),
        speed_up: summary
            .speed_up()
            .map(|times| (times * 100.0).round() / 100.0),
        slowest: highlights
            .slowest
            .iter()
            .map(|slow| Slowest {
                name: &slow.name,
                line: slow.line,
                seconds: seconds(slow.took),
            })
            .collect(),
        failures: highlights
            .failures
            .iter()
            .map(|failure| Failed {
                line: failure.line,
                verdict: failure.verdict.word(),
                what: &failure.what,
                attempts: failure.attempts,
                stderr: failure.stderr.iter().map(|line| lossy(line)).collect(),
            })
            .collect(),
        complete: ended.whole && ended.failure.is_none(),
        stopped: ended.stopped,
        failure: ended.failure,
        next: next.iter().filter_map(|n| n.command.as_deref()).collect(),
    };
    let json = serde_json::to_string(&object).expect("strings and numbers are JSON");
    harmless(json)
}

/// JSON in which no string holds a character that a terminal may obey: those of ASCII are
/// escaped anyway but for one.
fn harmless(json: String) -> String {
    if !json.contains(char::is_control) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c.is_control() {
            true => out += &format!("\\u{:04x}", u32::from(c)),
            false => out.push(c),
        }
    }
    out
}

fn lossy(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

#[derive(Serialize)]
struct Object<'a> {
    summary: u32,
    jobs: u64,
    total: Option<u64>,
    succeeded: u64,
    failed: u64,
    interrupted: u64,
    lost: u64,
    verdicts: BTreeMap<&'a str, u64>,
    retries: u64,
    workers: usize,
    workers_died: u64,
    wall_s: f64,
    cpu_s: f64,
    busy_s: f64,
    speed_up: Option<f64>,
    slowest: Vec<Slowest<'a>>,
    failures: Vec<Failed<'a>>,
    complete: bool,
    stopped: bool,
    failure: Option<&'a str>,
    next: Vec<&'a str>,
}

#[derive(Serialize)]
struct Slowest<'a> {
    name: &'a str,
    line: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct Failed<'a> {
    line: u64,
    verdict: &'static str,
    what: &'a str,
    attempts: u32,
    stderr: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::highlights::{Highlights, Slow};
    use crate::run::width;
    use crate::scheduler::Verdict;

    fn failed() -> Summary {
        let failure = |line, attempts, stderr: &[&[u8]]| Failure {
            line,
            verdict: Verdict::Failed(1),
            what: format!("line {line}: command failed"),
            attempts,
            stderr: stderr.iter().map(|line| line.to_vec()).collect(),
        };
        Summary {
            succeeded: 9_991,
            failed: 9,
            workers: 16,
            wall: Duration::from_secs(90),
            cpu: Duration::from_secs(352),
            busy_us: 1_324_000_000,
            retries: 18,
            workers_died: 1,
            bad: BTreeMap::from([("failed", 6), ("timeout", 3)]),
            highlights: Highlights {
                slowest: vec![Slow {
                    name: "img-009850".into(),
                    line: 9_850,
                    took: Duration::from_secs(9),
                }],
                failures: vec![
                    failure(30, 1, &[b"cannot\x1b[2J decode"]),
                    failure(377, 3, &[]),
                ],
            },
            ..Summary::default()
        }
    }

    fn next() -> [Next; 2] {
        [
            ("orchestrator report last", "which failed, and why"),
            ("orchestrator retry last", "run them again"),
        ]
        .map(|(command, what)| Next {
            command: Some(command.into()),
            what: what.into(),
        })
    }

    #[test]
    fn what_stands_out_is_told_and_what_to_do() {
        assert_eq!(
            lines(&failed(), &next(), false, None),
            "  verdicts  6 failed, 3 timeout\n  \
               time      CPU 5m 52s, all jobs one after the other 22m 4s\n  \
               slowest    9.00s  img-009850 (line 9850)\n  \
               retries   18 attempts repeated, 1 worker lost and replaced\n  \
               failed    line 30: command failed\n              \
                           | cannot\\u{1b}[2J decode\n            \
                         line 377: command failed (3 attempts)\n            \
                         … and 7 more\n  \
               next      orchestrator report last   # which failed, and why\n            \
                         orchestrator retry last    # run them again\n"
        );
    }

    #[test]
    fn on_a_narrow_terminal_nothing_is_wrapped_in_the_middle() {
        let mut next = next().to_vec();
        next.push(Next {
            command: None,
            what: "the same command and input, with --resume, goes on".into(),
        });
        let told = lines(&failed(), &next, false, Some(40));
        assert_eq!(
            told,
            "  verdicts  6 failed, 3 timeout\n  \
               time      CPU 5m 52s, all jobs one\n            \
                         after the other 22m 4s\n  \
               slowest    9.00s  img-009850 (line\n            \
                         9850)\n  \
               retries   18 attempts repeated, 1\n            \
                         worker lost and replaced\n  \
               failed    line 30: command failed\n              \
                           | cannot\\u{1b}[2J decode\n            \
                         line 377: command failed (3\n            \
                         attempts)\n            \
                         … and 7 more\n  \
               next      orchestrator report last\n            \
                         # which failed, and why\n            \
                         orchestrator retry last\n            \
                         # run them again\n            \
                         the same command and input,\n            \
                         with --resume, goes on\n"
        );
        assert!(told.lines().all(|line| width::of(line) < 40));
        let folded = lines(&failed(), &next, false, Some(30));
        assert!(
            folded.contains("\n              | cannot\\u{1b}[\n              | 2J decode\n"),
            "{folded}"
        );
        // Where there is hardly a terminal, nothing is folded.
        assert_eq!(
            lines(&failed(), &next, false, Some(20)),
            lines(&failed(), &next, false, None)
        );
        let line = "9,991 of 10,000 jobs succeeded, 9 failed, in 1m 30s";
        let parts = "9,991 of 10,000 jobs succeeded, 9\n  failed, in 1m 30s\n";
        assert_eq!(headline(line, Some(40)), parts);
        assert_eq!(headline(line, None), format!("{line}\n"));
    }

    #[test]
    fn where_all_is_well_nothing_is_told_that_nobody_asked_for() {
        let fine = Summary {
            succeeded: 3,
            wall: Duration::from_secs(90),
            highlights: failed().highlights,
            ..Summary::default()
        };
        assert_eq!(lines(&fine, &[], false, None), "");
        assert!(lines(&fine, &[], true, None).starts_with("  verdicts  3 ok\n  time "));
        let step = Next {
            command: None,
            what: "do it".into(),
        };
        assert_eq!(lines(&fine, &[step], false, None), "  next      do it\n");
    }

    #[test]
    fn what_limited_a_run_is_told_where_it_matters() {
        let mut summary = Summary {
            retries: 0,
            workers_died: 0,
            ..failed()
        };
        assert_eq!(notes(&summary), Vec::<String>::new());
        summary.busy_us = 90 * 4 * 1_000_000;
        assert_eq!(
            notes(&summary),
            [
                "workers had no job for 75% of the time: the input was slower than they are, or fewer would do"
            ]
        );
        // A story: `--load` held three jobs back for four minutes, and the input got the blame.
        summary.held = true;
        summary.last_ends = (0..9).map(|i| i * 10_000_000).collect();
        assert_eq!(
            notes(&summary),
            ["workers had no job for 75% of the time: --delay, --load or --memfree held jobs back"]
        );
        summary.held = false;
        summary.last_ends.clear();
        // Nor is it the input's fault when there are fewer jobs than workers.
        let few = Summary {
            succeeded: 1,
            failed: 1,
            ..summary.clone()
        };
        assert_eq!(notes(&few), Vec::<String>::new());
        summary.bad.insert("oom", 1);
        summary.busy_us = 9_000_000;
        let said = notes(&summary);
        assert!(said[0].starts_with("1 job ran out of memory: "), "{said:?}");
        assert!(
            said[1].starts_with("a job took 0.9 ms on average"),
            "{said:?}"
        );
        assert_eq!(said.len(), NOTES);
        // Where tries were repeated, nobody knows how busy workers were.
        summary.retries = 1;
        summary.bad.remove("oom");
        assert_eq!(notes(&summary).len(), 1);
        let told = lines(&summary, &[], false, None);
        assert!(told.contains("\n  note      a job took 0.9 ms"), "{told}");
        summary.interrupted = 1;
        assert!(!lines(&summary, &[], false, None).contains("note"));
    }

    #[test]
    fn a_brief_run_tells_of_its_failures_alone() {
        let brief = Summary {
            wall: Duration::from_millis(5),
            retries: 0,
            workers_died: 0,
            bad: BTreeMap::from([("failed", 9)]),
            ..failed()
        };
        assert!(lines(&brief, &[], false, None).starts_with("  failed    line 30"));
    }

    #[test]
    fn scripts_get_all_of_it() {
        let ended = Ended {
            whole: true,
            ..Ended::default()
        };
        let json = json(&failed(), ended, &next());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!({
            "summary": 1, "jobs": 10000, "total": null, "succeeded": 9991, "failed": 9,
            "interrupted": 0, "lost": 0, "verdicts": {"ok": 9991, "failed": 6, "timeout": 3},
            "retries": 18, "workers": 16, "workers_died": 1, "wall_s": 90.0, "cpu_s": 352.0,
            "busy_s": 1324.0, "speed_up": 14.71,
            "slowest": [{"name": "img-009850", "line": 9850, "seconds": 9.0}],
            "failures": [
                {"line": 30, "verdict": "failed", "what": "line 30: command failed",
                 "attempts": 1, "stderr": ["cannot\u{1b}[2J decode"]},
                {"line": 377, "verdict": "failed", "what": "line 377: command failed",
                 "attempts": 3, "stderr": []},
            ],
            "complete": true, "stopped": false, "failure": null,
            "next": ["orchestrator report last", "orchestrator retry last"],
        });
        assert_eq!(value, expected);
        assert!(!json.contains(char::is_control));
        let odd = "\"\u{9b}31m\u{7f}é\"";
        let shown = harmless(odd.into());
        assert_eq!(shown, "\"\\u009b31m\\u007fé\"");
        assert_eq!(
            serde_json::from_str::<String>(&shown).unwrap(),
            "\u{9b}31m\u{7f}é"
        );
    }
}
