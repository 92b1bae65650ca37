//! `Pool::command` against real commands.

use std::future::IntoFuture;
use std::time::Duration;

use orchestrator::{JobError, Pool, PoolError, Stream};
use orchestrator_tests::{TestEnv, eventually};

use crate::pool::{block_on, config};

async fn with_pool(test: impl AsyncFnOnce(&Pool)) {
    let pool = Pool::start(config(2)).unwrap();
    test(&pool).await;
    pool.shutdown().await.unwrap();
}

/// How a command failed, and what is said about it.
fn failure<T: std::fmt::Debug>(end: Result<T, JobError>) -> (JobError, String) {
    let error = end.unwrap_err();
    let said = error.to_string();
    (error, said)
}

#[test]
fn a_command_gives_its_output_and_what_it_used() {
    block_on(with_pool(async |pool| {
        let output = pool
            .command(["sh", "-c", "cat; echo b >&2"])
            .stdin("a")
            .await;
        let output = output.unwrap();
        assert_eq!(
            (&output.stdout[..], &output.stderr[..]),
            (&b"a"[..], &b"b\n"[..])
        );
        assert!(output.usage.wall_us > 0 && output.usage.max_rss_kib > 0);
    }));
}

#[test]
fn arguments_environment_and_directory_arrive_as_they_are() {
    let env = TestEnv::new();
    block_on(with_pool(async |pool| {
        let script = "printf '%s|' \"$@\" \"$A\" \"${HOME-none}\"; pwd";
        let output = pool
            .command(["sh", "-c", script, "sh"])
            .arg("$(id) \n*")
            .args(["", "x y"])
            .env("A", "é=1")
            .env_remove("HOME")
            .current_dir(env.path())
            .await
            .unwrap();
        let expected = format!("$(id) \n*||x y|é=1|none|{}\n", env.path().display());
        assert_eq!(output.stdout, expected);
    }));
}

#[test]
fn a_program_is_looked_up_in_the_path_of_the_command() {
    let env = TestEnv::new();
    let program = env.file("only-here", "#!/bin/sh\necho found\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    block_on(with_pool(async |pool| {
        let (error, said) = failure(pool.command(["only-here"]).await);
        let missing = libc::ENOENT;
        assert!(matches!(error, JobError::NotStarted { errno, .. } if errno == missing));
        assert!(said.contains("`only-here`"), "{said}");
        let output = pool.command(["only-here"]).env("PATH", env.path()).await;
        assert_eq!(output.unwrap().stdout, "found\n");
    }));
}

#[test]
fn a_command_that_fails_says_how_and_the_end_of_its_stderr() {
    block_on(with_pool(async |pool| {
        let text = "seq 9999 >&2; echo no such codec >&2; exit 3";
        match failure(pool.command(["sh", "-c", text]).await) {
            (JobError::Exited { status: 3, stderr }, said) => {
                assert_eq!(said, "command ended with status 3: no such codec");
                assert!(stderr.ends_with("9999\nno such codec") && stderr.len() < 5_000);
            }
            other => panic!("{other:?}"),
        }
        let (error, said) = failure(pool.command(["sh", "-c", "kill -9 $$"]).await);
        assert!(matches!(error, JobError::Signaled { signal: 9, .. }));
        assert_eq!(said, "command was ended by SIGKILL");
    }));
}

#[test]
fn limits_are_the_commands_own() {
    let env = TestEnv::new();
    block_on(with_pool(async |pool| {
        let sleep = pool.command(["sleep", "1000"]);
        let end = sleep.timeout(Duration::from_millis(20)).await;
        assert!(matches!(end, Err(JobError::Timeout(_))));
        let flag = env.path().join("flag");
        let text = "test -e \"$1\" || { : > \"$1\"; exit 1; }";
        let second = pool.command(["sh", "-c", text, "sh"]).arg(&flag).retries(1);
        second.await.unwrap();
    }));
}

