//! `--dashboard`: the page of a run that goes on, asked as a browser asks, as a program asks,
//! and as a stranger's page would.

mod browser;
mod metrics;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use orchestrator_tests::env::finish;
use orchestrator_tests::{TestEnv, eventually};
use serde_json::Value;

use super::run::{ORCHESTRATOR, WORKER, command, peak_mib, run};

/// Fails, waits for a file, or is done, as its argument says.
const JOB: &str = "case {} in bad*) echo \"no such thing: {}\" >&2; exit 3;; \
                   wait*) while [ ! -e go ]; do sleep 0.01; done;; esac";

/// So long nothing may be told.
const DEADLINE: Duration = Duration::from_secs(90);

/// A run with a page, and the page's port.
fn started(mut command: Command) -> (Child, u16) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut line = Vec::new();
    let stderr = child.stderr.as_mut().unwrap();
    // Not a byte more: the rest is for `finish`.
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        let read = stderr.read(&mut byte).unwrap();
        assert_eq!(read, 1, "{}", String::from_utf8_lossy(&line));
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).unwrap();
    let (_, port) = line
        .strip_prefix("dashboard: http://127.0.0.1:")
        .and_then(|address| Some(((), address.strip_suffix("/\n")?)))
        .unwrap_or_else(|| panic!("{line}"));
    (child, port.parse().unwrap())
}

/// The same with a run of [`JOB`].
fn jobs(env: &TestEnv, options: &[&str]) -> (Child, u16) {
    let args = [&["-q", "-j2", "--dashboard"], options, &["-c", JOB]].concat();
    started(command(env, &args))
}

/// Asks, and gives the whole answer.
fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn get(port: u16, path: &str, headers: &str) -> String {
    ask(
        port,
        &format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"),
    )
}

fn own(port: u16) -> String {
    format!("Host: 127.0.0.1:{port}\r\n")
}

/// What is answered to somebody who may ask.
pub(crate) fn body(port: u16, path: &str) -> String {
    let answer = get(port, path, &own(port));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

pub(crate) fn status(port: u16) -> Value {
    serde_json::from_str(&body(port, "/api/status")).unwrap()
}

/// A stream of events, one after the other.
fn follow(port: u16, path: &str) -> impl Iterator<Item = Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.filter_map(|line| Some(serde_json::from_str(line.strip_prefix("data: ")?).unwrap()))
}

