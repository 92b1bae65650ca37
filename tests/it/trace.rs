//! `--trace`: files of Chrome's trace events, beside what the other records say.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{TestEnv, eventually};
use serde_json::{Value, json};

use crate::run::{WORKER, command, objects, run};

/// All events of a file, which is one array.
fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    match serde_json::from_str(&text) {
        Ok(Value::Array(events)) => events,
        other => panic!("{other:?}: {text}"),
    }
}

fn of<'a>(events: &'a [Value], phase: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["ph"] == phase).collect()
}

/// Attempts by their verdicts: slices, and jobs that ended without one.
fn verdicts(events: &[Value]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for event in events {
        if let Some(verdict) = event["args"]["verdict"].as_str() {
            *found.entry(verdict.to_owned()).or_default() += 1;
        }
    }
    found
}

/// Checks what holds for every file: each track has a name, and on none of them two slices
/// overlap. Gives the slices.
fn slices(events: &[Value]) -> Vec<&Value> {
    let track = |event: &Value| {
        (
            event["pid"].as_u64().unwrap(),
            event["tid"].as_u64().unwrap(),
        )
    };
    let names: BTreeMap<_, _> = of(events, "M")
        .into_iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| {
            (
                track(event),
                event["args"]["name"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let slices = of(events, "X");
    let mut tracks = BTreeMap::<_, Vec<(u64, u64)>>::new();
    for slice in &slices {
        let start = slice["ts"].as_u64().unwrap();
        let length = slice["dur"].as_u64().unwrap();
        tracks
            .entry(track(slice))
            .or_default()
            .push((start, start + length));
    }
    for (track, mut spans) in tracks {
        assert_eq!(names[&track], format!("slot {}", track.1));
        spans.sort_unstable();
        for pair in spans.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{track:?}: {pair:?}");
        }
    }
    slices
}

/// The columns of a job log.
fn log(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let columns = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().skip(1).map(columns).collect()
}

#[test]
fn jobs_of_less_than_a_microsecond_are_as_short_in_a_trace() {
    let env = TestEnv::new();
    let options = ["--trace", "t.json", "--format", "jsonl", "-k"];
    let task = ["--worker", WORKER, "--task", "noop", "-j1"];
    let done = run(&env, &[&options[..], &task].concat(), "null\n".repeat(3000));
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let events = events(&env.path().join("t.json"));
    let traced: BTreeMap<_, _> = slices(&events)
        .into_iter()
        .map(|slice| (slice["args"]["id"].as_u64(), slice["dur"].as_u64()))
        .collect();
    let micros = |job: &Value| (job["duration"].as_f64().unwrap() * 1e6).round() as u64;
    let told = objects(done.stdout());
    let told = told
        .iter()
        .map(|job| (job["seq"].as_u64(), Some(micros(job))));
    assert_eq!(traced, told.collect());
}

#[test]
fn every_attempt_is_a_slice_as_long_as_the_other_records_say() {
    let env = TestEnv::new();
    let script = "case {} in *7) exit 3;; *9) kill -TERM $$;; esac";
    let args = [
        "-q",
        "-j3",
        "--retries",
        "1",
        "--trace",
        "trace.json",
        "--joblog",
        "log",
        "--format",
        "jsonl",
        "-c",
        script,
    ];
    let input: String = (1..=60).map(|n| format!("{n}\n")).collect();
    let done = run(&env, &args, input);
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let events = events(&env.path().join("trace.json"));
    let slices = slices(&events);
    let log = log(&env.path().join("log"));
    // 48 that succeed, twelve twice.
    assert_eq!((slices.len(), log.len()), (72, 72));
    let mut by_verdict = BTreeMap::<String, usize>::new();
    log.iter()
        .for_each(|line| *by_verdict.entry(line[9].clone()).or_default() += 1);
    assert_eq!(verdicts(&events), by_verdict);
    for line in &log {
        let same = |slice: &&&Value| {
            let args = &slice["args"];
            [&args["id"], &args["attempt"]].map(Value::to_string) == [&line[0][..], &line[10]]
        };
        let slice = slices
            .iter()
            .find(same)
            .unwrap_or_else(|| panic!("{line:?}"));
        let args = &slice["args"];
        let seconds: f64 = line[3].trim().parse().unwrap();
        let length = slice["dur"].as_f64().unwrap() / 1e6;
        assert!((seconds - length).abs() < 0.001, "{line:?}: {slice}");
        let ended = [&args["exit"], &args["signal"], &args["worker"]].map(Value::to_string);
        assert_eq!(ended, [&line[6][..], &line[7], &line[11]]);
        assert_eq!(args["task"], "sh", "{slice}");
        assert!(
            args["queue_us"].is_u64() && args["rss_kib"].as_u64() > Some(0),
            "{slice}"
        );
        assert_eq!(
            slice["name"].as_str(),
            Some(&line[0][..]),
            "it is called by its item"
        );
    }
    // To the microsecond.
    let exact = |id: &Value| {
        let last = |slice: &&&Value| slice["args"]["id"] == *id && slice["args"]["last"] == true;
        let mut found = slices.iter().filter(last);
        let only = found.next().unwrap();
        assert!(found.next().is_none());
        only["dur"].as_f64().unwrap() / 1e6
    };
    for object in objects(done.stdout()) {
        assert_eq!(exact(&object["seq"]), object["duration"].as_f64().unwrap());
    }
}

#[test]
fn jobs_that_are_answered_together_lie_one_behind_the_other() {
    let env = TestEnv::new();
    let args = [
        "-q",
        "-j2",
        "--trace",
        "trace.json",
        "--format",
        "jsonl",
        "--worker",
        WORKER,
        "--task",
        "fib",
    ];
    let input = "90\n".repeat(5_000);
    let done = run(&env, &args, input);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let events = events(&env.path().join("trace.json"));
    let slices = slices(&events);
    assert_eq!(slices.len(), 5_000);
    assert!(slices.iter().all(|slice| slice["args"]["task"] == "fib"));
    let run = of(&events, "E")[0]["ts"].as_u64().unwrap();
    let last = |slice: &&Value| slice["ts"].as_u64().unwrap() + slice["dur"].as_u64().unwrap();
    assert!(
        slices.iter().map(last).max() <= Some(run),
        "the run ends behind all of them"
    );
    // How many of them there are depends on the time and not on the jobs.
    let counters = of(&events, "C");
    let most = 4 * (run / 100_000 + 3);
    assert!(
        (counters.len() as u64) < most,
        "{} in {run} us",
        counters.len()
    );
    let last = |name: &str| {
        let mut all = counters.iter().rev();
        &all.find(|counter| counter["name"] == name).unwrap()["args"]
    };
    assert_eq!(last("jobs ended"), &json!({"done": 5_000, "failed": 0}));
    assert_eq!(
        last("jobs in the pool"),
        &json!({"waiting": 0, "running": 0})
    );
}

#[test]
fn every_kind_of_end_shows() {
    let env = TestEnv::new();
    let jobs = [
        json!({"argv": ["true"], "label": "fine"}),
        json!({"argv": ["false"], "id": "a 7"}),
        json!({"shell": "kill -SEGV $$"}),
        json!({"argv": ["sleep", "60"], "timeout": 0.2}),
        json!({"argv": ["./no-such-program"]}),
        json!({"shell": "kill -9 $PPID; sleep 60"}),
        json!({"shell": "while :; do echo too much to be kept; done"}),
        json!({"nonsense": 1}),
    ];
    let input: String = jobs.iter().map(|job| format!("{job}\n")).collect();
    let args = [
        "-q",
        "-j2",
        "--trace",
        "trace.json",
        "--input",
        "jsonl",
        "--output-limit",
        "1K,kill",
        "--format",
        "jsonl",
    ];
    let done = run(&env, &args, input);
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let events_of_all = events(&env.path().join("trace.json"));
    slices(&events_of_all);
    let mut shown = BTreeMap::<String, usize>::new();
    for object in objects(done.stdout()) {
        let verdict = object["verdict"].as_str().unwrap().to_owned();
        *shown.entry(verdict).or_default() += 1;
    }
    let kinds = [
        "crashed",
        "failed",
        "ok",
        "output_limit",
        "rejected",
        "signaled",
        "spawn_error",
        "timeout",
    ];
    assert_eq!(shown.keys().collect::<Vec<_>>(), kinds);
    assert_eq!(verdicts(&events_of_all), shown);
    let named = |name: &str| events_of_all.iter().filter(|e| e["name"] == name).count();
    assert_eq!(named("fine"), 1, "a label is a name");
    assert_eq!(named("a 7"), 1, "and an id is one");
    assert_eq!(named("`kill -SEGV $$`"), 1, "not all that a line says");
    // The worker that died, the two at the end, and those that came instead.
    let why = |event: &&Value| {
        event["args"]["why"]
            .as_str()
            .is_some_and(|w| w.contains("SIGKILL"))
    };
    assert_eq!(
        events_of_all.iter().filter(why).count(),
        1,
        "{events_of_all:#?}"
    );
    assert_eq!((named("worker started"), named("worker ended")), (3, 3));

    // What has not begun, and what was stopped.
    let script = "if [ {} = 2 ]; then while [ ! -e ready ]; do sleep 0.01; done; exit 3; fi; \
                  : > ready; exec sleep 60";
    let args = [
        "-q",
        "-j2",
        "--halt",
        "now,fail=1",
        "--trace",
        "halted.json",
        "-c",
        script,
    ];
    let done = run(&env, &args, "1\n2\n3\n4\n");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let events = events(&env.path().join("halted.json"));
    assert_eq!(slices(&events).len(), 2);
    let found = verdicts(&events);
    assert_eq!(found["failed"], 1);
    assert!(found["interrupted"] >= 1, "{found:?}");
}

#[test]
fn any_bytes_may_be_a_name() {
    let env = TestEnv::new();
    let long = "x".repeat(100_000);
    let mut input = b"\"},{\"ph\":\"X\"</script>\0\x1b[31m\x07\n\t\\\0not utf8 \xff\xfe\0".to_vec();
    input.extend_from_slice(long.as_bytes());
    input.push(0);
    input.extend_from_slice("über 🦀\0".as_bytes());
    let done = run(
        &env,
        &["-q", "-0", "--trace", "t.json", "-c", ": {}"],
        input,
    );
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let path = env.path().join("t.json");
    let bytes = std::fs::read(&path).unwrap();
    let controls = bytes
        .iter()
        .filter(|&&byte| byte < 0x20 && byte != b'\n')
        .count();
    assert_eq!(controls, 0);
    let events = events(&path);
    let mut names: Vec<&str> = slices(&events)
        .into_iter()
        .map(|slice| slice["name"].as_str().unwrap())
        .collect();
    names.sort_by_key(|name| name.len());
    let short = [
        "über 🦀",
        "not utf8 \\xff\\xfe",
        "\"},{\"ph\":\"X\"</script>",
    ];
    let mut expected = short.map(str::to_owned).to_vec();
    expected.push("\\u{1b}[31m\\u{7}\\n\\t\\".to_owned());
    expected.push(format!("{}…", "x".repeat(200)));
    expected.sort_by_key(String::len);
    assert_eq!(names, expected);
}

#[test]
fn what_a_killed_run_has_written_can_be_loaded() {
    let env = TestEnv::new();
    let args = ["-q", "-j2", "--trace", "t.json", "-c", "sleep 0.0{}"];
    let mut child = command(&env, &args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let path = env.path().join("t.json");
    let text = || std::fs::read_to_string(&path).unwrap_or_default();
    // Without an end of the input there is none of the run.
    stdin.write_all(b"1\n2\n1\n2\n").unwrap();
    eventually("slices are in the file", || {
        text().matches("\"X\"").count() == 4
    });
    kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
    assert_eq!(finish(child, Vec::new()).code(), 137);
    drop(stdin);
    // Readers take an array without its end, as long as no event is cut.
    let text = text();
    assert!(text.starts_with("[\n") && text.ends_with('}'), "{text}");
    for line in text.lines().skip(1) {
        let line = line.strip_suffix(',').unwrap_or(line);
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    // The next run takes its place.
    let done = run(&env, &["-q", "--trace", "t.json", "true"], "a\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(slices(&events(&path)).len(), 1);
}

#[test]
fn a_trace_that_cannot_be_written_is_a_failure_of_the_run() {
    let env = TestEnv::new();
    env.file("data", "precious\n");
    for (name, why) in [
        ("no/such/trace", "no such file or directory"),
        ("data", "it is no trace of ours"),
        ("/dev/full", "no space left on device"),
    ] {
        let args = ["--trace", name, "-c", ": > started; : {}"];
        let done = run(&env, &args, "a\n");
        assert_eq!(done.code(), 125, "{name}: {}", done.stderr);
        assert!(done.stderr.contains(why), "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        assert!(!env.path().join("started").exists());
    }
    assert_eq!(
        std::fs::read(env.path().join("data")).unwrap(),
        b"precious\n"
    );
}

#[test]
fn a_run_that_goes_on_has_a_trace_of_its_own() {
    let env = TestEnv::new();
    let args = [
        "-q",
        "--run-file",
        "r.db",
        "--trace",
        "first.json",
        "-c",
        "exit {}",
    ];
    let done = run(&env, &args, "0\n1\n");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let first = env.path().join("first.json");
    let before = std::fs::read(&first).unwrap();
    assert_eq!(slices(&events(&first)).len(), 2);
    let again = |words: &[&str]| {
        let mut command = env.command(crate::run::ORCHESTRATOR);
        command.arg("retry").args(words);
        assert_eq!(env.run(command, "").code(), 1);
    };
    again(&["-q", "r.db"]);
    again(&["-q", "r.db", "--trace", "second.json"]);
    assert_eq!(std::fs::read(&first).unwrap(), before, "it has what it saw");
    assert_eq!(slices(&events(&env.path().join("second.json"))).len(), 1);
}
