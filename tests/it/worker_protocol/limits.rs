//! What a command may use: CPU time, open files, output.

use protocol::{CommandSpec, Encoding, FromWorker, Limits, Outcome, OutputLimit, Stream, ToWorker};
use serde_bytes::ByteBuf;

use super::client::{Client, error, sh};

fn limited(text: &str, limits: Limits) -> CommandSpec {
    CommandSpec { limits, ..sh(text) }
}

fn cpu(seconds: u64) -> Limits {
    Limits {
        cpu_s: Some(seconds),
        ..Limits::default()
    }
}

fn output(bytes: u64, kill: bool) -> Limits {
    Limits {
        output: Some(OutputLimit { bytes, kill }),
        ..Limits::default()
    }
}

/// What was said to be left out; the streams in this order.
fn omitted(client: &mut Client) -> (Stream, u64) {
    client.find(|message| match message {
        FromWorker::Omitted { stream, bytes, .. } => Some((*stream, *bytes)),
        _ => None,
    })
}

#[test]
fn limits_are_those_of_the_command_and_of_no_other() {
    let mut client = Client::start();
    let text = "ulimit -St; ulimit -Ht; ulimit -Sn; ulimit -Hn";
    let before = client.command(&sh(text)).stdout;
    let limits = Limits {
        cpu_s: Some(60),
        open_files: Some(20),
        output: None,
    };
    let ran = client.command(&limited(text, limits));
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "60\n61\n20\n20\n");
    assert_eq!(client.command(&sh(text)).stdout, before);
    // One that is there already holds.
    let mut under = limited("true", Limits::default());
    under.limits.open_files = Some(u64::MAX);
    let ran = client.command(&limited(text, under.limits));
    let (before, now) = (String::from_utf8(before), String::from_utf8(ran.stdout));
    let hard = |text: &str| text.lines().last().unwrap().to_owned();
    assert_eq!(hard(&now.unwrap()), hard(&before.unwrap()));
}

#[test]
fn a_command_that_has_used_up_its_cpu_time_is_ended_and_says_so() {
    let mut client = Client::start();
    for (text, signal) in [
        ("while :; do :; done", libc::SIGXCPU),
        // The kernel has the last word.
        ("trap '' XCPU; while :; do :; done", libc::SIGKILL),
    ] {
        let ran = client.command(&limited(text, cpu(1)));
        assert_eq!(ran.outcome(), Outcome::Signaled(signal));
        let said = error(&ran.answer).message;
        assert_eq!(said, "it has used up its CPU time of 1s");
    }
    // The same signals for other reasons.
    for signal in [libc::SIGXCPU, libc::SIGKILL] {
        let text = format!("kill -{signal} $$");
        let limits = if signal == libc::SIGKILL {
            cpu(9)
        } else {
            Limits::default()
        };
        let ran = client.command(&limited(&text, limits));
        assert_eq!(ran.outcome(), Outcome::Signaled(signal));
        assert!(ran.answer.payload.is_empty());
    }
}

#[test]
fn f047_of_output_beyond_its_limit_head_and_tail_are_passed_on() {
    let mut client = Client::start();
    let text = "seq 1000; seq -w 10000 >&2; exit 3";
    let ran = client.command(&limited(text, output(60, false)));
    assert_eq!(ran.outcome(), Outcome::Failed(3));
    let all: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    let (head, tail) = (&all[..30], &all[all.len() - 30..]);
    let left_out = all.len() - 60;
    let expected = format!("{head}[{left_out} bytes left out]\n{tail}");
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), expected);
    assert_eq!(omitted(&mut client), (Stream::Stdout, left_out as u64));
    let expected = "00001\n00002\n00003\n00004\n00005\n[59940 bytes left out]\n\
                    09996\n09997\n09998\n09999\n10000\n";
    assert_eq!(String::from_utf8(ran.stderr).unwrap(), expected);
    assert_eq!(omitted(&mut client), (Stream::Stderr, 59_940));
    // What is not too much is passed on as it is, whatever the limit.
    let ran = client.command(&limited("seq 1000", output(all.len() as u64, true)));
    assert_eq!((ran.outcome(), ran.stdout), (Outcome::Ok, all.into_bytes()));
    client.send(ToWorker::Drain);
    assert!(client.wait().success());
    let others = client.rest();
    let is_omitted = |m: &&FromWorker| matches!(m, FromWorker::Omitted { .. });
    assert_eq!(others.iter().filter(is_omitted).count(), 0);
}

#[test]
fn f047_a_flood_is_ended_if_that_is_wanted() {
    let mut client = Client::start();
    // It has its grace, as with a time limit, and what it says then is a tail.
    let text = "trap 'echo the end; exit 0' TERM; while :; do echo flood; done";
    let ran = client.command(&limited(text, output(2000, true)));
    assert_eq!(ran.outcome(), Outcome::OutputLimit);
    assert_eq!(error(&ran.answer).message, "more than 2000 bytes on stdout");
    assert!(ran.stdout.ends_with(b"flood\nthe end\n"));
    assert!(ran.stdout.len() < 2100);
    // Also one that is over before anybody looks.
    let ran = client.command(&limited("echo abc >&2", output(3, true)));
    assert_eq!(ran.outcome(), Outcome::OutputLimit);
    assert_eq!(error(&ran.answer).message, "more than 3 bytes on stderr");
    assert_eq!(client.command(&sh("echo on")).stdout, b"on\n");
}

#[test]
fn limits_may_be_left_out_in_json() {
    let mut client = Client::start();
    let input = br#"{"program": {"Argv": ["seq", "1000"]}, "env": [], "grace_ms": 100,
        "limits": {"output": {"bytes": 8}}}"#;
    let mut job = client.encoded(1, "command", Encoding::Raw, &ByteBuf::from(&input[..]));
    job.header.encoding = Encoding::Json;
    client.send(ToWorker::RunMany(vec![job]));
    let ran = client.ran(1);
    assert_eq!(ran.outcome(), Outcome::Ok, "{:?}", error(&ran.answer));
    assert_eq!(ran.stdout, b"1\n2\n[3885 bytes left out]\n000\n");
}
