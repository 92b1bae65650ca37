//! Programs that are no workers, and workers that break the protocol.

use std::time::Duration;

use orchestrator::{JobError, Launch, Pool, PoolConfig, PoolError, Verdict};
use orchestrator_tests::tasks::*;
use serde_bytes::ByteBuf;

use super::{ROGUE, block_on, cancelled, ends, rogues};

/// What a pool of rogues says about itself.
fn broken(steps: &str) -> PoolError {
    broken_pool(rogues(steps))
}

fn broken_pool(config: PoolConfig) -> PoolError {
    block_on(async {
        let pool = Pool::start(config).unwrap();
        let error = pool.tasks().await.unwrap_err();
        // The reason stays, whoever asks.
        let again = pool.run(Fib, 1).await.unwrap_err();
        assert_eq!(again.to_string(), error.to_string());
        let end = pool.shutdown().await.unwrap_err();
        assert_eq!(end.to_string(), error.to_string());
        error
    })
}

#[test]
fn f006_a_program_that_is_not_a_worker_is_told_by_what_it_printed() {
    let error = broken("print:hello,world exit:0");
    assert_eq!(
        error.to_string(),
        format!("`{ROGUE}` does not speak the worker protocol (it printed `hello,world`)")
    );
}

#[test]
fn f006_a_program_that_prints_without_end_is_not_listened_to_for_ever() {
    let steps = format!("print:{} hang", "y".repeat(100_000));
    let error = broken(&steps).to_string();
    assert!(error.contains("(it printed `yyyy"), "{error:.200}");
}

#[test]
fn f007_another_protocol_version_is_refused_with_both() {
    let error = broken("greet:99 hang");
    assert_eq!(
        error.to_string(),
        format!(
            "worker `{ROGUE}` speaks protocol 99, but this orchestrator speaks {}",
            protocol::PROTOCOL_VERSION
        )
    );
}

#[test]
fn f005_a_worker_that_hangs_before_it_is_ready_is_given_up() {
    let mut config = rogues("stderr:loading greet hello hang");
    // Enough for its first words, each time.
    config.start_timeout = Duration::from_secs(2);
    match broken_pool(config) {
        PoolError::StartTimeout { stderr, after, .. } => {
            assert_eq!(stderr, "loading\n");
            assert_eq!(after, Duration::from_secs(2));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn f029_workers_that_die_at_start_end_the_pool_with_their_last_words() {
    match broken("stderr:no.such.library exit:127") {
        PoolError::KeepsDying {
            status,
            attempts,
            stderr,
            ..
        } => {
            assert_eq!(status, "ended with status 127");
            assert_eq!(attempts, 3);
            assert_eq!(stderr, "no.such.library\n");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_worker_program_is_named() {
    block_on(async {
        let pool = Pool::start(PoolConfig::new(Launch::program("/no/such/worker"))).unwrap();
        let error = pool.run(Fib, 1).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "worker `/no/such/worker` cannot be started"
        );
        assert!(pool.shutdown().await.is_err());
    });
}

#[test]
fn f010_to_f015_a_worker_that_breaks_the_protocol_is_killed_and_its_job_crashed() {
    let start = "greet hello ready:noop recv";
    let cases = [
        // f010: garbage.
        ("raw:68656c6c6f0a hang", "expected a frame, found `hello`"),
        // f013: an oversized length.
        (
            "raw:b10f8300ffffff7fffffff7f hang",
            "is larger than the limit",
        ),
        // f014: a length bomb inside the control part.
        (
            "raw:b10f8700080000000000000000000000000100000a hang",
            "malformed recalled message",
        ),
        (
            "raw:b10fee0000000000000000000a hang",
            "unknown message kind 0xee",
        ),
        ("ready:noop hang", "said ready twice"),
    ];
    for (steps, expected) in cases {
        let (verdict, said) = ends(&format!("{start} {steps}"));
        assert_eq!(verdict, Verdict::Crashed, "{steps}");
        assert!(said.contains(expected), "{steps}: {said}");
    }
    // f011: ended within a frame; f002: exit status 0 does not help.
    assert_eq!(
        ends(&format!("{start} partial:7 exit:0")),
        (Verdict::Crashed, "its worker ended with status 0".into())
    );
    // f015: another job, another attempt.
    for steps in ["done-other hang", "done-stale hang"] {
        assert_eq!(ends(&format!("{start} {steps}")).0, Verdict::Crashed);
    }
}

#[test]
fn f004_an_answer_that_was_written_before_death_counts() {
    for _ in 0..50 {
        let (verdict, said) = ends("greet hello ready:noop recv done kill");
        assert_eq!((verdict, said.as_str()), (Verdict::Ok, ""));
    }
}

#[test]
fn f016_the_first_of_two_answers_stands() {
    let (verdict, _) = ends("greet hello ready:noop recv done done-again hang");
    assert_eq!(verdict, Verdict::Ok);
}

#[test]
fn f019_a_worker_that_closes_its_channel_is_ended() {
    // Output for a job, then the end of the link while the process lives on.
    let (verdict, _) = ends("greet hello ready:noop recv output:x close hang");
    assert_eq!(verdict, Verdict::Crashed);
}

#[test]
fn a_worker_that_gives_back_what_nobody_asked_for_is_killed() {
    let (verdict, said) = ends("greet hello ready:noop recv recalled-twice hang");
    assert_eq!(verdict, Verdict::Crashed, "{said}");
}

#[test]
fn f021_a_worker_that_does_not_read_its_pipe_can_still_be_ended() {
    block_on(async {
        let pool = Pool::start(rogues("greet hello ready:echo hang")).unwrap();
        let input = ByteBuf::from(vec![7; 10 << 20]);
        let handle = pool.submit(Echo, input).await.unwrap();
        pool.tasks().await.unwrap();
        pool.shutdown_now().await.unwrap();
        assert!(cancelled(handle.await));
    });
}

#[test]
fn a_worker_that_leaves_unasked_is_not_charged_with_jobs_nor_waited_for() {
    block_on(async {
        let pool = Pool::start(rogues("greet hello ready:noop recv bye exit:0")).unwrap();
        match pool.run(Noop, ()).await {
            // One after the other left; the job went from hand to hand.
            Err(JobError::Pool(PoolError::KeepsDying { ready: true, .. })) => {}
            other => panic!("{other:?}"),
        }
        pool.shutdown().await.unwrap_err();
    });
    // One that says goodbye, or does not listen, and stays is made to end.
    // (With the job: a worker that did so before would never be sent one.)
    let (verdict, _) = ends("greet hello ready:noop recv close-in hang");
    assert_eq!(verdict, Verdict::Crashed);
}

#[test]
fn f020_what_floods_a_dead_workers_stderr_does_not_hide_its_death() {
    block_on(async {
        let mut config = rogues("greet hello ready:noop recv flood kill");
        config.start_attempts = 1;
        let pool = Pool::start(config).unwrap();
        let job = orchestrator::RawJob::new(&Noop, &()).unwrap();
        let report = pool.submit_raw(job).await.unwrap();
        // Well before the flood ends by itself.
        let report = tokio::time::timeout(Duration::from_secs(10), report).await;
        assert_eq!(report.unwrap().unwrap().verdict, Verdict::Crashed);
        pool.shutdown_now().await.ok();
    });
}
