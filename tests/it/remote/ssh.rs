//! Real hosts by ssh: network namespaces of this machine, each with an sshd of its own.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgid};
use orchestrator_tests::env::{elapsed_until, finish};
use orchestrator_tests::{Done, TestEnv, eventually};

use super::matrix::{Case, JOBS, Run, side_by_side, signal};
use super::world::World;
use super::{HEAVY, counts, expected, hosts, lines, processes, told_first, when_told};

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
    let err = env.path().join("err");
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
        let mut command = crate::run::command(&env, &all);
        let (told, file) = (
            || std::fs::read_to_string(&err).unwrap(),
            File::create(&err),
        );
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(file.unwrap()).spawn().unwrap();
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(lines(20).as_bytes())
            .unwrap();
        // However long that host takes, more may come.
        let said = "warning: host h2 has no space left on a disk: ";
        eventually("the full disk is told", || told().contains(said));
        let done = finish(child, Vec::new());
        assert_eq!(done.code(), 0, "{}", told());
        for (line, n) in done.stdout().lines().zip(1..) {
            assert!(line.starts_with(&format!("{n} h1 ")), "{line}");
            assert!(line.contains("/.cache/orchestrator/agent-"), "{line}");
        }
        assert_eq!(told().matches(said).count(), 1, "{round}: {}", told());
    }
}

