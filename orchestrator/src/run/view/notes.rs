//! What limited a run, from what it came to, and what would help.

use std::time::Duration;

use super::model::{About, Figures, Kind, Note};
use crate::run::runfile::{End, Try};
use crate::run::text::{counted, duration, quoted};

/// What only shorter than this is missing is not worth a word.
const MOMENT_US: i64 = 500_000;

/// A job that is shorter costs about as much as what is done to run it.
const TINY_US: i64 = 3_000;

/// What was seen of tries and ends, beside the figures.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The job that ended last.
    pub(super) last: Option<String>,
    timeouts: Cost,
    memory: Cost,
    deaths: Cost,
    leaked: u64,
    leaking: u64,
    omitted: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    tries: u64,
    us: i64,
}

impl Seen {
    pub(super) fn tried(&mut self, one: &Try, wall_us: i64) {
        let cost = match one.verdict.as_str() {
            "timeout" => &mut self.timeouts,
            "oom" => &mut self.memory,
            "crashed" | "quarantined" => &mut self.deaths,
            _ => return,
        };
        cost.tries += 1;
        cost.us = cost.us.saturating_add(wall_us);
    }

    pub(super) fn ended(&mut self, end: &End<'_>) {
        self.left(end.leaked.unsigned_abs(), end.omitted > 0);
    }

    /// A job has left so many processes behind, or printed more than is there.
    pub(super) fn left(&mut self, leaked: u64, omitted: bool) {
        self.leaked = self.leaked.saturating_add(leaked);
        self.leaking += u64::from(leaked > 0);
        self.omitted += u64::from(omitted);
    }
}

fn time(us: i64) -> String {
    duration(Duration::from_micros(us.unsigned_abs()))
}

fn percent(part: i64, whole: i64) -> f64 {
    part as f64 / whole.max(1) as f64 * 100.0
}

/// All that there is to say, the most important first. `tail_us` is how long before the
/// end fewer than half of the workers had work.
pub(super) fn notes(
    figures: &Figures,
    about: &About,
    seen: &Seen,
    tail_us: Option<i64>,
    waiting: &[i64],
) -> Vec<Note> {
    let mut all = Vec::new();
    let mut say = |title: &'static str, text: String| all.push(Note { title, text });
    ends(figures, about, &mut say);
    if about.kind != Kind::Light && about.running.is_none() {
        workers(figures, seen, tail_us, waiting, &mut say);
    }
    jobs(figures, seen, &mut say);
    if about.kind == Kind::Light {
        say(
            "A light record",
            "Only jobs that did not succeed are in it, so there is no timeline, and times are those of \
             these jobs. A run with `--run-file FILE` records all of it."
                .into(),
        );
    }
    all
}

