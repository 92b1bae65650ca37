//! What workers do once, before their first job.

use std::time::Duration;

use orchestrator::{Encoding, JobError, Pool, PoolConfig, PoolError};
use orchestrator_tests::tasks::*;

use super::{block_on, config};

#[test]
fn state_is_made_once_per_worker_with_the_init_data() {
    block_on(async {
        let mut config = config(1);
        config.init = Some("a model".into());
        let pool = Pool::start(config).unwrap();
        for n in 1..=3 {
            let seen = pool.run(Counter, 1).await.unwrap();
            assert_eq!(seen, (n, 1, b"a model".to_vec()));
        }
        pool.shutdown().await.unwrap();
    });
}

/// One worker whose start is given this text.
fn starting(asked: &str) -> PoolConfig {
    let mut config = config(1);
    config.init = Some(Encoding::Bincode.encode(asked).unwrap());
    config.start_attempts = 2;
    config.backoff = Duration::ZERO;
    config
}

#[test]
fn a_workers_start_is_done_once_and_finds_the_init_data() {
    block_on(async {
        let pool = Pool::start(starting("model")).unwrap();
        for _ in 0..3 {
            let started = pool.run(Started, ()).await.unwrap();
            assert_eq!(started, (1, "model".to_owned()));
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_start_that_fails_or_panics_ends_the_pool_with_its_text_and_charges_no_job() {
    for (asked, text) in [("fail", "no such model"), ("panic", "no luck")] {
        block_on(async {
            let pool = Pool::start(starting(asked)).unwrap();
            let error = pool.run(Noop, ()).await.unwrap_err();
            match error {
                JobError::Pool(PoolError::KeepsDying { stderr, ready, .. }) => {
                    assert!(!ready);
                    assert!(stderr.contains(text), "{stderr}");
                }
                other => panic!("{other:?}"),
            }
        });
    }
}

#[test]
fn a_start_that_hangs_is_given_up_in_time() {
    block_on(async {
        let mut config = starting("hang");
        config.start_timeout = Duration::from_millis(100);
        let pool = Pool::start(config).unwrap();
        let error = pool.run(Noop, ()).await.unwrap_err();
        let timeout = matches!(error, JobError::Pool(PoolError::StartTimeout { .. }));
        assert!(timeout, "{error:?}");
    });
}
