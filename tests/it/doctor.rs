//! `orchestrator doctor`, under limits of all kinds.

use std::io::Write as _;

use orchestrator_tests::{Done, TestEnv};
use serde_json::Value;

use crate::run::ORCHESTRATOR;

/// Under this prelude in a shell; with its findings by name.
fn doctor(env: &TestEnv, prelude: &str) -> (Done, Value) {
    let mut command = env.command("/bin/sh");
    command.args([
        "-c",
        &format!("{prelude}\nexec \"$0\" doctor --json"),
        ORCHESTRATOR,
    ]);
    let done = env.run(command, "");
    let found: Value = serde_json::from_str(done.stdout())
        .unwrap_or_else(|e| panic!("{e}: {} {}", done.stdout(), done.stderr));
    (done, found)
}

fn check<'a>(found: &'a Value, name: &str) -> &'a Value {
    let checks = found["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == name);
    check.unwrap_or_else(|| panic!("no {name}: {found:#}"))
}

#[test]
fn a_machine_on_which_runs_work_is_told_so() {
    let env = TestEnv::new();
    let (done, found) = doctor(&env, "");
    assert_eq!(done.code(), 0, "{found:#}");
    assert_ne!(found["state"], "FAIL");
    for name in [
        "version",
        "kernel",
        "CPUs",
        "memory",
        "swap",
        "open files",
        "processes",
        "cgroup",
        "cleanup",
        "temp",
        "records",
        "worker",
        "clock",
        "ssh",
        "srun",
    ] {
        let state = check(&found, name)["state"].as_str().unwrap();
        assert!(["ok", "warn"].contains(&state), "{name}: {found:#}");
    }
    assert!(check(&found, "worker")["facts"]["ms"].as_f64() > Some(0.0));
    let usable = check(&found, "CPUs")["facts"]["usable"].as_u64();
    assert_eq!(
        usable,
        std::thread::available_parallelism()
            .ok()
            .map(|n| n.get() as u64)
    );
    // For people: a line for each, and nothing else but tips.
    let mut command = env.command(ORCHESTRATOR);
    command.arg("doctor");
    let done = env.run(command, "");
    assert_eq!((done.code(), &done.stderr[..]), (0, ""));
    let lines: Vec<&str> = done.stdout().lines().collect();
    let (tips, lines): (Vec<&str>, Vec<&str>) = lines.into_iter().partition(|l| l.starts_with(' '));
    assert!(
        tips.iter().all(|line| line.trim().starts_with("tip: ")),
        "{}",
        done.stdout()
    );
    assert_eq!(lines.len(), found["checks"].as_array().unwrap().len());
    assert!(
        lines
            .iter()
            .all(|l| l.starts_with("ok ") || l.starts_with("warn ")),
        "{lines:?}"
    );
}

#[test]
fn too_few_open_files_will_not_do() {
    let env = TestEnv::new();
    let (done, found) = doctor(&env, "ulimit -n 20");
    assert_eq!(done.code(), 1, "{found:#}");
    assert_eq!(found["state"], "FAIL");
    let files = check(&found, "open files");
    assert_eq!(
        (&files["state"], &files["facts"]["hard"]),
        (&"FAIL".into(), &20.into())
    );
    assert!(
        files["tip"].as_str().unwrap().contains("ulimit -n"),
        "{files}"
    );
    // A run says the same.
    let mut command = env.command("/bin/sh");
    command.args(["-c", "ulimit -n 20; exec \"$0\" run true", ORCHESTRATOR]);
    assert_eq!(env.run(command, "a\n").code(), 125);
    // Raised by the program itself as far as it may.
    let (done, found) = doctor(&env, "ulimit -Sn 20");
    assert_eq!(done.code(), 0, "{found:#}");
    assert_eq!(check(&found, "open files")["state"], "ok");
}

#[test]
fn directories_that_cannot_be_written_are_named() {
    let env = TestEnv::new();
    let (done, found) = doctor(&env, "TMPDIR=/proc/self; export TMPDIR");
    assert_eq!(done.code(), 1, "{found:#}");
    let temp = check(&found, "temp");
    assert_eq!(temp["state"], "FAIL");
    assert!(temp["tip"].as_str().unwrap().contains("TMPDIR"), "{temp}");
    // Without records a run is still a run.
    let (done, found) = doctor(&env, "XDG_STATE_HOME=/proc/self; export XDG_STATE_HOME");
    assert_eq!(done.code(), 0, "{found:#}");
    assert_eq!(check(&found, "records")["state"], "warn");
    let (done, found) = doctor(&env, "unset XDG_STATE_HOME HOME");
    assert_eq!(done.code(), 0, "{found:#}");
    assert_eq!(check(&found, "records")["state"], "warn");
    // A name that a terminal would obey.
    let (_, found) = doctor(&env, "TMPDIR=$(printf '/no\\033[2J'); export TMPDIR");
    assert_eq!(check(&found, "temp")["facts"]["path"], "/no\\u{1b}[2J");
}

#[test]
fn affinity_is_why_there_are_fewer_cpus() {
    let env = TestEnv::new();
    let mut look = env.command("/bin/sh");
    look.args(["-c", "command -v taskset"]);
    if env.run(look, "").code() != 0 {
        std::io::stderr()
            .write_all(b"NOT TESTED: no taskset\n")
            .ok();
        return;
    }
    let first =
        "set -- $(sed -n 's/^Cpus_allowed_list:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/self/status)";
    let (done, found) = doctor(&env, &format!("{first}\ntaskset -cp $1 $$ >/dev/null"));
    assert_eq!(done.code(), 0, "{found:#}");
    let cpus = check(&found, "CPUs");
    assert_eq!(cpus["facts"]["usable"], 1, "{cpus}");
    if cpus["facts"]["online"].as_u64() > Some(1) {
        assert!(
            cpus["value"]
                .as_str()
                .unwrap()
                .contains("affinity allows 1 of"),
            "{cpus}"
        );
    }
}

#[test]
fn a_limit_of_address_space_and_few_processes_are_told() {
    let env = TestEnv::new();
    let (_, found) = doctor(
        &env,
        // Shells do not agree on the letter.
        "ulimit -Sv 900000; if (ulimit -Sp 200) 2>/dev/null; then ulimit -Sp 200; else ulimit -Su 200; fi",
    );
    let memory = check(&found, "process memory");
    assert_eq!(memory["state"], "warn", "{found:#}");
    assert_eq!(memory["facts"]["address_space"], 900_000 * 1024);
    assert_eq!(check(&found, "processes")["state"], "warn");
}

#[test]
fn hosts_of_which_none_is_another_machine_are_refused() {
    let env = TestEnv::new();
    let mut command = env.command(ORCHESTRATOR);
    command.args(["doctor", "--hosts", ":"]);
    let done = env.run(command, "");
    assert_eq!((done.code(), done.stdout()), (2, ""));
    assert!(
        done.stderr.contains("no other machine is named"),
        "{}",
        done.stderr
    );
}
