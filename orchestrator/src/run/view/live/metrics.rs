//! How a run stands in the text format of Prometheus, version 0.0.4:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>. `docs/dashboard.md` lists
//! the metrics.

use std::fmt::Write as _;

use super::super::bins::Measured;
use super::super::model::Model;
use super::Live;

/// A metric that is being written: its values follow its head.
struct Metric<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl Metric<'_> {
    fn value(self, value: f64) -> Self {
        self.labelled(&[], value)
    }

    fn labelled(self, labels: &[(&str, &str)], value: f64) -> Self {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        // Writing to a string does not fail.
        writeln!(self.out, "orchestrator_{}{labels} {value}", self.name).ok();
        self
    }

    /// The same of times, in seconds.
    fn summary(self, measured: &Measured) {
        let seconds = |us: i64| us as f64 / 1e6;
        let Metric { out, name } = self;
        for (quantile, us) in [
            ("0.5", measured.p50),
            ("0.9", measured.p90),
            ("0.99", measured.p99),
        ] {
            let us = match measured.count {
                0 => f64::NAN,
                _ => seconds(us),
            };
            writeln!(out, "orchestrator_{name}{{quantile=\"{quantile}\"}} {us}").ok();
        }
        writeln!(out, "orchestrator_{name}_sum {}", seconds(measured.total)).ok();
        writeln!(out, "orchestrator_{name}_count {}", measured.count).ok();
    }
}

/// The value of a label, between its quotes.
fn escaped(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}

/// All metrics of a run; of this model.
pub(crate) fn metrics(live: &Live, model: &Model) -> String {
    let mut text = String::new();
    let (figures, stand, stats) = (&model.figures, &live.stand, &live.stand.stats);
    let out = &mut text;
    let run = &live.base.run;
    let labels = [
        ("run", &live.base.run_id[..]),
        ("version", &run.version[..]),
        ("does", &live.base.purpose[..]),
    ];
    begin(out, "run_info", "gauge", "The run that is told of.").labelled(&labels, 1.0);
    begin(
        out,
        "run_seconds",
        "gauge",
        "How long the run has been going on.",
    )
    .value(figures.wall_us as f64 / 1e6);
    let ended = begin(
        out,
        "run_ended",
        "gauge",
        "Whether the run is over: 1 if it is.",
    );
    ended.value(f64::from(u8::from(live.ended.is_some())));
    let mut jobs = begin(
        out,
        "jobs_ended_total",
        "counter",
        "Jobs that have ended, by verdict.",
    );
    if figures.ok == 0 {
        jobs = jobs.labelled(&[("verdict", "ok")], 0.0);
    }
    for (word, count) in figures.ends() {
        jobs = jobs.labelled(&[("verdict", word)], *count as f64);
    }
    begin(out, "jobs", "gauge", "Jobs in the pool.")
        .labelled(&[("state", "waiting")], stats.waiting as f64)
        .labelled(&[("state", "running")], stats.running as f64);
    if let Some(total) = stand.total {
        begin(
            out,
            "jobs_expected",
            "gauge",
            "Jobs in all, once that is known.",
        )
        .value(total as f64);
    }
    begin(
        out,
        "retries_total",
        "counter",
        "Tries that another one followed.",
    )
    .value(figures.retries as f64);
    begin(out, "workers", "gauge", "Workers, by what they do.")
        .labelled(&[("state", "busy")], stats.busy as f64)
        .labelled(&[("state", "idle")], stats.idle as f64)
        .labelled(&[("state", "starting")], stats.starting as f64);
    begin(
        out,
        "workers_wanted",
        "gauge",
        "How many jobs may run at once.",
    )
    .value(stand.workers as f64);
    begin(
        out,
        "workers_started_total",
        "counter",
        "Workers that were started.",
    )
    .value(stats.workers_started as f64);
    begin(
        out,
        "workers_died_total",
        "counter",
        "Workers that ended unasked.",
    )
    .value(stand.workers_died as f64);
    begin(
        out,
        "workers_recycled_total",
        "counter",
        "Workers that were replaced because they were worn out.",
    )
    .value(stats.workers_recycled as f64);
    begin(
        out,
        "cpu_seconds_total",
        "counter",
        "CPU time of all tries that are over.",
    )
    .value(figures.cpu_us as f64 / 1e6);
    begin(
        out,
        "job_run_seconds",
        "summary",
        "How long the last tries of jobs took.",
    )
    .summary(&figures.run);
    begin(
        out,
        "job_wait_seconds",
        "summary",
        "How long jobs waited for their first try.",
    )
    .summary(&figures.wait);
    text
}

/// The head of a metric.
fn begin<'a>(out: &'a mut String, name: &'static str, kind: &str, help: &str) -> Metric<'a> {
    writeln!(
        out,
        "# HELP orchestrator_{name} {help}\n# TYPE orchestrator_{name} {kind}"
    )
    .ok();
    Metric { out, name }
}

#[cfg(test)]
mod tests {
    use super::super::Base;
    use super::*;

    #[test]
    fn a_label_holds_any_text() {
        let mut live = Live::new(Base {
            purpose: "-- echo \"a\\b\nc\" {}".into(),
            run_id: "7".into(),
            ..Base::default()
        });
        let model = live.model();
        let text = metrics(&live, &model);
        let line = "orchestrator_run_info{run=\"7\",version=\"\",does=\"-- echo \\\"a\\\\b\\nc\\\" {}\"} 1";
        assert!(text.lines().any(|said| said == line), "{text}");
        // Nothing was measured, and no total is known.
        assert!(text.contains("orchestrator_job_run_seconds{quantile=\"0.5\"} NaN\n"));
        assert!(text.contains("orchestrator_jobs_ended_total{verdict=\"ok\"} 0\n"));
        assert!(!text.contains("jobs_expected"));
    }
}
