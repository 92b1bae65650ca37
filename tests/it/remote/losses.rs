//! Agents that are lost while they run jobs, in every way that can be had on one machine.

use std::collections::HashMap;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::{elapsed_until, finish};
use orchestrator_tests::{Done, TestEnv, eventually};

use super::{HERE, complete, counts, lines, processes};
use crate::run::{ORCHESTRATOR, command};

const JOBS: u32 = 120;

/// How an agent's command line looks, behind the program.
const AGENT: &str = " agent --silence";

/// Begins, works, ends; and says so in a file. The second half of them waits until it may end,
/// so that there is somebody at work to whom something can happen.
const JOB: &str = "echo {} >> begun; echo {} >> on.$AT; sleep 0.05; \
    [ {} -le 60 ] || until [ -e go ]; do sleep 0.05; done; echo {} >> ended; echo {}";

/// A template for hosts that are this machine, and whose jobs know which they are on.
const AT: &str = "sh -c 'export AT=$0; exec {agent}' {host}";

fn start(env: &TestEnv, more: &[&str]) -> Child {
    let mut command = command(env, &["--run-file=r", "--hosts=4/a,4/b", "--launch", AT]);
    if !more.iter().any(|word| word.starts_with("--host-timeout")) {
        // Else what was lost is given to others after a while.
        command.arg("--host-timeout=5s");
    }
    command
        .args(["--agent", ORCHESTRATOR])
        .args(more)
        .args(["-c", JOB]);
    let input = env.file("input", lines(JOBS));
    command.stdin(Stdio::from(std::fs::File::open(input).unwrap()));
    command.spawn().unwrap()
}

/// Waits until both hosts are at work, which they stay until they [`may_end`].
fn at_work(env: &TestEnv) {
    eventually("jobs run", || {
        let both = ["on.a", "on.b"]
            .iter()
            .all(|on| !counts(env, on).is_empty());
        both && counts(env, "ended").len() > 20
    });
}

fn may_end(env: &TestEnv) {
    env.file("go", "");
}

fn agents(env: &TestEnv) -> Vec<i32> {
    processes(env, AGENT)
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).ok();
}

/// All was done, and what ran there was run again.
fn all_is_done(env: &TestEnv, done: &Done) {
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let mut numbers: Vec<u32> = done.stdout().lines().map(|n| n.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=JOBS).collect::<Vec<_>>(), "each once");
    complete(env, JOBS);
    env.no_process_left();
}

#[test]
fn an_agent_that_is_killed_costs_no_job() {
    let env = TestEnv::new();
    let run = start(&env, &[]);
    at_work(&env);
    let agent = agents(&env)[0];
    signal(agent, Signal::SIGKILL);
    may_end(&env);
    let done = finish(run, Vec::new());
    all_is_done(&env, &done);
    let told = "was lost: its launcher was killed by SIGKILL; its jobs are given to others";
    assert_eq!(done.stderr.matches(told).count(), 1, "{}", done.stderr);
}

#[test]
fn agents_that_are_killed_again_and_again_cost_no_job() {
    let env = TestEnv::new();
    let mut run = start(&env, &["--retries=0"]);
    at_work(&env);
    may_end(&env);
    // A third time would be too often for those that it hits.
    for _ in 0..2 {
        let before = counts(&env, "ended").len();
        for agent in agents(&env) {
            signal(agent, Signal::SIGKILL);
        }
        eventually("it goes on", || {
            counts(&env, "ended").len() > before + 8 || run.try_wait().unwrap().is_some()
        });
    }
    let done = finish(run, Vec::new());
    all_is_done(&env, &done);
}

#[test]
fn a_worker_of_an_agent_that_is_killed_costs_its_job_a_try_and_nothing_else() {
    let env = TestEnv::new();
    let run = start(&env, &["--retries=3"]);
    at_work(&env);
    let worker = processes(&env, "orchestrator worker")[0];
    signal(worker, Signal::SIGKILL);
    may_end(&env);
    let done = finish(run, Vec::new());
    all_is_done(&env, &done);
    assert!(!done.stderr.contains("was lost"), "{}", done.stderr);
}

