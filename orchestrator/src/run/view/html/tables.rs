//! What stands below the pictures: failures, times, and lists.

use super::super::bins::Measured;
use super::super::groups::plain;
use super::super::model::{About, Example, Kind, Model};
use super::super::safe::html;
use super::head::{date, tagged};
use super::{is_light, memory, time};
use crate::run::text;

/// How many groups of failures are unfolded.
const UNFOLDED: usize = 3;

/// How many workers are listed.
const WORKERS: usize = 256;

pub(super) fn failures(model: &Model) -> String {
    let (figures, about) = (&model.figures, &model.about);
    let stopped = figures.stopped();
    let name = match (figures.bad, stopped) {
        (0, 0) => return String::new(),
        (_, 0) => "Failures",
        (0, _) => "Not finished",
        (_, _) => "Failed or not finished",
    };
    let mut out = format!(
        "<section id=\"failures\">\n<h2>{name} <span class=\"quiet\">{} in {}</span></h2>\n",
        text::counted(figures.bad + stopped, "job"),
        text::counted(about.groups.len() as u64, "group"),
    );
    for (i, group) in about.groups.iter().enumerate() {
        let open = if i < UNFOLDED { " open" } else { "" };
        let alike = if group.varied {
            " <span class=\"quiet\">and alike</span>"
        } else {
            ""
        };
        out += &format!(
            "<details class=\"group\"{open} data-jobs=\"{}\"><summary><b>{}</b> {} <span class=\"why\">{}</span>{alike}</summary>\n",
            group.jobs,
            text::count(group.jobs),
            tagged(&group.verdict),
            html(&group.what),
        );
        out += "<div class=\"wide\"><table><thead><tr><th>Job<th class=\"n\">Line<th class=\"n\">Tries<th>What it said</tr></thead><tbody>\n";
        for example in &group.examples {
            out += &failed(example, &group.what);
        }
        out += "</tbody></table></div>\n";
        let more = group.jobs - group.examples.len() as u64;
        if more > 0 {
            out += &format!("<p class=\"quiet\">and {} more</p>\n", text::count(more));
        }
        out += "</details>\n";
    }
    let only = about.ungrouped + about.dropped;
    if only > 0 {
        let jobs = text::counted(only, "job");
        out += &format!("<p class=\"quiet\">{jobs} more failed in ways that are not listed.</p>\n");
    }
    if about.kind != Kind::Executor && !about.name.is_empty() && figures.bad > 0 {
        let name = html(&about.name);
        let those = match stopped {
            0 => "All of them",
            _ => "All that failed",
        };
        out += &format!(
            "<p class=\"next\">{those}: <code>orchestrator results {name} --failed --format jsonl</code>"
        );
        let only = match about.kind {
            Kind::Light => "",
            _ => "--failed ",
        };
        // Nobody else may write to the file while the run goes on.
        if about.running.is_none() {
            out += &format!("<br>Run them again: <code>orchestrator retry {only}{name}</code>");
        }
        out += "</p>\n";
    }
    out + "</section>\n"
}

/// What runs now.
pub(super) fn at_work(about: &About) -> String {
    let Some(work) = &about.at_work else {
        return String::new();
    };
    let more = match work.count.saturating_sub(work.longest.len() as u64) {
        0 => String::new(),
        more => format!("<p class=\"quiet\">and {} more</p>\n", text::count(more)),
    };
    let rows = work.longest.iter().map(|job| {
        format!(
            "<tr><td class=\"job\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\"><b>{}</b></tr>\n",
            html(&job.label),
            job.line,
            job.attempt,
            job.pid,
            time(job.us),
        )
    });
    let rows: String = rows.collect();
    let table = match rows.is_empty() {
        true => String::new(),
        false => format!(
            "<div class=\"wide\"><table><thead><tr><th>Job<th class=\"n\">Line<th class=\"n\">Try<th class=\"n\">Process\
             <th class=\"n\">Runs for</tr></thead><tbody>\n{rows}</tbody></table></div>\n"
        ),
    };
    let hosts = work.hosts.as_ref();
    let hosts = hosts.map_or(String::new(), |hosts| format!(", {hosts}"));
    format!(
        "<section id=\"at-work\" data-running=\"{}\">\n<h2>Running now <span class=\"quiet\">{}, the longest first{hosts}</span></h2>\n\
         {table}{more}</section>\n",
        work.count,
        text::counted(work.count, "job"),
    )
}

fn failed(example: &Example, what: &str) -> String {
    let said = match () {
        () if !example.stderr.is_empty() => format!("<pre>{}</pre>", html(&example.stderr)),
        () if example.what != what => html(&example.what),
        () => String::new(),
    };
    format!(
        "<tr><td class=\"job\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"said\">{said}</tr>\n",
        html(&example.label),
        example.line,
        example.tries,
    )
}

