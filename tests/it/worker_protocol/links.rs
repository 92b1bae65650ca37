//! The connection itself: beginning, end, and what must not happen on it.

use std::os::unix::process::ExitStatusExt;

use protocol::{FromWorker, LinkKind, ToWorker};

use super::client::{Client, hello};

#[test]
fn a_worker_greets_and_says_what_it_can_do() {
    let client = Client::start();
    assert_eq!(client.ready.pid, client.child.id());
    assert_eq!(client.ready.slots, 1);
    assert_eq!(client.ready.tasks[..3], ["command", "echo", "echo_text"]);
    assert!(client.ready.build.starts_with("worker "));
}

#[test]
fn drain_finishes_the_queue_then_says_goodbye() {
    let mut client = Client::start();
    let jobs = (1..=3).map(|job| client.assignment(job, "sleep_ms", &5u64));
    let jobs = jobs.collect();
    client.send(ToWorker::RunMany(jobs));
    client.send(ToWorker::Drain);
    assert!(client.wait().success());
    let messages = client.rest();
    let answers = messages.iter().map(|m| match m {
        FromWorker::DoneMany(answers) => answers.len(),
        _ => 0,
    });
    assert_eq!(answers.sum::<usize>(), 3);
    assert_eq!(messages.last(), Some(&FromWorker::Bye));
}

#[test]
fn goodbye_ends_an_idle_worker_and_one_that_computes() {
    for busy in [false, true] {
        let mut client = Client::start();
        if busy {
            client.run(1, "sleep_blind", &60_000u64);
            client.started(1);
        }
        client.send(ToWorker::Bye);
        assert!(client.wait().success());
        assert!(!client.rest().contains(&FromWorker::Bye));
    }
}

#[test]
fn end_of_input_ends_an_idle_worker_and_one_that_computes() {
    for busy in [false, true] {
        let mut client = Client::start();
        if busy {
            client.run(1, "sleep_blind", &60_000u64);
            client.started(1);
        }
        client.close();
        assert_eq!(client.wait().code(), Some(1));
        assert_eq!(client.stderr(), "");
    }
}

#[test]
fn garbage_ends_the_worker_with_one_line() {
    for busy in [false, true] {
        let mut client = Client::start();
        if busy {
            client.run(1, "sleep_blind", &60_000u64);
            client.started(1);
        }
        client.send_bytes(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(client.wait().code(), Some(76));
        assert_eq!(
            client.stderr(),
            "worker: protocol error: expected a frame, found `GET / HTTP/1.1\\r`\n"
        );
    }
}

#[test]
fn nothing_may_come_before_hello_and_hello_only_once() {
    let mut client = Client::without_hello();
    client.send(ToWorker::Ping(1));
    assert_eq!(client.wait().code(), Some(76));
    assert!(client.stderr().contains("hello"));

    let mut client = Client::start();
    client.send(hello(LinkKind::Local));
    assert_eq!(client.wait().code(), Some(76));
}

#[test]
fn a_remote_link_is_acknowledged() {
    let mut client = Client::with(LinkKind::Remote, None);
    client.run(1, "sleep_ms", &60_000u64);
    assert_eq!(client.next(), FromWorker::Ack(1));
    client.run(2, "noop", &());
    client.send(ToWorker::Ack(9));
    client.find(|m| (*m == FromWorker::Ack(2)).then_some(()));
    client.cancel(1);
    client.answer(2);
}

#[test]
fn a_crash_leaves_the_status_page_behind() {
    let mut client = Client::start();
    let number = client.ready.status_fd.unwrap();
    let page = std::fs::File::open(format!("/proc/{}/fd/{number}", client.ready.pid)).unwrap();
    client.run(4, "abort", &());
    assert_eq!(client.wait().signal(), Some(libc::SIGABRT));
    let mut bytes = [0; 16];
    std::os::unix::fs::FileExt::read_exact_at(&page, &mut bytes, 0).unwrap();
    assert_eq!(bytes, [4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
}
