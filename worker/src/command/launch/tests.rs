use protocol::EnvChange;
use serde_bytes::ByteBuf;

use super::*;

fn spec(argv: &[&str]) -> CommandSpec {
    let argv = argv.iter().map(|a| ByteBuf::from(*a)).collect();
    CommandSpec::new(Program::Argv(argv))
}

fn env(name: &str, value: Option<&str>) -> EnvChange {
    EnvChange {
        name: ByteBuf::from(name),
        value: value.map(ByteBuf::from),
    }
}

fn resolved(spec: &CommandSpec) -> Result<PathBuf, Refusal> {
    resolve(spec, argv(spec)[0])
}

#[test]
fn a_name_is_looked_up_in_the_jobs_path() {
    let mut sh = spec(&["sh"]);
    for path in ["/bin", ":/bin", "/nonexistent::/bin"] {
        sh.env = vec![env("PATH", Some("/elsewhere")), env("PATH", Some(path))];
        assert_eq!(resolved(&sh).unwrap(), Path::new("/bin/sh"), "{path}");
    }
    sh.env.push(env("PATH", None));
    assert!(resolved(&sh).unwrap().ends_with("bin/sh"));
}

#[test]
fn f126_an_empty_path_element_is_not_the_working_directory() {
    let mut sh = spec(&["sh"]);
    sh.cwd = Some(ByteBuf::from("/bin"));
    sh.env = vec![env("PATH", Some("::"))];
    let refusal = resolved(&sh).unwrap_err();
    assert_eq!(refusal.outcome, Outcome::SpawnError(libc::ENOENT));
    assert_eq!(refusal.error.message, "there is no program `sh` in PATH");
}

#[test]
fn a_relative_program_is_relative_to_the_jobs_directory() {
    let mut sh = spec(&["./bin/sh"]);
    sh.cwd = Some(ByteBuf::from("/usr"));
    assert_eq!(resolved(&sh).unwrap(), Path::new("/usr/bin/sh"));
}

#[test]
fn a_shell_gets_data_as_positional_parameters() {
    let shell = CommandSpec::new(Program::Shell {
        text: ByteBuf::from("echo \"$1\""),
        args: vec![ByteBuf::from("$(x)")],
    });
    assert_eq!(argv(&shell), ["/bin/sh", "-c", "echo \"$1\"", "sh", "$(x)"]);
}

#[test]
fn f054_f055_what_cannot_be_passed_on_is_rejected() {
    let mut bad = vec![spec(&[]), spec(&[""]), spec(&["a", "b\0c"])];
    for change in [
        env("", None),
        env("a=b", None),
        env("a\0", None),
        env("a", Some("\0")),
    ] {
        bad.push(CommandSpec {
            env: vec![change],
            ..spec(&["true"])
        });
    }
    bad.push(CommandSpec {
        cwd: Some(ByteBuf::from("/\0")),
        ..spec(&["true"])
    });
    bad.push(CommandSpec {
        stdin_path: Some(ByteBuf::from("a\0")),
        ..spec(&["true"])
    });
    bad.push(CommandSpec {
        stdin: Some(ByteBuf::new()),
        stdin_path: Some(ByteBuf::from("/dev/null")),
        ..spec(&["true"])
    });
    for spec in &bad {
        let refusal = check(spec, &argv(spec)).unwrap_err();
        assert_eq!(refusal.outcome, Outcome::Rejected);
    }
    let error = check(&bad[2], &argv(&bad[2])).unwrap_err().error;
    assert_eq!(error.message, "argument 1 contains a NUL byte");
}

/// Starts a command, and gives what it prints.
fn printed(launcher: &mut Launcher, spec: &CommandSpec) -> String {
    let mut launched = launcher.launch(spec, Attempt::FIRST, 0).unwrap();
    let mut text = String::new();
    launched.stdout.read_to_string(&mut text).unwrap();
    nix::sys::wait::waitpid(launched.leader, None).unwrap();
    text
}

