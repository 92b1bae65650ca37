//! `orchestrator parallel`: what becomes of output.

use orchestrator_tests::TestEnv;

use super::super::run::ORCHESTRATOR;
use super::Line;

fn same(lines: &[&[&str]], stdin: &str) {
    for words in lines {
        let words = [&["-k", "-j2"], *words].concat();
        Line::new(&words).stdin(stdin).same();
    }
}

#[test]
fn tags_stand_before_every_line() {
    same(
        &[
            &["--tag", "echo one; echo two; echo"],
            &["--tag", "printf 'no end'; echo >&2; true"],
            &["--tagstring", "<{/}>", "echo a; echo"],
            &["--tagstring", "x y", "echo"],
            &["--tag", "--tagstring", "t{#}", "echo"],
            &["--tag", "true"],
            &["-j1", "--tagstring", "{%}-{#}-{}-{%}", "echo"],
            &["-j1", "-u", "--tag", "printf 'a\nb'"],
        ],
        "p/a\nb c\n",
    );
    for words in [&["--tag"][..], &["--tagstring", "{#}"]] {
        let words = [&["-k"], words, &["echo {} >&2"]].concat();
        Line::new(&words).stdin("a\nb\n").stderr().same();
    }
}

#[test]
fn lines_come_whole_in_every_way() {
    for way in ["--group", "--line-buffer", "--lb", "--linebuffer"] {
        Line::new(&["-j3", way, "echo {}; echo {} again"])
            .stdin("a\nb\nc\n")
            .any_order()
            .same();
        Line::new(&["-j3", "-k", way, "echo {}; echo {} again"])
            .stdin("a\nb\nc\n")
            .same();
    }
    for way in ["-u", "--ungroup"] {
        Line::new(&["-j1", way, "echo {}; printf x; echo {} >&2"])
            .stdin("a\nb\n")
            .stderr()
            .same();
    }
    Line::new(&["-k", "-j2", "--lb", "--tag", "echo {}; echo x"])
        .stdin("a\nb\n")
        .same();
}

#[test]
fn a_line_without_an_end_comes_before_the_next_jobs_lines() {
    // What the next job prints may come sooner than the end of the one before.
    let numbers: String = (1..=300).map(|n| format!("{n}\n")).collect();
    let text = "printf '%s.' {}; test {} != 300 || echo";
    let done = Line::new(&["-j1", "--lb", text]).stdin(numbers).alone();
    let all: String = (1..=300).map(|n| format!("{n}.")).collect();
    assert_eq!(done.stdout(), all + "\n");
    for words in [&["--lb"][..], &["--lb", "--tag"]] {
        let words = [
            &["-j1"],
            words,
            &["printf 'a\nb'; printf c >&2; sleep 0.1; echo {}"],
        ];
        Line::new(&words.concat()).stdin("1\n2\n").same();
    }
}

#[test]
fn without_groups_there_is_no_order() {
    // The second one has ended when the first one prints.
    let text = "test {} = 2 || until [ -e 2.made ]; do sleep 0.1; done; echo {}; sleep 0.3; echo > {}.made";
    for way in ["-u", "--ungroup"] {
        let done = Line::new(&["-k", "-j2", way, text]).stdin("1\n2\n").same();
        assert_eq!(done.stdout(), "2\n1\n");
    }
}

#[test]
fn results_are_those_of_the_last_run() {
    let line = |results, text: &str| {
        Line::new(&["-k", "-j1", "--results", results, text])
            .stdin("a\nb\n")
            .file("out/1/a/stdout", "old")
            .file("out/1/a/stderr", "old")
            .file("out/1/a/seq", "9")
            .file("out/1/c/stdout", "stays")
            .file("x_b", "old")
            .file("x_b.seq", "1")
    };
    for results in ["out", "x_{}"] {
        let done = line(results, "echo new {}").same();
        assert_eq!(done.stderr, "", "{results}");
    }
}

#[test]
fn a_job_that_never_ran_has_no_results() {
    for (results, halt) in [
        ("out", "soon,success=1%"),
        ("o_{#}", "now,fail=1"),
        ("r.csv", "now,done=1"),
    ] {
        let text = "echo out {}; [ {} = a ]";
        Line::new(&["-k", "-j1", "--results", results, "--halt", halt, text])
            .stdin("a\nb\nc\nd\n")
            .only_columns("r.csv", &[])
            .same();
    }
}

#[test]
fn fields_have_numbers_in_texts_however_few_there_are() {
    same(
        &[
            &["--tagstring", "{1}-{2}", "echo"],
            &["--results", "o{1}_{2}x", "echo"],
            &["--wd", "w{1}-{2}", "echo > made; echo"],
            &["--pipe", "-N1", "--tagstring", "<{1}{2}>", "cat"],
        ],
        "a\nb\n",
    );
}

#[test]
fn results_of_several_values_are_called_as_there() {
    for (pack, results) in [
        ("-N2", "o_{}x"),
        ("-N2", "a {} b{}"),
        ("-X", "d{/}/{#}_{.}"),
        ("-X", "out"),
        ("-n2", "o_{}"),
    ] {
        let words = ["-k", "-j1", pack, "--results", results, "echo"];
        Line::new(&words).stdin("a.b\nc\nd\n").same();
    }
    let words = ["-k", "-N2", "--results", "out", "--header", ":", "echo"];
    Line::new(&words).stdin("X\na\nb\nc\n").same();
    let two = [
        "-k",
        "-N2",
        "--results",
        "out",
        "echo",
        ":::",
        "a",
        "b",
        ":::",
        "c",
        "d",
    ];
    Line::new(&two).same();
    same(
        &[
            &["-N2", "--tagstring", "<{}> {1}", "echo"],
            &["-m", "-j1", "--tagstring", "<{}>", "echo"],
            &["-N2", "--wd", "w{}", "basename \"$PWD\"; echo"],
        ],
        "a\nb\nc\n",
    );
}