/// Its key, its name, what was measured, and how that is shown.
type Row<'a> = (&'static str, &'static str, &'a Measured, fn(i64) -> String);

pub(super) fn times(model: &Model) -> String {
    let figures = &model.figures;
    let rows: [Row<'_>; 3] = [
        ("run", "Run time", &figures.run, time),
        ("wait", "Queue wait", &figures.wait, time),
        ("rss", "Memory", &figures.rss, memory),
    ];
    let rows: String = rows
        .iter()
        .filter(|(_, _, measured, _)| measured.count > 0)
        .map(|(key, name, m, show)| {
            let cells = [m.min, m.p50, m.p90, m.p99, m.max];
            let cells = cells.map(|value| format!("<td class=\"n\" data-value=\"{value}\">{}", show(value)));
            let count = text::count(m.count);
            format!(
                "<tr data-measure=\"{key}\"><th scope=\"row\">{name}<td class=\"n\">{count}{}</tr>\n",
                cells.concat()
            )
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<section>\n<h2>Times and memory <span class=\"quiet\">of each job’s last try</span></h2>\n<div class=\"wide\"><table>\
         <thead><tr><th><th class=\"n\">Jobs<th class=\"n\">Least<th class=\"n\">p50<th class=\"n\">p90<th class=\"n\">p99\
         <th class=\"n\">Most</tr></thead><tbody>\n{rows}</tbody></table></div>\n</section>\n"
    )
}

pub(super) fn slowest(about: &About) -> String {
    if about.slowest.len() < 2 {
        return String::new();
    }
    let mut out = String::from(
        "<section id=\"slowest\">\n<h2>Slowest jobs</h2>\n<div class=\"wide\"><table><thead><tr><th>Job<th class=\"n\">Line<th>Verdict\
         <th class=\"n\">Run time<th class=\"n\">Waited<th class=\"n\">CPU time<th class=\"n\">Memory<th class=\"n\">Tries\
         <th class=\"n\">Began</tr></thead><tbody>\n",
    );
    let or = |value: Option<i64>, show: fn(i64) -> String| value.map_or("–".to_owned(), show);
    for job in &about.slowest {
        out += &format!(
            "<tr><td class=\"job\">{}<td class=\"n\">{}<td>{}<td class=\"n\" data-value=\"{}\"><b>{}</b><td class=\"n\">{}\
             <td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}</tr>\n",
            html(&job.label),
            job.line,
            tagged(&job.verdict),
            job.wall_us,
            time(job.wall_us),
            or(job.wait_us, time),
            or(job.cpu_us, time),
            or(job.rss_kib, memory),
            job.tries,
            or(job.start, |us| format!("+{}", time(us))),
        );
    }
    out + "</tbody></table></div>\n</section>\n"
}

pub(super) fn retried(model: &Model) -> String {
    let (figures, about) = (&model.figures, &model.about);
    if about.retried.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "<section id=\"retries\">\n<h2>Retries <span class=\"quiet\">{} of {}, {} ok in the end</span></h2>\n\
         <div class=\"wide\"><table><thead><tr><th>Job<th class=\"n\">Line<th>Verdict<th class=\"n\">Tries<th>What each came to</tr></thead><tbody>\n",
        text::counted(figures.retries, "repeated try").replace("trys", "tries"),
        text::counted(figures.retried_jobs, "job"),
        text::count(figures.retried_ok),
    );
    for job in &about.retried {
        let tries = job.tries.iter().map(|(what, us)| {
            let took = us.map_or(String::new(), |us| {
                format!(" <span class=\"quiet\">{}</span>", time(us))
            });
            format!("<li>{}{took}</li>", html(what))
        });
        out += &format!(
            "<tr><td class=\"job\">{}<td class=\"n\">{}<td>{}<td class=\"n\">{}<td><ol>{}</ol></tr>\n",
            html(&job.label),
            job.line,
            tagged(&job.verdict),
            job.count,
            tries.collect::<String>(),
        );
    }
    out += "</tbody></table></div>\n";
    let more = figures
        .retried_jobs
        .saturating_sub(about.retried.len() as u64);
    if more > 0 {
        out += &format!(
            "<p class=\"quiet\">and {} more</p>\n",
            text::counted(more, "job")
        );
    }
    out + "</section>\n"
}

