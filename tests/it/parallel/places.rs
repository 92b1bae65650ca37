//! `orchestrator parallel`: places for the line, and what else they are written like.

use super::Line;

const PATHS: &str = "dir/sub/file.tar.gz\nplain\n.hidden\na.b/c\n/\n/root.x\ndir/\nwith blank.txt\n\
                     a.b.c.d.e\n./x.y\n../up.z\n";

fn same(lines: &[&[&str]], stdin: &str) {
    for words in lines {
        let words = [&["-k", "-j1"], *words].concat();
        Line::new(&words).stdin(stdin).same();
    }
}

#[test]
fn each_place_is_what_it_is_there() {
    same(
        &[
            &["echo {} {.} {/} {//} {/.} {#} {%}"],
            &["echo {1} {1.} {1/} {1//} {1/.} {-1} {-1.} {-1/}"],
            &["echo x{.}y '{/}' \"{//}\""],
        ],
        PATHS,
    );
    // Numbers that nothing has.
    same(
        &[&["echo {2}x"], &["echo {1} {3} {2/}."], &["echo '{-3}'{1}"]],
        "a b\nc.d\n",
    );
}

#[test]
fn counting_from_the_end_goes_round_once() {
    same(
        &[
            &["-N3", "echo x{-1}x x{-2}x x{-3.}x x{-4}x x{-6/}x x{-7}x"],
            &[
                "-N2", "-q", "printf", "<%s>", "{-2}", "{-3}", "{3}", "{3}x", "{}",
            ],
            &["-N2", "--tagstring", "{-2}", "echo"],
            // One value is one word, whatever stands beside the command.
            &["--tagstring", "{2}{1}", "[ {} = f ] && echo {1} || echo no"],
            &["echo {-2}"],
        ],
        "a/b.c\nd.e\nf\ng\n",
    );
}

#[test]
fn more_places_come_with_plus() {
    same(
        &[
            &["--plus", "echo {..} {...} {/..} {/...}"],
            &["--plus", "echo {+/} {+.} {+..} {+...}"],
            &["--plus", "echo {:-none} {:2} {:1:3}"],
            &["--plus", "echo {#dir/} {##d.*r} {%.gz} {%%[.].*}"],
            &["--plus", "echo {/a/A} {//a/A}"],
            &["--plus", "echo {^d} {^^a} {,D} {,,A}"],
        ],
        "dir/sub/file.tar.gz\naaa\nDIR\n.x\n",
    );
    same(&[&["--plus", "echo '{:-none}'x"]], "\nyes\n");
    let numbers: String = (1..=11).map(|n| format!("{n}\n")).collect();
    same(
        &[
            &["--plus", "echo {#}/{##} x{0#}"],
            &["--plus", "-N2", "-q", "echo", "{0#}", "{##}", "{}"],
            &[
                "--plus",
                "--tagstring",
                "{0#}of{##}",
                "--results",
                "{0#}",
                "echo",
            ],
            &["--plus", "--dry-run", "echo {0#} {##} {}"],
        ],
        &numbers,
    );
}

#[test]
fn places_may_be_written_in_another_way() {
    same(
        &[
            &["-I", "%", "echo % {}"],
            &["-I%", "echo", "a"],
            &["-I", ",,", "echo ,,.x"],
            &["-i@", "echo @"],
            &["--replace=@", "echo @ {.}"],
            &["-I", "@", "@"],
            &["--er", "%.", "echo %. {}"],
            &["--extensionreplace", "@e", "--bnr", "@b", "echo @e @b"],
            &[
                "--dnr",
                "@d",
                "--bner",
                "@n",
                "--seqreplace",
                "@s",
                "echo @d @n @s",
            ],
            &["--slotreplace", "@t", "echo @t"],
        ],
        "echo\na/b.c\n",
    );
}
