//! How an agent ends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::{CREDIT, FromWorker, JobOptions, LinkKind, MAX_CHUNK, Outcome, ToWorker};

use super::{Agent, WORKER, first_part, outcome, pair};
use crate::worker_protocol::client::{Client, hello, now, raw_terminal, sh, terminal, value};

/// Answers among messages, by job, and the last message.
fn ends(messages: &[FromWorker]) -> (Vec<u64>, Option<&FromWorker>) {
    let answers = messages.iter().filter_map(|message| match message {
        FromWorker::DoneMany(answers) => Some(answers),
        _ => None,
    });
    let mut jobs: Vec<u64> = answers.flatten().map(|a| a.header.job.0).collect();
    jobs.sort_unstable();
    (jobs, messages.last())
}

#[test]
fn after_drain_it_finishes_what_it_holds_says_goodbye_and_ends() {
    let mut agent = Agent::new(2);
    let mut jobs: Vec<_> = (1..=50)
        .map(|n| agent.assignment(n, "sleep_ms", &5_u64))
        .collect();
    let whole = agent.assignment(51, "echo_text", "all of it");
    let (first, data) = first_part(&whole, 3);
    jobs.push(first);
    agent.send(ToWorker::RunMany(jobs));
    agent.send(ToWorker::Drain);
    agent.send(ToWorker::Drain);
    let (job, attempt) = pair(51);
    agent.send(ToWorker::InputChunk { job, attempt, data });
    assert_eq!(agent.ends_with(0), "");
    let rest = agent.rest();
    let (jobs, last) = ends(&rest);
    assert_eq!(jobs, (1..=51).collect::<Vec<_>>());
    assert_eq!(last, Some(&FromWorker::Bye));
}

#[test]
fn what_comes_with_hello_is_heard() {
    let mut agent = Agent::launched(&[WORKER], &["--workers", "2"]);
    agent.send_together([hello(LinkKind::Local), ToWorker::Drain]);
    assert_eq!(agent.ends_with(0), "");
    assert_eq!(agent.rest().last(), Some(&FromWorker::Bye));
}

