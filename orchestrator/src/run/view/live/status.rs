//! How a run stands, as a JSON object for programs; `docs/dashboard.md` describes it, and what
//! stands there does not change its meaning.

use serde_json::{Map, Value, json};

use super::super::bins::Measured;
use super::super::model::Model;
use super::Live;
use crate::run::observe::stand::{Running, Stand};

/// The version of the object.
pub(crate) const SCHEMA: u32 = 1;

/// How many failures alike are told, and how many jobs of each.
const GROUPS: usize = 25;
const EXAMPLES: usize = 3;

/// How a run stands; of this model.
pub(crate) fn status(live: &Live, model: &Model) -> Value {
    let (figures, stand, base) = (&model.figures, &live.stand, &live.base);
    let verdicts: Map<_, _> = figures
        .ends()
        .map(|(word, jobs)| (word.clone(), (*jobs).into()))
        .collect();
    let failures = model.about.groups.iter().take(GROUPS).map(|group| {
        let examples = group.examples.iter().take(EXAMPLES).map(|example| {
            json!({
                "line": example.line,
                "name": example.label,
                "tries": example.tries,
                "message": example.what,
                "stderr": example.stderr,
            })
        });
        json!({
            "verdict": group.verdict,
            "message": group.what,
            "jobs": group.jobs,
            "examples": examples.collect::<Vec<_>>(),
        })
    });
    json!({
        "schema": SCHEMA,
        "run": {
            "id": base.run_id,
            "does": base.purpose,
            "began_us": base.run.began_us,
            "host": base.run.host,
            "pid": std::process::id(),
            "version": base.run.version,
        },
        "state": if live.ended.is_some() { "ended" } else { "running" },
        "failure": live.ended.as_ref().and_then(|ended| ended.failure.clone()),
        "elapsed_us": figures.wall_us,
        "jobs": {
            "total": stand.total,
            "ended": figures.ended + figures.stopped(),
            "succeeded": figures.ok,
            "failed": figures.bad + figures.stopped(),
            "waiting": stand.stats.waiting,
            "running": stand.stats.running,
        },
        "verdicts": verdicts,
        "retries": figures.retries,
        "workers": workers(stand),
        "hosts": stand.hosts,
        "run_us": measured(&figures.run),
        "wait_us": measured(&figures.wait),
        "rss_kib": measured(&figures.rss),
        "running": running(stand),
        "failures": failures.collect::<Vec<_>>(),
    })
}

fn workers(stand: &Stand) -> Value {
    let stats = &stand.stats;
    json!({
        "wanted": stand.workers,
        "there": stats.workers,
        "busy": stats.busy,
        "idle": stats.idle,
        "starting": stats.starting,
        "started": stats.workers_started,
        "died": stand.workers_died,
        "recycled": stats.workers_recycled,
    })
}

fn running(stand: &Stand) -> Vec<Value> {
    let one = |job: &Running| {
        json!({
            "line": job.line,
            "name": job.name,
            "try": job.attempt,
            "pid": job.pid,
            "elapsed_us": super::us(job.elapsed),
        })
    };
    stand.running.iter().map(one).collect()
}

/// Nothing where nothing was measured.
fn measured(measured: &Measured) -> Value {
    match measured.count {
        0 => Value::Null,
        count => json!({
            "count": count,
            "p50": measured.p50,
            "p90": measured.p90,
            "p99": measured.p99,
            "max": measured.max,
            "total": measured.total,
        }),
    }
}