#[test]
fn an_agent_that_is_silent_is_given_up() {
    let env = TestEnv::new();
    let run = start(&env, &["--host-timeout=2s"]);
    at_work(&env);
    let agent = agents(&env)[0];
    // As when a cable is pulled: nobody hears of anything.
    signal(agent, Signal::SIGSTOP);
    may_end(&env);
    eventually("it is missed", || {
        std::fs::read_to_string(format!("/proc/{agent}/stat")).is_err()
            || counts(&env, "ended").len() >= JOBS as usize
    });
    signal(agent, Signal::SIGCONT);
    let done = finish(run, Vec::new());
    all_is_done(&env, &done);
}

/// As in a pager. An agent that hears nothing ends all after three fifths of that time.
#[test]
fn output_that_nobody_reads_for_longer_than_a_host_may_be_silent_loses_none() {
    let env = TestEnv::new();
    // More than there is room for on the way. Some of it is read, then nothing for a while.
    let job = "case {} in \
               1) head -c 8000000 /dev/zero | tr '\\0' x;; \
               2) sleep 6; : > late;; esac; echo";
    let mut command = command(
        &env,
        &["--hosts=2/a", "--launch", HERE, "--host-timeout=5s"],
    );
    command.args(["--agent", ORCHESTRATOR, "--ungroup", "-c", job]);
    let input = env.file("input", lines(2));
    command.stdin(Stdio::from(std::fs::File::open(input).unwrap()));
    let run = command.spawn().unwrap();
    eventually("a job has lived for so long", || {
        env.path().join("late").exists()
    });
    let done = finish(run, Vec::new());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(done.stdout.len(), 8_000_002, "{}", done.stderr);
    assert!(!done.stderr.contains("lost"), "{}", done.stderr);
}

#[test]
fn an_agent_that_hears_nothing_ends_all_that_it_runs_in_time() {
    let env = TestEnv::new();
    let mut run = start(&env, &["--host-timeout=5s"]);
    at_work(&env);
    let pid = run.id().cast_signed();
    signal(pid, Signal::SIGSTOP);
    let gone = elapsed_until(Duration::from_secs(20), || {
        processes(&env, AGENT).is_empty()
    });
    signal(pid, Signal::SIGCONT);
    let gone = gone.expect("they end");
    assert!(gone < Duration::from_secs(5), "{gone:?}");
    // It had heard the last word a second before, at most.
    assert!(gone > Duration::from_secs(1), "{gone:?}");
    assert!(run.try_wait().unwrap().is_none());
    may_end(&env);
    all_is_done(&env, &finish(run, Vec::new()));
}

#[test]
fn an_agent_that_is_told_to_end_gives_back_what_it_has_not_begun() {
    let env = TestEnv::new();
    let run = start(&env, &[]);
    at_work(&env);
    let agent = agents(&env)[0];
    signal(agent, Signal::SIGTERM);
    may_end(&env);
    let done = finish(run, Vec::new());
    all_is_done(&env, &done);
    // Nothing was run twice: what ran was finished, the rest was not begun.
    let twice: Vec<_> = counts(&env, "begun")
        .into_iter()
        .filter(|(_, n)| *n > 1)
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(!done.stderr.contains("was lost"), "{}", done.stderr);
}

#[test]
fn a_killed_run_leaves_nothing_on_any_host_and_goes_on() {
    let env = TestEnv::new();
    let mut run = start(&env, &[]);
    at_work(&env);
    signal(run.id().cast_signed(), Signal::SIGKILL);
    run.wait().unwrap();
    env.no_process_left();
    may_end(&env);
    let done = finish(start(&env, &["--resume"]), Vec::new());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    complete(&env, JOBS);
}

#[test]
fn a_job_that_ends_three_agents_is_quarantined_and_the_others_are_done() {
    let env = TestEnv::new();
    let job =
        "case {} in 3) kill -9 $(cat /proc/$PPID/stat | cut -d' ' -f4); sleep 5;; esac; echo {}";
    let all = [
        "--hosts=1/a,1/b",
        "--launch",
        HERE,
        // Each time it waits until nothing can run there any more. It is once more when
        // the agent is gone before it has told of the job before.
        "--host-timeout=8s",
        "--agent",
        ORCHESTRATOR,
        "-k",
        "-c",
        job,
    ];
    let done = crate::run::run(&env, &all, lines(8));
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert_eq!(done.stdout(), "1\n2\n4\n5\n6\n7\n8\n");
    assert!(
        done.stderr.contains("so often that it is not tried again"),
        "{}",
        done.stderr
    );
}

