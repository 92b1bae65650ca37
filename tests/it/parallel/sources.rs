//! `orchestrator parallel`: where arguments come from, and how many go together.

use orchestrator_tests::TestEnv;

use super::super::faults::not_tested;
use super::Line;

fn same(lines: &[&[&str]], stdin: &str) {
    for words in lines {
        let words = [&["-k", "-j1"], *words].concat();
        Line::new(&words)
            .stdin(stdin)
            .file("one", "1\n2\n")
            .file("two", "a b\nc d\n")
            .file("table", "name,age\nAnn,30\nBob,4\n")
            .same();
    }
}

#[test]
fn lists_behind_the_command() {
    same(
        &[
            &["echo", ":::", "a", "b  c", "-k", "--", ""],
            &["echo {}", ":::", "a"],
            &[":::", "echo 1", "echo 2"],
            &["{}", ":::", "echo 1", "echo 2"],
            &["-q", "echo", "$HOME", ":::", "a  b"],
            &["echo {1}-{2}", ":::", "a", "b", ":::", "1", "2"],
            &["echo", ":::", "a", "b", ":::", "1", "2"],
            &["echo", ":::", "a", "b", ":::+", "1", "2"],
            &["echo", ":::", "a", "b", ":::+", "1"],
            &["echo", ":::", "a", "b", ":::+", "1", "2", ":::", "X", "Y"],
            &["--link", "echo", ":::", "a", "b", "c", ":::", "1", "2"],
            &["--xapply", "echo {2} {1}", ":::", "a", "b", ":::", "1", "2"],
            &["echo", "::::", "one"],
            &["echo", "::::", "one", "two"],
            &["echo", ":::", "x", "::::", "one"],
            &["echo", "::::", "one", "::::+", "two"],
            &["echo {1} {2}", "::::", "-", ":::", "z"],
            &["--arg-sep", ",,", "echo", ":::", ",,", "a", "b"],
            &["--argsep=,,", "echo", ",,", "a", "::::", "one"],
            &["--arg-file-sep", "@@", "echo", "@@", "one"],
        ],
        "s t\nu\n",
    );
}

#[test]
fn files_of_arguments() {
    same(
        &[
            &["-a", "one", "echo"],
            &["-aone", "--arg-file", "two", "echo {2} {1}"],
            &["-a", "-", "-a", "one", "echo"],
            &["--link", "-a", "one", "-a", "two", "echo"],
            &["-a", "one", "echo", ":::", "x"],
        ],
        "in\n",
    );
}

#[test]
fn what_divides_items_and_columns() {
    same(&[&["-d", ",", "echo"], &["-d,", "echo"]], "a,b b,c");
    same(
        &[&["-0", "-d", ":", "echo"], &["-d:", "-0", "echo"]],
        "a:b c:d",
    );
    same(
        &[
            &["-d", ",", "echo [{}]", ":::", "a,b", ",c", "d,", "", "e,,f"],
            &["-d", "ab", "echo", ":::", "xaby", "abab"],
            &["-d", ",", "-r", "echo [{}]", ":::", "a,,b", ""],
            &[
                "-d,",
                "echo {1} {2}",
                ":::",
                "a,b",
                ":::+",
                "c,d",
                ":::",
                "x,y",
            ],
            &["-0", "echo", ":::", "a", "b,c"],
            &["-d", ",", "--header", ":", "echo {x}", ":::", "x,1", "2"],
        ],
        "",
    );
    same(
        &[
            &["--colsep", ",", "echo {2} {1} {-1}"],
            &["-C", "[,;]", "echo {3}{2}{1}"],
            &["--colsep", ",", "echo"],
            &["--colsep", ",", "echo {} {1.}"],
            &["--colsep", ",", "--trim", "n", "echo {2}={1}"],
        ],
        "a,b\n c.x , d ,e\n\"x,y\",z\n",
    );
    same(
        &[
            &[
                "--header",
                ":",
                "--colsep",
                ",",
                "echo {age} {name}",
                "::::",
                "table",
            ],
            &["--header", ":", "echo {x} {1}", ":::", "x", "1", "2"],
            &[
                "--header",
                ":",
                "echo {x}{y}",
                ":::",
                "x",
                "1",
                "2",
                ":::",
                "y",
                "3",
            ],
        ],
        "",
    );
}

/// Whether GNU parallel can read CSV.
fn knows_csv() -> bool {
    let env = TestEnv::new();
    let mut command = env.command("sh");
    command.args(["-c", "perl -MText::CSV -e 1 2>/dev/null"]);
    let known = env.run(command, "").code() == 0;
    if !known {
        let reason = "there is no Text::CSV of Perl";
        assert!(std::env::var_os("REQUIRE_TEXT_CSV").is_none(), "{reason}");
        not_tested("records_of_csv_are_those_of_gnu_parallel", reason);
    }
    known
}