#[test]
fn a_run_is_seen_while_it_goes_on_and_to_its_end() {
    let env = TestEnv::new();
    let (mut child, port) = jobs(&env, &["--retries", "1"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"fine\nbad<script>alert(1)</script>\nwait\n")
        .unwrap();
    // What has happened and how it stands are not looked at in the same moment.
    let mut seen = Value::Null;
    eventually("one has succeeded, one has failed, one runs", || {
        seen = status(port);
        let jobs = &seen["jobs"];
        let running = seen["running"].as_array().unwrap();
        jobs["succeeded"] == 1
            && jobs["failed"] == 1
            && jobs["waiting"] == 0
            && running.len() == 1
            && running[0]["name"] == "wait"
            && seen["workers"]["there"] == 2
    });
    assert_eq!(
        (&seen["schema"], &seen["state"]),
        (&1.into(), &"running".into())
    );
    assert_eq!(seen["jobs"]["total"], Value::Null, "the input goes on");
    assert_eq!(seen["retries"], 1);
    eventually("it is said why", || {
        let failure = &status(port)["failures"][0];
        failure["jobs"] == 1
            && failure["message"]
                .as_str()
                .unwrap()
                .contains("no such thing")
    });
    // As data; a page puts it in as text.
    let name = "bad<script>alert(1)</script>";
    assert_eq!(status(port)["failures"][0]["examples"][0]["name"], name);
    let page = body(port, "/");
    assert!(page.contains("bad&lt;script&gt;alert(1)&lt;/script&gt;") && !page.contains(name));
    assert!(page.contains("data-ok=\"1\" data-jobs=\"3\">Running: 2 of 3 jobs done</h1>"));
    // Events go on until the end is told.
    let mut events = follow(port, "/api/events");
    assert_eq!(events.next().unwrap()["state"], "running");
    drop(stdin);
    eventually("the input is read", || status(port)["jobs"]["total"] == 3);
    env.file("go", "");
    let last = events.last().unwrap();
    assert_eq!(last["state"], "ended");
    assert_eq!(last["verdicts"], serde_json::json!({"ok": 2, "failed": 1}));
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn strangers_are_not_let_in() {
    let env = TestEnv::new();
    let (mut child, port) = jobs(&env, &[]);
    let own = own(port);
    let refused = |headers: &str| {
        for path in ["/", "/events", "/metrics", "/api/status", "/api/events"] {
            let answer = get(port, path, headers);
            assert!(
                answer.starts_with("HTTP/1.1 40"),
                "{headers}{path}: {answer}"
            );
            let told = answer.contains("orchestrator_") || answer.contains("verdict");
            assert!(!told, "{answer}");
        }
    };
    // A name that somebody has pointed here; none; another port; two.
    refused("Host: evil.example\r\n");
    refused(&format!("Host: evil.example:{port}\r\n"));
    refused(&format!("Host: 127.0.0.1:{port}.evil.example\r\n"));
    refused("Host: 127.0.0.1\r\n");
    refused("Host: 127.0.0.1:1\r\n");
    refused("");
    refused(&format!("{own}Host: evil.example\r\n"));
    // Somebody else's page.
    refused(&format!("{own}Origin: http://evil.example\r\n"));
    refused(&format!("{own}Origin: https://127.0.0.1:{port}\r\n"));
    refused(&format!("{own}Origin: null\r\n"));
    refused(&format!(
        "{own}Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"
    ));
    refused(&format!("{own}Sec-Fetch-Site: same-site\r\n"));
    // The name in the request's own line counts no more than its header.
    let absolute = format!("http://127.0.0.1:{port}/metrics");
    let answer = get(port, &absolute, "Host: evil.example\r\n");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

    let fine = get(
        port,
        "/",
        &format!("{own}Origin: http://localhost:{port}\r\n"),
    );
    assert!(fine.starts_with("HTTP/1.1 200 "), "{fine}");
    let (head, _) = fine.split_once("\r\n\r\n").unwrap();
    let policy = head
        .lines()
        .find_map(|line| line.strip_prefix("content-security-policy: "))
        .unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'nonce-"),
        "{policy}"
    );
    assert!(
        policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(
        !head.to_lowercase().contains("access-control-allow"),
        "{head}"
    );
    // Each page has a nonce of its own.
    assert!(!get(port, "/", &own).contains(policy));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
        let answer = ask(
            port,
            &format!("{method} / HTTP/1.1\r\n{own}Connection: close\r\n\r\n"),
        );
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }
    assert!(get(port, "/no/such", &own).starts_with("HTTP/1.1 404 "));
    assert!(ask(port, "\x16\x03\x01 no HTTP\r\n\r\n").starts_with("HTTP/1.1 400 "));
    // Whoever only connects, and says nothing, does not keep the run from its end.
    let silent: Vec<_> = (0..50)
        .map(|_| TcpStream::connect(("127.0.0.1", port)))
        .collect();
    drop(child.stdin.take());
    assert_eq!(finish(child, Vec::new()).code(), 0);
    drop(silent);
}

#[test]
fn only_this_machine_can_be_asked_to_look() {
    let env = TestEnv::new();
    let refused = |address: &str, why: &str| {
        let option = format!("--dashboard={address}");
        let done = run(&env, &[&option, "-c", ": > started; : {}"], "a\n");
        assert_eq!(done.code(), 2, "{address}: {}", done.stderr);
        let first = done.stderr.lines().next().unwrap();
        assert!(
            first.starts_with("error: ") && first.contains(why),
            "{first}"
        );
        assert!(!env.path().join("started").exists());
    };
    for address in ["0.0.0.0:0", "[::]:80", "192.168.1.1:80"] {
        refused(address, "could be reached from other machines");
    }
    for address in ["example.com:80", "127.0.0.1:70000", ""] {
        refused(address, "is no address");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refused(&port, "address already in use");
    // What was meant for the option is no command.
    let done = run(&env, &["--dashboard", "127.0.0.1:8080", "true"], "a\n");
    assert_eq!(done.code(), 2);
    assert!(
        done.stderr.contains("--dashboard=127.0.0.1:8080"),
        "{}",
        done.stderr
    );
}

#[test]
fn who_never_reads_holds_up_nothing() {
    const JOBS: u64 = 200_000;
    let env = TestEnv::new();
    let args = ["-q", "-j2", "--dashboard", "--worker", WORKER];
    let mut command = command(&env, &args);
    command.args(["--task", "fib"]).stdout(Stdio::null());
    let (mut child, port) = started(command);
    let mut stdin = child.stdin.take().unwrap();
    let stuck: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let request = format!("GET /events HTTP/1.1\r\n{}\r\n", own(port));
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    let events = follow(port, "/events");
    let feeder = std::thread::spawn(move || {
        let lines: String = (0..JOBS).map(|n| format!("{}\n", n % 10)).collect();
        stdin.write_all(lines.as_bytes()).unwrap();
    });
    // Of somebody who reads: everything, at last.
    let (mut rows, mut bars, mut most) = (0, 0, 0);
    let mut last = Value::Null;
    for event in events {
        if event["rows"]["reset"] == true {
            (rows, bars) = (0, 0);
        }
        rows += event["rows"]["jobs"]["n"].as_u64().unwrap();
        bars += event["rows"]["spans"]["n"].as_u64().unwrap();
        most = peak_mib(child.id()).unwrap_or(most).max(most);
        last = event;
    }
    feeder.join().unwrap();
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(
        (&last["ended"], &last["title"]),
        (&true.into(), &"200,000 jobs succeeded".into())
    );
    let figures = &last["model"]["figures"];
    assert_eq!(
        (&figures["ok"], &figures["jobs"]),
        (&JOBS.into(), &JOBS.into())
    );
    // Fewer rows than jobs, but not few; fewer bars than these would be, the fewer the longer
    // it has taken.
    assert!((25_000..=60_000).contains(&rows), "{rows}");
    assert!((1..=80_000).contains(&bars), "{bars}");
    assert!(most < 200, "{most} MiB");
    drop(stuck);
}

#[test]
fn who_asks_nothing_keeps_nobody_out() {
    let env = TestEnv::new();
    let (mut child, port) = jobs(&env, &[]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"wait\n").unwrap();
    // More than are let in at once, each with half of a request.
    let silent: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"GET /metrics HT").unwrap();
            stream
        })
        .collect();
    let mut events = follow(port, "/api/events");
    let first = events.next().expect("those have been sent away");
    // Who follows is not, however long that lasts.
    let longer = events.take_while(|event| {
        let lasted = |event: &Value| event["elapsed_us"].as_u64().unwrap();
        lasted(event) < lasted(&first) + 12_000_000
    });
    assert!(longer.count() >= 5);
    env.file("go", "");
    drop((stdin, silent));
    assert_eq!(finish(child, Vec::new()).code(), 0);
}