#[test]
fn a_command_reads_what_is_named_from_its_directory() {
    let dir = std::env::temp_dir().join(format!("stdin-of-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("in"), "line\n").unwrap();
    let named = |path: &str| CommandSpec {
        cwd: Some(ByteBuf::from(dir.as_os_str().as_bytes())),
        stdin_path: Some(ByteBuf::from(path)),
        ..spec(&["cat"])
    };
    let mut launcher = Launcher::new();
    assert_eq!(printed(&mut launcher, &named("in")), "line\n");
    // Nobody waits for a writer.
    let fifo = dir.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(printed(&mut launcher, &named("fifo")), "");
    let flags = "grep -c 'flags:.*4...$' /proc/self/fdinfo/0";
    let blocking = CommandSpec {
        program: spec(&["sh", "-c", flags]).program,
        ..named("fifo")
    };
    assert_eq!(printed(&mut launcher, &blocking), "0\n");
    let refusal = launcher.launch(&named("no"), Attempt::FIRST, 0);
    let refusal = refusal.err().unwrap();
    assert_eq!(refusal.outcome, Outcome::SpawnError(libc::ENOENT));
    assert_eq!(
        refusal.error.message,
        "cannot read `no` as its stdin: No such file or directory"
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_command_starts_with_a_clean_state_in_a_group_of_its_own() {
    let mut launcher = Launcher::new();
    let text = "grep -E 'Sig(Blk|Ign)|NSpgid' /proc/self/status; readlink /proc/self/fd/0; echo $$";
    let printed = printed(&mut launcher, &spec(&["/bin/sh", "-c", text]));
    let lines: Vec<&str> = printed.lines().collect();
    let [group, blocked, ignored, "/dev/null", pid] = lines[..] else {
        panic!("{printed}");
    };
    assert_eq!(group, format!("NSpgid:\t{pid}"));
    assert_eq!(blocked, "SigBlk:\t0000000000000000");
    // Rust programs ignore SIGPIPE. What else is ignored is this test's parents'.
    let ignored = ignored.trim_start_matches("SigIgn:\t");
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    assert_eq!(ignored & (1 << (libc::SIGPIPE - 1)), 0);
}

#[test]
fn changes_of_the_environment_are_one_commands_only() {
    let mut launcher = Launcher::new();
    let text = "echo $PATH:${NEW-unset}:${EMPTY-unset}";
    let plain = spec(&["/bin/sh", "-c", text]);
    let mut changed = plain.clone();
    changed.env = vec![
        env("NEW", Some("1")),
        env("PATH", None),
        env("NEW", Some("2")),
        env("PATH", Some("/x")),
        env("EMPTY", Some("")),
    ];
    let inherited = format!("{}:unset:unset\n", std::env::var("PATH").unwrap());
    assert_eq!(printed(&mut launcher, &plain), inherited);
    assert_eq!(printed(&mut launcher, &changed), "/x:2:\n");
    assert_eq!(printed(&mut launcher, &plain), inherited);
}

#[test]
fn what_cannot_be_started_leaves_no_process_behind() {
    let mut launcher = Launcher::new();
    let mut nowhere = spec(&["/bin/true"]);
    nowhere.cwd = Some(ByteBuf::from("/nonexistent"));
    let long = "x".repeat(1 << 20);
    for (spec, errno) in [
        (spec(&["/bin/nonexistent"]), libc::ENOENT),
        (spec(&["/etc/passwd"]), libc::EACCES),
        (spec(&["/bin/true", &long]), libc::E2BIG),
        (nowhere, libc::ENOENT),
    ] {
        let Err(refusal) = launcher.launch(&spec, Attempt::FIRST, 0) else {
            panic!("it started");
        };
        assert_eq!(refusal.outcome, Outcome::SpawnError(errno));
    }
    let program = launcher.spawn(
        &spec(&["x"]),
        Attempt::FIRST,
        Path::new("/nonexistent"),
        &[],
        None,
    );
    assert_eq!(program.err().unwrap().raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn windows_line_ends_are_seen_in_the_name_of_an_interpreter() {
    let named = |line: &str| named_interpreter(line.as_bytes());
    assert_eq!(named("#!/bin/sh\r\n").as_deref(), Some("/bin/sh\r"));
    assert_eq!(named("#! /bin/sh -e\r\n").as_deref(), Some("/bin/sh"));
    assert_eq!(named("text"), None);
    assert_eq!(
        no_interpreter("crlf", "/bin/sh\r"),
        "`crlf` exists, but there is no interpreter `/bin/sh\\r`, which its first line names; \
         the line ends with a carriage return (Windows line ends), which \
         `sed -i 's/\\r$//' FILE` removes"
    );
}
