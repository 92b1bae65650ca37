//! The `command` task: external programs, and whatever they leave behind.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::Duration;

use orchestrator_tests::LifePipe;
use protocol::{
    CommandSpec, Encoding, EnvChange, FromWorker, LinkKind, Outcome, Program, ToWorker,
};
use serde_bytes::ByteBuf;

use super::client::{Client, Ran, argv, error, eventually, now, sh, value};

/// A process that ignores SIGTERM, in a session of its own, without our pipes.
const DAEMON: &str = "(setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' \
                      >/dev/null 2>&1 </dev/null &)";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn env(name: &str, value: Option<&str>) -> EnvChange {
    EnvChange {
        name: ByteBuf::from(name),
        value: value.map(ByteBuf::from),
    }
}

#[test]
fn stdout_and_stderr_are_kept_apart() {
    let ran = Client::start().command(&sh("echo out; echo err >&2; printf more"));
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(text(&ran.stdout), "out\nmore");
    assert_eq!(text(&ran.stderr), "err\n");
    assert!(ran.answer.payload.is_empty());
    assert!(ran.answer.header.usage.wall_us > 0);
    assert_eq!(ran.answer.header.usage.leaked, 0);
}

#[test]
fn a_short_commands_output_and_answer_leave_together() {
    let mut client = Client::start();
    let ran = client.command(&argv(&["/bin/echo", "x"]));
    assert_eq!(text(&ran.stdout), "x\n");
    client.send(ToWorker::Drain);
    assert!(client.wait().success());
}

#[test]
fn status_signal_and_usage_are_reported() {
    let mut client = Client::start();
    assert_eq!(
        client.command(&sh("exit 37")).outcome(),
        Outcome::Failed(37)
    );
    assert_eq!(
        client.command(&sh("kill -SEGV $$")).outcome(),
        Outcome::Signaled(11)
    );
    // A real-time signal, which has no name.
    assert_eq!(
        client.command(&sh("kill -40 $$")).outcome(),
        Outcome::Signaled(40)
    );
    let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let usage = client.command(&sh(busy)).answer.header.usage;
    assert!(
        usage.user_us > 10_000 && usage.max_rss_kib > 500,
        "{usage:?}"
    );
}

#[test]
fn an_answer_has_the_encoding_that_was_asked_for() {
    let mut client = Client::start();
    let json = br#"{"program": {"Argv": ["echo", "hi"]}, "cwd": null, "env": [],
        "stdin": null, "time_limit_ms": null, "grace_ms": 100}"#;
    let mut job = client.encoded(1, "command", Encoding::Raw, &ByteBuf::from(&json[..]));
    job.header.encoding = Encoding::Json;
    client.send(ToWorker::RunMany(vec![job]));
    let ran = client.ran(1);
    assert_eq!(ran.outcome(), Outcome::Ok, "{:?}", error(&ran.answer));
    assert_eq!(
        (text(&ran.stdout), &ran.answer.payload[..]),
        ("hi\n", &b"null"[..])
    );
}

#[test]
fn directory_environment_and_input_are_the_jobs_own() {
    let mut client = Client::start();
    let spec = CommandSpec {
        cwd: Some(ByteBuf::from("/usr")),
        env: vec![env("A", Some("1 2")), env("HOME", None)],
        stdin: Some(ByteBuf::from("in\0put")),
        ..sh("pwd; echo \"$A\" \"${HOME-none}\"; cat")
    };
    let ran = client.command(&spec);
    assert_eq!(text(&ran.stdout), "/usr\n1 2 none\nin\0put");

    // Nothing on stdin means an end of file, not a wait.
    assert_eq!(client.command(&sh("cat")).outcome(), Outcome::Ok);
    // More than a pipe holds, and a reader that does not want it.
    let large = CommandSpec {
        stdin: Some(ByteBuf::from(vec![b'x'; 150_000])),
        ..sh("wc -c")
    };
    assert_eq!(text(&client.command(&large).stdout).trim(), "150000");
    let unread = CommandSpec {
        stdin: large.stdin,
        ..sh("exit 0")
    };
    assert_eq!(client.command(&unread).outcome(), Outcome::Ok);
}

