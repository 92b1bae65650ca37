//! What jobs print, delivered live.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as ProcessId;
use orchestrator::{Pool, PoolError, Printed, PrintedPart, RawJob, Stream, Verdict};
use orchestrator_tests::TestEnv;
use orchestrator_tests::env::finish;
use orchestrator_tests::tasks::*;
use protocol::{CommandSpec, Program};
use tokio::sync::mpsc;

use crate::pool::{WORKER, block_on, config};

const HOST: &str = env!("CARGO_BIN_EXE_host");

fn shell(text: &str) -> RawJob {
    let program = Program::Shell {
        text: text.as_bytes().to_vec().into(),
        args: Vec::new(),
    };
    RawJob::command(&CommandSpec::new(program)).unwrap()
}

fn print(text: &str, times: u32) -> RawJob {
    RawJob::new(&Print, &(text.into(), times)).unwrap()
}

fn host(env: &TestEnv, deed: &str, stdout: Stdio) -> Child {
    let mut command = env.command(HOST);
    command.args([WORKER, deed]).stdout(stdout);
    command.spawn().unwrap()
}

fn data(part: PrintedPart) -> String {
    String::from_utf8(part.data.to_vec()).unwrap()
}

#[test]
fn lines_of_many_jobs_come_to_stdout_whole_and_all() {
    let env = TestEnv::new();
    let done = finish(host(&env, "print", Stdio::piped()), Vec::new());
    assert_eq!((done.code(), &*done.stderr), (0, ""));
    let mut count = BTreeMap::new();
    for line in done.stdout().lines() {
        let (n, rest) = line.split_once(':').expect("a whole line");
        let n: usize = n.parse().expect("a whole line");
        assert_eq!(rest, "x".repeat(n * 10));
        *count.entry(n).or_insert(0) += 1;
    }
    assert_eq!(count, (0..40).map(|n| (n, 100)).collect());
}

#[test]
fn each_stream_goes_to_its_own_and_what_a_worker_says_to_stderr() {
    let env = TestEnv::new();
    let done = finish(host(&env, "both", Stdio::piped()), Vec::new());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(done.stdout(), "out\nlast\n");
    let expected = "err\nworker: task `change` changed the environment; this worker is replaced\n";
    assert_eq!(done.stderr, expected);
}

#[test]
fn what_a_job_has_printed_is_written_before_its_result_is_there() {
    let env = TestEnv::new();
    let done = finish(host(&env, "order", Stdio::piped()), Vec::new());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let expected: String = (0..220).map(|n| format!("job {n}\nresult {n}\n")).collect();
    assert_eq!(done.stdout(), expected);
}

#[test]
fn who_holds_the_locks_of_its_streams_may_wait_for_a_job_that_prints() {
    // The lines waited for the lock, and the result for the lines.
    let env = TestEnv::new();
    let done = finish(host(&env, "lock", Stdio::piped()), Vec::new());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(done.stdout(), "job\njob\nresult\n");
}

#[test]
fn a_blocked_stdout_stops_who_prints_and_nobody_else_in_bounded_memory() {
    let env = TestEnv::new();
    let mut child = host(&env, "block", Stdio::piped());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    // Nobody has read a byte of stdout.
    stderr.read_line(&mut said).unwrap();
    assert_eq!(said, "the others are done\n");
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: u64 = peak
        .and_then(|kb| kb.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap();
    assert!(peak < 48 << 10, "{peak} KiB");
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 0);
    assert_eq!(done.stdout.len(), 60_000 * 1_000);
    let line = [&[b'y'; 999][..], b"\n"].concat();
    assert!(done.stdout.chunks(1_000).all(|found| found == line));
}

#[test]
fn f078_nobody_reads_stdout_and_jobs_end_well_and_shutdown_says_what_is_lost() {
    let env = TestEnv::new();
    let mut child = host(&env, "print", Stdio::piped());
    let mut stdout = child.stdout.take().unwrap();
    let mut some = [0; 100];
    stdout.read_exact(&mut some).unwrap();
    drop(stdout);
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 3, "{}", done.stderr);
    let said = done.stderr.trim_end();
    let (lines, why) = said.split_once(" lines: ").unwrap();
    assert_eq!(why, "BrokenPipe");
    let lines: u64 = lines
        .strip_prefix("not printed: ")
        .unwrap()
        .parse()
        .unwrap();
    assert!(0 < lines && lines <= 4_000, "{said}");
}