/// How the run itself came to its end.
fn ends(figures: &Figures, about: &About, say: &mut impl FnMut(&'static str, String)) {
    let name = &about.name;
    // A page that goes with the run says so itself.
    if about.at_work.is_some() {
        return;
    }
    if let Some(pid) = &about.running {
        let who = pid.map_or(String::new(), |pid| format!(" (process {pid})"));
        let text =
            format!("The run goes on{who}: this is how far it was when the report was made.");
        return say("Still running", text);
    }
    let failure = about.runs.last().and_then(|run| run.failure.as_deref());
    if let Some(why) = failure {
        let why = quoted(why);
        say("The run failed", format!("It was not the jobs: {why}."));
    }
    let open = figures.jobs.saturating_sub(figures.ended);
    if open == 0 && about.input_whole {
        return;
    }
    let killed = about.runs.last().is_some_and(|run| run.ended_us.is_none());
    let how = if killed { "killed" } else { "stopped" };
    let mut text = match open {
        0 => "Its input was not read to its end".to_owned(),
        _ => format!("{} have no result", counted(open, "job")),
    };
    if !figures.unfinished.is_empty() {
        let ends = figures.unfinished.iter();
        let ends = ends.map(|(word, jobs)| format!("{} {word}", crate::run::text::count(*jobs)));
        text += &format!(" ({})", ends.collect::<Vec<_>>().join(", "));
    }
    text += &format!(": the run was {how}.");
    text += &match about.kind {
        Kind::Executor => " It goes on when its program is started again.".to_owned(),
        Kind::Light => format!(" `orchestrator retry {name}` runs what it knows of."),
        Kind::Full if about.input_whole => format!(" `orchestrator resume {name}` goes on."),
        Kind::Full => " The same command and input with `--resume` goes on.".to_owned(),
    };
    say("Not finished", text);
}

/// How the workers' time was used.
fn workers(
    figures: &Figures,
    seen: &Seen,
    tail_us: Option<i64>,
    waiting: &[i64],
    say: &mut impl FnMut(&'static str, String),
) {
    let Some(busy) = figures.busy() else {
        return;
    };
    let wall = figures.wall_us;
    if wall < MOMENT_US {
        return;
    }
    let tail = tail_us.unwrap_or_default();
    let has_tail = tail > MOMENT_US && percent(tail, wall) > 5.0;
    if has_tail {
        let last = seen.last.as_deref().map(quoted);
        let last = last.map_or(String::new(), |last| {
            format!("; the last job to end was {last}")
        });
        let text = format!(
            "For the last {} ({:.0}% of the run) fewer than half of the workers had work{last}. \
             What takes long is best first in the input.",
            time(tail),
            percent(tail, wall),
        );
        say("Stragglers", text);
    }
    let idle = figures.capacity_us.saturating_sub(figures.busy_us);
    let without_tail = idle.saturating_sub(tail.saturating_mul(figures.workers as i64));
    if busy < 0.8 && percent(without_tail, figures.capacity_us) > 15.0 {
        let had_some = waiting.iter().filter(|&&jobs| jobs > 0).count();
        let share = had_some as f64 / waiting.len().max(1) as f64;
        let why = match () {
            () if waiting.is_empty() => "",
            () if figures.jobs < figures.workers => " There were fewer jobs than workers.",
            () if share < 0.5 => {
                " Mostly no job was waiting: the input was slower than the workers, or fewer workers would do."
            }
            () if figures.run.p50 < TINY_US => {
                " Jobs were waiting: handing these short ones out took most of the time."
            }
            () => {
                " Jobs were waiting: workers were starting, or pauses (`--delay`, `--load`, `--memfree`, \
                 those between tries) held them back."
            }
        };
        let text = format!(
            "Workers had no job for {:.0}% of their time.{why}",
            100.0 - busy * 100.0
        );
        say("Idle workers", text);
    } else if busy >= 0.9 && !has_tail {
        let text = format!(
            "Workers were busy {:.0}% of the time: only faster jobs or more CPUs make this run shorter.",
            busy * 100.0
        );
        say("Well used", text);
    }
    if figures.run.count >= 1_000 && figures.run.p50 < TINY_US {
        let text = format!(
            "Half of the jobs took less than {:.1} ms, about what it costs to start a program. Several values for \
             each command (`-n`, `-X`), `--pipe`, or a worker of your own (`--worker`) cost less.",
            figures.run.p50 as f64 / 1e3
        );
        say("Tiny jobs", text);
    }
    let cpu = percent(figures.cpu_us, figures.busy_us);
    if figures.cpu_us > 0 && cpu < 40.0 && busy > 0.5 && figures.run.p50 > TINY_US {
        let text = format!(
            "Jobs used a CPU for {cpu:.0}% of the time that they ran, and waited for something else for the rest: \
             disk, network, other programs. More of them at once (`-j 200%`) may be faster."
        );
        say("Waiting, not computing", text);
    }
}

/// What jobs did.
fn jobs(figures: &Figures, seen: &Seen, say: &mut impl FnMut(&'static str, String)) {
    let cost = |cost: Cost, what: &str| {
        let took = match cost.us {
            0 => String::new(),
            us => format!(" and took {} of worker time", time(us)),
        };
        let tries = if cost.tries == 1 { "try" } else { "tries" };
        let number = crate::run::text::count(cost.tries);
        format!("{number} {tries} {what}{took}.")
    };
    if seen.memory.tries > 0 {
        let text = cost(seen.memory, "ran out of memory");
        let help =
            "Fewer jobs at once (`-j`), or none while memory is short (`--memfree`), may help.";
        say("Out of memory", format!("{text} {help}"));
    }
    if seen.timeouts.tries > 0 {
        let text = cost(seen.timeouts, "did not end in time (`--timeout`)");
        say("Timeouts", text);
    }
    if seen.deaths.tries > 0 {
        say(
            "Crashes",
            cost(seen.deaths, "ended with the death of the worker"),
        );
    }
    if figures.retries > 0 {
        let again = format!(
            "{} took more than one try, {} of them with success in the end.",
            counted(figures.retried_jobs, "job"),
            crate::run::text::count(figures.retried_ok),
        );
        let lost = match percent(figures.lost_us, figures.busy_us) {
            share if share >= 0.5 => format!(" The tries before took {share:.0}% of worker time."),
            _ => String::new(),
        };
        say("Retries", again + &lost);
    }
    if seen.leaked > 0 {
        let text = format!(
            "{} left {} behind, which were killed.",
            counted(seen.leaking, "job"),
            counted(seen.leaked, "process").replace("processs", "processes"),
        );
        say("Left behind", text);
    }
    if seen.omitted > 0 {
        let text = format!(
            "Of what {} printed, a part was left out (`--output-limit`).",
            counted(seen.omitted, "job")
        );
        say("Cut output", text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::bins::Measured;
    use super::*;

    const S: i64 = 1_000_000;

    fn figures(busy: i64, capacity: i64) -> Figures {
        Figures {
            jobs: 100,
            ended: 100,
            ok: 100,
            wall_us: 10 * S,
            workers: 4,
            busy_us: busy * S,
            cpu_us: busy * S,
            capacity_us: capacity * S,
            run: Measured {
                p50: 100_000,
                count: 100,
                ..Measured::default()
            },
            ..Figures::default()
        }
    }

    fn whole() -> About {
        About {
            input_whole: true,
            name: "run.db".into(),
            ..About::default()
        }
    }

    fn titles(notes: &[Note]) -> Vec<&'static str> {
        notes.iter().map(|note| note.title).collect()
    }

    fn of(figures: &Figures, tail: Option<i64>, waiting: &[i64]) -> Vec<Note> {
        let seen = Seen {
            last: Some("img-9".into()),
            ..Seen::default()
        };
        notes(figures, &whole(), &seen, tail, waiting)
    }

    #[test]
    fn what_limited_the_run_is_said() {
        let full = of(&figures(39, 40), Some(0), &[1]);
        assert_eq!(titles(&full), ["Well used"]);
        let stragglers = of(&figures(20, 40), Some(5 * S), &[1]);
        assert_eq!(titles(&stragglers), ["Stragglers"]);
        assert!(
            stragglers[0].text.starts_with(
                "For the last 5.00s (50% of the run) fewer than half of the workers had work; \
                 the last job to end was `img-9`."
            ),
            "{}",
            stragglers[0].text
        );
        let starved = of(&figures(10, 40), Some(0), &[0, 0, 1]);
        assert_eq!(titles(&starved), ["Idle workers"]);
        assert!(starved[0].text.contains("75%"), "{}", starved[0].text);
        assert!(starved[0].text.contains("the input was slower"));
        let held = of(&figures(10, 40), Some(0), &[1, 1, 1]);
        assert!(held[0].text.contains("--memfree"));
        let mut tiny = figures(39, 40);
        (tiny.run.p50, tiny.run.count) = (500, 10_000);
        assert_eq!(titles(&of(&tiny, None, &[])), ["Well used", "Tiny jobs"]);
        let mut waits = figures(39, 40);
        waits.cpu_us = S;
        assert_eq!(
            titles(&of(&waits, None, &[])),
            ["Well used", "Waiting, not computing"]
        );
    }

    #[test]
    fn a_run_without_an_end_says_how_it_goes_on() {
        let mut open = figures(39, 40);
        open.jobs = 120;
        let said = of(&open, None, &[]);
        assert_eq!(said[0].title, "Not finished");
        assert_eq!(
            said[0].text,
            "20 jobs have no result: the run was stopped. `orchestrator resume run.db` goes on."
        );
        let about = About {
            running: Some(Some(7)),
            ..whole()
        };
        let running = notes(&open, &about, &Seen::default(), None, &[]);
        assert_eq!(titles(&running), ["Still running"]);
    }

    #[test]
    fn what_jobs_cost_is_counted() {
        let mut seen = Seen::default();
        for verdict in ["oom", "timeout", "timeout", "crashed", "ok", "failed"] {
            let one = Try {
                verdict: verdict.into(),
                ..Try::default()
            };
            seen.tried(&one, S);
        }
        let mut retried = figures(39, 40);
        (retried.retries, retried.retried_jobs, retried.lost_us) = (3, 2, 4 * S);
        let said = notes(&retried, &whole(), &seen, None, &[]);
        assert_eq!(
            titles(&said),
            [
                "Well used",
                "Out of memory",
                "Timeouts",
                "Crashes",
                "Retries"
            ]
        );
        assert!(said[2].text.starts_with("2 tries did not end in time"));
        assert!(said[2].text.ends_with("and took 2.00s of worker time."));
        assert!(said[4].text.ends_with("took 10% of worker time."));
    }
}
