//! Real hosts by ssh: network namespaces of this machine, each with an sshd of its own.

use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::{elapsed_until, finish};
use orchestrator_tests::{TestEnv, eventually};

use super::world::World;
use super::{HEAVY, complete, counts, expected, hosts, lines, processes};
use crate::run::sorted;

/// The command with which hosts are reached.
fn ssh(world: &World<'_>) -> String {
    format!("--ssh=ssh -F {}", world.must(&["config"]).trim())
}

#[test]
fn a_batch_gives_the_same_bytes_on_three_hosts_and_mixed() {
    let env = TestEnv::new();
    let Some(world) = World::up(&env, "ssh-world", &["3"]) else {
        return;
    };
    let here = expected(1000);
    for named in ["4/h1,4/h2,4/h3", "4/h1,h[2-3],2/:"] {
        let command = hosts(&env, &["--hosts", named, &ssh(&world), "-k", "-c", HEAVY]);
        let done = env.run(command, lines(1000));
        assert_eq!(done.code(), 0, "{}", done.stderr);
        assert!(done.stdout == here, "{named}");
        for host in ["h1", "h2", "h3"] {
            eventually("nothing is left", || world.left(host).is_empty());
        }
    }
}

#[test]
fn this_program_is_brought_to_hosts_once_and_a_full_disk_is_told() {
    let env = TestEnv::new();
    let Some(world) = World::up(&env, "ssh-world", &["2"]) else {
        return;
    };
    world.must(&["full", "h2"]);
    let job = "echo {} $(uname -n) $(readlink /proc/$PPID/exe)";
    let all = [
        "--bootstrap",
        "--hosts=2/h1,2/h2",
        &ssh(&world),
        "-k",
        "-c",
        job,
    ];
    for round in 1..=2 {
        let done = env.run(crate::run::command(&env, &all), lines(20));
        assert_eq!(done.code(), 0, "{}", done.stderr);
        for (line, n) in done.stdout().lines().zip(1..) {
            assert!(line.starts_with(&format!("{n} h1 ")), "{line}");
            assert!(line.contains("/.cache/orchestrator/agent-"), "{line}");
        }
        let said = "warning: host h2 has no space left on a disk: ";
        assert_eq!(
            done.stderr.matches(said).count(),
            1,
            "{round}: {}",
            done.stderr
        );
    }
}

/// Begins, works, ends; and says so in a file. Files are shared.
const JOB: &str = "echo {} >> begun; sleep 0.1; echo {} >> ended; echo {}";
const JOBS: u32 = 500;

fn start(env: &TestEnv, world: &World<'_>, more: &[&str]) -> Child {
    let ssh = ssh(world);
    let all = [
        "--run-file=r",
        "--hosts=8/h1,8/h2,8/h3",
        &ssh,
        "--host-timeout=4s",
    ];
    let mut command = hosts(env, &[&all, more, &["-c", JOB]].concat());
    let input = env.file("input", lines(JOBS));
    command.stdin(Stdio::from(std::fs::File::open(input).unwrap()));
    command.spawn().unwrap()
}

/// A run of 500 jobs to which this happens. All of them are done, each once in the run
/// file, and nothing is left on any host.
fn a_run_in_which(happens: impl FnOnce(&TestEnv, &World<'_>, &mut Child)) -> Option<String> {
    let env = TestEnv::new();
    let world = World::up(&env, "ssh-world", &["3"])?;
    let mut run = start(&env, &world, &[]);
    eventually("jobs run on all hosts", || counts(&env, "ended").len() > 60);
    happens(&env, &world, &mut run);
    let mut said = String::new();
    // One that was killed goes on.
    let done = match run.try_wait().unwrap() {
        Some(status) if status.code().is_none() => {
            finish(start(&env, &world, &["--resume"]), Vec::new())
        }
        _ => finish(run, Vec::new()),
    };
    said += &done.stderr;
    assert_eq!(done.code(), 0, "{said}");
    complete(&env, JOBS);
    assert_eq!(counts(&env, "ended").len(), JOBS as usize);
    let mut numbers = sorted(done.stdout());
    numbers.dedup();
    assert_eq!(
        numbers.len(),
        sorted(done.stdout()).len(),
        "none is told twice"
    );
    for host in ["h1", "h2", "h3"] {
        world.must(&["heal", host]);
        let gone = elapsed_until(Duration::from_secs(20), || world.left(host).is_empty());
        assert!(gone.is_some(), "left on {host}: {:?}", world.left(host));
    }
    Some(said)
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).ok();
}

fn launcher(env: &TestEnv, host: &str) -> i32 {
    let named = format!("-- {host} exec");
    processes(env, &named)[0]
}

#[test]
fn the_launcher_is_killed() {
    let said = a_run_in_which(|env, _, _| signal(launcher(env, "h1"), Signal::SIGKILL));
    if let Some(said) = said {
        let told = "warning: host h1 was lost: its launcher was killed by SIGKILL; its jobs";
        assert_eq!(said.matches(told).count(), 1, "{said}");
    }
}

#[test]
fn an_agent_is_killed() {
    a_run_in_which(|_, world, _| {
        let agents = world.left("h2");
        let agent = agents
            .iter()
            .find(|line| line.contains("orchestrator agent"));
        let pid = agent.unwrap().split_whitespace().next().unwrap();
        signal(pid.parse().unwrap(), Signal::SIGKILL);
    });
}

#[test]
fn a_host_is_cut_off_and_comes_back() {
    let said = a_run_in_which(|env, world, _| {
        world.must(&["cut", "h3"]);
        let before = counts(env, "ended").len();
        eventually("the others go on", || {
            counts(env, "ended").len() > before + 60
        });
        world.must(&["heal", "h3"]);
    });
    if let Some(said) = said {
        assert!(said.lines().count() < 12, "{said}");
    }
}

#[test]
fn a_host_is_cut_off_for_good() {
    let said = a_run_in_which(|_, world, _| {
        world.must(&["cut", "h3"]);
    });
    if let Some(said) = said {
        assert!(
            said.contains("warning: host h3 was lost: it said nothing for 4s"),
            "{said}"
        );
    }
}

#[test]
fn the_run_is_killed_and_goes_on() {
    a_run_in_which(|_, world, run| {
        run.kill().unwrap();
        run.wait().unwrap();
        for host in ["h1", "h2", "h3"] {
            eventually("nothing is left", || world.left(host).is_empty());
        }
    });
}

#[test]
fn a_greeting_another_key_and_an_unreachable_host_are_told_and_the_rest_is_done_elsewhere() {
    let env = TestEnv::new();
    let Some(world) = World::up(&env, "ssh-world", &["3"]) else {
        return;
    };
    world.must(&["noisy", "h1"]);
    world.must(&["rekey", "h2"]);
    world.must(&["cut", "h3"]);
    let all = [
        "--hosts=2/h1,h2,h3",
        &ssh(&world),
        "-k",
        "-c",
        "sleep 1.2; echo {} $(uname -n)",
    ];
    let done = env.run(hosts(&env, &all), lines(20));
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let expected: String = (1..=20).map(|n| format!("{n} h1\n")).collect();
    assert_eq!(done.stdout(), expected);
    for said in [
        "warning: host h2 has another host key than is known: ",
        "warning: host h3 cannot be reached: ssh: connect to host",
    ] {
        assert_eq!(done.stderr.matches(said).count(), 1, "{}", done.stderr);
    }
    assert_eq!(done.stderr.lines().count(), 3, "{}", done.stderr);
}