#[test]
fn f079_a_full_disk_loses_lines_and_shutdown_says_how_many() {
    let env = TestEnv::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let done = finish(host(&env, "print", full.into()), Vec::new());
    assert_eq!(done.code(), 3, "{}", done.stderr);
    assert_eq!(done.stderr, "not printed: 4000 lines: StorageFull\n");
}

#[test]
fn lines_come_live_to_a_channel_and_say_whose_they_are() {
    block_on(async {
        let (sender, mut lines) = mpsc::channel(4);
        let mut config = config(1);
        config.printed = Printed::Lines(sender);
        let pool = Pool::start(config).unwrap();
        let job = pool
            .submit(PrintThenSleep, ("one\ntwo".into(), 60_000))
            .await
            .unwrap();
        // The job has not ended, and would not.
        for expected in ["one", "two"] {
            let part = lines.recv().await.unwrap();
            assert_eq!((part.job, part.stream), (Some(job.id()), Stream::Stdout));
            assert_eq!(data(part), expected);
        }
        job.cancel();
        job.await.unwrap_err();
        let report = pool
            .submit_raw(shell("echo e >&2; printf unfinished"))
            .await
            .unwrap();
        let id = report.id();
        let report = report.await.unwrap();
        assert!(report.stdout.is_empty() && report.stderr.is_empty());
        let mut found = Vec::new();
        for _ in 0..2 {
            let part = lines.recv().await.unwrap();
            assert_eq!(part.job, Some(id));
            found.push((part.stream == Stream::Stderr, data(part)));
        }
        found.sort_unstable();
        assert_eq!(found, [(false, "unfinished".into()), (true, "e".into())]);
        pool.shutdown().await.unwrap();
        assert!(
            lines.recv().await.is_none(),
            "the channel ends with the pool"
        );
    });
}

