//! What workers are born into, as the configuration says: environment,
//! directory, threads, memory.

use std::path::Path;

use orchestrator::{Launch, Pool, PoolConfig, PoolError, RawJob, ThreadsPerJob, Verdict};
use orchestrator_tests::TestEnv;
use orchestrator_tests::tasks::*;
use protocol::{CommandSpec, Program};

use crate::pool::{WORKER, block_on, config};

/// Memory enough for a worker, and for the smaller ones of these tests.
const LIMIT: u64 = 64 << 20;

fn shell(text: &str) -> RawJob {
    let program = Program::Shell {
        text: text.as_bytes().to_vec().into(),
        args: Vec::new(),
    };
    RawJob::command(&CommandSpec::new(program)).unwrap()
}

/// What a shell in such a pool says.
fn said(config: PoolConfig, text: &str) -> String {
    block_on(async {
        let pool = Pool::start(config).unwrap();
        let report = pool.submit_raw(shell(text)).await.unwrap().await.unwrap();
        assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.error);
        pool.shutdown().await.unwrap();
        String::from_utf8(report.stdout.to_vec().unwrap()).unwrap()
    })
}

#[test]
fn workers_and_their_commands_have_the_environment_and_the_directory_of_the_launch() {
    let env = TestEnv::new();
    let mut config = config(1);
    config.launch.current_dir = Some(env.path().into());
    config.launch.env = vec![
        ("OURS".into(), "a = b".into()),
        ("HOME".into(), "/nowhere".into()),
    ];
    let text = "pwd; echo \"$OURS\"; echo \"$HOME\"; test -n \"$PATH\" && echo inherited";
    let expected = format!("{}\na = b\n/nowhere\ninherited\n", env.path().display());
    assert_eq!(said(config, text), expected);
}

#[test]
fn a_relative_worker_counts_from_here_and_not_from_where_it_will_be() {
    let here = std::env::current_dir().unwrap();
    let up: String = here.components().skip(1).map(|_| "../").collect();
    let relative = format!("{up}{}", WORKER.trim_start_matches('/'));
    assert!(Path::new(&relative).exists());
    let mut config = config(1);
    config.launch.program = relative.into();
    config.launch.current_dir = Some("/usr".into());
    config.launch.env = vec![("PATH".into(), "/bin".into())];
    assert_eq!(said(config, "pwd; echo $PATH"), "/usr\n/bin\n");
}

#[test]
fn a_directory_that_does_not_exist_is_named() {
    block_on(async {
        let mut config = config(1);
        config.launch.current_dir = Some("/no/such/place".into());
        let pool = Pool::start(config).unwrap();
        match pool.tasks().await {
            Err(PoolError::Spawn { source, .. }) => {
                assert_eq!(source.to_string(), "`/no/such/place` is no directory");
            }
            other => panic!("{other:?}"),
        }
        pool.shutdown().await.unwrap_err();
    });
}

#[test]
fn libraries_are_told_how_many_threads_to_start() {
    let text = "echo $OMP_NUM_THREADS $RAYON_NUM_THREADS";
    let mut config = config(1);
    config.threads_per_job = ThreadsPerJob::Exactly(3);
    config.launch.env = vec![("RAYON_NUM_THREADS".into(), "5".into())];
    assert_eq!(said(config.clone(), text), "3 5\n");
    config.threads_per_job = ThreadsPerJob::Inherit;
    assert_eq!(said(config.clone(), text), "5\n");
    config.threads_per_job = ThreadsPerJob::Exactly(0);
    assert!(Pool::start(config).is_err());
    let by_default = PoolConfig::new(Launch::program(WORKER)).threads_per_job;
    assert_eq!(by_default, ThreadsPerJob::Share);
}

#[test]
fn a_function_beyond_its_workers_memory_is_told_apart_from_a_crash() {
    block_on(async {
        let mut config = config(1);
        config.memory_per_worker = Some(LIMIT);
        let pool = Pool::start(config).unwrap();
        let end = async |job: RawJob| {
            let report = pool.submit_raw(job).await.unwrap().await.unwrap();
            let said = report.error.map(|e| e.to_string()).unwrap_or_default();
            (report.verdict, said, report.attempts)
        };
        let big = |bytes: u64| RawJob::new(&Big, &bytes).unwrap();
        assert_eq!(end(big(1 << 20)).await.0, Verdict::Ok);
        let said = "its worker needed more memory than its limit of 67108864 bytes";
        assert_eq!(end(big(1 << 30)).await, (Verdict::Oom, said.into(), 1));
        let (verdict, said, _) = end(RawJob::new(&Abort, &()).unwrap()).await;
        assert_eq!(verdict, Verdict::Crashed);
        assert_eq!(said, "its worker was killed by SIGABRT");
        // Like any crash it is tried again, and at last no more.
        let mut retried = big(1 << 30);
        retried.retries = Some(1);
        let (verdict, _, attempts) = end(retried).await;
        assert_eq!((verdict, attempts), (Verdict::Oom, 2));
        let mut endless = big(1 << 30);
        endless.retries = Some(9);
        let (verdict, _, attempts) = end(endless).await;
        assert_eq!((verdict, attempts), (Verdict::Quarantined, 3));
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn commands_have_the_memory_limit_of_their_worker() {
    let mut config = config(1);
    config.memory_per_worker = Some(LIMIT);
    let expected = format!("{}\n", LIMIT / 1024);
    assert_eq!(said(config.clone(), "ulimit -Hd"), expected);
    // A higher one is not given.
    config.memory_per_worker = None;
    let ours = said(config.clone(), "ulimit -Hd");
    config.memory_per_worker = Some(u64::MAX);
    assert_eq!(said(config, "ulimit -Hd"), ours);
}
