//! Places, beside those of GNU parallel.

use super::super::templates::RENAMED;
use super::Line;

/// Names of files, and other values, of which nothing means something to a shell that
/// GNU parallel would read.
const VALUES: &str = "dir/file.tar.gz\nsub.dir/file\nfile\n/file.c\n.bashrc\n.bash.x\na/.b.c\nfoo.\na.b.c.d.e\n\
                      x y.z\naAbBaAbB\nabababa\n12345678\n/\n-n.o\n";

#[track_caller]
fn same(options: &[&str], places: &[&str]) {
    // In brackets, so that blanks at the ends are seen.
    let texts = places.iter().enumerate();
    let texts: Vec<String> = texts
        .map(|(n, place)| format!("printf '{n} [%s]\\n' \"<\"{place}\">\""))
        .collect();
    let text = texts.join("; ");
    let line = [&["-k", "-j1"], options, &[&text]].concat();
    Line::new(&line).stdin(VALUES).same();
}

#[test]
fn plain_places_are_those_of_gnu_parallel() {
    same(
        &[],
        &[
            "{}", "{.}", "{/}", "{//}", "{/.}", "{#}", "{%}", "{1}", "{-1}", "{1.}", "{-1/}",
            "{1//}", "{1/.}",
        ],
    );
}

#[test]
fn places_of_plus_are_those_of_gnu_parallel() {
    let places = [
        "{..}", "{...}", "{+/}", "{+..}", "{+...}", "{/..}", "{/...}", "{slot}", "{1..}", "{1+/}",
    ];
    same(&["--plus"], &places);
}

#[test]
fn a_dot_in_a_directory_begins_no_extension() {
    // There, GNU parallel's `{+.}` is what comes behind it; but then `{.}.{+.}` is not `{}`.
    let text = "printf '<%s>' a{.} b{+.}";
    let (ours, theirs) = Line::new(&["--plus", text])
        .ours(&["run", "-q", "--plus", "-c", text])
        .stdin("a.b/c\n")
        .both();
    assert_eq!(ours.stdout(), "<aa.b/c><b>");
    if let Some(theirs) = theirs {
        assert_eq!(theirs.stdout(), "<aa.b/c><bb/c>");
    }
}

#[test]
fn changes_of_plus_are_those_of_gnu_parallel() {
    let places = [
        "{:-dflt}",
        "{:2}",
        "{:2:3}",
        "{:0:2}",
        "{:20}",
        "{#a.*b}",
        "{##a.*b}",
        "{%b.*b}",
        "{%%b.*b}",
        "{%a}",
        "{#a}",
        "{/a+/x}",
        "{/[ab]b/x}",
        "{//ab/x}",
        "{//b/}",
        "{/b/}",
        "{^a}",
        "{^^a}",
        "{^[ab]}",
        "{^^[ab]}",
        "{,A}",
        "{,,A}",
        "{,,[AB]}",
        "{1:2}",
        "{1#a}",
        "{-1/a/x}",
        "{1^a}",
    ];
    same(&["--plus"], &places);
}

#[test]
fn renamed_places_are_those_of_gnu_parallel() {
    same(
        &RENAMED,
        &[
            ",,", ",.", "@b", "@d", "@n", "@s", "@w", "{}", "{.}", "{/}", "{1}",
        ],
    );
}