/// A run on two hosts of its own, by the number of the case; jobs are held on the first.
fn with_run(
    world: &World<'_>,
    number: usize,
    more: &[&str],
    happens: impl FnOnce(&mut Run<'_>, [&str; 2]),
) -> Done {
    let env = TestEnv::new();
    let [a, b] = [1, 2].map(|n| format!("h{}", 2 * number + n));
    let (ssh, named) = (ssh(world), format!("--hosts=4/{a},8/{b}"));
    let command = |env: &TestEnv| hosts(env, &[&["--run-file=r", &named, &ssh], more].concat());
    let mut run = Run::start(&env, &a, &command);
    happens(&mut run, [&a, &b]);
    let done = run.end();
    for host in [&a, &b] {
        world.must(&["heal", host]);
        nothing_is_left(world, host);
    }
    done
}

fn nothing_is_left(world: &World<'_>, host: &str) {
    let gone = elapsed_until(Duration::from_secs(30), || world.left(host).is_empty());
    assert!(gone.is_some(), "left on {host}: {:?}", world.left(host));
}

fn launcher(env: &TestEnv, host: &str) -> i32 {
    let named = format!("-- {host} exec");
    processes(env, &named)[0]
}

/// The first process there whose command line has this in it.
fn there(world: &World<'_>, host: &str, what: &str) -> i32 {
    let all = world.left(host);
    let line = all.iter().find(|line| line.contains(what)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Soon enough for a test, and long enough for a busy machine.
const SOON: &[&str] = &["--host-timeout=6s"];

fn the_launcher_is_killed(world: &World<'_>, number: usize) {
    let done = with_run(world, number, SOON, |run, [host, _]| {
        signal(launcher(run.env, host), Signal::SIGKILL);
        run.is_begun_again();
    });
    let told = " was lost: its launcher was killed by SIGKILL; its jobs are given to others";
    assert_eq!(done.stderr.matches(told).count(), 1, "{}", done.stderr);
}

fn the_launcher_and_all_that_belongs_to_it_are_killed(world: &World<'_>, number: usize) {
    with_run(world, number, SOON, |run, [host, _]| {
        let launcher = Pid::from_raw(launcher(run.env, host));
        killpg(getpgid(Some(launcher)).unwrap(), Signal::SIGKILL).unwrap();
        run.is_begun_again();
    });
}

fn an_agent_is_killed(world: &World<'_>, number: usize) {
    with_run(world, number, SOON, |run, [host, _]| {
        signal(there(world, host, "orchestrator agent"), Signal::SIGKILL);
        run.is_begun_again();
    });
}

fn a_worker_is_killed(world: &World<'_>, number: usize) {
    let done = with_run(world, number, &["--retries=3"], |run, [host, _]| {
        signal(there(world, host, "orchestrator worker"), Signal::SIGKILL);
        run.is_begun_again();
    });
    assert!(!done.stderr.contains("was lost"), "{}", done.stderr);
}

fn a_host_is_cut_off_and_comes_back_at_once(world: &World<'_>, number: usize) {
    with_run(world, number, &[], |run, [host, _]| {
        world.must(&["cut", host]);
        let env = run.env;
        eventually("the others go on", || {
            counts(env, "ended").len() > (JOBS as usize) / 2
        });
        world.must(&["heal", host]);
    });
}

fn a_host_is_cut_off_and_comes_back_when_it_was_given_up(world: &World<'_>, number: usize) {
    let done = with_run(world, number, SOON, |run, [host, _]| {
        world.must(&["cut", host]);
        run.is_begun_again();
        world.must(&["heal", host]);
    });
    assert!(done.stderr.lines().count() < 12, "{}", done.stderr);
}

fn a_host_is_cut_off_for_good(world: &World<'_>, number: usize) {
    let done = with_run(world, number, SOON, |run, [host, _]| {
        world.must(&["cut", host]);
        run.is_begun_again();
    });
    let told = " was lost: it said nothing for 6s; its jobs are given to others";
    assert_eq!(done.stderr.matches(told).count(), 1, "{}", done.stderr);
}

/// The times are those that everybody has. The host that was cut off ends all within 20 s,
/// and nobody else begins any of it before; after 30 s it is missed.
fn a_host_is_cut_off_and_all_times_are_the_usual_ones(world: &World<'_>, number: usize) {
    let done = with_run(world, number, &[], |run, [host, _]| {
        world.must(&["cut", host]);
        let gone = elapsed_until(Duration::from_secs(25), || world.left(host).is_empty());
        let gone = gone.expect("it ends by itself");
        // It may have heard the last word some seconds before.
        assert!(gone > Duration::from_secs(10), "{gone:?}");
        let env = run.env;
        assert!(Run::twice(env).is_empty(), "{:?}", Run::twice(env));
        run.is_begun_again();
    });
    let told = " was lost: it said nothing for 30s; its jobs are given to others";
    assert_eq!(done.stderr.matches(told).count(), 1, "{}", done.stderr);
}

fn the_run_is_killed_and_goes_on(world: &World<'_>, number: usize) {
    with_run(world, number, SOON, |run, both| {
        run.kill();
        for host in both {
            nothing_is_left(world, host);
        }
        run.release();
        run.begin(&["--resume"]);
    });
}

#[test]
fn whatever_is_killed_or_cut_off_each_job_is_done_and_none_twice_at_once() {
    let env = TestEnv::new();
    let cases: [Case<World<'_>>; 9] = [
        (
            "usual times",
            a_host_is_cut_off_and_all_times_are_the_usual_ones,
        ),
        ("launcher", the_launcher_is_killed),
        (
            "launcher's group",
            the_launcher_and_all_that_belongs_to_it_are_killed,
        ),
        ("agent", an_agent_is_killed),
        ("worker", a_worker_is_killed),
        ("cut and healed", a_host_is_cut_off_and_comes_back_at_once),
        (
            "lost and healed",
            a_host_is_cut_off_and_comes_back_when_it_was_given_up,
        ),
        ("cut for good", a_host_is_cut_off_for_good),
        ("run", the_run_is_killed_and_goes_on),
    ];
    let many = (2 * cases.len()).to_string();
    let Some(world) = World::up(&env, "ssh-world", &[&many]) else {
        return;
    };
    side_by_side(&world, 5, &cases);
}

#[test]
fn each_host_that_cannot_be_used_is_told_in_one_line_and_the_rest_is_done_elsewhere() {
    let env = TestEnv::new();
    let Some(world) = World::up(&env, "ssh-world", &["3"]) else {
        return;
    };
    world.must(&["noisy", "h1"]);
    world.must(&["rekey", "h2"]);
    world.must(&["cut", "h3"]);
    let ssh = ssh(&world);
    let job = format!("{} $(uname -n)", when_told(&env));
    let command = hosts(&env, &["--hosts=2/h1,h2,h3", &ssh, "-k", "-c", &job]);
    let all = [
        "warning: host h2 has another host key than is known: ",
        "warning: host h3 cannot be reached: ssh: connect to host",
    ];
    let (done, said) = told_first(&env, command, lines(20), &all);
    let expected: String = (1..=20).map(|n| format!("{n} h1\n")).collect();
    assert_eq!((done.code(), done.stdout()), (0, &*expected), "{said}");
    for one in all {
        assert_eq!(said.matches(one).count(), 1, "{said}");
    }
    assert_eq!(said.lines().count(), 3, "{said}");
    // A disk without room for the directory of jobs, and a program that is not there.
    world.must(&["heal", "h2"]);
    world.must(&["full", "h2", "work"]);
    let home = world.must(&["home", "h2"]);
    let wd = format!("--wd={}/work/of/jobs", home.trim());
    let job = when_told(&env);
    for (more, told) in [
        (&*wd, "warning: host h2 has no space left on a disk: "),
        (
            "--agent=/no/such/orchestrator",
            "warning: host h2 has no program orchestrator (copy it there, name it with --agent, or",
        ),
    ] {
        let all = ["--hosts=2/h2,2/:", &ssh, more, "-k", "-c", &job];
        let command = crate::run::command(&env, &all);
        let (done, said) = told_first(&env, command, lines(12), &[told]);
        assert_eq!((done.code(), done.stdout()), (0, &*lines(12)), "{said}");
        assert_eq!(said.matches(told).count(), 1, "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
}
