//! Reports of runs on several hosts, which are agents on this machine.

use orchestrator_tests::Browser;
use serde_json::Value;

use super::super::faults::not_tested;
use super::*;
use crate::run::{objects, run};

/// Records a run on two hosts and here in `run.db`; gives its results.
fn on_hosts(env: &TestEnv) -> Vec<Value> {
    let all = [
        "--hosts=2/a,1/b,1/:",
        "--launch",
        "sh -c 'export AT=$0; exec {agent}' {host}",
        "--agent",
        ORCHESTRATOR,
        "--run-file=run.db",
        "--trace=trace.json",
        "--format=jsonl",
        "-c",
        // Each has one, however late it comes.
        ": > on.${AT:-here}; until [ -e on.a ] && [ -e on.b ] && [ -e on.here ]; do sleep 0.02; done; \
         sleep 0.05; test {} != 7",
    ];
    let lines: String = (1..=16).map(|n| format!("{n}\n")).collect();
    let done = run(env, &all, lines);
    assert_eq!(done.code(), 1, "{}", done.stderr);
    objects(done.stdout())
}

fn host(object: &Value) -> &str {
    object.get("host").and_then(Value::as_str).unwrap_or(":")
}

#[test]
fn hosts_are_in_the_run_file_in_the_report_and_in_the_trace() {
    let env = TestEnv::new();
    let jobs = on_hosts(&env);
    let ran = |name: &str| jobs.iter().filter(|job| host(job) == name).count();
    let file = open(&env);
    let (html, _) = page(&env);
    let text = orchestrator(&env, &["report", "run.db", "--text"]);
    let here: String = file
        .query_row("select host from run", [], |row| row.get(0))
        .unwrap();
    for name in ["a", "b", ":"] {
        let sql = format!("select count(*) from verdict where coalesce(host, ':') = '{name}'");
        assert!(ran(name) > 0, "{jobs:?}");
        assert_eq!(number(&file, &sql), ran(name) as i64, "{name}");
        let shown = if name == ":" { &here } else { name };
        let row = format!("<tr data-host=\"{shown}\"");
        assert_eq!(attribute(&html, &row, "data-jobs"), ran(name).to_string());
        let here = if name == ":" { " (here)" } else { "" };
        let line = format!("{shown}{here}: {} job", ran(name));
        assert!(text.stdout().contains(&line), "{line}: {}", text.stdout());
    }
    let slots = "select group_concat(host || slots, ' ') from (select * from host order by host)";
    let slots: String = file.query_row(slots, [], |row| row.get(0)).unwrap();
    assert_eq!(slots, "a2 b1");
    assert_eq!(number(&file, "select workers from run"), 4);
    // They are told again as they were.
    let again = orchestrator(&env, &["results", "run.db", "--format", "jsonl"]);
    let again = objects(again.stdout());
    for job in &jobs {
        let same = again.iter().find(|other| other["seq"] == job["seq"]);
        assert_eq!(host(same.unwrap()), host(job));
    }
    let trace = std::fs::read_to_string(env.path().join("trace.json")).unwrap();
    let trace: Vec<Value> = serde_json::from_str(&trace).unwrap();
    let slices: Vec<_> = trace.iter().filter(|event| event["ph"] == "X").collect();
    let process = |name: &str| {
        let is = |event: &&Value| event["name"] == "process_name" && event["args"]["name"] == name;
        trace.iter().find(is).unwrap()["pid"].as_u64().unwrap()
    };
    for (name, called) in [("a", "host a"), ("b", "host b"), (":", "workers")] {
        let pid = process(called);
        let there: Vec<_> = slices.iter().filter(|slice| slice["pid"] == pid).collect();
        assert_eq!(there.len(), ran(name), "{called}");
        let mut places: Vec<_> = there
            .iter()
            .map(|slice| {
                let number = |name| slice[name].as_u64().unwrap();
                (number("tid"), number("ts"), number("dur"))
            })
            .collect();
        places.sort_unstable();
        for pair in places.windows(2) {
            let ((a, start, long), (b, next, _)) = (pair[0], pair[1]);
            assert!(a != b || start + long <= next, "{called}: {places:?}");
        }
        places.dedup_by_key(|place| place.0);
        assert!(
            places.len() <= if name == "a" { 2 } else { 1 },
            "{places:?}"
        );
    }
}

#[test]
fn agents_that_are_called_alike_are_counted_together() {
    let env = TestEnv::new();
    let one = "--launch=sh -c 'exec {agent}'";
    // All four are at work at the same time.
    let job = "echo {} >> begun; until [ $(wc -l < begun) -ge 4 ]; do sleep 0.02; done";
    let all = [
        one,
        one,
        "--agent",
        ORCHESTRATOR,
        "-j2",
        "--run-file=run.db",
        "-c",
        job,
    ];
    let lines: String = (1..=8).map(|n| format!("{n}\n")).collect();
    let done = run(&env, &all, lines);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("4 workers on 2 hosts"),
        "{}",
        done.stderr
    );
    let file = open(&env);
    assert_eq!(number(&file, "select slots from host where host = 'sh'"), 4);
    assert_eq!(number(&file, "select workers from run"), 4);
}

#[test]
fn hosts_have_rows_on_the_page_and_are_searched() {
    let env = TestEnv::new();
    let Some(browser) = Browser::start(&env) else {
        let reason = "there is no Chromium with its driver";
        assert!(std::env::var_os("REQUIRE_CHROMIUM").is_none(), "{reason}");
        return not_tested("hosts_have_rows_on_the_page_and_are_searched", reason);
    };
    let jobs = on_hosts(&env);
    let at_a = jobs.iter().filter(|job| host(job) == "a").count();
    let (_, path) = page(&env);
    browser.look(1300, 900, false);
    browser.open_file(&path);
    let run = |script: &str| browser.run(script);
    assert_eq!(run("return document.documentElement.dataset.ready"), "yes");
    assert_eq!(
        run("return document.querySelector('#time h2').textContent.startsWith('Hosts over time')"),
        true
    );
    run(
        "const s = document.getElementById('verdict'); s.value = 'ok'; s.dispatchEvent(new Event('change'))",
    );
    let cells = "return [...document.querySelectorAll('.drawn .row .rare')].map((cell) => \
                 getComputedStyle(cell).display === 'none' ? 'hidden' : cell.textContent)";
    let shown = run(cells);
    let shown = shown.as_array().unwrap();
    assert_eq!(shown.iter().filter(|cell| *cell == "a").count(), {
        let ok = |job: &&Value| host(job) == "a" && job["verdict"] == "ok";
        jobs.iter().filter(ok).count()
    });
    run(
        "const s = document.getElementById('verdict'); s.value = ''; s.dispatchEvent(new Event('change'))",
    );
    run("document.querySelector('[data-sort=host]').click()");
    let sorted = run(cells);
    let sorted: Vec<_> = sorted.as_array().unwrap().iter().collect();
    assert!(
        sorted
            .windows(2)
            .all(|pair| pair[0].as_str() <= pair[1].as_str()),
        "{sorted:?}"
    );
    // A name of a host is searched as those of jobs are, which are numbers here.
    browser.write("search", "A");
    let found = run("return document.getElementById('found').textContent");
    let others = jobs.len();
    let here = run("return document.querySelector('#hosts').textContent.includes('this machine')");
    assert_eq!(here, true);
    let found = found.as_str().unwrap().to_owned();
    let number: usize = found.split(' ').next().unwrap().parse().unwrap();
    assert!(number >= at_a && number <= others, "{found}");
    assert_eq!(browser.console(), Vec::<String>::new());
}
