//! `orchestrator run -c TEXT` and commands from standard input, with the real
//! shells of this machine.

use orchestrator_tests::{Done, TestEnv};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

const ORCHESTRATOR: &str = env!("CARGO_BIN_EXE_test-orchestrator");
const WORKER: &str = env!("CARGO_BIN_EXE_test-worker");

fn run(env: &TestEnv, args: &[&str], stdin: impl Into<Vec<u8>>) -> Done {
    let mut command = env.command(ORCHESTRATOR);
    command.arg("run").args(args);
    env.run(command, stdin)
}

/// What a text prints for each item, in their order.
fn printed(env: &TestEnv, text: &str, items: &[Vec<u8>]) -> Vec<u8> {
    let input: Vec<u8> = items
        .iter()
        .flat_map(|i| [i, &b"\0"[..]].concat())
        .collect();
    let done = run(env, &["-0", "-k", "-q", "-c", text], input);
    assert_eq!(done.code(), 0, "{text}: {}", done.stderr);
    assert_eq!(done.stderr, "", "{text}");
    done.stdout
}

/// The objects of a run of this text.
fn objects(env: &TestEnv, args: &[&str], input: impl Into<Vec<u8>>) -> Vec<Value> {
    let done = run(
        env,
        &[&["-k", "-q", "--format", "jsonl"], args].concat(),
        input,
    );
    let lines = done.stdout().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Lines that mean something to a shell. Where one of them is read as program
/// text, a file `canary` appears.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        "$(touch canary)",
        "`touch canary`",
        "; touch canary #",
        "\n touch canary\n",
        "& touch canary &",
        "| touch canary",
        "' ; touch canary ; '",
        "\" ; touch canary ; \"",
        "'\"'\"'; touch canary",
        "\\'; touch canary",
        "\\\"; touch canary",
        "a[$(touch canary)]",
        "x=$(touch canary)",
        "<(touch canary)",
        "$(($(touch canary)))",
        "${x:=$(touch canary)}",
        "${1}",
        "$1 $@ $* $#",
        "{}",
        "{.}{/}{//}{/.}{#}{path}{%}",
        "\\{}",
        "-rf",
        "-n",
        "--help",
        "-va[$(touch canary)]",
        "* ? [a-z] ~ ~root",
        "{a,b} {1..3}",
        " lead and trail ",
        "\ttab\t",
        "\r",
        "%s%n\\n\\0",
        "\\",
        "\\\\",
        "'",
        "\"",
        "!",
        "#",
        "",
        "ü \u{202e}",
    ]
    .map(|line| line.as_bytes().to_vec())
    .into();
    corpus.push((1..=255).collect());
    corpus.push(b"\xff\xfe'\xc3\"".to_vec());
    corpus
}

/// Texts, and what they print when `{}` is the line.
const ECHOES: [(&str, &str); 9] = [
    ("printf '<%s>\\0' {}", "<{}>\0"),
    ("printf '<%s>\\0' \"{}\"", "<{}>\0"),
    ("printf '<%s>\\0' '{}'", "<{}>\0"),
    (
        "printf '<%s>\\0' {} \"{}\" '{}' \"\"{}'' ''\"{}\"'{}'",
        "<{}>\0<{}>\0<{}>\0<{}>\0<{}{}>\0",
    ),
    ("x={}; printf '<%s>\\0' \"$x\"", "<{}>\0"),
    (
        "printf '<%s>\\0' \"$(printf '%s.' \"{}\" | cat)\"",
        "<{}.>\0",
    ),
    (
        "# it's\n(if :; then printf '<%s>\\0' '{}' | cat; fi) # \"",
        "<{}>\0",
    ),
    ("case {} in '{}') printf '<%s>\\0' {};; esac", "<{}>\0"),
    (
        "for x in {} '{}'; do printf '<%s>\\0' \"$x\"; done; cat <<\"E\"\n'\nE\ntrue \"{}\"",
        "<{}>\0<{}>\0'\n",
    ),
];

/// What such a text prints for each item.
fn echoed(prints: &str, items: &[Vec<u8>]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = prints.split("{}").map(str::as_bytes).collect();
    let all = items.iter().flat_map(|item| pieces.join(&item[..]));
    all.collect()
}