#[test]
fn a_large_result_is_sent_to_its_end_before_the_goodbye() {
    let mut agent = Agent::new(1);
    agent.run(1, "big", &(3_u64 << 20));
    agent.send(ToWorker::Drain);
    let mut come = 0;
    loop {
        match agent.next() {
            FromWorker::ResultChunk { job, attempt, data } => {
                come += data.len();
                // No more than it needs: behind the last chunk nobody listens.
                if come == 4 * MAX_CHUNK || come == 8 * MAX_CHUNK {
                    let chunks = CREDIT;
                    agent.send(ToWorker::Credit {
                        job,
                        attempt,
                        chunks,
                    });
                }
            }
            FromWorker::DoneMany(answers) => {
                come += answers[0].payload.len();
                break;
            }
            FromWorker::Started { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(come, (3 << 20) + 8);
    assert_eq!(agent.next(), FromWorker::Bye);
    agent.ends_with(0);
}

#[test]
fn sigterm_means_to_finish_and_jobs_that_cross_it_are_nobodys() {
    let mut agent = Agent::new(2);
    let jobs = (1..=20)
        .map(|n| agent.assignment(n, "sleep_ms", &10_u64))
        .collect();
    agent.send(ToWorker::RunMany(jobs));
    agent.send(ToWorker::Ping(1));
    agent.find(|m| (*m == FromWorker::Pong(1)).then_some(()));
    kill(Pid::from_raw(agent.child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(agent.ends_with(0), "");
    let rest = agent.rest();
    let (jobs, last) = ends(&rest);
    assert_eq!(jobs, (1..=20).collect::<Vec<_>>());
    assert_eq!(last, Some(&FromWorker::Bye));
}

/// An agent of another host with three jobs: a command, one with a part, and one that is about
/// its worker; and the three processes.
fn agent_with_victims() -> (Agent, [Pid; 3]) {
    let Agent { client, env } = Agent::launched(&[WORKER], &["--workers", "3"]);
    let client = client.met(LinkKind::Remote, None);
    let mut agent = Agent { client, env };
    let commands = ["$$; sleep 1000", "$!; wait $!", "$PPID; sleep 1000"];
    let mut job = 0;
    let victims = commands.map(|command| {
        job += 1;
        agent.run(job, "command", &sh(&format!("sleep 1000 & echo {command}")));
        let pid = String::from_utf8(agent.output(job)).unwrap();
        Pid::from_raw(pid.trim().parse().unwrap())
    });
    (agent, victims)
}

/// Schedulers send a signal to everything on a node, one process after the other.
#[test]
fn what_a_signal_ends_is_told_unless_the_agent_of_another_host_ends_of_it_too() {
    for (all, drained) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut agent, victims) = agent_with_victims();
        let itself = Pid::from_raw(agent.child.id().cast_signed());
        if drained {
            // As with the last jobs of a pool.
            agent.send(ToWorker::Drain);
            agent.send(ToWorker::Ping(1));
            agent.find(|m| (*m == FromWorker::Pong(1)).then_some(()));
        }
        kill(itself, Signal::SIGSTOP).unwrap();
        let begun = now();
        for victim in victims {
            kill(victim, Signal::SIGKILL).unwrap();
        }
        if all {
            kill(itself, Signal::SIGTERM).unwrap();
        }
        kill(itself, Signal::SIGCONT).unwrap();
        if !all {
            let outcomes = [1, 2, 3].map(|job| outcome(&agent.answer(job)));
            let killed = libc::SIGKILL;
            let told = [
                Outcome::Signaled(killed),
                Outcome::Failed(128 + killed),
                Outcome::Crashed,
            ];
            assert_eq!(outcomes, told);
            assert!(begun.elapsed() >= Duration::from_millis(500));
            if !drained {
                agent.send(ToWorker::Drain);
            }
        }
        assert_eq!(agent.ends_with(0), "");
        assert_eq!(ends(&agent.rest()), (Vec::new(), Some(&FromWorker::Bye)));
    }
}

#[test]
fn an_agent_of_another_host_that_is_to_end_there_gives_back_what_was_killed_after_drain_too() {
    let (mut agent, victims) = agent_with_victims();
    let answers = |agent: &mut Agent, n| {
        agent.send(ToWorker::Ping(n));
        agent.find(|m| (*m == FromWorker::Pong(n)).then_some(()));
    };
    kill(
        Pid::from_raw(agent.child.id().cast_signed()),
        Signal::SIGTERM,
    )
    .unwrap();
    // By then it has heard of it.
    (1..=3).for_each(|n| answers(&mut agent, n));
    agent.send(ToWorker::Drain);
    answers(&mut agent, 4);
    for victim in victims {
        kill(victim, Signal::SIGKILL).unwrap();
    }
    assert_eq!(agent.ends_with(0), "");
    assert_eq!(ends(&agent.rest()), (Vec::new(), Some(&FromWorker::Bye)));
}

#[test]
fn bye_and_the_end_of_the_link_end_it_at_once() {
    for bye in [true, false] {
        let mut agent = Agent::new(2);
        agent.run(1, "sleep_blind", &60_000_u64);
        let job = agent.assignment(2, "command", &sh("echo up; sleep 1000"));
        agent.send(ToWorker::RunMany(vec![job]));
        assert_eq!(agent.output(2), b"up\n");
        if bye {
            agent.send(ToWorker::Bye);
        } else {
            agent.close();
        }
        let start = now();
        assert_eq!(agent.ends_with(0), "");
        // Neither the minute that one job wants nor the grace of the other.
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            start.elapsed()
        );
        agent.env.no_process_left_after(Duration::from_secs(1));
    }
}

#[test]
fn a_client_that_is_gone_before_it_has_said_anything_ends_it() {
    for greeted in [false, true] {
        let mut agent = Agent::launched(&[WORKER], &["--workers", "1"]);
        if greeted {
            agent.send(hello(LinkKind::Local));
        }
        agent.close();
        assert_eq!(agent.ends_with(0), "");
    }
}

#[test]
fn what_makes_no_sense_is_a_violation_and_nothing_is_left() {
    type Wrong = fn(&mut Agent);
    let wrong: [(&str, Wrong); 9] = [
        ("expected a frame, found `GET / HTTP/1.1\\r`", |a| {
            a.send_bytes(b"GET / HTTP/1.1\r\n\r\n");
        }),
        ("hello comes only once", |a| a.send(hello(LinkKind::Local))),
        ("init comes once", |a| a.send(ToWorker::Init("x".into()))),
        ("job 0 does not exist", |a| a.run(0, "fib", &1_u64)),
        ("job 1 is assigned although it is held", |a| {
            let job = a.assignment(1, "fib", &1_u64);
            a.send(ToWorker::RunMany(vec![job.clone(), job]));
        }),
        ("jobs come after drain", |a| {
            a.run(1, "sleep_ms", &60_000_u64);
            a.send(ToWorker::Drain);
            a.run(2, "fib", &1_u64);
        }),
        ("too much input for job 2", |a| {
            let whole = a.assignment(2, "echo_text", "x");
            let (first, data) = first_part(&whole, 8);
            a.send(ToWorker::RunMany(vec![first]));
            let data = [&data[..], b"more"].concat().into();
            let (job, attempt) = pair(2);
            a.send(ToWorker::InputChunk { job, attempt, data });
        }),
        ("no agent is without workers", |a| {
            a.send(ToWorker::Resize(0))
        }),
        ("unknown message kind 0x7f", |a| {
            a.send_bytes(b"\xb1\x0f\x7f\0\0\0\0\0\0\0\0\0\n");
        }),
    ];
    for (what, wrong) in wrong {
        let mut agent = Agent::new(2);
        agent.run(99, "sleep_blind", &60_000_u64);
        wrong(&mut agent);
        let said = agent.ends_with(76);
        let expected = format!("orchestrator agent: protocol error: {what}");
        assert!(said.starts_with(&expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        agent.env.no_process_left_after(Duration::from_secs(1));
    }
}

#[test]
fn before_ready_there_are_violations_too() {
    for (what, message) in [
        ("the first message is not hello", ToWorker::Ping(1)),
        ("the first message is not hello", ToWorker::Drain),
    ] {
        let mut agent = Agent::launched(&[WORKER], &["--workers", "1"]);
        agent.send(message);
        let said = agent.ends_with(76);
        assert_eq!(
            said,
            format!("orchestrator agent: protocol error: {what}\n")
        );
    }
    let mut agent = Agent::launched(&[WORKER], &["--workers", "1"]);
    agent.introduce_only(true);
    agent.send(ToWorker::Pause);
    let said = agent.ends_with(76);
    assert!(said.contains("init does not follow hello"), "{said}");
}

#[test]
fn without_a_link_it_says_who_starts_agents() {
    let refused = |change: &dyn Fn(&mut Command)| {
        let env = orchestrator_tests::TestEnv::new();
        let mut command = env.command(super::ORCHESTRATOR);
        command.arg("agent");
        change(&mut command);
        let child = command.spawn().unwrap();
        drop(command);
        let done = orchestrator_tests::env::finish(child, Vec::new());
        assert_eq!(done.code(), 2);
        assert!(
            done.stderr
                .starts_with("error: an agent is started by a program"),
            "{}",
            done.stderr
        );
    };
    // Stdin is /dev/null there.
    refused(&|_| {});
    // A person's terminal: it makes two bytes of a line feed.
    let (_ours, theirs) = terminal();
    refused(&|command| {
        let theirs = theirs.try_clone().unwrap();
        command.stdin(Stdio::piped()).stdout(theirs);
    });
}

#[test]
fn its_stdout_may_be_a_terminal_that_changes_nothing() {
    // What `srun -u` makes of it.
    let options = &["--workers", "2"];
    let Agent { client, env } = Agent::started(&[WORKER], options, Client::on_terminal);
    let client = client.met(LinkKind::Remote, None);
    let mut agent = Agent { client, env };
    let all: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let all = serde_bytes::ByteBuf::from(all);
    let came: serde_bytes::ByteBuf = value(&agent.ask("echo", &all));
    assert!(came == all);
    agent.send(ToWorker::Drain);
    assert_eq!(agent.ends_with(0), "");
    assert_eq!(agent.rest().last(), Some(&FromWorker::Bye));
}

#[test]
fn when_its_terminal_is_gone_it_ends() {
    let env = orchestrator_tests::TestEnv::new();
    let mut command = env.command(super::ORCHESTRATOR);
    command.args(["agent", "--workers", "1", "--worker", WORKER]);
    let (ours, theirs) = raw_terminal();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(theirs)
        .spawn()
        .unwrap();
    drop(command);
    let mut terminal = BufReader::new(ours);
    let mut greeting = String::new();
    terminal.read_line(&mut greeting).unwrap();
    drop(terminal);
    let mut frames = bytes::BytesMut::new();
    protocol::codec::encode(&hello(LinkKind::Remote), &mut frames).unwrap();
    // Open to the end: what it cannot write is all that it hears.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&frames).unwrap();
    env.no_process_left();
    child.wait().unwrap();
    drop(stdin);
}

#[test]
fn workers_are_told_what_only_agents_are_told_and_refuse() {
    for message in [
        ToWorker::Resize(1),
        ToWorker::RunManyWith(JobOptions::default(), vec![]),
    ] {
        let mut worker = Client::start();
        worker.send(message);
        assert_eq!(worker.wait().code(), Some(76));
        assert!(worker.stderr().contains("only an agent is told that"));
    }
    let mut agent = Agent::new(1);
    agent.send(ToWorker::RunManyWith(JobOptions::default(), vec![]));
    assert_eq!(outcome(&agent.ask("noop", &())), Outcome::Ok);
}
