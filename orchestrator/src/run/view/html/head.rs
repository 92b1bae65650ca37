//! The top of the page: the verdict, the most telling figures, and what they mean.

use std::time::{Duration, UNIX_EPOCH};

use super::super::model::{About, Kind, Model};
use super::super::safe::html;
use super::{is_light, kind, marked, memory, rate, time, verdict as word};
use crate::run::runfile::LAST_US;
use crate::run::sink::command_line;
use crate::run::text;

/// How many characters of a command line are shown.
const COMMAND: usize = 4_000;

/// What the run came to, in one line.
pub(super) fn verdict(model: &Model) -> String {
    let figures = &model.figures;
    let jobs = text::counted(figures.jobs, "job");
    let ok = text::count(figures.ok);
    if figures.jobs == 0 {
        return "No jobs".into();
    }
    if model.about.lacks_counts() {
        let bad = text::counted(figures.jobs - figures.ok, "job");
        return match model.about.running {
            Some(_) => format!("Running: {bad} did not succeed so far"),
            None => format!("{bad} did not succeed; how many did is not known"),
        };
    }
    if model.about.running.is_some() {
        let ended = text::count(figures.ended);
        return format!("Running: {ended} of {jobs} done");
    }
    if figures.ok == figures.jobs {
        return format!("{jobs} succeeded");
    }
    format!("{ok} of {jobs} succeeded")
}

pub(super) fn header(model: &Model) -> String {
    let (figures, about) = (&model.figures, &model.about);
    let state = match () {
        () if about.running.is_some() => "runs",
        () if figures.jobs > 0 && figures.ok == figures.jobs => "good",
        () => "poor",
    };
    let mut out = format!(
        "<header>\n<h1 class=\"{state}\" data-ok=\"{}\" data-jobs=\"{}\">{}</h1>\n",
        figures.ok,
        figures.jobs,
        html(&verdict(model)),
    );
    let open = figures.jobs.saturating_sub(figures.ended);
    out += &bar(model, open.saturating_sub(figures.stopped()));
    if let Some(run) = about.runs.last() {
        let words = run.arguments.iter().map(|word| &word[..]);
        // Those of a Python program are its own.
        let words = words.skip(usize::from(about.kind == Kind::Executor));
        let words = command_line::joined(words);
        let program = match about.kind {
            Kind::Executor => "python",
            _ => "orchestrator run",
        };
        let line: String = text::escaped(&words).chars().take(COMMAND).collect();
        let (began, host) = (date(about.runs[0].began_us), html(&run.host));
        let version = html(&run.version);
        out += &format!(
            "<p class=\"command\"><code>{program} {}</code></p>\n<p class=\"quiet\">{began} · {host} · \
             orchestrator {version} · run {}</p>\n",
            html(&line),
            html(&text::clipped(about.run_id.as_bytes())),
        );
    }
    out + "</header>\n"
}

/// How the jobs share out, as a bar with its legend.
fn bar(model: &Model, open: u64) -> String {
    let figures = &model.figures;
    let mut parts: Vec<(&str, &str, u64)> = Vec::new();
    for (word, jobs) in figures.ends() {
        parts.push((word, kind(word), *jobs));
    }
    if open > 0 {
        parts.push(("no result", "open", open));
    }
    if parts.is_empty() {
        return String::new();
    }
    let (mut x, mut rects, mut legend) = (0.0, String::new(), String::new());
    let all = figures.jobs.max(1) as f64;
    // What is there is seen, however little it is.
    let least = |jobs: u64| (jobs as f64 / all * 1000.0).max(4.0);
    let wide: f64 = parts.iter().map(|&(_, _, jobs)| least(jobs)).sum();
    for (name, class, jobs) in parts {
        let width = least(jobs) / wide * 1000.0;
        rects += &format!(
            "<rect class=\"{class}\" x=\"{x:.2}\" y=\"0\" width=\"{width:.2}\" height=\"10\"/>"
        );
        x += width;
        let name = html(&text::clipped(name.as_bytes()));
        legend += &format!(
            "<li data-verdict=\"{name}\" data-jobs=\"{jobs}\"><span class=\"dot {class}\"></span>{name} <b>{}</b></li>",
            text::count(jobs)
        );
    }
    format!(
        "<svg class=\"share\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{rects}</svg>\n\
         <ul class=\"legend\">{legend}</ul>\n"
    )
}