#[test]
fn f122_lines_stay_data_in_whatever_quotes_their_place_stands() {
    let env = TestEnv::new();
    let items = corpus();
    for (text, prints) in ECHOES {
        let printed = printed(&env, text, &items);
        let shown = String::from_utf8_lossy(&printed);
        assert!(printed == echoed(prints, &items), "{text}: {shown}");
        assert!(!env.path().join("canary").exists(), "{text}");
    }
}

#[test]
fn f122_any_bytes_reach_a_shell_text_unchanged() {
    let env = TestEnv::new();
    let item = prop_oneof![
        prop::collection::vec(1..=255u8, 0..40),
        "[-a'\"`$(){}\\\\;&|<>*?#~! \n\t\\[\\]]{0,20}".prop_map(String::into_bytes),
        prop::sample::select(corpus()),
    ];
    let items = prop::collection::vec(item, 1..60);
    let mut runner = TestRunner::new(Config::with_cases(24));
    runner
        .run(&items, |items| {
            for (text, prints) in [ECHOES[3], ECHOES[5]] {
                prop_assert!(printed(&env, text, &items) == echoed(prints, &items));
            }
            prop_assert!(!env.path().join("canary").exists());
            Ok(())
        })
        .unwrap();
}

/// A word of which the shell must make the line between fixed pieces.
fn word() -> impl Strategy<Value = (String, Vec<Option<String>>)> {
    let line = || vec![None];
    let piece = prop_oneof![
        "[xyz0-9,.:/=+-]{1,5}".prop_map(|text| (text.clone(), vec![Some(text)])),
        Just(("{}".to_owned(), line())),
        Just(("\"{}\"".to_owned(), line())),
        Just(("'{}'".to_owned(), line())),
        "[a-z\"`$(){}\\[\\]\\\\;&|<>*?#~! \n]{0,6}"
            .prop_filter("no place", |text| !text.contains("{}"))
            .prop_map(|text| (
                format!("'{text} {{}}'"),
                vec![Some(format!("{text} ")), None]
            )),
        "[a-z'(){}\\[\\];&|<>*?#~ \n]{0,6}"
            .prop_filter("no place", |text| !text.contains("{}"))
            .prop_map(|text| (
                format!("\"{text} {{}}\""),
                vec![Some(format!("{text} ")), None]
            )),
        Just(("$(printf %s. {})".to_owned(), vec![None, Some(".".into())]))
            .prop_map(|(text, parts)| (format!("\"{text}\""), parts)),
        Just((
            "\"$(printf %s. \"'{}'\" '\"')\"".to_owned(),
            vec![Some("'".into()), None, Some("'.\".".into())]
        )),
        Just(("\\'\\\"\\$\\`\\\\".to_owned(), vec![Some("'\"$`\\".into())])),
        Just(("\"\\{}\"'\\{}'\\{}".to_owned(), vec![Some("{}{}{}".into())])),
        Just((
            "\"${none-a}${none:-\\}}\"".to_owned(),
            vec![Some("a}".into())]
        )),
        Just(("`echo 'b'`$((1 + (2)))".to_owned(), vec![Some("b3".into())])),
    ];
    let word = prop::collection::vec(piece, 1..6).prop_map(|pieces| {
        let (texts, parts): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
        (texts.concat(), parts.concat())
    });
    word.prop_filter("an element of an array is refused", |(_, parts)| {
        let before_the_line: String = parts.iter().map_while(Clone::clone).collect();
        let name = before_the_line.split_once('[').map(|(name, _)| name);
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        !name.is_some_and(is_name)
    })
}