#[test]
fn records_of_csv_are_those_of_gnu_parallel() {
    if !knows_csv() {
        return;
    }
    let text = "1,\"a,b\",c\n2,\"q\"\"q\",\n,,\n3,\" li\nne \", x \n4,\"\",$HOME\n5,é,*\nlast";
    for words in [
        &["--csv", "echo {1}-{2}-{3}"][..],
        &["--csv", "echo"],
        &["--csv", "echo {-1} {2}"],
        &["--csv", "-n2", "echo"],
    ] {
        let words = [&["-k", "-j1"], words].concat();
        Line::new(&words).stdin(text).same();
    }
    let named = Line::new(&["-k", "--csv", "--header", ":", "echo {b}={a}"]);
    named.stdin("a,b\n1,\"2,3\"\n").same();
    for (separator, text) in [(";", "a;\"b;c\"\n"), ("\t", "a\t\"b\tc\"\n")] {
        let words = ["-k", "--csv", "--colsep", separator, "echo {2}={1}"];
        Line::new(&words).stdin(text).same();
    }
}

#[test]
fn what_is_left_out_and_cut_off() {
    same(
        &[
            &["-E", "END", "echo"],
            &["-eEND", "echo"],
            &["--eof=END", "echo"],
            &["-E", "END", "-e", "-k", "echo"],
            &["-r", "echo x{}"],
            &["--no-run-if-empty", "echo x{}"],
            &["--trim", "l", "echo {}x"],
            &["--trim", "r", "echo {}x"],
            &["--trim", "lr", "echo {}x"],
            &["--trim=n", "echo {}x"],
        ],
        "a\n\n  b  \n \nEND\nc\n",
    );
}

#[test]
fn several_arguments_for_a_job() {
    same(
        &[
            &["-n2", "echo"],
            &["-n", "2", "echo {} end"],
            &["-n2", "echo a{}b"],
            &["-N2", "echo {2} {1}"],
            &["-N", "3", "echo {1}-{2}-{3}"],
            &["-n0", "echo x"],
            &["-N0", "echo x"],
            &["-L2", "echo"],
            &["-L", "2", "echo a{}b"],
            &["-l", "echo"],
            &["-l2", "echo a{}b"],
            &["-l2", "-X", "echo a{}b"],
            &["-C,", "-l", "echo a{}b"],
            &["-X", "echo a{}b"],
            &["-m", "echo a{}b"],
            &["--xargs", "echo"],
            &["-X", "-s", "20", "echo"],
            &["-n2", "-m", "echo a{}b"],
            &["-L2", "-m", "echo a{}b"],
            &["-x", "echo"],
            &["--max-lines=2", "echo"],
        ],
        "1\n2\n3 4\n5\n6\n",
    );
}

#[test]
fn a_command_line_has_no_more_bytes_than_are_allowed() {
    let numbers: String = (1..=12).map(|n| format!("{n}\n")).collect();
    for how in [&[][..], &["-X"], &["-m"], &["-N2"], &["-L2"]] {
        for (most, text) in [("13", "echo a{}b"), ("20", "echo {} '{}'")] {
            let words = [how, &["-s", most, text]].concat();
            same(&[&words[..]], &numbers);
        }
    }
    for most in ["13", "20"] {
        same(
            &[&["-s", most, "echo"], &["-X", "-s", most, "echo"]],
            &numbers,
        );
    }
}

#[test]
fn many_short_values_are_as_many_as_the_kernel_takes() {
    let numbers: String = (1..=40_000).map(|n| format!("{n}\n")).collect();
    let line = Line::new(&["-k", "-j1", "-X", "printf '%s\\n' a{}b"]);
    let ours = line.stdin(numbers).alone();
    assert_eq!((ours.code(), ours.stderr.as_str()), (0, ""));
    let expected: String = (1..=40_000).map(|n| format!("a{n}b\n")).collect();
    assert!(ours.stdout() == expected);
}

#[test]
fn a_header_names_columns_that_tabs_divide() {
    same(
        &[
            &["--header", ":", "echo [{x}][{y}][{2}]"],
            &["--header", ":", "echo [{}]"],
            &["--header", ".*\\n", "--colsep", "\\t", "echo {x} {y}"],
            &["--header", "1", "--colsep", "\\t", "echo {x} {y}"],
            &["--header", ":", "echo [{x}]", ":::", "x", "a\tb", "c"],
        ],
        "x\ty\n a\t b \n",
    );
    // A name has its blanks, whatever is cut off from values.
    same(
        &[
            &[
                "--header",
                ":",
                "-C",
                ",",
                "echo [{a }][{ b}][{a}][{b}][{2}]",
            ],
            &[
                "--header",
                ":",
                "-C",
                ",",
                "--trim",
                "lr",
                "echo [{a }][{ b}][{b}]",
            ],
        ],
        "a , b\n 1 , 2 \n",
    );
}

#[test]
fn every_item_comes_once_in_a_random_order() {
    Line::new(&[
        "--shuf", "-j1", "echo", ":::", "a", "b", "c", ":::", "1", "2",
    ])
    .any_order()
    .same();
}
