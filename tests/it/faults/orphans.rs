//! Whoever is killed, and however: no process is left.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};
use orchestrator_tests::env::{elapsed_until, finish};
use orchestrator_tests::{TestEnv, eventually};

use super::{command, copy_of_orchestrator, spawn, workers_of};

/// How long everything may take to be gone after a SIGKILL, on a machine that
/// is busy with other tests.
const GONE: Duration = Duration::from_secs(1);
/// The same where a job has to get that far first.
const DEADLINE: Duration = Duration::from_secs(20);

/// A job that does its best to survive: a daemon in a session of its own
/// without our pipes, a child that holds them, and itself, all deaf.
/// For the line `kill`, one that kills its worker's parent.
const STUBBORN: &str = "exec 9>\"$ORCHESTRATOR_TEST_LIFE\"; trap '' TERM HUP INT; \
    if [ $1 = kill ]; then read -r _ _ _ parent _ </proc/$PPID/stat; kill -9 $parent; fi; \
    setsid sh -c 'trap \"\" TERM HUP INT; sleep 600 & wait' </dev/null >/dev/null 2>&1 & \
    sleep 600 & wait; sleep 600";

/// How many `sleep`s this environment has caused.
fn sleeps(env: &TestEnv) -> usize {
    let is_sleep = |&pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c == "sleep\n")
    };
    env.processes().iter().filter(|pid| is_sleep(pid)).count()
}

/// Starts four stubborn jobs, and waits until they run.
fn stubborn(env: &TestEnv, mut command: Command) -> Child {
    command.args(["-j5", "--", "sh", "-c", STUBBORN, "sh", "{}"]);
    let mut child = spawn(command);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"1\n2\n3\n4\n").unwrap();
    eventually("all commands run", || sleeps(env) == 8);
    // More input could come.
    child.stdin = Some(stdin);
    child
}

/// `orchestrator run` as somebody without privileges, if we have any.
fn unprivileged(env: &TestEnv) -> Command {
    if !getuid().is_root() {
        return command(env, &[]);
    }
    std::fs::set_permissions(env.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = env.command(copy_of_orchestrator(env));
    command.arg("run").uid(65_534).gid(65_534);
    command
}

fn sigkill(pid: u32) {
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
}

fn check_sigkill_of_the_orchestrator(start: impl Fn(&TestEnv) -> Command) {
    let env = TestEnv::new();
    let mut child = stubborn(&env, start(&env));
    child.kill().unwrap();
    env.life().everyone_dies_within(GONE);
    child.wait().unwrap();
    env.no_process_left();
}

fn check_sigkill_of_a_worker(start: impl Fn(&TestEnv) -> Command) {
    let env = TestEnv::new();
    let child = stubborn(&env, start(&env));
    let workers = workers_of(child.id());
    // The fifth has nothing to do.
    let busy = |&worker: &u32| !workers_of(worker).is_empty();
    let workers: Vec<u32> = workers.into_iter().filter(busy).collect();
    assert_eq!(workers.len(), 4);
    sigkill(workers[0]);
    // Each job is two shells and two sleeps, all of which hold the pipe.
    let all = 1 + 5 + 4 * 4;
    let holders = || env.life().holders().len();
    let took = elapsed_until(GONE, || sleeps(&env) == 6 && holders() == all - 4);
    assert!(took.is_some(), "{} of {all} are left", holders());
    for &worker in &workers[1..] {
        sigkill(worker);
    }
    let took = elapsed_until(GONE, || sleeps(&env) == 0 && holders() == all - 16);
    assert!(took.is_some(), "{} of {all} are left", holders());
    let done = finish(child, vec![]);
    assert_eq!(done.code(), 1);
    let errors = done
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "));
    let killed = errors.filter(|line| line.contains("killed by SIGKILL"));
    let killed = killed.count();
    assert_eq!(killed, 4, "{}", done.stderr);
    env.no_process_left();
}

#[test]
fn f097_sigkill_of_the_orchestrator_leaves_no_process() {
    check_sigkill_of_the_orchestrator(|env| command(env, &[]));
}

#[test]
fn f097_sigkill_of_the_orchestrator_leaves_no_process_without_privileges() {
    check_sigkill_of_the_orchestrator(unprivileged);
}

#[test]
fn f097_sigkill_of_a_worker_leaves_nothing_of_its_job() {
    check_sigkill_of_a_worker(|env| command(env, &[]));
}

#[test]
fn f097_sigkill_of_a_worker_leaves_nothing_of_its_job_without_privileges() {
    check_sigkill_of_a_worker(unprivileged);
}

/// As a batch system does, and `pkill -9 orchestrator`: nobody is left who could see to it.
#[test]
fn f097_sigkill_of_all_of_a_pool_leaves_no_command() {
    let env = TestEnv::new();
    let mut command = command(&env, &[]);
    command.args(["-j2", "--", "sleep"]);
    let mut child = spawn(command);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"600\n600\n").unwrap();
    eventually("all commands run", || sleeps(&env) == 2);
    let workers = workers_of(child.id());
    let orchestrator = Pid::from_raw(child.id() as i32);
    kill(orchestrator, Signal::SIGSTOP).unwrap();
    workers.into_iter().for_each(sigkill);
    let took = elapsed_until(GONE, || sleeps(&env) == 0);
    assert!(took.is_some(), "{} are left", sleeps(&env));
    child.kill().unwrap();
    child.wait().unwrap();
    env.no_process_left();
}

#[test]
fn f064_a_job_that_kills_the_orchestrator_leaves_no_process() {
    let env = TestEnv::new();
    let mut child = stubborn(&env, command(&env, &[]));
    // The fifth line, when all others run.
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(b"kill\n").unwrap();
    env.life().everyone_dies_within(DEADLINE);
    let done = finish(child, vec![]);
    assert_eq!(done.status.signal(), Some(Signal::SIGKILL as i32));
    env.no_process_left();
}

#[test]
fn the_end_of_a_stubborn_job_leaves_no_process() {
    let env = TestEnv::new();
    let mut child = stubborn(&env, command(&env, &[]));
    // The reader of the results goes away.
    drop(child.stdout.take());
    let done = finish(child, vec![]);
    assert_eq!(done.code(), 141);
    env.no_process_left();
}

/// Size of the address space of a process in bytes.
fn address_space(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmSize:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[test]
fn f099_an_orchestrator_that_gets_no_memory_leaves_no_process() {
    let env = TestEnv::new();
    let mut child = stubborn(&env, command(&env, &[]));
    let pid = child.id();
    let mut limit = env.command("prlimit");
    limit.arg(format!("--pid={pid}"));
    limit.arg(format!("--as={}", address_space(pid)));
    assert_eq!(env.run(limit, "").code(), 0);
    // All workers but one are busy for ever; that one is soon, too.
    let mut stdin = child.stdin.take().unwrap();
    let lines = format!("{}\n", "x".repeat(1000)).repeat(100);
    while stdin.write_all(lines.as_bytes()).is_ok() {}
    env.life().everyone_dies_within(GONE);
    let done = finish(child, vec![]);
    let signal = done.status.signal();
    assert_eq!(signal, Some(Signal::SIGABRT as i32), "{}", done.stderr);
    assert!(
        done.stderr.contains("memory allocation of"),
        "{}",
        done.stderr
    );
    env.no_process_left();
}
