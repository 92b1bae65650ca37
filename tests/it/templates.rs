//! Places of a command in a whole run: slots, other ways to write them, shells, and
//! `--dry-run`.

use orchestrator_tests::{Done, TestEnv};

use super::run::ORCHESTRATOR;

fn run(env: &TestEnv, args: &[&str], stdin: impl Into<Vec<u8>>) -> Done {
    let mut command = env.command(ORCHESTRATOR);
    command.arg("run").args(args);
    env.run(command, stdin)
}

/// What a run prints that succeeds.
fn printed(env: &TestEnv, args: &[&str], stdin: impl Into<Vec<u8>>) -> Vec<u8> {
    let done = run(env, &[&["-k", "-q"], args].concat(), stdin);
    assert_eq!(done.code(), 0, "{args:?}: {}", done.stderr);
    done.stdout
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn jobs_that_run_at_the_same_time_have_different_slots() {
    let env = TestEnv::new();
    // Each takes a lock of its slot, which nobody else may hold meanwhile.
    let script = "mkdir lock{%} || exit 9; echo {%} \"$ORCHESTRATOR_SLOT\"; rmdir lock{%}";
    let slots = printed(&env, &["-j3", "-c", script], "a\n".repeat(60));
    for line in text(&slots).lines() {
        let (place, variable) = line.split_once(' ').unwrap();
        assert_eq!(place, variable);
        assert!(["1", "2", "3"].contains(&place), "{line}");
    }
    assert_eq!(text(&slots).lines().count(), 60);
}

#[test]
fn a_worker_that_follows_another_has_its_slot() {
    let env = TestEnv::new();
    let args = ["-j2", "--max-jobs-per-worker", "1", "echo", "{%}x{%}"];
    let slots = printed(&env, &args, "a\n".repeat(12));
    for line in text(&slots).lines() {
        assert!(["1x1", "2x2"].contains(&line), "{line}");
    }
    let one = printed(
        &env,
        &[
            "-j1",
            "--",
            "sh",
            "-c",
            "echo $ORCHESTRATOR_SLOT $1",
            "sh",
            "{%}-{}",
        ],
        "a\nb\n",
    );
    assert_eq!(text(&one), "1 1-a\n1 1-b\n");
}

/// Each place in another way.
pub(crate) const RENAMED: [&str; 14] = [
    "-I",
    ",,",
    "--er",
    ",.",
    "--bnr",
    "@b",
    "--dnr",
    "@d",
    "--bner",
    "@n",
    "--seqreplace",
    "@s",
    "--slotreplace",
    "@w",
];

#[test]
fn places_can_be_written_in_other_ways() {
    let env = TestEnv::new();
    let places = ",, ,. @b @d @n @s @w {} {.} {/} {//} {/.} {#} {%} {1}";
    let all = [&RENAMED[..], &["-j1", "echo", places]].concat();
    let line = printed(&env, &all, "a/b.c\n");
    assert_eq!(
        text(&line),
        "a/b.c a/b b.c a b 1 1 {} {.} {/} {//} {/.} {#} {%} {1}\n"
    );
    let line = printed(&env, &["-I", "X", "-c", "echo 'X y' X"], "a b\n");
    assert_eq!(text(&line), "a b y a b\n");
}

#[test]
fn functions_that_bash_exports_work_with_its_name() {
    let env = TestEnv::new();
    for words in ["-c 'greet {} ${BASH_VERSION:+bash}'", ""] {
        let line = format!(
            "greet() {{ echo \"hello $1 of ${{2-lines}}\"; }}; export -f greet; \
             printf '%s\\n' {} | {ORCHESTRATOR} run -q --shell bash {words}",
            if words.is_empty() {
                "'greet x'"
            } else {
                "'$(x)'"
            },
        );
        let mut command = env.command("bash");
        command.args(["-c", &line]);
        let done = env.run(command, "");
        let expected = match words {
            "" => "hello x of lines\n",
            _ => "hello $(x) of bash\n",
        };
        assert_eq!(
            (done.stdout(), done.code()),
            (expected, 0),
            "{}",
            done.stderr
        );
    }
    let done = run(&env, &["--shell", "fish", "-c", "echo {}"], "a\n");
    assert_eq!(done.code(), 2, "{}", done.stderr);
    let done = run(&env, &["--shell", "bash", "echo"], "a\n");
    assert!(
        done.stderr.starts_with("error: --shell is for -c TEXT"),
        "{}",
        done.stderr
    );
}

/// Lines that a shell would read as something else, and others.
fn hostile() -> Vec<u8> {
    let mut items: Vec<Vec<u8>> = [
        "a b",
        "it's",
        "\"",
        "$HOME",
        "`touch canary`",
        "$(touch canary)",
        ";touch canary",
        "a\nb\n",
        "",
        "~",
        "*",
        "{a,b}",
        "#x",
        "!!",
        "-n",
        "\\",
        "'\\''",
        "a=b",
        "\t",
        "{}",
        "{%}",
        "${1}",
        "if",
    ]
    .map(|item| item.as_bytes().to_vec())
    .to_vec();
    items.push((1..=255).collect());
    items
        .iter()
        .flat_map(|item| [&item[..], b"\0"].concat())
        .collect()
}

#[test]
fn f122_lines_of_a_dry_run_do_in_a_shell_what_the_run_does() {
    let env = TestEnv::new();
    for words in [
        &[
            "--",
            "printf",
            "<%s>",
            "{}",
            "x{.}y {/} {#} {path}",
            "$HOME",
        ][..],
        &["-j1", "--", "printf", "%s|", "{%}", "a'b\"{}"],
        &[
            "-c",
            "printf '<%s>' {} '{/} it' \"a {.}\" \"$1\"; echo; # {}",
        ],
        &["--shell", "bash", "-c", "printf '<%s>' {} \"$0\"; echo {#}"],
        &[
            "--plus",
            "--",
            "printf",
            "<%s>",
            "{:-none} {//a/$x} {^^[a-z]}",
        ],
    ] {
        let real = printed(&env, &[&["-0"], words].concat(), hostile());
        let dry = printed(&env, &[&["-0", "--dry-run"], words].concat(), hostile());
        assert!(!env.path().join("canary").exists());
        for shell in ["sh", "bash"] {
            let mut command = env.command(shell);
            command.arg("-s");
            let done = env.run(command, dry.clone());
            assert_eq!(done.stderr, "", "{words:?}");
            assert_eq!(
                done.stdout,
                real,
                "{shell} {words:?}: {}",
                String::from_utf8_lossy(&dry)
            );
        }
    }
}

#[test]
fn a_dry_run_runs_nothing_and_refuses_what_the_run_would() {
    let env = TestEnv::new();
    let done = run(&env, &["--dry-run", "touch", "{}"], "canary\n");
    assert_eq!(done.code(), 0);
    assert!(
        done.stdout().ends_with("/touch canary\n"),
        "{}",
        done.stdout()
    );
    assert_eq!(done.stderr, "");
    let commands = run(&env, &["--dry-run"], "touch canary\n\necho it's #x\n");
    assert_eq!(
        commands.stdout(),
        "sh -c 'touch canary' sh\nsh -c 'echo it'\\''s #x' sh\n"
    );
    let refused = run(&env, &["--dry-run", "echo"], "a\0b\nc\n");
    assert_eq!(refused.code(), 1);
    assert!(
        refused
            .stderr
            .contains("line 1 of standard input holds a zero byte"),
        "{}",
        refused.stderr
    );
    assert!(refused.stdout().ends_with("/echo c\n"));
    assert!(!env.path().join("canary").exists());
    let task = run(
        &env,
        &["--dry-run", "--task", "t", "--worker", "true"],
        "1\n",
    );
    assert_eq!(task.code(), 2);
    assert!(
        task.stderr.starts_with("error: --dry-run is for commands"),
        "{}",
        task.stderr
    );
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = env.command(ORCHESTRATOR);
    command.args(["run", "--dry-run", "echo"]).stdout(full);
    let done = env.run(command, "a\n");
    assert_eq!(done.code(), 125, "{}", done.stderr);
}
