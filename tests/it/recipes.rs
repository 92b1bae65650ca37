//! docs/recipes.md, run as it stands there; and the JSON-lines schema, held against what runs print.

mod slurm;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{Done, TestEnv, eventually};

use super::faults::not_tested;

const PAGE: &str = include_str!("../../docs/recipes.md");
const FORMATS: &str = include_str!("../../docs/formats.md");

/// The block of the page that has this name.
fn recipe(name: &str) -> &'static str {
    let title = format!("# recipe: {name}\n");
    let mut blocks = PAGE.split("\n```").skip(1).step_by(2);
    let block = blocks.find(|block| block.contains(&title));
    let block = block.unwrap_or_else(|| panic!("no recipe of this name: {name}"));
    // Behind the language.
    block.split_once('\n').unwrap().1
}

/// A directory with the files that the recipes speak of.
fn kitchen() -> TestEnv {
    let env = TestEnv::new();
    for name in ["bin", "logs", "pages", "tests"] {
        fs::create_dir(env.path().join(name)).unwrap();
    }
    let program = env!("CARGO_BIN_EXE_test-orchestrator");
    symlink(program, env.path().join("bin/orchestrator")).unwrap();
    for n in 0..3 {
        env.file(&format!("logs/a {n}.log"), "line\n".repeat(n + 1));
        env.file(&format!("pages/{n}.txt"), format!("page {n}\n"));
        env.file(&format!("tests/{n}.t"), "");
    }
    env.file("inputs.txt", "1\n2\n4\n");
    script(
        &env,
        "simulate",
        "test $1 != 3 || exit 3\necho $(($1 * $1))",
    );
    script(&env, "check", "echo \"checking $1\"; test $1 != tests/1.t");
    env
}

fn script(env: &TestEnv, name: &str, text: &str) {
    let path = env.file(name, format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A program that finds `orchestrator` by its name.
fn program(env: &TestEnv, name: &str, args: &[&str]) -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = env.command(name);
    command.args(args).env(
        "PATH",
        format!("{}:{path}", env.path().join("bin").display()),
    );
    command
}

/// A shell that is about to run this recipe.
fn shell(env: &TestEnv, name: &str) -> Command {
    let script = env.file("recipe", recipe(name));
    program(env, "sh", &["-eu", script.to_str().unwrap()])
}

/// Runs this recipe.
fn cook(env: &TestEnv, name: &str) -> Done {
    env.run(shell(env, name), "")
}

fn read(env: &TestEnv, name: &str) -> String {
    fs::read_to_string(env.path().join(name)).unwrap()
}

#[test]
fn every_recipe_is_run_by_a_test() {
    let names = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("# recipe: "));
    let names: Vec<&str> = names.collect();
    assert_eq!(
        names,
        [
            "xargs", "parallel", "resume", "Makefile", "sbatch", "ci", "jq"
        ]
    );
}

#[test]
fn xargs() {
    let env = kitchen();
    assert_eq!(cook(&env, "xargs").code(), 0);
    let logs = fs::read_dir(env.path().join("logs")).unwrap();
    let logs: BTreeSet<_> = logs.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(
        logs,
        BTreeSet::from(["a 0.log.gz", "a 1.log.gz", "a 2.log.gz"].map(Into::into))
    );
}

#[test]
fn parallel() {
    let env = kitchen();
    let done = cook(&env, "parallel");
    let once = "logs/a 0.log\t1\nlogs/a 1.log\t2\nlogs/a 2.log\t3\n";
    assert_eq!((done.code(), done.stdout()), (0, &*once.repeat(2)));
}

#[test]
fn resume() {
    let env = kitchen();
    let done = cook(&env, "resume");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("resumed: 1 new, 0 gone, 3 done"),
        "{}",
        done.stderr
    );
    let sums = read(&env, "sums.txt");
    assert_eq!(sums.lines().count(), 4);
    assert!(sums.lines().last().unwrap().ends_with("logs/new.log"));
}

#[test]
fn makefile() {
    let env = kitchen();
    env.file("Makefile", recipe("Makefile"));
    let make = || env.run(program(&env, "make", &[]), "");
    let done = make();
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(read(&env, "pages/2.out"), "PAGE 2\n");
    // What is newer is done again, and nothing else.
    for n in 0..3 {
        fs::remove_file(env.path().join(format!("pages/{n}.out"))).unwrap();
    }
    let changed = fs::File::options()
        .write(true)
        .open(env.path().join("pages/1.txt"))
        .unwrap();
    let stamp = fs::metadata(env.path().join("pages.stamp")).unwrap();
    let later = stamp.modified().unwrap() + std::time::Duration::from_secs(1);
    changed.set_modified(later).unwrap();
    assert_eq!(make().code(), 0);
    let made = [0, 1, 2].map(|n| env.path().join(format!("pages/{n}.out")).exists());
    assert_eq!(made, [false, true, false]);
}