#[test]
fn f122_sh_and_bash_make_the_line_of_every_place_in_any_word() {
    let env = TestEnv::new();
    // JSON shows these as text.
    let items: Vec<Vec<u8>> = corpus().into_iter().filter(|i| i.is_ascii()).collect();
    let input: Vec<u8> = items
        .iter()
        .flat_map(|i| [i, &b"\0"[..]].concat())
        .collect();
    let mut runner = TestRunner::new(Config::with_cases(24));
    runner
        .run(&(word(), word()), |((first, a), (second, b))| {
            let text = format!("printf '<%s>' {first} {second} {{}} # '");
            let jobs = objects(&env, &["-0", "-c", &text], input.clone());
            prop_assert_eq!(jobs.len(), items.len());
            let mut in_bash = env.command("bash");
            in_bash.arg("--posix").arg("-c").arg(
                "while [ $# -gt 0 ]; do n=$1; shift; bash -c \"${@:1:n}\"; shift \"$n\"; done",
            );
            in_bash.arg("bash");
            let mut all = Vec::new();
            for (job, item) in jobs.iter().zip(&items) {
                let line = std::str::from_utf8(item).unwrap();
                let fill = |parts: &[Option<String>]| -> String {
                    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| line.into());
                    parts.iter().map(part).collect()
                };
                let expected = format!("<{}><{}><{line}>", fill(&a), fill(&b));
                prop_assert_eq!(job["stdout"].as_str(), Some(&expected[..]), "{}", text);
                prop_assert_eq!(job["stderr"].as_str(), Some(""));
                all.extend_from_slice(expected.as_bytes());
                let argv: Vec<&str> = job["argv"].as_array().unwrap()[2..]
                    .iter()
                    .map(|word| word.as_str().unwrap())
                    .collect();
                in_bash.arg(argv.len().to_string()).args(argv);
            }
            let done = env.run(in_bash, "");
            prop_assert_eq!(done.stdout(), String::from_utf8(all).unwrap(), "{}", text);
            prop_assert_eq!(done.stderr, "");
            prop_assert!(!env.path().join("canary").exists());
            Ok(())
        })
        .unwrap();
}

#[test]
fn f122_a_text_where_the_line_would_be_program_text_is_refused_before_anything_runs() {
    let env = TestEnv::new();
    for text in [
        "touch ran; eval 'echo {}'",
        "touch ran; sh -c 'echo {}'",
        "touch ran; echo `echo {} # x`",
        "touch ran; echo $(({}))",
        "touch ran; cat <<E\n{}\nE",
        "touch ran; echo ${}",
        "touch ran; echo $'{}'",
        "touch ran; trap 'echo {}' EXIT",
        "touch ran; printf {} x",
        "touch ran; echo {} | sh",
        "touch ran; x={}; sh -c \"$x\"",
        "touch ran; {//} {/}",
    ] {
        let done = run(
            &env,
            &["-0", "-c", text],
            "eval/touch canary\0$(touch canary)\0",
        );
        assert_eq!(done.code(), 2, "{text}: {}", done.stderr);
        assert_eq!(done.stdout(), "");
        assert!(!env.path().join("canary").exists(), "{text}");
        assert!(!env.path().join("ran").exists(), "{text}");
    }
}

#[test]
fn a_refused_text_is_shown_with_a_caret_and_what_to_write() {
    let env = TestEnv::new();
    for (text, said) in [
        (
            "grep x {} | sh -c 'tee {}.log'",
            "error: `{}` at column 24 stands in the text of another shell, which would read the \
             line as program text\n  | grep x {} | sh -c 'tee {}.log'\n  \
             |                        ^\n  \
             tip: hand the line over as a parameter: sh -c '… \"$1\" …' sh {}\n",
        ),
        (
            "echo don't {}",
            "error: `'` at column 9 is not closed\n  | echo don't {}\n  |         ^\n  \
             tip: put a backslash before it if it is meant as a character\n",
        ),
        (
            "a\n\x1b; `{} #`",
            "error: `{}` at column 7 stands in backticks, where quotes have other meanings\n  \
             | a\\n\\u{1b}; `{} #`\n  |             ^\n  tip: write $(…) instead of `…`\n",
        ),
        (
            "date; ls",
            "error: there is no place for the line in the shell text\n  \
             tip: write {} where it belongs, or add -n0 where no command needs it\n",
        ),
        (
            "echo {= s/a/b/ =}",
            "error: `{= s/a/b/ =}` at column 6 is Perl, which is not offered\n  \
             | echo {= s/a/b/ =}\n  |      ^\n  tip: `--plus` has places that change a value: \
             {/re/text}, {%re}, {^^re} and others\n",
        ),
    ] {
        let done = run(&env, &["-c", text], "x\n");
        assert_eq!((done.code(), &done.stderr[..]), (2, said));
    }
}

