//! `--pipe` beside GNU parallel's.

use super::Line;

/// The same options for both, and a text that shows where its input ends.
fn same(options: &[&str], stdin: impl Into<Vec<u8>>) {
    let text = "cat; echo \"== {#}\"";
    let theirs = [&["--pipe", "-k"], options, &[text]].concat();
    let ours = [&["run", "-q", "--pipe", "-k"], options, &["-c", text]].concat();
    Line::new(&theirs).ours(&ours).stdin(stdin).same();
}

fn numbers(to: u32) -> String {
    (1..=to).map(|n| format!("{n}\n")).collect()
}

#[test]
fn blocks_have_the_same_size() {
    for block in ["1k", "1K", "1.5k", "700", "20k"] {
        same(&["--block", block], numbers(3_000));
    }
    same(&[], numbers(300_000));
    same(&["--recend", "", "--block", "4"], numbers(10));
    same(&[], "");
}

#[test]
fn records_are_counted_and_may_have_several_lines() {
    same(&["-N3"], numbers(7));
    same(&["-N1"], "a\nb c\nd");
    same(&["-L2", "--block", "5"], numbers(7));
    same(&["-L2", "-N2"], numbers(9));
    same(&["-L4", "--block", "1k"], numbers(2_000));
}

#[test]
fn records_end_and_begin_with_any_text() {
    same(&["--recend", ";", "--block", "3"], "a;b;c;d");
    same(&["--recend", "\\t", "-N2"], "a\tb\tc");
    same(&["--recstart", ">", "-N1"], "pre\n>a\nx\n>b\ny\n>c\n");
    same(
        &["--recstart", ">", "--recend", "\\n", "-N1"],
        ">a\nx>\n>b\ny\n>c\n",
    );
    same(
        &["--recstart", ">", "--block", "300"],
        ">some\nlines>\n".repeat(100),
    );
    same(
        &["--recend", "--", "--block", "300"],
        "records--of\ntext--".repeat(100),
    );
}

#[test]
fn records_end_and_begin_with_what_a_pattern_matches() {
    same(&["--regexp", "--recend", "[0-9]+", "-N1"], "a12b345c6d");
    same(&["--regexp", "--recstart", "[A-Z]", "-N1"], "xAyBzC");
    same(
        &["--regexp", "--recstart", "[A-Z]", "--recend", "\\n", "-N2"],
        "Ab\nc\nD\nE\nf\nG",
    );
}

#[test]
fn separators_are_taken_out() {
    same(&["--rrs", "--recend", ";", "-N2"], "a;b;c;d;");
    same(&["--rrs", "--recstart", ">", "-N2"], "pre>a>b>c>");
    same(
        &["--rrs", "--recstart", ">", "--recend", "\\n", "-N2"],
        ">a\n>b\n>c\n>d\n",
    );
    same(&["--rrs", "-N1"], "a\nb\n");
    same(
        &["--rrs", "--regexp", "--recend", "[0-9]+", "-N2"],
        "a12b345c6d",
    );
}

#[test]
fn a_header_stands_before_each_block() {
    let table = format!("a,b\n{}", numbers(9));
    for options in [
        &[][..],
        &["-N2"],
        &["-N1"],
        &["--block", "5"],
        &["--rrs", "-N3"],
        &["--recend", "4\\n", "-N1"],
    ] {
        same(&[&["--header", ":"], options].concat(), &table[..]);
    }
    same(&["--header", "1", "-N2"], &table[..]);
    for options in [&[][..], &["--block", "5"], &["--rrs", "-N3"]] {
        same(&[&["--header", "3"], options].concat(), &table[..]);
    }
    // Of too few lines none is a header, and of a header alone there is no job.
    for table in ["a\n", "a\nb", "a\nb\n"] {
        same(&["--header", "2", "-N1"], table);
    }
}

#[test]
fn a_round_gives_one_record_after_the_other() {
    let text = "cat; echo \"== {#}\"";
    let options = ["--pipe", "--round-robin", "-N1", "-j3", "-k"];
    Line::new(&[&options[..], &[text]].concat())
        .ours(&[&["run", "-q"], &options[..], &["-c", text]].concat())
        .stdin(numbers(10))
        .same();
    // How many each reads is nobody's choice; together it is everything.
    let options = ["--pipe", "--round-robin", "-j2"];
    let line = Line::new(&[&options[..], &["wc -l"]].concat())
        .ours(&[&["run", "-q"], &options[..], &["--", "wc", "-l"]].concat())
        .stdin(numbers(500_000));
    let (ours, theirs) = line.both();
    for done in [Some(ours), theirs].into_iter().flatten() {
        let counts = done
            .stdout()
            .lines()
            .map(|n| n.trim().parse::<u32>().unwrap());
        assert_eq!((done.code(), counts.sum::<u32>()), (0, 500_000));
    }
}

#[test]
fn a_command_that_stops_reading_has_not_failed() {
    let line = Line::new(&["--pipe", "-k", "head -n1"])
        .ours(&["run", "-q", "--pipe", "-k", "--", "head", "-n1"]);
    let (ours, theirs) = line.stdin(numbers(1_000_000)).both();
    assert_eq!((ours.code(), &ours.stderr[..]), (0, ""));
    if let Some(theirs) = theirs {
        assert_eq!(ours.stdout(), theirs.stdout());
    }
}
