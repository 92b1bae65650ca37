//! The figures for a terminal: what stands below the state of a run.

use super::html::time;
use super::model::{Host, Kind, Model};
use crate::run::text;

/// How many jobs without a verdict are named.
const UNFINISHED: usize = 10;

/// Lines about times, tries and what limited the run; none where nothing is known of
/// them.
pub(crate) fn lines(model: &Model) -> String {
    let figures = &model.figures;
    let mut out = String::new();
    let mut line = |name: &str, value: String| out += &format!("{name:<9} {value}\n");
    if model.about.kind != Kind::Light && figures.run.count > 0 {
        let busy = figures.busy().map_or(String::new(), |busy| {
            let who = match model.lanes_are_workers {
                true => text::counted(figures.workers, "worker"),
                false => format!("{} at once", text::count(figures.workers)),
            };
            format!(", {who} {:.0}% busy", busy * 100.0)
        });
        let rate = text::rate(figures.rate());
        line("took", format!("{} ({rate}{busy})", time(figures.wall_us)));
        for (name, measured) in [("run time", &figures.run), ("waited", &figures.wait)] {
            if measured.count > 0 {
                let parts = [
                    ("p50", measured.p50),
                    ("p90", measured.p90),
                    ("p99", measured.p99),
                    ("max", measured.max),
                ];
                let parts = parts.map(|(name, us)| format!("{name} {}", time(us)));
                line(name, parts.join("   "));
            }
        }
        for (i, host) in model.about.hosts.iter().enumerate() {
            let head = if i == 0 { "hosts" } else { "" };
            line(head, ran_at(host));
        }
        if figures.retries > 0 {
            let value = format!(
                "{} repeated of {}, {} ok in the end",
                text::counted(figures.retries, "try").replace("trys", "tries"),
                text::counted(figures.retried_jobs, "job"),
                text::count(figures.retried_ok)
            );
            line("tries", value);
        }
        for note in &model.about.notes {
            // These are said by the state of the run, and by what to do next.
            if !["Still running", "The run failed", "Not finished", "Retries"].contains(&note.title)
            {
                line("note", format!("{}: {}", note.title, note.text));
            }
        }
    }
    out
}

/// What a host did, on a line.
fn ran_at(host: &Host) -> String {
    let name = match host.is_here {
        true => format!("{} (here)", host.name),
        false => host.name.clone(),
    };
    let bad = match host.bad {
        0 => String::new(),
        bad => format!(", {} not ok", text::count(bad)),
    };
    let jobs = text::counted(host.jobs, "job");
    format!("{name}: {jobs}{bad}, busy {}", time(host.busy_us))
}

/// Which jobs have ended without a verdict, and how: the first ones.
pub(crate) fn unfinished(model: &Model) -> String {
    let mut out = String::new();
    let all = model.figures.stopped();
    let groups = model.about.groups.iter();
    let groups = groups.filter(|group| group.open);
    let jobs = groups.flat_map(|group| group.examples.iter().map(move |one| (group, one)));
    let mut shown = 0;
    for (group, one) in jobs.take(UNFINISHED) {
        shown += 1;
        let (label, word, what) = (&one.label, &group.verdict, &one.what);
        out += &format!("  {label} (line {}): {word}: {what}\n", one.line);
    }
    match shown {
        0 => out,
        shown if shown == all => {
            format!("\n{} without a verdict:\n{out}", text::counted(all, "job"))
        }
        shown => {
            let all = text::count(all);
            format!("\nThe first {shown} of {all} jobs without a verdict:\n{out}")
        }
    }
}
