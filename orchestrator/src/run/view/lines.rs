//! The figures for a terminal: what stands below the state of a run.

use super::html::time;
use super::model::{Kind, Model};
use crate::run::text;

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
        let rate = match figures.rate() {
            rate if rate < 10.0 => format!("{rate:.1}"),
            rate => text::count(rate.round() as u64),
        };
        line(
            "took",
            format!("{} ({rate}/s{busy})", time(figures.wall_us)),
        );
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