#[test]
fn the_line_is_the_first_parameter_and_is_added_to_a_simple_command() {
    let env = TestEnv::new();
    for (text, printed) in [
        ("echo", "a b.c\n"),
        ("printf '%s,' \"$1\"", "a b.c,"),
        ("printf '%s,' {.} \"$1\" {} {#}", "a b,a b.c,a b.c,1,"),
        ("printf '%s,' \"$@\" \\{}", "a b.c,{},"),
        ("echo $#; : {} {.} {.}", "2\n"),
        ("echo \"$0\"; : {}", "sh\n"),
    ] {
        let done = run(&env, &["-q", "-c", text], "a b.c\n");
        assert_eq!((done.stdout(), &done.stderr[..]), (printed, ""), "{text}");
    }
}

#[test]
fn f123_the_name_of_a_file_is_not_taken_for_an_option() {
    let env = TestEnv::new();
    env.file("-n", "one\n");
    env.file("plain", "two\n");
    let absolute = env.file("-abs", "three\n").display().to_string();
    let list = format!("-n\nplain\n{absolute}\n");
    for args in [
        &["-k", "-q", "--", "cat", "{path}"][..],
        &["-k", "-q", "-c", "cat {path}"],
        &["-k", "-q", "-c", "cat < \"{path}\" | cat '{path}' -"],
    ] {
        let done = run(&env, args, list.clone());
        assert_eq!(done.stderr, "", "{args:?}");
        let lines: Vec<&str> = done.stdout().lines().collect();
        let times = lines.len() / 3;
        let expected = ["one", "two", "three"]
            .map(|word| vec![word; times])
            .concat();
        assert_eq!(lines, expected, "{args:?}");
        assert!(times > 0);
    }
    // Without it, the name is an option.
    let done = run(&env, &["-q", "-c", "cat {}"], "-n\n");
    assert_eq!(done.stdout(), "");
}

#[test]
fn f124_a_line_that_looks_like_a_place_is_not_filled_again() {
    let env = TestEnv::new();
    let done = run(
        &env,
        &["-q", "-k", "-c", "echo '{}' {/}"],
        "{#}\n\"${1}\"\n${2}\n",
    );
    assert_eq!(done.stdout(), "{#} {#}\n\"${1}\" \"${1}\"\n${2} ${2}\n");
}

#[test]
fn jsonl_shows_a_shell_job_as_it_was_started() {
    let env = TestEnv::new();
    let jobs = objects(&env, &["-c", "echo {/} | tr a b"], "x/a\n");
    assert_eq!(
        jobs[0]["argv"],
        json!(["/bin/sh", "-c", "echo \"${2}\" | tr a b", "sh", "x/a", "a"])
    );
    assert_eq!(jobs[0]["stdout"], "b\n");
    let jobs = objects(&env, &[], "echo 'a b'; exit 3\n");
    assert_eq!(
        jobs[0]["argv"],
        json!(["/bin/sh", "-c", "echo 'a b'; exit 3", "sh"])
    );
    assert_eq!(
        (&jobs[0]["stdout"], &jobs[0]["exit"]),
        (&json!("a b\n"), &json!(3))
    );
}

#[test]
fn a_shell_job_that_ends_silently_is_told_with_text_and_line() {
    let env = TestEnv::new();
    let done = run(&env, &["-q", "-c", "kill -9 $$ {}"], "a\x1b\n");
    assert_eq!(
        done.stderr,
        "error: line 1: command was ended by SIGKILL: `kill -9 $$ 'a\\u{1b}'`\n"
    );
    let done = run(&env, &["-q"], "\nkill -9 $$\n");
    assert_eq!(
        done.stderr,
        "error: line 2: command was ended by SIGKILL: `kill -9 $$`\n"
    );
}

#[test]
fn lines_are_commands_when_nothing_else_is_named() {
    let env = TestEnv::new();
    let done = run(
        &env,
        &["-k"],
        "echo a | tr a b\n\n  \t\nx=1; echo \"$x $#\"\n  echo '{}' {.} # c\nexit 3\necho last",
    );
    assert_eq!(done.stdout(), "b\n1 0\n{} {.}\nlast\n");
    assert_eq!(done.code(), 1);
    assert!(
        done.stderr
            .starts_with("orchestrator: 4 of 5 jobs succeeded, 1 failed"),
        "{}",
        done.stderr
    );
    let done = run(&env, &["-k", "-q", "-0"], "echo a\necho b\0\n\0echo c");
    assert_eq!((done.stdout(), done.code()), ("a\nb\nc\n", 0));
}

