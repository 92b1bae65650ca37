//! `orchestrator parallel --pipe`: standard input in pieces.

use super::Line;

fn same(lines: &[&[&str]], stdin: &str) {
    for words in lines {
        let words = [&["--pipe", "-k", "-j2"], *words].concat();
        Line::new(&words).stdin(stdin).same();
    }
}

#[test]
fn records_stay_whole() {
    let numbers: String = (1..=500).map(|n| format!("{n}\n")).collect();
    same(
        &[
            &["wc"],
            &["--block", "100", "wc -lc; echo"],
            &["--block", "1k", "cat; echo end"],
            &["-N", "100", "wc -l"],
            &["-N", "7", "echo {#}; cat"],
            &["-n", "90", "echo {#}; cat"],
            &["-L", "10", "-N", "5", "wc -l"],
            &["-L10", "wc -l"],
            &["--blocksize", "500", "md5sum"],
        ],
        &numbers,
    );
}

#[test]
fn records_begin_and_end_as_told() {
    let text = ">a\n1\n2\n>b\n3\n>c\n4\n5\n6\n";
    same(
        &[
            &["--recstart", ">", "-N1", "cat; echo end"],
            &["--recstart", ">", "--block", "8", "cat; echo end"],
            &["--recend", "\\n", "-N2", "cat; echo end"],
            &["--recend", "3\n", "-N1", "cat; echo end"],
            &["--recend", "\n", "--recstart", ">", "-N1", "cat; echo end"],
            &["--regexp", "--recstart", ">[bc]", "-N1", "cat; echo end"],
            &["--rrs", "--recend", "\n", "-N1", "cat; echo end"],
            &[
                "--remove-rec-sep",
                "--recstart",
                ">",
                "-N1",
                "cat; echo end",
            ],
            &["--recend", "", "--block", "4", "cat; echo end"],
        ],
        text,
    );
}

#[test]
fn records_of_nothing_but_their_end_are_counted_as_there() {
    for options in [
        &["-N1"][..],
        &["-N2"],
        &["--regexp", "-N2"],
        &["--recend", "\\n\\n", "-N1"],
        &["-L2"],
        &["-L1", "-N2"],
        &["--rrs", "--block", "3"],
        &["--rrs", "--header", ":"],
        &["--rrs", "-N1", "--header", "2"],
        &["--recstart", "\\n", "--block", "4"],
    ] {
        let words = [options, &["cat; echo \"== {#}\""]].concat();
        same(&[&words], "\n\na\n\n\nb");
    }
    // A header, and nothing behind it but what is taken out.
    for options in [
        &["--rrs", "--header", ":"][..],
        &["--rrs", "--header", "1", "-N1"],
        &["--header", ":"],
    ] {
        let words = [options, &["cat; echo \"== {#}\""]].concat();
        same(&[&words], "h\n\n");
    }
}

#[test]
fn a_header_is_what_a_pattern_matches() {
    let table = "#1\n#2\nhead,er\n1,2\n3,4\n";
    for header in ["(#.*\\n)*", "#.*\\n", "(.*\\n){3}", "head", "[#0-9]*"] {
        same(&[&["--header", header, "-N1", "cat; echo end"]], table);
    }
    same(
        &[&["--header", "(#.*\\n)*", "-N1", "cat; echo end"]],
        "#1\n",
    );
}

#[test]
fn nothing_is_lost_in_turns() {
    let numbers: String = (1..=5000).map(|n| format!("{n}\n")).collect();
    for words in [
        &["--pipe", "--round-robin"][..],
        &["--pipe", "--round", "--block", "1k"],
    ] {
        let words = [words, &["-j3", "cat"]].concat();
        Line::new(&words).stdin(numbers.clone()).any_order().same();
    }
}

#[test]
fn no_input_is_no_job() {
    Line::new(&["--pipe", "cat; echo x"]).same();
}
