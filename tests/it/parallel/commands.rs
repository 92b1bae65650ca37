//! `orchestrator parallel`: what is run for a line.

use super::Line;

/// The same for each of these command lines, in the order of the input.
fn same(lines: &[&[&str]], stdin: &str) {
    for words in lines {
        let words = [&["-k"], *words].concat();
        Line::new(&words).stdin(stdin).same();
    }
}

#[test]
fn words_are_joined_and_are_a_shells_text() {
    same(
        &[
            &["echo"],
            &["echo", "x  y", "{}", "$HOME_OF_NOBODY", "*"],
            &["echo {} | tr a-z A-Z"],
            &["echo", "{}", "|", "tr", "a-z", "A-Z"],
            &["echo", "{}{}", "'{'", "{ }", "\\;", ";", "echo", "last"],
            &["echo 'single' \"double $((1 + 2))\" `echo three` $(echo four) {}"],
            &["X={}; printf '%s\\n' \"$X\""],
            &["for i in 1 2; do echo $i {}; done"],
            &["true && echo yes {} || echo no"],
            &[
                "if", "test", "{}", "=", "one;", "then", "echo", "it is;", "fi",
            ],
            &["cat <<E\nhere\nE\necho"],
            &["# only a comment\necho {}"],
            &["--", "echo", "-k", "--"],
            &[" echo "],
        ],
        "one\ntwo words\n",
    );
}

#[test]
fn places_in_the_text_are_the_line_and_its_parts() {
    same(
        &[
            &["echo {} {.} {/} {//} {/.} {#}"],
            &["echo", "{/.}.out", "a{}b", "{//}/{/}"],
            &["echo -- {.} '|' {/}"],
        ],
        "dir/sub/file.tar.gz\nplain\n.hidden\na.b/c\n/\n/root.x\ndir/\nwith blank.txt\n",
    );
}

#[test]
fn what_is_no_place_there_is_text_and_a_backslash_hides_none() {
    same(&[&["echo {path} {2path}"], &["echo '{path}'"]], "a b\n");
    same(
        &[
            &["echo \\{}"],
            &["echo x\\{} {}"],
            &["echo \\\\{}"],
            &["printf %s \"\\{}\""],
        ],
        "ab\n",
    );
    // A blank before it, and it is a word.
    same(&[&[" {}"], &["", "{}"], &["{} "]], "true\n");
    let ours = Line::new(&[" {}"]).stdin("echo a\n").alone();
    assert_eq!((ours.code(), ours.stdout()), (1, ""));
}

#[test]
fn a_dry_run_shows_the_text_with_its_values() {
    same(
        &[
            &["--dry-run", "gzip -9"],
            &["--dry-run", "sort {} | uniq -c > {.}.out"],
            &["--dry-run", "-n2", "echo"],
        ],
        "a b.c\nit's\n$x\n",
    );
    same(&[&["--dry-run"]], "echo a 'b  c'\nls | wc -l\n");
    same(&[&["--dry-run", "-q", "printf", "%s-{}"]], "a b.c\n$x\n");
    // There, a second line would run where the first one has gone.
    let line = Line::new(&["-k", "--dry-run", "cd {} && make"]).stdin("a\n");
    let ours = line.alone();
    assert_eq!(ours.stdout(), "sh -c 'cd \"${1}\" && make' sh a\n");
    for shell in ["/bin/bash", "/bin/dash"] {
        let line = Line::new(&["-k", "--dry-run", "gzip -9 {} > {.}.gz"]).stdin("a b.c\n");
        line.env("PARALLEL_SHELL", shell).same();
    }
}

#[test]
fn without_a_place_the_line_comes_last() {
    same(&[&["echo a"], &["echo a;", "echo b"]], "x y\n\n  z  \n");
}

#[test]
fn a_line_is_one_argument_as_it_is() {
    let nasty = "two  blanks\n\ttab\n'single'\n\"double\"\n$HOME\n`echo x`\n$(echo x)\n;echo x\n\
                 *\n~\n\\\\\n\\n\n#no\n-n\n--\n!x\n{}\n{.}\n&\n|\n<x\n>x\n(x)\n[a]\n%s\nü\n";
    same(
        &[&["printf '<%s>\\n' {} x{}y"], &["printf '<%s>\\n'"]],
        nasty,
    );
    let zeros = nasty.replace('\n', "\0") + "two\nlines\0";
    same(
        &[
            &["-0", "printf '<%s>\\n' {}"],
            &["--null", "printf '<%s>\\n'"],
        ],
        &zeros,
    );
}

#[test]
fn bytes_that_are_no_text_arrive() {
    let line = Line::new(&["-k", "printf '<%s>\\n' {} | od -c"]);
    line.stdin(b"\xff\xfe\n\xc3\n".to_vec()).same();
}

#[test]
fn the_last_line_needs_no_end_and_an_empty_input_no_job() {
    for stdin in ["", "\n", "a", "a\n", "a\n\n", "\n\na"] {
        same(&[&["echo <{}>.txt '>'{}'<'"], &["echo [{}]"]], stdin);
    }
}

#[test]
fn without_a_command_lines_are_commands() {
    let commands =
        "echo 1\necho 2 | cat\n\necho '{}' {} $((1+2))\nexit 3\nX=5; echo $X # {}\nfalse\n";
    same(&[&[], &["{}"], &["--"], &["-j4"]], commands);
}

#[test]
fn quoted_words_stay_words() {
    same(
        &[
            &["-q", "echo", "$HOME", "*", "x  y", "", "{}", ";"],
            &["-q", "printf", "<%s>\\n", "a b", "{}", "{.}x"],
            &["--quote", "printf", "<%s>\\n"],
        ],
        "one\ntwo  words.txt\n$HOME\n",
    );
}

#[test]
fn jobs_see_no_input_and_the_callers_surroundings() {
    let text = "cat; echo $greeting; pwd | sed 's,.*/,,' | grep -c .; cat {}";
    let line = Line::new(&["-k", text]).stdin("a\nb\n");
    line.file("a", "alpha\n")
        .file("b", "beta\n")
        .env("greeting", "hello  you")
        .same();
}

#[test]
fn jobs_know_their_number_and_slot_and_who_runs_them() {
    let text = "echo $PARALLEL_SEQ $PARALLEL_JOBSLOT; kill -0 $PARALLEL_PID && echo";
    same(&[&["-j1", text]], "a\nb\nc\n");
    let block = "echo $PARALLEL_SEQ $PARALLEL_JOBSLOT; cat";
    same(&[&["-j1", "--pipe", "-N2", block]], "a\nb\nc\n");
}

#[test]
fn files_that_jobs_make_are_there() {
    Line::new(&["-j4", "echo {} > {}.made; mkdir {.}.d; mv {}.made {.}.d"])
        .stdin("a.x\nb.y\nc\n")
        .same();
}