pub(super) fn tiles(model: &Model) -> String {
    let (figures, light) = (&model.figures, is_light(model));
    let mut out = String::from("<section class=\"tiles\" aria-label=\"Figures\">\n");
    let mut tile = |name: &str, value: String, raw: String, class: &str, more: String| {
        let key = name.to_lowercase().replace(' ', "-");
        out += &format!(
            "<div class=\"tile {class}\" data-figure=\"{key}\" data-value=\"{raw}\"><span>{name}</span>\
             <strong>{value}</strong><small>{}</small></div>\n",
            html(&more)
        );
    };
    let runs = model.about.runs.len() as u64;
    let several = match runs {
        ..=1 => String::new(),
        _ => format!("in {}", text::counted(runs, "run")),
    };
    let lacks_counts = model.about.lacks_counts();
    if !lacks_counts {
        tile(
            "Wall time",
            time(figures.wall_us),
            figures.wall_us.to_string(),
            "",
            several,
        );
        tile(
            "Throughput",
            rate(figures),
            format!("{:.3}", figures.rate()),
            "",
            "jobs ended".into(),
        );
    }
    if let Some(busy) = figures.busy() {
        let who = match model.lanes_are_workers {
            true => text::counted(figures.workers, "worker"),
            false => format!("{} at once", text::count(figures.workers)),
        };
        let raw = format!("{busy:.4}");
        tile(
            "Workers busy",
            format!("{:.0} %", busy * 100.0),
            raw,
            "",
            who,
        );
    }
    let class = if figures.bad > 0 { "poor" } else { "" };
    let share = match figures.bad {
        0 => "none".to_owned(),
        _ if lacks_counts => "that are recorded".to_owned(),
        bad => format!(
            "{:.2} % of those that ended",
            bad as f64 / figures.ended.max(1) as f64 * 100.0
        ),
    };
    tile(
        "Failed",
        text::count(figures.bad),
        figures.bad.to_string(),
        class,
        share,
    );
    if !light {
        let jobs = match figures.retries {
            0 => "no job took a second try".to_owned(),
            _ => format!("of {}", text::counted(figures.retried_jobs, "job")),
        };
        tile(
            "Retried tries",
            text::count(figures.retries),
            figures.retries.to_string(),
            "",
            jobs,
        );
    }
    if figures.run.count > 0 {
        let run = &figures.run;
        let raw = format!("{} {} {}", run.p50, run.p90, run.p99);
        let more = format!("half / 99 % of the jobs; max {}", time(run.max));
        let value = format!("{} / {}", time(run.p50), time(run.p99));
        tile("Run time", value, raw, "", more);
    }
    if figures.cpu_us > 0 && !light {
        let cores = figures.cpu_us as f64 / figures.wall_us.max(1) as f64;
        let more = format!("{cores:.1} CPUs on average");
        tile(
            "CPU time",
            time(figures.cpu_us),
            figures.cpu_us.to_string(),
            "",
            more,
        );
    }
    if figures.rss.count > 0 {
        let more = format!("half of the jobs: {}", memory(figures.rss.p50));
        tile(
            "Peak memory",
            memory(figures.rss.max),
            figures.rss.max.to_string(),
            "",
            more,
        );
    }
    out + "</section>\n"
}

pub(super) fn notes(about: &About) -> String {
    if about.notes.is_empty() {
        return String::new();
    }
    let mut out = String::from("<section class=\"notes\" aria-label=\"What limited this run\">\n");
    for note in &about.notes {
        let text = marked(&note.text);
        out += &format!("<p data-note><strong>{}.</strong> {text}</p>\n", note.title);
    }
    out + "</section>\n"
}

/// A point in time, in UTC.
pub(super) fn date(us: i64) -> String {
    let at = UNIX_EPOCH + Duration::from_micros(us.clamp(0, LAST_US).unsigned_abs());
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// A verdict and what it means, for lists.
pub(super) fn tagged(verdict: &str) -> String {
    word(verdict)
}