#[test]
fn where_jobs_run_is_seen_while_they_do() {
    let env = TestEnv::new();
    let hosts = [
        "--hosts=2/a,1/:",
        "--launch",
        "sh -c 'exec {agent}' {host}",
        "--agent",
        ORCHESTRATOR,
    ];
    let (mut child, port) = jobs(&env, &hosts);
    let mut stdin = child.stdin.take().unwrap();
    eventually("a job has ended here, and one there", || {
        stdin.write_all(b"fine\n").unwrap();
        let page = body(port, "/");
        let here = page.contains("this machine");
        here && page.contains("<tr data-host=\"a\"") && page.contains("\"lane_hosts\":")
    });
    drop(stdin);
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 0, "{}", done.stderr);
}

#[test]
fn a_run_that_goes_on_has_a_page_as_well() {
    let env = TestEnv::new();
    // It has not ended before somebody follows it.
    let text = "case {} in bad*) while [ ! -e go ]; do sleep 0.01; done; exit 3;; esac";
    env.file("go", "");
    let first = run(
        &env,
        &["-q", "--run-file", "run.db", "-c", text],
        "a\nbad1\nb\nbad2\n",
    );
    assert_eq!(first.code(), 1);
    std::fs::remove_file(env.path().join("go")).unwrap();
    let mut retry = env.command(ORCHESTRATOR);
    retry.args(["retry", "--failed", "--dashboard", "-q", "run.db"]);
    let (child, port) = started(retry);
    let mut events = follow(port, "/events");
    assert_eq!(events.next().unwrap()["ended"], false);
    env.file("go", "");
    let last = events.last().unwrap();
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert_eq!(
        (&last["ended"], &last["model"]["figures"]["bad"]),
        (&true.into(), &2.into())
    );
    let failed = last["parts"]["failed"].as_str().unwrap();
    assert!(
        failed.contains("orchestrator retry --failed run.db"),
        "{failed}"
    );
}

/// The names of the threads of a process.
fn threads(pid: u32) -> Vec<String> {
    let all = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = all.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    names
        .map(|name| name.unwrap_or_default().trim().to_owned())
        .collect()
}

#[test]
fn without_the_option_nothing_is_there() {
    let env = TestEnv::new();
    let (mut child, _) = jobs(&env, &[]);
    // A thread has its name only when it runs.
    eventually("its thread is there", || {
        threads(child.id()).iter().any(|name| name == "dashboard")
    });
    drop(child.stdin.take());
    assert_eq!(finish(child, Vec::new()).code(), 0);
    let mut child = command(&env, &["-q", "-c", JOB]);
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"wait\n").unwrap();
    eventually("its job runs", || {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id()));
        children.is_ok_and(|pids| !pids.trim().is_empty())
    });
    let without = threads(child.id());
    assert!(
        !without.iter().any(|name| name == "dashboard"),
        "{without:?}"
    );
    env.file("go", "");
    drop(child.stdin.take());
    assert_eq!(finish(child, Vec::new()).code(), 0);
}