#[test]
fn output_comes_live_and_the_end_can_be_waited_for() {
    let env = TestEnv::new();
    let gate = env.path().join("gate");
    block_on(with_pool(async |pool| {
        let text = "printf begun; until test -e \"$1\"; do sleep 0.01; done; echo bad >&2; exit 4";
        let command = pool.command(["sh", "-c", text, "sh"]).arg(&gate);
        let mut running = command.stream().await.unwrap();
        let part = running.next().await.unwrap();
        assert_eq!(
            (&part.data[..], part.stream),
            (&b"begun"[..], Stream::Stdout)
        );
        assert_eq!(part.job, Some(running.id()));
        std::fs::write(&gate, "").unwrap();
        let (error, said) = failure(running.wait().await);
        assert!(matches!(error, JobError::Exited { status: 4, .. }));
        assert!(said.ends_with(": bad"), "{said}");
    }));
}

#[test]
fn a_stream_that_nobody_reads_makes_its_command_wait_and_it_can_be_cancelled() {
    block_on(with_pool(async |pool| {
        let mut running = pool.command(["yes"]).stream().await.unwrap();
        assert!(running.next().await.unwrap().data.starts_with(b"y\n"));
        for _ in 0..100 {
            pool.command(["true"]).await.unwrap();
        }
        running.cancel();
        let end = running.wait().await;
        assert!(matches!(end, Err(JobError::Cancelled)), "{end:?}");
    }));
}

#[test]
fn a_command_whose_handle_is_dropped_runs_on() {
    let env = TestEnv::new();
    let flag = env.path().join("flag");
    block_on(with_pool(async |pool| {
        let text = "seq 100000; : > \"$1\"";
        let command = pool.command(["sh", "-c", text, "sh"]).arg(&flag);
        drop(command.stream().await.unwrap());
    }));
    // The pool's end has waited for it.
    eventually("it ran to its end", || flag.exists());
}

#[test]
fn commands_of_a_pool_that_is_over_say_so() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let running = pool.command(["sleep", "1000"]).stream().await.unwrap();
        pool.control().kill();
        let mut running = running;
        failure(running.wait().await);
        let end = pool.command(["true"]).await;
        assert!(
            matches!(end, Err(JobError::Pool(PoolError::Closed))),
            "{end:?}"
        );
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn urgent_commands_overtake_and_are_called_by_their_label() {
    let env = TestEnv::new();
    let (gate, log) = (env.path().join("gate"), env.path().join("log"));
    block_on(async {
        let mut config = config(1);
        config.ahead = Duration::ZERO;
        let pool = Pool::start(config).unwrap();
        let wait = "until [ -e \"$0\" ]; do sleep 0.01; done";
        let blocker = pool.command(["sh", "-c", wait]).arg(&gate);
        let mut running = vec![blocker.label("the blocker").stream().await.unwrap()];
        while pool.stats().await.running == 0 {
            tokio::task::yield_now().await;
        }
        let status = pool.control().status().await;
        assert_eq!(status.running[0].label.as_deref(), Some("the blocker"));
        for (name, priority) in [("a", -1), ("b", 0), ("c", 5)] {
            let command = pool.command(["sh", "-c", "echo $1 >> \"$0\""]);
            let command = command.arg(&log).arg(name).priority(priority);
            running.push(command.stream().await.unwrap());
        }
        while pool.stats().await.waiting < 3 {
            tokio::task::yield_now().await;
        }
        std::fs::write(gate, "").unwrap();
        for mut command in running {
            command.wait().await.unwrap();
        }
        pool.shutdown().await.unwrap();
    });
    assert_eq!(std::fs::read_to_string(log).unwrap(), "c\nb\na\n");
}

#[test]
fn a_command_may_be_tried_again_sooner_than_the_pool_would() {
    let env = TestEnv::new();
    let flag = env.path().join("flag");
    block_on(async {
        let mut config = config(1);
        config.retry_backoff = Duration::from_secs(3600);
        config.retry_backoff_max = Duration::from_secs(3600);
        let pool = Pool::start(config).unwrap();
        let text = "[ -e \"$0\" ] || { : > \"$0\"; exit 1; }";
        let command = pool.command(["sh", "-c", text]).arg(flag).retries(1);
        let command = command.retry_backoff(Duration::from_millis(1));
        let end = tokio::time::timeout(Duration::from_secs(60), command.into_future());
        end.await.expect("no hour").unwrap();
        pool.shutdown().await.unwrap();
    });
}
