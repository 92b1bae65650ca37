use protocol::{JobId, Usage};

use super::model::POINTS;
use super::*;
use crate::run::view::live_parts;

fn seen(job: u64, verdict: Verdict) -> Box<Seen> {
    let at = |ms: u64| Duration::from_millis(ms);
    Box::new(Seen {
        job: JobId(job),
        label: Some(format!("job <{job}>")),
        line: job,
        is_line: true,
        verdict,
        attempt: 1,
        slot: Some(1 + job as usize % 2),
        host: None,
        queued: Some(at(job)),
        started: Some(at(job * 10)),
        ended: at(job * 10 + 5),
        usage: Usage {
            wall_us: 5_000,
            user_us: 2_000,
            max_rss_kib: 900,
            ..Usage::default()
        },
        message: None,
        stderr: Vec::new(),
        omitted: false,
    })
}

fn stand(succeeded: u64, failed: u64) -> Stand {
    let bad = [("failed", failed)].into_iter().filter(|&(_, n)| n > 0);
    Stand {
        elapsed: Duration::from_secs(1),
        succeeded,
        bad: bad.collect(),
        total: Some(20),
        workers: 2,
        ..Stand::default()
    }
}

#[test]
fn what_is_over_within_a_microsecond_took_none_and_was_measured() {
    let mut live = Live::new(Base::default());
    live.take(Told::Sits(1));
    live.take(Told::Sits(2));
    let mut short = seen(1, Verdict::Ok);
    short.usage.wall_us = 0;
    live.take(Told::Ended(short));
    let mut dead = seen(2, Verdict::Crashed);
    dead.usage = Usage::default();
    live.take(Told::Ended(dead));
    let model = live.model();
    let run = &model.figures.run;
    assert_eq!((run.count, run.min, run.max), (2, 0, 5_000));
    assert_eq!(model.figures.cpu_us, 2_000);
}

#[test]
fn a_run_that_goes_on_has_the_model_of_a_report() {
    let mut live = Live::new(Base::default());
    live.take(Told::Sits(1));
    live.take(Told::Sits(2));
    for job in 1..=8 {
        live.take(Told::Ended(seen(job, Verdict::Ok)));
    }
    let failed = |attempt| Seen {
        attempt,
        stderr: b"no such <thing>\n".to_vec(),
        ..*seen(9, Verdict::Failed(3))
    };
    live.take(Told::Retried(Box::new(failed(1))));
    live.take(Told::Died(2, Duration::from_millis(97)));
    live.take(Told::Ended(Box::new(failed(2))));
    live.stands(Stand {
        retries: 1,
        ..stand(8, 1)
    });
    let model = live.model();
    let figures = &model.figures;
    assert_eq!(
        (figures.jobs, figures.ended, figures.ok, figures.bad),
        (20, 9, 8, 1)
    );
    assert_eq!(figures.verdicts, [("ok".into(), 8), ("failed".into(), 1)]);
    assert_eq!((figures.run.count, figures.run.p50), (9, 5_000));
    assert_eq!((figures.wait.count, figures.wait.min), (9, 9_000));
    assert_eq!(
        (figures.retries, figures.retried_jobs, figures.retried_ok),
        (1, 1, 0)
    );
    assert_eq!((model.lanes, model.total_us), (2, 1_000_000));
    assert_eq!(model.about.groups[0].what, "exit status 3: no such <thing>");
    assert_eq!(model.about.retried[0].count, 2);
    assert_eq!(model.about.workers[1].lives, 1);
    let (title, parts) = live_parts(&model);
    assert_eq!(title, "Running: 9 of 20 jobs done");
    let all: String = parts.iter().map(|(_, html)| &html[..]).collect();
    assert!(all.contains("no such &lt;thing&gt;") && !all.contains("<thing>"));
    // It is in no record yet.
    assert!(!all.contains("orchestrator retry"));
    let mut cursor = Cursor::default();
    let more = serde_json::to_value(live.more(&mut cursor)).unwrap();
    assert_eq!(
        (&more["jobs"]["n"], &more["spans"]["n"]),
        (&9.into(), &1.into())
    );
    assert_eq!(
        (&more["deaths"]["n"], &more["reset"]),
        (&1.into(), &true.into())
    );
    assert!(cursor != Cursor::default());
}

