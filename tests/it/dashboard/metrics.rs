//! `/metrics`, by the rules of Prometheus' text format.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Metrics by their names and labels; panics over whatever is not as the format wants it:
/// <https://prometheus.io/docs/instrumenting/exposition_formats/>.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'));
    let is_name = |name: &str| {
        let mut chars = name.chars();
        chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let (mut samples, mut begun) = (BTreeMap::new(), BTreeSet::new());
    let (mut helped, mut current) = (String::new(), (String::new(), String::new()));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect(line);
            assert!(is_name(name) && !help.is_empty(), "{line}");
            helped = name.to_owned();
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert_eq!(name, helped, "its help comes first");
            assert!(["counter", "gauge", "summary"].contains(&kind), "{line}");
            // All of a metric stands together.
            assert!(begun.insert(name.to_owned()), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            current = (name.to_owned(), kind.to_owned());
            continue;
        }
        assert!(!line.starts_with('#'), "{line}");
        let (series, value) = line.rsplit_once(' ').expect(line);
        let name = series.split('{').next().unwrap();
        let base = match &current.1[..] {
            "summary" => name.trim_end_matches("_sum").trim_end_matches("_count"),
            _ => name,
        };
        assert!(is_name(name) && base == current.0, "{line}");
        if let Some(labels) = series
            .strip_prefix(name)
            .filter(|labels| !labels.is_empty())
        {
            let mut rest = labels
                .strip_prefix('{')
                .and_then(|l| l.strip_suffix('}'))
                .expect(line);
            while !rest.is_empty() {
                let (label, behind) = rest.split_once("=\"").expect(line);
                assert!(is_name(label), "{line}");
                let mut escaped = false;
                let end = behind.find(|c| {
                    let ends = c == '"' && !escaped;
                    assert!(!escaped || ['\\', '"', 'n'].contains(&c), "{line}");
                    escaped = c == '\\' && !escaped;
                    ends
                });
                rest = &behind[end.expect(line) + 1..];
                rest = rest.strip_prefix(',').unwrap_or(rest);
            }
        }
        let value: f64 = value.parse().expect(line);
        assert!(samples.insert(series.to_owned(), value).is_none(), "{line}");
    }
    samples
}

#[test]
fn metrics_are_as_prometheus_reads_them() {
    let env = TestEnv::new();
    let mut all = command(&env, &["-q", "-j2", "--retries", "1", "--dashboard", "-c"]);
    all.arg(format!("{JOB}; : '\"\\'"));
    let (mut child, port) = started(all);
    let begun = parsed(&body(port, "/metrics"));
    assert_eq!(begun["orchestrator_jobs_ended_total{verdict=\"ok\"}"], 0.0);
    assert!(begun["orchestrator_job_run_seconds{quantile=\"0.5\"}"].is_nan());
    assert!(!begun.contains_key("orchestrator_jobs_expected"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"fine\nbad\nfine\nwait\n").unwrap();
    drop(stdin);
    let expected = [
        ("orchestrator_jobs_ended_total{verdict=\"ok\"}", 2.0),
        ("orchestrator_jobs_ended_total{verdict=\"failed\"}", 1.0),
        ("orchestrator_job_run_seconds_count", 3.0),
        ("orchestrator_jobs{state=\"running\"}", 1.0),
        ("orchestrator_jobs{state=\"waiting\"}", 0.0),
        ("orchestrator_jobs_expected", 4.0),
        ("orchestrator_retries_total", 1.0),
        ("orchestrator_workers{state=\"busy\"}", 1.0),
        ("orchestrator_workers_wanted", 2.0),
        ("orchestrator_run_ended", 0.0),
    ];
    // What has happened and how it stands are not looked at in the same moment.
    let mut seen = BTreeMap::new();
    eventually("three have ended, and one runs", || {
        seen = parsed(&body(port, "/metrics"));
        expected
            .iter()
            .all(|(name, value)| seen.get(*name) == Some(value))
    });
    assert!(seen["orchestrator_job_run_seconds_sum"] > 0.0);
    let answer = get(port, "/metrics", &own(port));
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
    env.file("go", "");
    assert_eq!(finish(child, Vec::new()).code(), 1);
}