/// Where jobs ran, if that was not only here.
pub(super) fn hosts(model: &Model) -> String {
    let all = &model.about.hosts;
    if all.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "<section id=\"hosts\">\n<h2>Hosts <span class=\"quiet\">{}</span></h2>\n<div class=\"wide\"><table><thead><tr><th>Host\
         <th class=\"n\">At once<th class=\"n\">Jobs<th class=\"n\">Not ok<th class=\"n\">Tries<th class=\"n\">Busy time\
         <th class=\"n\">CPU time<th class=\"n\">Peak memory</tr></thead><tbody>\n",
        text::counted(all.len() as u64, "place"),
    );
    for host in all.iter().take(WORKERS) {
        let here = if host.is_here {
            " <span class=\"quiet\">this machine</span>"
        } else {
            ""
        };
        let slots = match host.slots {
            0 => "–".to_owned(),
            slots => text::count(slots.unsigned_abs()),
        };
        let name = html(&host.name);
        out += &format!(
            "<tr data-host=\"{name}\" data-jobs=\"{}\"><td class=\"job\">{name}{here}<td class=\"n\">{slots}<td class=\"n\">{}\
             <td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}</tr>\n",
            host.jobs,
            text::count(host.jobs),
            text::count(host.bad),
            text::count(host.tries),
            time(host.busy_us),
            time(host.cpu_us),
            memory(host.rss_kib),
        );
    }
    out += "</tbody></table></div>\n";
    if all.len() > WORKERS {
        let more = text::count((all.len() - WORKERS) as u64);
        out += &format!("<p class=\"quiet\">and {more} more</p>\n");
    }
    out + "</section>\n"
}

pub(super) fn workers(model: &Model) -> String {
    let all = &model.about.workers;
    // What each place at a host came to says less than what the host did.
    if all.is_empty() || is_light(model) || !model.hosts.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<section>\n<details class=\"plain\"><summary><h2>Workers</h2></summary>\n<div class=\"wide\"><table><thead><tr><th class=\"n\">Row\
         <th class=\"n\">Tries<th class=\"n\">Not ok<th class=\"n\">Busy<th class=\"n\">Busy time<th class=\"n\">CPU time\
         <th class=\"n\">Peak memory<th class=\"n\">Processes</tr></thead><tbody>\n",
    );
    for (i, worker) in all.iter().take(WORKERS).enumerate() {
        let share = worker.busy_us as f64 / model.total_us.max(1) as f64 * 100.0;
        out += &format!(
            "<tr><td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{share:.0} %<td class=\"n\">{}<td class=\"n\">{}\
             <td class=\"n\">{}<td class=\"n\">{}</tr>\n",
            i + 1,
            text::count(worker.tries),
            text::count(worker.bad),
            time(worker.busy_us),
            time(worker.cpu_us),
            memory(worker.rss_kib),
            text::count(worker.lives),
        );
    }
    out += "</tbody></table></div>\n";
    if all.len() > WORKERS {
        let more = text::count((all.len() - WORKERS) as u64);
        out += &format!("<p class=\"quiet\">and {more} more</p>\n");
    }
    out + "</details>\n</section>\n"
}

pub(super) fn runs(model: &Model) -> String {
    let about = &model.about;
    let mut out = String::from(
        "<section>\n<details class=\"plain\"><summary><h2>About this run</h2></summary>\n<div class=\"wide\"><table class=\"facts\"><tbody>\n",
    );
    let mut row = |name: &str, value: String| {
        out += &format!("<tr><th scope=\"row\">{name}<td>{value}</tr>\n");
    };
    row("Does", html(&text::escaped(about.purpose.as_bytes())));
    row("Run", html(&text::escaped(about.run_id.as_bytes())));
    row(
        "Input",
        match about.input_whole {
            true => "read to its end".into(),
            false => "not read to its end".into(),
        },
    );
    for run in &about.runs {
        let end = match (&run.failure, run.ended_us) {
            (Some(why), _) => format!("failed: {}", plain(why)),
            (None, Some(us)) => format!("ended {}", date(us)),
            (None, None) if about.running.is_some() && Some(run) == about.runs.last() => {
                "runs".into()
            }
            (None, None) => "ended without a word: killed, or the machine went down".into(),
        };
        let workers = run.workers.map_or(String::new(), |n| {
            format!(", {}", text::counted(n.unsigned_abs(), "worker"))
        });
        let value = format!(
            "began {}, {end}{workers}; in {}",
            date(run.began_us),
            text::escaped(&run.cwd)
        );
        row(&format!("Run {}", run.run), html(&value));
    }
    row("Report", format!("made {}", date(about.now_us)));
    row(
        "Percentiles",
        "p90: nine tenths of the jobs took no longer (nearest rank)".into(),
    );
    out + "</tbody></table></div>\n</details>\n</section>\n"
}
