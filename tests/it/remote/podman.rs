//! Containers of podman, which see this machine's files and are told apart by their names.

use std::process::Command;

use nix::sys::signal::Signal;
use orchestrator_tests::TestEnv;
use orchestrator_tests::env::elapsed_until;
use std::time::Duration;

use super::matrix::{Run, signal};
use super::world::World;
use super::{HEAVY, expected, hosts, lines, processes};

/// What starts an agent in a container that is called like a host.
fn launch(world: &World<'_>) -> String {
    format!("--launch={} {{agent}}", world.must(&["run"]).trim())
}

/// No container is left, and so nothing that ran in one.
fn none_is_left(world: &World<'_>) {
    let all = || world.must(&["ps", "all"]);
    let gone = elapsed_until(Duration::from_secs(30), || all().trim().is_empty());
    assert!(gone.is_some(), "{}", all());
}

#[test]
fn a_batch_gives_the_same_bytes_in_containers_and_mixed() {
    let env = TestEnv::new();
    let Some(world) = World::up(&env, "podman-world", &[]) else {
        return;
    };
    let here = expected(1000);
    for named in ["4/c1", "2/c1,2/c2,2/:"] {
        let command = hosts(
            &env,
            &["--hosts", named, &launch(&world), "-k", "-c", HEAVY],
        );
        let done = env.run(command, lines(1000));
        assert_eq!(done.code(), 0, "{}", done.stderr);
        assert!(done.stdout == here, "{named}: {}", done.stderr);
        none_is_left(&world);
    }
}

#[test]
fn podman_is_killed_and_each_job_is_done_and_none_twice_at_once() {
    let outer = TestEnv::new();
    let Some(world) = World::up(&outer, "podman-world", &[]) else {
        return;
    };
    let launch = launch(&world);
    let command = |env: &TestEnv| -> Command {
        let all = [
            "--run-file=r",
            "--hosts=4/c1,8/c2",
            &launch,
            "--host-timeout=6s",
        ];
        hosts(env, &all)
    };
    let env = TestEnv::new();
    let mut run = Run::start(&env, "c1", &command);
    signal(processes(&env, "--hostname=c1")[0], Signal::SIGKILL);
    run.is_begun_again();
    let done = run.end();
    let told = "warning: host c1 was lost: its launcher was killed by SIGKILL; its jobs are given";
    assert_eq!(done.stderr.matches(told).count(), 1, "{}", done.stderr);
    none_is_left(&world);
}