#[test]
fn an_interrupted_run_ends_at_once_and_leaves_nothing() {
    let env = TestEnv::new();
    let run = start(&env, &[]);
    at_work(&env);
    signal(run.id().cast_signed(), Signal::SIGTERM);
    let done = finish(run, Vec::new());
    assert_eq!(done.code(), 128 + Signal::SIGTERM as i32, "{}", done.stderr);
    env.no_process_left();
}

#[test]
fn a_launcher_that_waits_in_a_queue_ends_with_the_run() {
    let env = TestEnv::new();
    let queue = "--launch=sh -c 'sleep 1000; :' {agent}";
    let all = [
        queue,
        "--launch={agent}",
        "--agent",
        ORCHESTRATOR,
        "-k",
        "echo",
    ];
    let done = crate::run::run(&env, &all, lines(3));
    assert_eq!(
        (done.code(), done.stdout()),
        (0, "1\n2\n3\n"),
        "{}",
        done.stderr
    );
    env.no_process_left();
}

/// A launcher whose cable can be pulled: then neither side hears of anything. The first one for
/// this host is; another reaches it again.
const CABLE: &str = r#"
export AT=$1; shift
[ $AT = a ] && [ ! -e cable ] || exec "$@"
mkfifo cable out
exec 5<&0
setsid sh -c 'exec 3<> cable 4<> out; "$@" < cable > out 3<&- 4<&- 5<&- & wait' sh "$@" &
cat > cable <&5 & echo $! > cats
cat out & echo $! >> cats
exec sleep 1000
"#;

/// Says where it runs, and when, for about two seconds.
const LONG: &str = "i=0; while [ $i -lt 20 ]; do echo {} $AT $(date +%s%N) >> at; sleep 0.1; i=$((i+1)); done; echo {}";

#[test]
fn what_a_host_runs_that_is_cut_off_has_ended_before_it_runs_elsewhere() {
    let env = TestEnv::new();
    let launcher = env.file("cable.sh", CABLE);
    let template = format!("--launch=sh {} {{host}} {{agent}}", launcher.display());
    let mut command = command(&env, &["--hosts=1/a,1/b", &template, "--host-timeout=5s"]);
    command.args(["--agent", ORCHESTRATOR, "-k", "-c", LONG]);
    let input = env.file("input", lines(4));
    command.stdin(Stdio::from(std::fs::File::open(input).unwrap()));
    let run = command.spawn().unwrap();
    let at = || std::fs::read_to_string(env.path().join("at")).unwrap_or_default();
    eventually("both are at work", || {
        at().contains(" a ") && at().contains(" b ")
    });
    let cats = || std::fs::read_to_string(env.path().join("cats")).unwrap();
    eventually("both ends of the cable are known", || {
        cats().lines().count() == 2 && cats().ends_with('\n')
    });
    cats()
        .lines()
        .for_each(|pid| signal(pid.parse().unwrap(), Signal::SIGKILL));
    let done = finish(run, Vec::new());
    assert_eq!(
        (done.code(), done.stdout()),
        (0, &*lines(4)),
        "{}",
        done.stderr
    );
    let told = "warning: host a was lost: it said nothing for 5s";
    assert!(done.stderr.contains(told), "{}", done.stderr);
    // When each job was seen last in its first life, and first in its second.
    let mut seen: HashMap<String, Vec<u128>> = HashMap::new();
    for line in at().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        seen.entry(words[0].into())
            .or_default()
            .push(words[2].parse().unwrap());
    }
    let again: Vec<_> = seen.values().filter(|times| times.len() > 20).collect();
    assert!(!again.is_empty(), "{seen:?}");
    // Nothing of its first life is behind the beginning of its second, which has all 20.
    for times in again {
        let begun = times.len() - 20;
        assert!(times.is_sorted(), "{seen:?}");
        assert!(times[begun] - times[begun - 1] > 300_000_000, "{seen:?}");
    }
}