/// The script as Slurm starts it.
fn batch(env: &TestEnv) -> Child {
    let mut command = shell(env, "sbatch");
    command.env("SLURM_JOB_NAME", "squares");
    command.env("SLURM_CPUS_PER_TASK", "2").spawn().unwrap()
}

#[test]
fn sbatch() {
    let env = kitchen();
    script(
        &env,
        "simulate",
        "echo $1 >> begun; test $1 != 4 || test -e time || exec sleep 1000\necho $(($1 * $1))",
    );
    let first = batch(&env);
    let recorded = || {
        let mut status = program(&env, "orchestrator", &["results", "squares.db"]);
        status.stderr(std::process::Stdio::null());
        env.run(status, "").stdout.len() >= "1\n4\n".len()
    };
    eventually("two are done", recorded);
    eventually("the third runs", || read(&env, "begun").contains('4'));
    // Two minutes before its end.
    kill(Pid::from_raw(first.id() as i32), Signal::SIGTERM).unwrap();
    let first = finish(first, Vec::new());
    assert_eq!(first.code(), 143, "{}", first.stderr);
    env.no_process_left();
    env.file("time", "");
    let second = finish(batch(&env), Vec::new());
    assert_eq!(
        (second.code(), second.stdout()),
        (0, "16\n"),
        "{}",
        second.stderr
    );
    let mut begun: Vec<String> = read(&env, "begun").lines().map(String::from).collect();
    begun.sort();
    assert_eq!(begun, ["1", "2", "4", "4"]);
}

#[test]
fn ci() {
    let env = kitchen();
    let done = cook(&env, "ci");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert!(
        done.stdout().contains("failed, or not run:\ntests/1.t\n"),
        "{}",
        done.stdout()
    );
    assert!(done.stdout().contains("tests/1.t\tchecking tests/1.t\n"));
    assert!(!done.stdout.contains(&0x1b) && !done.stderr.contains('\x1b'));
    assert!(done.stderr.contains("1 failed") && done.stderr.contains("orchestrator retry last"));
}

#[test]
fn jq() {
    let env = kitchen();
    if env.run(env.command("jq"), "").code() == 127 {
        let reason = "there is no jq (apt-get install jq)";
        assert!(std::env::var_os("REQUIRE_JQ").is_none(), "{reason}");
        return not_tested("jq", reason);
    }
    let done = cook(&env, "jq");
    assert_eq!(
        (done.code(), done.stdout()),
        (0, "3: failed with status 3\n"),
        "{}",
        done.stderr
    );
    assert!(read(&env, "seconds").trim().parse::<f64>().unwrap() > 0.0);
    assert_eq!(read(&env, "slowest").lines().count(), 3);
    let again: serde_json::Value = serde_json::from_str(&read(&env, "again.jsonl")).unwrap();
    assert_eq!(
        (&again["verdict"], &again["exit"]),
        (&"failed".into(), &3.into())
    );
}

/// The keys that the table of docs/formats.md has.
fn documented() -> BTreeSet<String> {
    let table = FORMATS.split_once("| Key | Value |").unwrap().1;
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let keys = rows.flat_map(|row| {
        let key = row.split('|').nth(1).unwrap();
        key.split('`')
            .skip(1)
            .step_by(2)
            .map(String::from)
            .collect::<Vec<_>>()
    });
    keys.collect()
}

#[test]
fn json_lines_have_the_keys_that_are_documented_and_no_others() {
    let env = TestEnv::new();
    let jobs = r#"{"argv": ["echo", "a"], "label": "one"}
{"shell": "head -c 100 /dev/zero; exit 3"}
{"shell": "kill -9 $$"}
{"argv": ["/nowhere"]}
{"no": "job"}
"#;
    let run = |args: &[&str], input: &str| {
        let mut command = env.command(env!("CARGO_BIN_EXE_test-orchestrator"));
        command.args(["run", "--format", "jsonl"]).args(args);
        env.run(command, input).stdout().to_owned()
    };
    let worker = env!("CARGO_BIN_EXE_test-worker");
    let lines = run(&["--input", "jsonl", "--output-limit", "10"], jobs)
        + &run(&["--worker", worker, "--task", "fib"], "1\n\"x\"\n");
    let mut seen = BTreeSet::new();
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        seen.extend(line.as_object().unwrap().keys().cloned());
    }
    assert_eq!(seen, documented());
}