#[test]
fn arguments_arrive_unchanged() {
    let nasty: Vec<u8> = (1..=255).collect();
    let mut client = Client::start();
    let ran = client.command(&argv(&[
        &b"printf"[..],
        b"%s|",
        &nasty,
        b"",
        b"$(x) `y` 'z",
    ]));
    assert_eq!(ran.stdout, [&nasty[..], b"||$(x) `y` 'z|"].concat());

    let data = CommandSpec::new(Program::Shell {
        text: ByteBuf::from("printf %s \"$1\""),
        args: vec![ByteBuf::from(nasty.clone())],
    });
    assert_eq!(client.command(&data).stdout, nasty);
}

#[test]
fn a_command_starts_from_a_clean_state() {
    let mut client = Client::start();
    let ran = client.command(&sh(
        "grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd; \
         cut -d' ' -f5,6 /proc/self/stat; echo $PPID; exec 2>&-; : </dev/tty",
    ));
    let lines: Vec<&str> = text(&ran.stdout).lines().collect();
    assert_eq!(lines[0], "SigBlk:\t0000000000000000");
    // The C library keeps signals 32 and 33 to itself and lets nobody change them.
    let ignored = u64::from_str_radix(lines[1].rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(ignored & !(0b11 << 31), 0, "{ignored:x}");
    // The last is what `ls` itself has open.
    assert_eq!(lines[2..6], ["0", "1", "2", "3"]);
    let worker = client.ready.pid.to_string();
    let (group, session) = lines[6].split_once(' ').unwrap();
    assert_eq!((session, lines[7]), (&worker[..], &worker[..]));
    assert_ne!(group, session);
    assert_ne!(ran.outcome(), Outcome::Ok, "there is a terminal");
}

#[test]
fn f038_a_job_that_ignores_term_is_killed_after_its_grace() {
    let mut client = Client::start();
    let spec = CommandSpec {
        // Time enough to say what becomes of the signal.
        time_limit_ms: Some(1_000),
        grace_ms: 100,
        ..sh("trap 'echo term' TERM; echo on; while :; do sleep 0.01; done")
    };
    let ran = client.command(&spec);
    assert_eq!(ran.outcome(), Outcome::TimedOut);
    assert!(ran.stdout.starts_with(b"on\nterm\n"));
    let wall = ran.answer.header.usage.wall_us;
    assert!(wall >= 1_100_000, "{wall}");
}

#[test]
fn f039_a_stopped_job_is_continued_to_be_terminated() {
    let spec = CommandSpec {
        time_limit_ms: Some(50),
        grace_ms: 10_000,
        ..sh("trap 'exit 3' TERM; kill -STOP $$; sleep 1000")
    };
    let start = now();
    assert_eq!(Client::start().command(&spec).outcome(), Outcome::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[test]
fn cancel_asks_first() {
    let mut client = Client::start();
    client.run(
        1,
        "command",
        &sh("trap 'echo bye; exit 0' TERM; echo on; while :; do sleep 0.01; done"),
    );
    client.run(2, "command", &sh("echo two"));
    client.started(1);
    assert_eq!(client.output(1), b"on\n");
    client.cancel(1);
    let ran = client.ran(1);
    assert_eq!(ran.outcome(), Outcome::Cancelled);
    assert_eq!(text(&ran.stdout), "bye\n");
    assert_eq!(text(&client.ran(2).stdout), "two\n");
}

#[test]
fn a_program_below_a_shell_has_its_grace_too() {
    let mut client = Client::start();
    // The shell dies at once; the program holds no pipe but the FIFO.
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let program = format!(
        "(trap 'sleep 0.4; echo saved >{}; exit' TERM; echo on; exec >&- 2>&-; \
         while :; do sleep 0.01; done) & wait",
        mark.display()
    );
    let spec = CommandSpec {
        grace_ms: 50_000,
        ..sh(&program)
    };
    client.run(1, "command", &spec);
    assert_eq!(client.output(1), b"on\n");
    let start = now();
    client.cancel(1);
    assert_eq!(client.ran(1).outcome(), Outcome::Cancelled);
    assert_eq!(fs::read_to_string(mark).unwrap(), "saved\n");
    assert!(
        start.elapsed() < Duration::from_secs(40),
        "not the whole grace"
    );
}

#[test]
fn f040_f041_what_is_left_behind_is_killed_and_counted() {
    let mut client = Client::start();
    let life = LifePipe::new();
    let start = now();
    // One holds our pipes, the other is a daemon in a session of its own.
    let spec = sh(&format!("{}sleep 1000 & {DAEMON}\necho done", life.open()));
    let ran = client.command(&spec);
    assert_eq!((ran.outcome(), text(&ran.stdout)), (Outcome::Ok, "done\n"));
    assert!(ran.answer.header.usage.leaked >= 2, "{:?}", ran.answer);
    assert!(start.elapsed() < Duration::from_secs(10));
    life.everyone_dies_within(Duration::from_secs(1));
    assert_eq!(client.command(&sh("echo on")).answer.header.usage.leaked, 0);
}

#[test]
fn a_tasks_helper_process_is_spared_until_the_worker_ends() {
    let mut client = Client::start();
    let (helper, alive) = value::<(u32, bool)>(&client.ask("helper", &()));
    assert!(alive);
    let ran = client.command(&sh(&format!("sleep 1000 & {DAEMON}")));
    assert!(ran.answer.header.usage.leaked >= 1);
    assert_eq!(
        value::<(u32, bool)>(&client.ask("helper", &())),
        (helper, true)
    );
    client.send(ToWorker::Drain);
    assert!(client.wait().success());
    assert!(!std::path::Path::new(&format!("/proc/{helper}")).exists());
}

#[test]
fn f064_end_of_input_kills_the_whole_tree() {
    for goodbye in [false, true] {
        let mut client = Client::start();
        let life = LifePipe::new();
        let spec = CommandSpec {
            grace_ms: 100,
            ..sh(&format!(
                "{}trap '' TERM; {DAEMON}\nsleep 1000 & echo on; sleep 1000",
                life.open()
            ))
        };
        client.run(1, "command", &spec);
        assert_eq!(client.output(1), b"on\n");
        if goodbye {
            client.send(ToWorker::Bye);
        } else {
            client.close();
        }
        life.everyone_dies_within(Duration::from_secs(5));
        assert_eq!(client.wait().code(), Some(if goodbye { 0 } else { 1 }));
    }
}

#[test]
fn f064_a_command_may_end_well_when_the_input_ends() {
    let mut client = Client::start();
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let trap = format!("trap 'echo x >{}; exit' TERM; echo on; ", mark.display());
    client.run(1, "command", &sh(&(trap + "while :; do sleep 0.01; done")));
    assert_eq!(client.output(1), b"on\n");
    client.close();
    client.wait();
    assert!(mark.exists());
}

#[test]
fn f050_what_is_missing_is_named() {
    let mut client = Client::start();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    fs::write(&script, "#!/no/such/interpreter -x\n").unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let text_file = dir.path().join("text");
    fs::write(&text_file, "text").unwrap();
    let name = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let bad_cwd = CommandSpec {
        cwd: Some(ByteBuf::from("/no/such/dir")),
        ..argv(&["/bin/true"])
    };
    let script = argv(&[name(&script)]);
    let cases = [
        (
            argv(&["/no/such/program"]),
            libc::ENOENT,
            "there is no program `/no/such/program`",
        ),
        (
            argv(&["no-such-program"]),
            libc::ENOENT,
            "there is no program `no-such-program` in PATH",
        ),
        (
            bad_cwd,
            libc::ENOENT,
            "the working directory `/no/such/dir` does not exist",
        ),
        (
            script,
            libc::ENOENT,
            "but there is no interpreter `/no/such/interpreter`",
        ),
        (argv(&[name(&text_file)]), libc::EACCES, "is not executable"),
        (argv(&["/usr"]), libc::EACCES, "`/usr` is a directory"),
        (
            argv(&["/bin/echo", "short", &"x".repeat(200_000)]),
            libc::E2BIG,
            "the largest part is argument 2 with 200000 bytes",
        ),
    ];
    for (spec, errno, expected) in &cases {
        let ran = client.command(spec);
        let error = error(&ran.answer).message;
        assert_eq!(ran.outcome(), Outcome::SpawnError(*errno), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(client.command(&sh("exit 0")).outcome(), Outcome::Ok);
}

#[test]
fn f054_f055_what_is_no_command_is_rejected() {
    let mut client = Client::start();
    let with = |name: &str, value| CommandSpec {
        env: vec![env(name, Some(value))],
        ..argv(&["/bin/true"])
    };
    let nul_cwd = CommandSpec {
        cwd: Some(ByteBuf::from("/\0")),
        ..argv(&["/bin/true"])
    };
    let none: [&str; 0] = [];
    let cases = [
        (argv(&["echo", "a\0b"]), "argument 1 contains a NUL byte"),
        (nul_cwd, "the working directory's name contains a NUL byte"),
        (argv(&none), "no program is named"),
        (argv(&[""]), "no program is named"),
        (with("", "x"), "`` cannot be an environment variable's name"),
        (with("A=B", "x"), "`A=B` cannot be an environment"),
        (
            with("A", "\0"),
            "the environment variable `A` contains a NUL byte",
        ),
    ];
    for (spec, expected) in &cases {
        let ran = client.command(spec);
        let error = error(&ran.answer).message;
        assert_eq!(ran.outcome(), Outcome::Rejected, "{error}");
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(client.command(&sh("exit 0")).outcome(), Outcome::Ok);
}

#[test]
fn f052_a_program_that_is_being_written_is_tried_again() {
    let mut client = Client::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("copy");
    fs::copy("/bin/true", &path).unwrap();
    let writer = File::options().write(true).open(&path).unwrap();
    let mut writer = Some(writer);
    let spec = argv(&[path.to_str().unwrap()]);
    assert_eq!(
        client.command(&spec).outcome(),
        Outcome::SpawnError(libc::ETXTBSY)
    );
    let call = format!("/proc/{}/syscall", client.ready.pid);
    let sleep = format!("{} ", libc::SYS_clock_nanosleep);
    // It does not try for long: on a machine that has much to do this may come too late.
    for _ in 0..20 {
        client.run(1, "command", &spec);
        let mut answer = None;
        eventually("it waits for a better moment, or has given up", || {
            answer = client.answered(1);
            answer.is_some() || fs::read_to_string(&call).unwrap().starts_with(&sleep)
        });
        drop(writer.take());
        let answer = answer.unwrap_or_else(|| client.answer(1));
        if answer.header.outcome == Outcome::Ok {
            return;
        }
        assert_eq!(answer.header.outcome, Outcome::SpawnError(libc::ETXTBSY));
        writer = Some(File::options().write(true).open(&path).unwrap());
    }
    panic!("it is never tried again");
}

#[test]
fn pause_stops_the_command_and_its_clock() {
    let mut client = Client::start();
    let spec = CommandSpec {
        time_limit_ms: Some(1_500),
        ..sh("echo $$; while :; do sleep 0.01; done")
    };
    client.run(1, "command", &spec);
    let pid = text(&client.output(1)).trim().to_owned();
    let state = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    };
    client.send(ToWorker::Pause);
    eventually("it is stopped", || state() == 'T');
    // Longer than its time limit.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(state(), 'T');
    client.send(ToWorker::Resume);
    eventually("it goes on", || state() != 'T');
    assert_eq!(client.ran(1).outcome(), Outcome::TimedOut);
}

#[test]
fn garbage_while_a_command_runs_ends_both() {
    let mut client = Client::start();
    let life = LifePipe::new();
    client.run(
        1,
        "command",
        &sh(&format!("{}echo on; sleep 1000", life.open())),
    );
    assert_eq!(client.output(1), b"on\n");
    client.send_bytes(b"garbage");
    life.everyone_dies_within(Duration::from_secs(5));
    assert_eq!(client.wait().code(), Some(76));
    assert!(client.stderr().contains("`garbage`"));
}

#[test]
fn messages_are_obeyed_while_a_command_runs() {
    let mut client = Client::start();
    client.run(1, "command", &sh("echo on; sleep 1000"));
    client.started(1);
    client.send(ToWorker::Ping(5));
    client.find(|m| (*m == FromWorker::Pong(5)).then_some(()));
    client.run(2, "noop", &());
    let recall = vec![(protocol::JobId(2), protocol::Attempt::FIRST)];
    client.send(ToWorker::Recall(recall.clone()));
    client.find(|m| (*m == FromWorker::Recalled(recall.clone())).then_some(()));
    client.cancel(1);
    assert_eq!(client.ran(1).outcome(), Outcome::Cancelled);
}

#[test]
fn the_status_page_shows_the_running_command() {
    let mut client = Client::start();
    let number = client.ready.status_fd.unwrap();
    let page = File::open(format!("/proc/{}/fd/{number}", client.ready.pid)).unwrap();
    let read = || {
        let mut bytes = [0; 16];
        page.read_exact_at(&mut bytes, 0).unwrap();
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        (u64::from(number(0)), number(8), number(12))
    };
    assert_eq!(read().0, 0);
    client.run(6, "command", &sh("echo $$; sleep 1000"));
    let pid: u32 = text(&client.output(6)).trim().parse().unwrap();
    assert_eq!(read(), (6, 1, pid));
    client.cancel(6);
    client.ran(6);
    assert_eq!(read().0, 0);
}

#[test]
fn the_memory_of_a_large_worker_is_not_taken_for_its_commands() {
    let mut client = Client::start();
    let used = |client: &mut Client, spec: &_| client.command(spec).answer.header.usage.max_rss_kib;
    // Too large for an answer, but made all the same.
    let answer = client.ask("big", &(100u64 << 20));
    assert_eq!(answer.header.outcome, Outcome::Failed(1));
    assert_eq!(used(&mut client, &sh("exit 0")), 0);
    // One line of 400 MiB, which has to be kept as a whole.
    let large = sh("head -c 400M /dev/zero | tail -n 1 >/dev/null");
    assert!(used(&mut client, &large) > 300 << 10);
}

#[test]
fn f047_a_flood_of_output_passes_through() {
    let Ran { stdout, .. } = Client::start().command(&sh("head -c 20000000 /dev/zero"));
    assert_eq!(stdout.len(), 20_000_000);
}

#[test]
fn f059_descriptors_of_the_orchestrator_are_not_inherited() {
    // A pipe that a careless orchestrator would leave open in its worker; no other process is
    // to get it.
    let life = LifePipe::new();
    #[expect(clippy::disallowed_methods, reason = "a test starts its own worker")]
    let mut worker = std::process::Command::new("/bin/sh");
    worker.args(["-c", &format!("{}exec \"$0\"", life.open())]);
    worker.arg(env!("CARGO_BIN_EXE_test-worker"));
    let mut client = Client::of(&mut worker).met(LinkKind::Local, None);
    assert_eq!(life.holders(), [client.ready.pid]);
    let check = sh("test ! -e /proc/self/fd/9");
    assert_eq!(client.command(&check).outcome(), Outcome::Ok);
    client.close();
    client.wait();
    assert!(life.is_over());
}