#[test]
fn a_function_may_take_the_lines_and_has_them_all_before_the_result() {
    block_on(async {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&taken);
        let mut config = config(2);
        config.printed = Printed::call(move |part| list.lock().unwrap().push(data(part)));
        let pool = Pool::start(config).unwrap();
        for n in 0..20 {
            let text = format!("line {n}");
            pool.run(Print, (text.clone(), 3)).await.unwrap();
            assert_eq!(std::mem::take(&mut *taken.lock().unwrap()), [&*text; 3]);
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_job_may_have_a_wish_of_its_own() {
    block_on(async {
        let (usual, mut usually) = mpsc::channel(64);
        let (own, mut owned) = mpsc::channel(64);
        let mut config = config(1);
        config.printed = Printed::Lines(usual);
        let pool = Pool::start(config).unwrap();
        let mut captured = print("kept", 2);
        captured.printed = Some(Printed::Capture);
        let mut raw = shell("printf 'a\\nb'");
        raw.printed = Some(Printed::Chunks(own));
        let mut handles = Vec::new();
        for job in [captured, raw, print("usual", 1)] {
            handles.push(pool.submit_raw(job).await.unwrap());
        }
        let mut reports = Vec::new();
        for handle in handles {
            reports.push(handle.await.unwrap());
        }
        assert_eq!(reports[0].stdout.to_vec().unwrap(), b"kept\nkept\n");
        assert_eq!(data(owned.recv().await.unwrap()), "a\nb");
        assert!(
            owned.recv().await.is_none(),
            "the channel ends with its job"
        );
        assert_eq!(data(usually.recv().await.unwrap()), "usual");
        pool.shutdown().await.unwrap();
        assert!(usually.recv().await.is_none());
    });
}

#[test]
fn a_receiver_that_is_slow_makes_the_worker_wait_that_prints() {
    block_on(async {
        let (own, mut owned) = mpsc::channel(1);
        let pool = Pool::start(config(2)).unwrap();
        let mut job = print("x", 50_000);
        job.printed = Some(Printed::Lines(own));
        let job = pool.submit_raw(job).await.unwrap();
        let mut job = std::pin::pin!(job);
        // Far longer than the job would need: others have their turns.
        for n in 0..300 {
            pool.run(Fib, n % 50).await.unwrap();
        }
        let ready = tokio::time::timeout(Duration::ZERO, &mut job).await;
        assert!(
            ready.is_err(),
            "it has ended, and nobody has taken its lines"
        );
        for _ in 0..50_000 {
            assert_eq!(data(owned.recv().await.unwrap()), "x");
        }
        assert_eq!(job.await.unwrap().verdict, Verdict::Ok);
        pool.shutdown().await.unwrap();
    });
}

/// A worker that waits for its reader hears nothing, and has perhaps had no time
/// to say that its job runs for long: jobs behind it were stuck with it.
#[test]
fn jobs_behind_one_whose_lines_nobody_takes_are_given_to_others() {
    for mut job in [print("x", 1_000_000), shell("yes")] {
        block_on(async {
            let (own, owned) = mpsc::channel(1);
            let pool = Pool::start(config(2)).unwrap();
            job.printed = Some(Printed::Lines(own));
            let stuck = pool.submit_raw(job).await.unwrap();
            // Whichever worker is ready first gets all that it may.
            let mut others = Vec::new();
            for n in 0..100 {
                others.push(pool.submit(Fib, n % 50).await.unwrap());
            }
            for other in others {
                other.await.unwrap();
            }
            stuck.cancel();
            drop(owned);
            // The function does not listen: it may be at its end before it is
            // ended, now that what it prints goes somewhere.
            let end = stuck.await.unwrap().verdict;
            assert!(matches!(end, Verdict::Cancelled | Verdict::Ok), "{end:?}");
            pool.shutdown().await.unwrap();
        });
    }
}

#[test]
fn what_a_worker_had_printed_when_it_died_is_delivered() {
    block_on(async {
        let (sender, mut lines) = mpsc::channel(1);
        let mut config = config(1);
        config.printed = Printed::Lines(sender);
        let pool = Pool::start(config).unwrap();
        let pid = pool.run(Pid, ()).await.unwrap();
        let text = (0..100).map(|n| format!("line {n}\n")).collect();
        let job = pool.submit(PrintThenSleep, (text, 60_000)).await.unwrap();
        assert_eq!(data(lines.recv().await.unwrap()), "line 0");
        kill(ProcessId::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        for n in 1..100 {
            assert_eq!(data(lines.recv().await.unwrap()), format!("line {n}"));
        }
        assert_eq!(data(lines.recv().await.unwrap()), "", "the text's own end");
        job.await.unwrap_err();
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_job_whose_lines_nobody_takes_can_be_cancelled_and_its_worker_killed() {
    block_on(async {
        let (own, mut owned) = mpsc::channel(1);
        let mut config = config(1);
        config.grace = Duration::from_millis(50);
        config.answer_timeout = Duration::from_millis(50);
        let pool = Pool::start(config).unwrap();
        let mut job = print("x", 1_000_000);
        job.printed = Some(Printed::Lines(own));
        let job = pool.submit_raw(job).await.unwrap();
        assert_eq!(data(owned.recv().await.unwrap()), "x");
        job.cancel();
        assert_eq!(job.await.unwrap().verdict, Verdict::Cancelled);
        assert_eq!(
            pool.run(Fib, 10).await.unwrap(),
            55,
            "there is a new worker"
        );
        // Of what it had printed, nothing is lost.
        while let Some(part) = owned.recv().await {
            assert_eq!(data(part), "x");
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_pool_that_is_ended_at_once_gives_lines_up_and_says_so() {
    block_on(async {
        let (sender, lines) = mpsc::channel(1);
        let mut config = config(1);
        config.grace = Duration::from_millis(50);
        config.printed = Printed::Lines(sender);
        let pool = Pool::start(config).unwrap();
        let job = pool.submit_raw(print("x", 1_000)).await.unwrap();
        while lines.is_empty() {
            tokio::task::yield_now().await;
        }
        match pool.shutdown_now().await {
            Err(PoolError::NotPrinted { lines, source }) => {
                assert!(lines > 0);
                assert_eq!(source.kind(), std::io::ErrorKind::TimedOut);
            }
            other => panic!("{other:?}"),
        }
        drop(job);
    });
}
