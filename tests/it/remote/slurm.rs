//! A real Slurm cluster: four nodes of this machine.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::{elapsed_until, finish};
use orchestrator_tests::{Done, TestEnv, eventually};

use super::world::World;
use super::{HEAVY, complete, counts, expected, hosts, lines, processes};
use crate::run::ORCHESTRATOR;

const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];

/// Where the cluster's commands find it.
fn conf(world: &World<'_>) -> String {
    let env = world.must(&["env"]);
    let line = env
        .lines()
        .find_map(|line| line.strip_prefix("export SLURM_CONF="));
    line.unwrap().trim_matches(['\'', '"']).to_owned()
}

fn nothing_is_left(world: &World<'_>) {
    for node in NODES {
        let gone = elapsed_until(Duration::from_secs(30), || world.left(node).is_empty());
        assert!(gone.is_some(), "left on {node}: {:?}", world.left(node));
    }
}

/// A batch inside an allocation that this command makes.
fn inside(env: &TestEnv, conf: &str, with: &[&str], jobs: u32) -> Done {
    let script = format!(
        "#!/bin/sh\nexec {ORCHESTRATOR} run --agent {ORCHESTRATOR} --slurm -k -c '{HEAVY}' < input > out 2> err\n"
    );
    let script = env.file("batch", script);
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    env.file("input", lines(jobs));
    let mut command = env.command(with[0]);
    command.args(&with[1..]).arg(script).env("SLURM_CONF", conf);
    // It puts the number of the task before each line, frames included.
    command.env("SLURM_LABELIO", "1");
    env.run(command, "")
}

#[test]
fn a_batch_gives_the_same_bytes_outside_of_and_inside_allocations() {
    let env = TestEnv::new();
    let Some(world) = World::up(&env, "slurm-world", &[]) else {
        return;
    };
    let conf = conf(&world);
    let here = expected(1000);
    let mut command = hosts(&env, &["--slurm=4", "-k", "-c", HEAVY]);
    command.env("SLURM_CONF", &conf).env("SLURM_LABELIO", "1");
    let done = env.run(command, lines(1000));
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(done.stdout == here, "from outside");
    assert!(
        done.stderr.contains(" on 4 hosts") || done.stderr.contains(" on "),
        "{}",
        done.stderr
    );
    let out = || std::fs::read(env.path().join("out")).unwrap_or_default();
    let err = || std::fs::read_to_string(env.path().join("err")).unwrap_or_default();
    for with in [
        &["sbatch", "-W", "-N4", "--exclusive", "-o", "log"][..],
        &["salloc", "-N4", "--exclusive"],
    ] {
        let done = inside(&env, &conf, with, 1000);
        assert_eq!(done.code(), 0, "{} {}", done.stderr, err());
        assert!(out() == here, "{with:?}");
        assert!(err().contains("on 4 hosts"), "{}", err());
        std::fs::remove_file(env.path().join("out")).unwrap();
    }
    nothing_is_left(&world);
}

const JOB: &str = "echo {} >> begun; sleep 0.1; echo {} >> ended; echo {}";
const JOBS: u32 = 500;

/// A run of 500 jobs to which this happens, as with ssh.
fn a_run_in_which(happens: impl FnOnce(&TestEnv, &World<'_>, &str)) {
    let env = TestEnv::new();
    let Some(world) = World::up(&env, "slurm-world", &[]) else {
        return;
    };
    let conf = conf(&world);
    let all = [
        "--run-file=r",
        "--slurm=3",
        "-j6",
        "--host-timeout=4s",
        "-c",
        JOB,
    ];
    let mut command = hosts(&env, &all);
    command.env("SLURM_CONF", &conf);
    let input = env.file("input", lines(JOBS));
    command.stdin(Stdio::from(std::fs::File::open(input).unwrap()));
    let run = command.spawn().unwrap();
    eventually("jobs run", || counts(&env, "ended").len() > 60);
    happens(&env, &world, &conf);
    let done = finish(run, Vec::new());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    complete(&env, JOBS);
    assert_eq!(counts(&env, "ended").len(), JOBS as usize);
    nothing_is_left(&world);
    let mut queue = env.command("squeue");
    queue.arg("-h").env("SLURM_CONF", &conf);
    let gone = elapsed_until(Duration::from_secs(40), || {
        let mut queue = env.command("squeue");
        queue.arg("-h").env("SLURM_CONF", &conf);
        env.run(queue, "").stdout.is_empty()
    });
    assert!(gone.is_some(), "{:?}", env.run(queue, "").stdout());
}

fn srun(env: &TestEnv) -> Vec<i32> {
    processes(env, "srun -Q -u")
}

fn slurm(env: &TestEnv, conf: &str, words: &[&str]) -> String {
    let mut command = env.command(words[0]);
    command.args(&words[1..]).env("SLURM_CONF", conf);
    env.run(command, "").stdout().to_owned()
}

#[test]
fn srun_is_killed() {
    a_run_in_which(|env, _, _| {
        kill(Pid::from_raw(srun(env)[0]), Signal::SIGKILL).unwrap();
    });
}

#[test]
fn srun_and_its_shepherd_are_killed() {
    a_run_in_which(|env, _, _| {
        let first = srun(env)[0];
        // It leads their group.
        let group = nix::unistd::getpgid(Some(Pid::from_raw(first))).unwrap();
        nix::sys::signal::killpg(group, Signal::SIGKILL).unwrap();
    });
}

#[test]
fn a_job_of_slurm_is_cancelled() {
    a_run_in_which(|env, _, conf| {
        let jobs = slurm(env, conf, &["squeue", "-h", "-t", "R", "-o", "%i"]);
        slurm(env, conf, &["scancel", jobs.lines().next().unwrap().trim()]);
    });
}

#[test]
fn a_step_of_slurm_is_cancelled() {
    a_run_in_which(|env, _, conf| {
        let jobs = slurm(env, conf, &["squeue", "-h", "-t", "R", "-o", "%i"]);
        let step = format!("{}.0", jobs.lines().next().unwrap().trim());
        slurm(env, conf, &["scancel", &step]);
    });
}