#[test]
fn f071_what_editors_leave_in_commands_is_rejected_with_a_hint() {
    let env = TestEnv::new();
    let done = run(&env, &["-k", "-q"], "echo a\r\necho b\n\r\n");
    assert_eq!((done.stdout(), done.code()), ("b\n", 1));
    assert_eq!(
        done.stderr,
        "error: line 1 of standard input ends with a carriage return: `echo a\\r`\n  \
         tip: it would be part of the command (Windows line ends?): \
         tr -d '\\r' < FILE | orchestrator run\n\
         error: line 3 of standard input ends with a carriage return: `\\r`\n"
    );
    let done = run(&env, &["-k", "-q"], "\u{feff}echo a\necho \u{feff}b\n");
    assert_eq!((done.stdout(), done.code()), ("\u{feff}b\n", 1));
    assert_eq!(
        done.stderr,
        "error: line 1 of standard input begins with a byte-order mark: `\u{feff}echo a`\n  \
         tip: it would be part of the command: tail -c +4 FILE | orchestrator run\n"
    );
    // Lines that are data are only warned about.
    let done = run(&env, &["-q", "-c", "printf %s {} | od -An -c"], "a\r\n");
    assert_eq!(done.stdout().trim(), "a  \\r");
    assert!(
        done.stderr
            .starts_with("warning: line 1 ends with a carriage return")
    );
}

#[test]
fn f054_a_line_with_a_zero_byte_is_rejected() {
    let env = TestEnv::new();
    for args in [&["-k", "-q"][..], &["-k", "-q", "-c", "echo {}"]] {
        let done = run(&env, args, "echo a\necho \0 b\necho c\n");
        assert_eq!(
            (done.stdout().lines().count(), done.code()),
            (2, 1),
            "{args:?}"
        );
        assert!(
            done.stderr
                .starts_with("error: line 2 of standard input holds a zero byte: `echo \\u{0} b`"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn a_forgotten_task_does_not_make_commands_of_its_arguments() {
    let env = TestEnv::new();
    let done = run(&env, &["--worker", WORKER], "touch canary\n");
    assert_eq!(done.code(), 2);
    assert!(
        done.stderr
            .starts_with("error: nothing to do with the lines: a worker is named, but no task\n"),
        "{}",
        done.stderr
    );
    assert!(!env.path().join("canary").exists());
}

#[test]
fn a_second_text_is_refused() {
    let env = TestEnv::new();
    let done = run(&env, &["-c", "echo {}", "--shell-command", "ls {}"], "a\n");
    assert_eq!(done.code(), 2);
    assert!(
        done.stderr.contains("cannot be used multiple times"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_redirection_of_bash_is_no_command_in_the_background() {
    let env = TestEnv::new();
    let text = "echo {} &> {}.log";
    let done = run(&env, &["-c", text], "a\n");
    assert_eq!((done.code(), done.stdout()), (2, ""));
    assert!(
        done.stderr
            .contains("`&>` at column 9 is known to bash and zsh only"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("--shell bash"), "{}", done.stderr);
    // A line that is a command costs that line only.
    let done = run(&env, &["-k"], "echo one\necho two &> two.log\n");
    assert_eq!((done.code(), done.stdout()), (1, "one\n"));
    assert!(
        done.stderr.contains("line 2") && done.stderr.contains("2>&1"),
        "{}",
        done.stderr
    );
    let job = "{\"shell\": \"echo three &> three.log\"}\n";
    let done = run(&env, &["--input", "jsonl"], job);
    assert_eq!((done.code(), done.stdout()), (1, ""));
    let done = run(&env, &["--shell", "bash", "-c", text], "a\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(
        std::fs::read_to_string(env.path().join("a.log")).unwrap(),
        "a\n"
    );
    assert!(!env.path().join("two.log").exists() && !env.path().join("three.log").exists());
}

#[test]
fn the_slot_and_the_number_can_be_calculated_with() {
    let env = TestEnv::new();
    let text = "echo $(({%} - 1)) $(({#} * 10)) `echo {#}` {}";
    for shell in ["sh", "bash"] {
        let args = ["-j1", "-k", "-q", "--shell", shell, "-c", text];
        let done = run(&env, &args, "$(touch canary)\nb\n");
        assert_eq!(
            (done.code(), done.stdout()),
            (0, "0 10 1 $(touch canary)\n0 20 2 b\n"),
            "{shell}"
        );
    }
    assert!(!env.path().join("canary").exists());
}