#[test]
fn each_kind_of_verdict_is_shown_and_no_more_have_ended_than_in_a_report() {
    let mut live = Live::new(Base::default());
    let each = Verdict::each();
    let bad = each.iter().skip(1).map(|verdict| (verdict.word(), 1));
    for (job, &verdict) in (1..).zip(&each) {
        live.take(Told::Ended(seen(job, verdict)));
    }
    live.stands(Stand {
        bad: bad.collect(),
        ..stand(1, 0)
    });
    let model = live.model();
    let figures = &model.figures;
    assert_eq!((figures.ended, figures.bad, figures.stopped()), (11, 10, 3));
    let all: String = live_parts(&model)
        .1
        .into_iter()
        .map(|part| part.1)
        .collect();
    for verdict in each {
        let word = verdict.word();
        let legend = format!("<li data-verdict=\"{word}\" data-jobs=\"1\">");
        assert!(all.contains(&legend), "{word}: {all}");
        let group = format!(">{word}</span> <span class=\"why\">");
        assert_eq!(all.contains(&group), verdict != Verdict::Ok, "{word}");
    }
    let told = metrics(&live, &model);
    assert!(told.contains("orchestrator_jobs_ended_total{verdict=\"lost\"} 1\n"));
    assert_eq!(status(&live, &model)["jobs"]["ended"], 14);
}

#[test]
fn hosts_have_rows_of_their_own() {
    let mut live = Live::new(Base::default());
    live.take(Told::Sits(2));
    live.take(Told::Host("a".into(), 2));
    for job in 1..=6_u64 {
        // Two at once.
        let at = Duration::from_millis(job.div_ceil(2) * 100);
        let host = (job > 2).then(|| "a".into());
        live.take(Told::Ended(Box::new(Seen {
            slot: Some(if job > 2 { 1 } else { 2 }),
            host,
            started: Some(at),
            ended: at + Duration::from_millis(5),
            ..*seen(job, Verdict::Ok)
        })));
    }
    live.stands(stand(6, 0));
    let model = live.model();
    assert_eq!((model.lanes, model.hosts.len()), (3, 2));
    let parts = live_parts(&model).1;
    let hosts = parts.iter().find(|(name, _)| *name == "hosts").unwrap();
    assert!(hosts.1.contains("<tr data-host=\"a\" data-jobs=\"4\">"));
}

#[test]
fn at_its_end_it_says_what_it_came_to_and_what_limited_it() {
    let mut live = Live::new(Base::default());
    for job in 1..=4 {
        live.take(Told::Ended(seen(job, Verdict::Ok)));
    }
    live.stands(stand(3, 0));
    let summary = Summary {
        succeeded: 4,
        total: Some(4),
        workers: 2,
        wall: Duration::from_secs(1),
        ..Summary::default()
    };
    let ended = Ended {
        whole: true,
        ..Ended::default()
    };
    live.ends(&summary, ended);
    let model = live.model();
    assert_eq!(live_parts(&model).0, "4 jobs succeeded");
    assert!(model.about.at_work.is_none() && model.about.running.is_none());
    let said: Vec<_> = model.about.notes.iter().map(|note| note.title).collect();
    assert_eq!(said, ["Idle workers"]);
}

#[test]
fn what_is_only_counted_leaves_the_figures_right() {
    let mut live = Live::new(Base::default());
    live.misses(30);
    live.stands(stand(17, 3));
    let model = live.model();
    assert_eq!((model.figures.ok, model.figures.bad), (17, 3));
    assert!(model.jobs.cut);
}

#[test]
fn who_waited_is_known_at_equal_distances() {
    let mut live = Live::new(Base::default());
    for second in 0..3_000 {
        let mut stand = stand(0, 0);
        stand.elapsed = Duration::from_secs(second);
        stand.stats.waiting = second as usize;
        live.stands(stand);
    }
    assert!(live.samples.len() <= SAMPLES);
    let waiting = live.model().waiting;
    assert_eq!(waiting.len() as i64, POINTS);
    assert!(waiting.is_sorted() && waiting[599] > 2_990, "{waiting:?}");
}