#[test]
fn a_table_has_tags_in_front_of_what_jobs_print() {
    for options in [&["--tag"][..], &["-v"], &["--tagstring", "{#}", "-v"]] {
        let text = ["--results", "r.tsv", "echo one; echo {} >&2"];
        let words = [&["-k", "-j1"], options, &text].concat();
        let line = Line::new(&words).stdin("a\nb\n");
        line.only_columns("r.tsv", &[0, 1, 4, 5, 6, 7, 8, 9, 10, 11])
            .same();
    }
}

#[test]
fn results_of_blocks_are_each_in_a_directory() {
    // There, the last one has overwritten the others.
    let env = TestEnv::new();
    let mut command = env.command(ORCHESTRATOR);
    command.args(["parallel", "--pipe", "-N1", "--results", "out", "cat"]);
    let done = env.run(command, "5\n7\n");
    assert_eq!((done.code(), done.stderr.as_str()), (0, ""));
    let read = |name| std::fs::read_to_string(env.path().join("out").join(name)).unwrap();
    assert_eq!(
        (read("1/stdout"), read("2/stdout"), read("2/seq")),
        ("5\n".into(), "7\n".into(), "2".into())
    );
}

#[test]
fn results_are_kept_in_the_same_files() {
    for results in ["out", "out/", "my_{}", "dir_{/}/", "{#}.txt", "{%}-{#}"] {
        let text = "echo {}; echo err {} >&2";
        Line::new(&["-k", "-j1", "--results", results, text])
            .stdin("a\nb c\n")
            .same();
    }
}

#[test]
fn the_joblog_has_the_same_columns() {
    // All but when it was and for how long, and what ours has besides.
    let columns = [0, 1, 4, 5, 6, 7, 8];
    for text in [
        "echo {}; exit {}",
        // SIGQUIT is ignored by what was started in the background of a script.
        "test {} = 0 || kill -9 $$",
        "printf 'a\\tb%s' {}; echo  two '{}'",
        "echo \"a {} b\" x{}y {#} {%} 'slot {%}'",
        "echo {} | cat >/dev/null; test {} = 0 && echo \"$(echo x)\"",
    ] {
        Line::new(&["-j1", "--joblog", "log", text])
            .stdin("0\n3\n")
            .only_columns("log", &columns)
            .same();
    }
    for shell in ["/bin/bash", "/bin/dash"] {
        Line::new(&["-j1", "--joblog", "log", "echo 'in {}' >&2"])
            .stdin("0\n3\n")
            .env("PARALLEL_SHELL", shell)
            .only_columns("log", &columns)
            .same();
    }
    Line::new(&["-j1", "-q", "--joblog", "log", "echo", "a b", "{}"])
        .stdin("0\n3\n")
        .only_columns("log", &columns)
        .same();
    // What is sent.
    for words in [&["--pipe", "-N2"][..], &["--pipe", "--round-robin", "-N1"]] {
        Line::new(&[&["-j1", "--joblog", "log"], words, &["wc -c"]].concat())
            .stdin("one\ntwo\nthree\n")
            .only_columns("log", &columns)
            .same();
    }
    // A command that is shown counts as printed.
    for way in ["--group", "--lb"] {
        let line = Line::new(&["-j1", "-v", way, "--joblog", "log", "echo {}x"]);
        let line = line.stdin("a\nbc\n").only_columns("log", &columns);
        line.same();
    }
    let line = Line::new(&["-j1", "--joblog=+log", "echo"]).stdin("a\n");
    let head = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";
    line.file("log", head).only_columns("log", &columns).same();
}

#[test]
fn commands_are_shown() {
    same(
        &[
            &["-v", "echo"],
            &["-v", "echo {} | cat"],
            &["-v", "--silent", "echo"],
        ],
        "plain\ntwo words\nit's\n",
    );
    for words in [
        &["-k", "-j1", "-t", "echo"][..],
        &["-k", "-j1", "--verbose", "echo {} x"],
    ] {
        Line::new(words).stdin("plain\ntwo words\n").stderr().same();
    }
}

/// A log of GNU parallel: of four jobs, the second has failed and the last has not ended.
const LOG: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n\
                   2\t:\t1700000000.000\t     0.001\t0\t2\t3\t0\techo 3; exit 3\n\
                   1\t:\t1700000000.000\t     0.001\t0\t2\t0\t0\techo 0; exit 0\n\
                   3\t:\t1700000000.000\t     0.001\t0\t2\t0\t0\techo 0; exit 0\n";

#[test]
fn a_run_goes_on_by_its_joblog() {
    for (options, printed) in [
        (&["--resume"][..], "4\n"),
        (&["--resume-failed"], "3\n4\n"),
        (&["--resume", "--resume-failed"], "3\n4\n"),
    ] {
        let words = [
            &["-k", "-j1", "--joblog", "log"],
            options,
            &["echo {}; exit {}"],
        ]
        .concat();
        let done = Line::new(&words)
            .stdin("0\n3\n0\n4\n")
            .file("log", LOG)
            .only_columns("log", &[0, 1, 4, 5, 6, 7, 8])
            .same();
        assert_eq!(done.stdout(), printed, "{options:?}");
        let done = Line::new(&words)
            .stdin("0\n3\n")
            .only_columns("log", &[0, 1, 4, 5, 6, 7, 8])
            .same();
        assert_eq!(done.stdout(), "0\n3\n", "there is no log yet");
    }
}
