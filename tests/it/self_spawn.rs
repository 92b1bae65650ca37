//! One binary that is program and worker.

use orchestrator_tests::TestEnv;

const OWN: &str = env!("CARGO_BIN_EXE_own-worker");

/// What it says on stdout and stderr, and whether it is content.
fn told(program: &str, steps: &[&str]) -> (String, String, bool) {
    let env = TestEnv::new();
    let mut command = env.command(program);
    command.args(steps);
    let done = env.run(command, "");
    env.no_process_left();
    (
        done.stdout().to_owned(),
        done.stderr.clone(),
        done.code() == 0,
    )
}

#[test]
fn a_program_is_its_own_worker() {
    let (stdout, stderr, ok) = told(OWN, &["run"]);
    assert_eq!((&*stdout, &*stderr), ("fib 55, elsewhere true\n", ""));
    assert!(ok);
}

#[test]
fn a_program_whose_file_is_gone_still_starts_itself() {
    // Not a copy: a file that somebody has open for writing cannot be run.
    let link = format!("{OWN}-{}", std::process::id());
    std::fs::hard_link(OWN, &link).unwrap();
    let (stdout, stderr, ok) = told(&link, &["unlink", "run"]);
    assert_eq!((&*stdout, &*stderr), ("fib 55, elsewhere true\n", ""));
    assert!(ok && std::fs::exists(&link).is_ok_and(|there| !there));
}

#[test]
fn a_program_that_forgot_init_is_told_what_to_do_and_starts_nothing() {
    let (stdout, stderr, ok) = told(OWN, &["forget", "run"]);
    assert_eq!((&*stdout, ok), ("", false));
    assert!(
        stderr.contains("`orchestrator::init(registry)`"),
        "{stderr}"
    );
}

#[test]
fn the_default_pools_outlive_runtimes_and_are_made_anew_when_they_were_shut_down() {
    let (stdout, _panics, ok) = told(OWN, &["default"]);
    assert_eq!((&*stdout, ok), ("default\n", true));
}

#[test]
fn the_default_pool_ends_with_its_program() {
    let (_, stderr, ok) = told(OWN, &["leave"]);
    assert_eq!((&*stderr, ok), ("", true));
}

#[test]
fn a_program_whose_workers_do_not_come_to_init_is_told_why() {
    let env = TestEnv::new();
    let mut command = env.command(OWN);
    command.arg("run").env("REFUSE", "1");
    let done = env.run(command, "");
    let why = "what `main` does before `orchestrator::init`, every worker does too";
    assert!(
        done.code() == 1 && done.stderr.contains(why),
        "{}",
        done.stderr
    );
}
