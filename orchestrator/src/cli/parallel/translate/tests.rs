use super::super::scan::options;
use super::*;

fn translated(words: &[&str]) -> Result<Vec<String>, String> {
    let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let (given, command) = options(words).map_err(|message| message.to_string())?;
    let words = translate(given, &command, None).map_err(|message| message.to_string())?;
    let text = |word| String::from_utf8(word).unwrap();
    Ok(words.into_iter().map(text).collect())
}

fn same(cases: &[(&[&str], &[&str])]) {
    for (theirs, ours) in cases {
        let ours: Vec<String> = ours.iter().map(|&word| word.into()).collect();
        assert_eq!(translated(theirs), Ok(ours), "{theirs:?}");
    }
}

#[test]
fn the_words_of_a_command_are_a_text_unless_they_are_quoted() {
    same(&[
        (
            &["-kj4", "gzip", "-9"],
            &["--keep-order", "--jobs=4", "--shell-command=gzip -9"],
        ),
        (
            &["-q", "printf", "%s\n", "a b"],
            &["--", "printf", "%s\n", "a b"],
        ),
        (&["-q"], &["--", "{}"]),
        (&["--", "-x"], &["--shell-command=-x"]),
        (&[], &[]),
        (&["{} "], &[]),
        (&[" {}"], &["--shell-command= {}"]),
        (&["", "{}"], &["--shell-command= {}"]),
        (&[""], &["--shell-command="]),
    ]);
}

#[test]
fn the_last_of_the_same_options_holds() {
    same(&[
        (
            &["-j2", "-k", "-j", "-1", "x"],
            &["--keep-order", "--jobs=-1", "--shell-command=x"],
        ),
        (&["-k", "--nok", "x"], &["--shell-command=x"]),
        (&["--timeout=3", "--timeout=0", "x"], &["--shell-command=x"]),
        (
            &["--env=A", "--env=B", "x"],
            &["--env=A", "--env=B", "--shell-command=x"],
        ),
    ]);
}

#[test]
fn values_have_the_notation_of_run() {
    same(&[
        (
            &["--will-cite", "--gnu", "--eta", "--progress", "x"],
            &["--eta", "--bar", "--shell-command=x"],
        ),
        (&["--retries=3", "x"], &["--retries=2", "--shell-command=x"]),
        (
            &["--retries=0", "x"],
            &["--retries=4294967295", "--shell-command=x"],
        ),
        (
            &["--timeout=1m2.5s", "x"],
            &["--timeout=62.5", "--shell-command=x"],
        ),
        (
            &["--halt", "now,fail,2", "x"],
            &["--halt=now,fail=2", "--shell-command=x"],
        ),
        (&["--halt", "-1", "x"], &["--halt=-1", "--shell-command=x"]),
        (
            &["--max-lines=1k", "x"],
            &["-L=1000", "--xargs", "--shell-command=x"],
        ),
        (&["-l0", "x"], &["-L=1", "--xargs", "--shell-command=x"]),
    ]);
}

#[test]
fn options_bring_others_along() {
    same(&[
        (
            &["-C,", "x"],
            &["--colsep=,", "--trim=lr", "--shell-command=x"],
        ),
        (
            &["--trim=n", "-C,", "x"],
            &["--trim=n", "--colsep=,", "--shell-command=x"],
        ),
        (
            &["--header", ":", "x"],
            &["--header=:", "--colsep=\\t", "--shell-command=x"],
        ),
        (
            &["--header", ":", "--csv", "x"],
            &["--header=:", "--csv", "--shell-command=x"],
        ),
        (&["-x", "x"], &["--shell-command=x"]),
        (
            &["--pipe", "-x", "-N2", "x"],
            &["--pipe", "-N=2", "--shell-command=x"],
        ),
        (
            &["--pipe", "-n2", "x"],
            &["--pipe", "-N=2", "--shell-command=x"],
        ),
        (
            &["-s9", "x"],
            &["--max-chars=9", "--max-args=1", "--shell-command=x"],
        ),
        (&["--block=1k", "--regexp", "x"], &["--shell-command=x"]),
        (&["-d:", "-0", "x"], &["--delimiter=:", "--shell-command=x"]),
        (&["-0", "-d:", "x"], &["--delimiter=:", "--shell-command=x"]),
        (
            &["--round", "--pipe", "x"],
            &["--round-robin", "--pipe", "--shell-command=x"],
        ),
        (&["--round", "x"], &["--shell-command=x"]),
        (
            &["--joblog=+log", "x"],
            &["--joblog=log", "--shell-command=x"],
        ),
        (
            &["--arg-sep", ",,", "-q", "x", ",,", "a"],
            &["--arg-sep=,,", "--", "x", ",,", "a"],
        ),
    ]);
}

#[test]
fn the_shell_that_is_named_reads_the_text() {
    let named = |words: &[&[u8]]| {
        translate(
            Vec::new(),
            &words.iter().map(|word| word.to_vec()).collect::<Vec<_>>(),
            Some(b"bash"),
        )
    };
    assert_eq!(
        named(&[b"x"]),
        Ok(vec![
            b"--shell=bash".to_vec(),
            b"--shell-command=x".to_vec()
        ])
    );
}

#[test]
fn what_is_not_offered_is_refused_in_a_line() {
    for (words, what) in [
        (
            &["-S", "host", "x"][..],
            "-S is not offered: `orchestrator run --hosts",
        ),
        (
            &["--semaphore", "x"],
            "--semaphore is not offered: there is no semaphore: `flock",
        ),
        (
            &["--retries", "x", "x"],
            "--retries `x`: a number of attempts is wanted",
        ),
        (
            &["--timeout", "x", "x"],
            "--timeout `x`: seconds are wanted",
        ),
        (&["--timeout", "", "x"], "--timeout ``: seconds are wanted"),
        (
            &["--timeout", "1.2.3", "x"],
            "--timeout `1.2.3`: seconds are wanted",
        ),
        (
            &["--arg-sep", "::::", "x"],
            "--arg-sep `::::`: a text that begins no other list",
        ),
        (
            &["--colsep", "(,|;)", "x"],
            "--colsep `(,|;)`: what stands in a group would be a column",
        ),
        (
            &["--max-lines=2x", "x"],
            "--max-lines `2x`: a number is wanted",
        ),
        (&["-n", "1x", "x"], "-n `1x`: a number is wanted"),
        (
            &["-n", "99999999999p", "x"],
            "-n `99999999999p`: a number is wanted",
        ),
    ] {
        let said = translated(words).unwrap_err();
        assert!(said.starts_with(&format!("error: {what}")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
