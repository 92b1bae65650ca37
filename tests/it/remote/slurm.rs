//! A real Slurm cluster: four nodes of this machine.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};
use orchestrator_tests::env::{elapsed_until, finish};
use orchestrator_tests::{Done, TestEnv, eventually};
use serde_json::{Value, json};

use super::matrix::{Case, JOBS, Run, side_by_side, signal};
use super::world::World;
use super::{HEAVY, counts, expected, hosts, lines, processes};
use crate::dashboard;
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
        nothing_is_left_on(world, node);
    }
}

fn nothing_is_left_on(world: &World<'_>, node: &str) {
    let gone = elapsed_until(Duration::from_secs(30), || world.left(node).is_empty());
    assert!(gone.is_some(), "left on {node}: {:?}", world.left(node));
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
    // What comes when all is done was pending.
    let told = [" on 4 hosts", " of 4 hosts"];
    assert!(
        told.iter().any(|told| done.stderr.contains(told)),
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

/// A run on two nodes of its own, by the number of the case: those of one partition. Jobs
/// are held on the first.
fn with_run(
    world: &World<'_>,
    number: usize,
    more: &[&str],
    happens: impl FnOnce(&mut Run<'_>, &Cluster<'_>),
) -> Done {
    let env = TestEnv::new();
    let conf = conf(world);
    let nodes = [1, 2].map(|n| format!("n{}", 2 * number + n));
    let partition = format!("--slurm-args=-p p{}", number + 1);
    let command = |env: &TestEnv| {
        let all = ["--run-file=r", "--slurm=2", &partition, "-j6"];
        let mut command = hosts(env, &[&all, more].concat());
        command.env("SLURM_CONF", &conf);
        command
    };
    let [node, other] = [&*nodes[0], &*nodes[1]];
    let mut run = Run::start(&env, node, &command);
    let cluster = Cluster {
        world,
        conf: &conf,
        node,
    };
    happens(&mut run, &cluster);
    let done = run.end();
    // What its slurmd would have to tell, it tells.
    world.may(&["start", node]);
    for node in [node, other] {
        nothing_is_left_on(world, node);
    }
    let partition = &partition["--slurm-args=-p ".len()..];
    let queue = || slurm(&env, &conf, &["squeue", "-h", "-p", partition]);
    let gone = elapsed_until(Duration::from_secs(40), || queue().is_empty());
    assert!(gone.is_some(), "{:?}", queue());
    done
}

/// Where a run of one's own is at work.
struct Cluster<'a> {
    world: &'a World<'a>,
    conf: &'a str,
    /// The node whose jobs are held.
    node: &'a str,
}

impl Cluster<'_> {
    /// Of the job of Slurm on that node: its number, or its name.
    fn job(&self, env: &TestEnv, what: &str) -> String {
        let words = ["squeue", "-h", "-t", "R", "-w", self.node, "-o", what];
        slurm(env, self.conf, &words).trim().to_owned()
    }

    /// The one which waits for its end.
    fn srun(&self, env: &TestEnv) -> Pid {
        let named = format!("-J {} ", self.job(env, "%j"));
        let all = processes(env, &named);
        // It has started the other.
        let parent = |pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let behind = stat.rsplit(") ").next().unwrap();
            behind.split(' ').nth(1).unwrap().parse::<i32>().unwrap()
        };
        let first = all.iter().find(|&&pid| !all.contains(&parent(pid)));
        Pid::from_raw(*first.unwrap())
    }

    /// The first process on that node whose command line has this in it.
    fn there(&self, what: &str) -> i32 {
        let all = self.world.left(self.node);
        let line = all.iter().find(|line| line.contains(what)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

fn slurm(env: &TestEnv, conf: &str, words: &[&str]) -> String {
    let mut command = env.command(words[0]);
    command.args(&words[1..]).env("SLURM_CONF", conf);
    env.run(command, "").stdout().to_owned()
}

/// Soon enough for a test, and long enough for a busy machine.
const SOON: &[&str] = &["--host-timeout=6s"];

fn srun_is_killed(world: &World<'_>, number: usize) {
    with_run(world, number, SOON, |run, cluster| {
        kill(cluster.srun(run.env), Signal::SIGKILL).unwrap();
        run.is_begun_again();
    });
}

fn srun_and_its_shepherd_are_killed(world: &World<'_>, number: usize) {
    with_run(world, number, SOON, |run, cluster| {
        // It leads their group.
        let group = getpgid(Some(cluster.srun(run.env))).unwrap();
        killpg(group, Signal::SIGKILL).unwrap();
        run.is_begun_again();
    });
}

fn an_agent_is_killed(world: &World<'_>, number: usize) {
    with_run(world, number, SOON, |run, cluster| {
        signal(cluster.there("orchestrator agent"), Signal::SIGKILL);
        run.is_begun_again();
    });
}

fn a_worker_is_killed(world: &World<'_>, number: usize) {
    let done = with_run(world, number, &["--retries=3"], |run, cluster| {
        signal(cluster.there("orchestrator worker"), Signal::SIGKILL);
        run.is_begun_again();
    });
    assert!(!done.stderr.contains("was lost"), "{}", done.stderr);
}

fn a_job_of_slurm_is_cancelled(world: &World<'_>, number: usize) {
    with_run(world, number, &[], |run, cluster| {
        let job = cluster.job(run.env, "%i");
        slurm(run.env, cluster.conf, &["scancel", &job]);
        // Its agent lets them end.
        eventually("it goes", || cluster.job(run.env, "%i") != job);
    });
}

fn a_step_of_slurm_is_cancelled(world: &World<'_>, number: usize) {
    with_run(world, number, SOON, |run, cluster| {
        let step = format!("{}.0", cluster.job(run.env, "%i"));
        slurm(run.env, cluster.conf, &["scancel", &step]);
        run.is_begun_again();
    });
}

fn slurmd_is_killed_and_started_again_in_time(world: &World<'_>, number: usize) {
    let done = with_run(world, number, &[], |run, cluster| {
        world.must(&["kill", cluster.node]);
        // What runs there, runs on, and can be talked to.
        run.release();
        let env = run.env;
        let on = format!("on.{}", cluster.node);
        let before = counts(env, &on).len();
        eventually("it is given more jobs", || {
            counts(env, &on).len() > before || counts(env, "ended").len() == JOBS as usize
        });
        world.must(&["start", cluster.node]);
    });
    assert!(!done.stderr.contains("was lost"), "{}", done.stderr);
}

fn slurmd_is_killed_for_good(world: &World<'_>, number: usize) {
    let done = with_run(world, number, SOON, |run, cluster| {
        world.must(&["kill", cluster.node]);
        // Slurm gives the node up, and says so to srun.
        run.is_begun_again();
    });
    assert!(done.stderr.contains(" was lost: "), "{}", done.stderr);
}

fn the_run_is_killed_and_goes_on(world: &World<'_>, number: usize) {
    with_run(world, number, SOON, |run, cluster| {
        run.kill();
        nothing_is_left_on(world, cluster.node);
        run.release();
        run.begin(&["--resume"]);
    });
}

#[test]
fn whatever_is_killed_or_cancelled_each_job_is_done_and_none_twice_at_once() {
    let env = TestEnv::new();
    let cases: [Case<World<'_>>; 9] = [
        ("slurmd for good", slurmd_is_killed_for_good),
        ("scancel of a job", a_job_of_slurm_is_cancelled),
        ("srun", srun_is_killed),
        ("srun and its shepherd", srun_and_its_shepherd_are_killed),
        ("agent", an_agent_is_killed),
        ("worker", a_worker_is_killed),
        ("scancel of a step", a_step_of_slurm_is_cancelled),
        (
            "slurmd, started again",
            slurmd_is_killed_and_started_again_in_time,
        ),
        ("run", the_run_is_killed_and_goes_on),
    ];
    let nodes = (2 * cases.len()).to_string();
    let partitions = cases.len().to_string();
    let up = ["--nodes", &nodes, "--partitions", &partitions];
    let Some(world) = World::up(&env, "slurm-world", &up) else {
        return;
    };
    side_by_side(&world, 5, &cases);
}

#[test]
fn nodes_that_are_not_free_are_pending_and_hold_nobody_up() {
    let env = TestEnv::new();
    let Some(world) = World::up(&env, "slurm-world", &["--nodes", "2"]) else {
        return;
    };
    let conf = conf(&world);
    let all = ["--slurm=5", "-j2", "--progress=json", "--dashboard", "-c"];
    let job = "[ ! -p hold ] || read x 2>/dev/null < hold; echo {}";
    let mut command = hosts(&env, &[&all[..], &[job]].concat());
    command.env("SLURM_CONF", &conf);
    let mut mkfifo = env.command("mkfifo");
    mkfifo.arg(env.path().join("hold"));
    assert_eq!(env.run(mkfifo, "").code(), 0);
    let pipe = env.path().join("hold");
    let hold = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let input = env.file("input", lines(40));
    command.stdin(Stdio::from(std::fs::File::open(input).unwrap()));
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let mut page = None;
    let hosts = loop {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it has ended");
        if let Some((_, address)) = line.split_once("http://127.0.0.1:") {
            page = address.trim_end().trim_end_matches('/').parse().ok();
        }
        if let Ok(told) = serde_json::from_str::<Value>(&line)
            && told["hosts"]["up"] == 2
        {
            break told["hosts"].clone();
        }
    };
    assert_eq!(hosts, json!({"wanted": 5, "up": 2, "pending": 3}));
    let port = page.expect("an address");
    // It looks twice a second.
    eventually("the page knows", || {
        dashboard::status(port)["hosts"] == hosts
    });
    let page = dashboard::body(port, "/");
    assert!(page.contains(", 2 of 5 hosts up, 3 pending<"), "{page}");
    std::fs::remove_file(pipe).unwrap();
    drop(hold);
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 0, "{rest}");
    assert!(rest.contains("40 jobs succeeded"), "{rest}");
    assert!(
        rest.contains("4 workers on 2 of 5 hosts, 3 pending"),
        "{rest}"
    );
    let queue = || slurm(&env, &conf, &["squeue", "-h"]);
    let gone = elapsed_until(Duration::from_secs(40), || queue().is_empty());
    assert!(gone.is_some(), "{:?}", queue());
    for node in ["n1", "n2"] {
        nothing_is_left_on(&world, node);
    }
}
