use proptest::prelude::*;

use super::super::super::item::Fields;
use super::*;

/// The text that the shell gets, or what is wrong with the one that was given.
fn parsed(text: &str) -> Result<String, String> {
    let parsed = ShellText::parse(text.as_bytes(), &Places::default(), Dialect::default());
    let text = |found: ShellText| String::from_utf8(found.text).unwrap();
    parsed.map(text).map_err(|fault| fault.what())
}

fn values(text: &str, line: &str) -> Vec<String> {
    let text = ShellText::parse(text.as_bytes(), &Places::default(), Dialect::default()).unwrap();
    let values = text
        .fill(Item::value(line.as_bytes()), 7)
        .1
        .words
        .into_iter();
    values.map(|v| String::from_utf8(v).unwrap()).collect()
}

#[test]
fn f122_a_place_becomes_a_parameter_in_whatever_quotes_it_stands() {
    for (text, becomes) in [
        ("cat {} | wc", r#"cat "${1}" | wc"#),
        (r#"echo "a {} b""#, r#"echo "a ${1} b""#),
        ("echo 'a {} b'", r#"echo 'a '"${1}"' b'"#),
        ("a{}5{}", r#"a"${1}"5"${1}""#),
        (r#"echo "{}5 $x{}""#, r#"echo "${1}5 $x${1}""#),
        // Quotes begin afresh within a substitution, wherever that stands.
        (r#"echo "$(cat {})""#, r#"echo "$(cat "${1}")""#),
        (
            r#"x="$(a "{}" '{}')" {}"#,
            r#"x="$(a "${1}" ''"${1}"'')" "${1}""#,
        ),
        ("(cd {} && ls)", r#"(cd "${1}" && ls)"#),
        ("cd {} && { ls; } > {}", r#"cd "${1}" && { ls; } > "${1}""#),
        // Backslashes.
        (r"echo \'{}", r#"echo \'"${1}""#),
        (r#"echo "\"{}""#, r#"echo "\"${1}""#),
        (r"echo '\'{}", r#"echo '\'"${1}""#),
        (r#"echo '"'{}'"'"#, r#"echo '"'"${1}"'"'"#),
        ("cat \\\n{}", "cat \\\n\"${1}\""),
        // Comments have no quotes, and `#` is not always one.
        ("a # don't {}\ncat {}", "a # don't {}\ncat \"${1}\""),
        ("echo a#'{}'", r#"echo a#''"${1}"''"#),
        ("echo $# {}", r#"echo $# "${1}""#),
        // Other kinds of braces.
        ("echo ${x} ${x#'a b'} {}", r#"echo ${x} ${x#'a b'} "${1}""#),
        (
            r#"echo "${x:-$(cat 'a')}" {}"#,
            r#"echo "${x:-$(cat 'a')}" "${1}""#,
        ),
        (
            "echo $((1 + (2 * x))) {}",
            r#"echo $((1 + (2 * x))) "${1}""#,
        ),
        ("echo `date` {}", r#"echo `date` "${1}""#),
        ("echo ${path} ${#} {path}", r#"echo ${path} ${#} "${2}""#),
        ("echo {a,b} {}", r#"echo {a,b} "${1}""#),
        (
            "cat <<E - {}\nit's\nE\nls {}",
            "cat <<E - \"${1}\"\nit's\nE\nls \"${1}\"",
        ),
        (
            "cat <<-'E' {}\n\t\"\n\tE\nls {}",
            "cat <<-'E' \"${1}\"\n\t\"\n\tE\nls \"${1}\"",
        ),
        (
            "case {} in a) x;; *) y {};; esac",
            r#"case "${1}" in a) x;; *) y "${1}";; esac"#,
        ),
        (
            "for x in {} b; do ls {}; done",
            r#"for x in "${1}" b; do ls "${1}"; done"#,
        ),
        ("x={}; ls \"$x\"", r#"x="${1}"; ls "$x""#),
        ("export x={} y=1", r#"export x="${1}" y=1"#),
        ("2>{} x 2>&1", r#"2>"${1}" x 2>&1"#),
    ] {
        assert_eq!(parsed(text).as_deref(), Ok(becomes), "{text}");
    }
}

#[test]
fn the_first_parameter_is_the_line_and_each_other_place_has_its_own() {
    assert_eq!(values("cat {}", "a/b.c"), ["a/b.c"]);
    assert_eq!(
        parsed("cp {/} {.} {/} \"$1\" {}").unwrap(),
        r#"cp "${2}" "${3}" "${2}" "$1" "${1}""#
    );
    assert_eq!(
        values("cp {/} {.} {/} \"$1\" {}", "a/b.c"),
        ["a/b.c", "b.c", "a/b"]
    );
    assert_eq!(
        values("x {#} {//} {/.} {path}", "-a/b.c"),
        ["-a/b.c", "7", "-a", "b", "./-a/b.c"]
    );
}

#[test]
fn braces_behind_a_backslash_are_text() {
    for (text, becomes) in [
        (r"find {} -exec ls \{} +", r#"find "${1}" -exec ls \{} +"#),
        (r#"echo "\{} {}""#, r#"echo "{} ${1}""#),
        (r"echo '\{/} {}'", r#"echo '{/} '"${1}"''"#),
        (r"echo \\{}", r#"echo \\"${1}""#),
        (r#"echo "\${}""#, r#"echo "\$${1}""#),
        (r"echo \{%} {}", r#"echo \{%} "${1}""#),
    ] {
        assert_eq!(parsed(text).as_deref(), Ok(becomes), "{text}");
    }
}

#[test]
fn a_simple_command_takes_the_line_as_its_last_word() {
    for (text, becomes) in [
        ("wc -c", r#"wc -c "${1}""#),
        (r#"x=1 wc 'a;b' "|" \;"#, r#"x=1 wc 'a;b' "|" \; "${1}""#),
        ("echo $(date; ls) `a;b`", r#"echo $(date; ls) `a;b` "${1}""#),
        ("awk '{print $1}'", r#"awk '{print $1}' "${1}""#),
        // It speaks of its parameters itself.
        ("cat \"$1\" | wc", "cat \"$1\" | wc"),
        ("shift; x", "shift; x"),
        ("cat <<E\n$1\nE", "cat <<E\n$1\nE"),
        ("echo `ls $1`", "echo `ls $1`"),
        ("echo $((${1} + 1))", "echo $((${1} + 1))"),
        ("eval \"$1\"", "eval \"$1\""),
        (
            "f() { ls \"$1\"; }; f \"$1\"",
            "f() { ls \"$1\"; }; f \"$1\"",
        ),
    ] {
        assert_eq!(parsed(text).as_deref(), Ok(becomes), "{text}");
    }
    for speaks in [
        "$1", "${1%x}", "$@", "\"$*\"", "$#", "${#}", "${@}", "${#1}", "${!1}",
    ] {
        let text = format!("a; echo {speaks}");
        assert_eq!(parsed(&text), Ok(text.clone()));
    }
}

#[test]
fn a_text_without_a_place_for_the_line_is_refused() {
    for text in [
        "",
        " ",
        "a; b",
        "a | b",
        "a & b",
        "(a)",
        "{ a; }",
        "a > b",
        "a < b",
        "a # b",
        "a\nb",
        "x=1",
        "awk '{print $1}' | wc",
        "echo $0 $x | wc",
        "a \\",
        "echo '$1' \\$1 | cat",
    ] {
        let said = "there is no place for the line in the shell text";
        assert_eq!(parsed(text), Err(said.into()), "{text}");
    }
}

/// Checks that a text is refused for this reason, and where.
#[track_caller]
fn refused(text: &str, shown: &str, why: &str) {
    let fault = match ShellText::parse(text.as_bytes(), &Places::default(), Dialect::default()) {
        Ok(found) => panic!("{text} becomes {}", String::from_utf8_lossy(found.text())),
        Err(fault) => fault,
    };
    assert_eq!(String::from_utf8_lossy(&fault.shown), shown, "{text}");
    assert!(text[fault.at..].starts_with(shown), "{text}");
    let said = fault.what();
    assert!(said.contains(why), "{text}: {said}");
    assert!(!fault.tip().is_empty());
}

#[test]
fn places_where_the_line_would_not_stay_data_are_refused() {
    for (text, why) in [
        ("echo $(({} + 1))", "arithmetic"),
        ("echo $(( $(cat {}) + 1 ))", "arithmetic"),
        ("echo \"$((1+{}))\"", "arithmetic"),
        ("echo ${}", "${…}"),
        ("echo \"${}\"", "${…}"),
        ("echo ${x:-{}}", "${…}"),
        ("echo ${x:-$(cat {})}", "${…}"),
        ("echo `cat {} \\`date\\``", "backticks"),
        ("echo \"`cat \"{}\"`\"", "backticks"),
        ("echo $'a {}'", "dollar sign"),
        ("echo $\"a {}\"", "dollar sign"),
        ("cat <<E\na {}\nE", "here-document"),
        ("cat <<'E'\na\n{}\nE\nls", "here-document"),
        ("eval 'ls {}'", "program text by `eval`"),
        ("eval \"$(ls {})\"", "program text"),
        ("x && command eval {}", "program text"),
        ("command -p eval {}", "program text"),
        ("trap 'rm {}' EXIT", "program text"),
        ("alias x={}", "program text"),
        ("let x={}", "program text"),
        ("if let {}; then x; fi", "program text"),
        ("compgen -W {}", "program text"),
        ("watch 'ls {}'", "program text"),
        ("read {}", "name of a variable"),
        ("unset {}", "name of a variable"),
        ("export {}", "name of a variable"),
        ("readonly {}=1", "name of a variable"),
        ("a[{}]=1", "name of a variable"),
        ("RANDOM={}", "value of a variable"),
        ("export HISTCMD={}; ls", "value of a variable"),
        ("PS4={} sh x", "value of a variable"),
        ("for RANDOM in {}; do x; done", "value of a variable"),
        ("printf {} a", "printf"),
        ("printf -v {} a", "printf"),
        ("printf -v{} a", "printf"),
        ("printf -{} a", "printf"),
        ("export a{}=1", "name of a variable"),
        ("[ -v {} ]", "for a test"),
        ("test a = b -o -v {}", "for a test"),
        ("ssh host cat {}", "another machine"),
        ("ssh -p 22 -- host 'cat {}'", "another machine"),
    ] {
        refused(text, "{}", why);
    }
    refused("[ {//} {/} ]", "{/}", "for a test");
    refused("{//} {/}", "{//}", "names the command");
    refused("exec {//} -x {/}", "{//}", "names the command");
    refused("ev{//} {/}", "{//}", "names the command");
    refused("[ -{//} {/} ]", "{/}", "for a test");
    refused("{//}>f {/}", "{//}", "names the command");
    refused("{//}5>f {/}", "{//}", "names the command");
    refused("echo `x` $(({.}))", "{.}", "arithmetic");
    refused("echo '{= x =}'", "{= x =}", "is Perl");
    refused("su {//} {/}", "{/}", "text of another shell");
}

#[test]
fn the_program_text_of_another_shell_has_no_place() {
    for text in [
        "sh -c 'echo {}'",
        "sh -c {}",
        "sh -c \"echo {}\" x",
        "sh -c \"$(cat {})\"",
        "/usr/bin/bash -ec 'echo {}'",
        "bash -o pipefail -c 'echo {}'",
        "bash -c -o pipefail 'echo {}'",
        "bash --norc --rcfile x -c 'echo {}'",
        "dash +x -c -- 'echo {}'",
        "'ba'sh \\-c 'echo {}'",
        "b\\\nash -c 'echo {}'",
        "zsh -{} x",
        "ksh -c 'echo '{}",
        "busybox sh -c 'echo {}'",
        "env -i X=1 sh -c 'echo {}'",
        "find . -exec sh -c 'echo {}' \\;",
        "ls | xargs -n1 sh -c 'echo {}'",
        "a && sudo -u x bash -lc 'echo {}'",
        "x=$(sh -c 'echo {}')",
        "\"$SHELL\" -c 'echo {}'",
        "${SHELL} -c 'echo {}'",
        "$0 -c 'echo {}'",
        "su -c 'ls {}' me",
        "su me -c 'ls {}'",
        "flock x -c 'ls {}'",
        "su me --command='ls {}'",
        "fish --command 'ls {}'",
        "./{} -c 'ls {}'",
        "su me -c'ls {}'",
        "S=bash; $S -c 'ls {}'",
    ] {
        refused(text, "{}", "text of another shell");
    }
    for in_doubt in [
        // `sh` could be the user's name, and the next one the shell.
        "sudo -u sh -c x sh {} {/}",
        "sh -c 'exec \"$@\"' sh bash {} {/}",
        "sh --norc -c x sh {} {/}",
    ] {
        refused(in_doubt, "{}", "options are looked for");
    }
    for fine in [
        "sh -c 'echo \"$1\"' sh {}",
        "sh -c 'cp \"$1\" \"$2\"' sh {} {.}.bak",
        "bash -euo pipefail -c 'cp \"$1\" \"$2\"' bash {} {/}",
        "sudo -u x sh -c 'echo \"$1\"' sh {#} {}",
        "bash {}",
        "bash -x {} a",
        "bash -- {} {}",
        "bash ./{} {}",
        "sh script.sh {} {/}",
        "sh script.sh -c {}",
        "find {} -exec sh -c 'ls \"$1\"' sh \\{} +",
        "gzip -c {}",
        "ls /bin/sh {}",
        "grep -c sh {}",
        "sh < {}",
        "cat {} | sh script",
        "which sh; cat {}",
        "trap 'rm -f \"$t\"' EXIT; t=$(mktemp); sort {} > \"$t\"",
        "set -e; set -o pipefail; set -eu -o errexit; cat {}",
        "ssh -p 22 -- {} uptime",
        "ssh host uptime > {}",
        "$CC -c {}",
        "printf '%s\\n' {} {/}",
        "printf -- {} x",
        "[ -f {} ] && [ {} = x ] && [ a = {} ] && [ ! -e {} ]",
        "./{} {}",
        "{} a",
        "x={} ls {}",
        "watch -n1 ls; cat {}",
    ] {
        assert!(parsed(fine).is_ok(), "{fine}: {:?}", parsed(fine));
    }
}

#[test]
fn text_whose_meaning_is_in_doubt_is_refused_when_it_has_a_place() {
    for (text, shown, why) in [
        ("echo $(case x in a) b;; esac) {}", "case", "within $(…)"),
        (
            "echo \"$( (case x in a) b;; esac))\" {}",
            "case",
            "within $(…)",
        ),
        ("[[ -f x ]] && ls {}", "[[", "not known"),
        ("((x)) && ls {}", "((", "arithmetic"),
        ("f() { ls; }; f {}", "(", "function"),
        ("f ( ) { ls; }; f {}", "(", "function"),
        ("function f { ls; }; f {}", "function", "function"),
        ("x=(a b); ls {}", "(", "not every shell"),
        ("ls @(a|b) {}", "(", "not every shell"),
        ("diff <(ls) {}", "(", "not every shell"),
        ("cat <<< x {}", "<<<", "not known"),
        ("set -- a; ls {}", "set", "positional parameters"),
        ("set a; ls {}", "set", "positional parameters"),
        ("set -o x y; ls {}", "set", "positional parameters"),
        ("shift; ls {}", "shift", "positional parameters"),
        ("declare -i x; ls {}", "declare", "make variables"),
        ("x={}; eval \"$x\"", "$x", "may come from the line"),
        ("x={}; sh -c \"ls $x\"", "ls $x", "may come from the line"),
        (
            "x={}; ssh host \"ls $x\"",
            "ls $x",
            "may come from the line",
        ),
        ("echo {} | sh", "sh", "piped into it"),
        ("echo {} | bash -e", "bash", "piped into it"),
        ("echo {} | sh -o errexit", "sh", "piped into it"),
        ("echo {} | sh /dev/stdin", "sh", "piped into it"),
        ("echo {} | at now", "at", "piped into it"),
        ("ssh -{} host", "-{}", "options"),
        ("echo {} | sudo -u x sh -s a", "sh", "piped into it"),
        ("sh {} {/}", "{}", "options"),
        ("bash $x {}", "$x", "options"),
        ("ssh {} ls; ls {}", "{}", "options"),
        ("echo $'a' $'\\'' {}", "\\'", "more than one way"),
        ("echo \"${x:-'}'}\" {}", "'", "more than one way"),
        ("echo $((a) {})", ")", "more than one way"),
        ("echo $[1] {}", "$[", "more than one way"),
        ("echo \"$\\\n{}\"", "\\", "more than one way"),
        ("cat <<\"a b\" {}\na b\n", "<<", "more than one way"),
        ("cat <<E {}\na\\\nE\nE", "\\", "more than one way"),
        ("cat <<E 'a\nb' {}\nE", "a", "more than one way"),
        ("echo $(cat <<E) {}", ")", "more than one way"),
    ] {
        // The quotes of a word are not part of what is shown.
        let fault =
            ShellText::parse(text.as_bytes(), &Places::default(), Dialect::default()).unwrap_err();
        let said = fault.what();
        assert!(said.contains(why), "{text}: {said}");
        assert!(!shown.is_empty());
        // Without a place it is the author's business.
        let without = text.replace("{}", "x").replace("{/}", "x") + "; \"$1\"";
        let without = ShellText::parse(without.as_bytes(), &Places::default(), Dialect::default());
        assert!(without.is_ok(), "{text}: {without:?}");
    }
}

#[test]
fn what_is_not_closed_is_refused_with_its_column() {
    for (text, at, shown) in [
        ("echo don't", 8, "'"),
        ("echo \"a", 5, "\""),
        ("echo $(a", 5, "$("),
        ("echo `a", 5, "`"),
        ("echo ${a", 5, "${"),
        ("echo $((1", 5, "$(("),
        ("echo $'a", 5, "$'"),
        ("echo {} 'a", 8, "'"),
        ("echo \"$(echo \"a)\"", 5, "\""),
        ("echo $(a # b)", 5, "$("),
    ] {
        let fault =
            ShellText::parse(text.as_bytes(), &Places::default(), Dialect::default()).unwrap_err();
        let column = at + 1;
        let said = format!("`{shown}` at column {column} is not closed");
        assert_eq!(fault.what(), said, "{text}");
        assert_eq!(fault.column(), Some(column));
    }
}

#[test]
fn backticks_end_where_the_next_one_is_whatever_is_open_in_them() {
    // The one that knows all of them.
    let bash = Dialect::of(b"bash", b"bash");
    for text in [
        "echo `(echo {} ` {}",
        "echo {} `(a `(b)` c)`",
        "echo `echo \"'\"'` {} '",
        "echo `echo '\"'\"` {} \"",
        "echo `echo $(echo ` {}",
        "echo `echo ${x:-` {}",
        "echo `[[ {} == ` ]]`",
    ] {
        let fault = ShellText::parse(text.as_bytes(), &Places::default(), bash).unwrap_err();
        let (at, _) = text.match_indices('`').nth(1).unwrap();
        let column = at + 1;
        let said =
            format!("``` at column {column} ends backticks in which something is not closed");
        assert_eq!(fault.what(), said, "{text}");
    }
    // Without places it is the shell's to say so.
    let text = ShellText::parse(b"echo `(`; $1", &Places::default(), bash);
    assert!(text.is_ok(), "{text:?}");
}

/// A piece of a text, and what must become of it.
fn piece() -> impl Strategy<Value = (String, String)> {
    let same = |text: &str| (text.to_owned(), text.to_owned());
    // No letters of which a name could be that means something.
    let bare = "[xyz0-9 ,.:/=+*?~-]{0,6}";
    let leaf = prop_oneof![
        bare.prop_map(move |text| same(&text)),
        Just(("{}".to_owned(), "\"${1}\"".to_owned())),
        // Nor an index, as in `a[{}`, which may be one of a variable.
        "[^'\\\\{}\\[]{0,8}".prop_map(move |text| same(&format!("'{text}'"))),
        "[^'\\\\{}\\[]{0,8}".prop_map(|text| (
            format!("'{text}{{}}{text}'"),
            format!("'{text}'\"${{1}}\"'{text}'")
        )),
        "[a-z'#;&|<>()!? ]{0,8}".prop_map(|text| (
            format!("\"{text}{{}}{text}\""),
            format!("\"{text}${{1}}{text}\"")
        )),
        Just(same("\\\"")),
        Just(same("\\'")),
        Just(same("\\\\")),
        Just(same("$x${x}")),
        Just(same("${x%'}'}")),
        Just(same("`a \\` '`")),
        Just(same("$((1 + (x)))")),
        Just(same(" # '\"`$(\nx ")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let several = prop::collection::vec(inner, 0..4).prop_map(|pieces| {
            let (texts, becomes): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
            (texts.concat(), becomes.concat())
        });
        prop_oneof![
            several.clone(),
            several.clone().prop_map(|(text, becomes)| (
                format!("$(x {text}\n)"),
                format!("$(x {becomes}\n)")
            )),
            several.prop_map(|(text, becomes)| (
                format!("\"$(x {text}\n)\""),
                format!("\"$(x {becomes}\n)\"")
            )),
        ]
    })
}

/// The text and the parameters for an item with these fields.
fn made(text: &str, repeats: bool, fields: &[&str]) -> (String, Vec<String>) {
    let places = Places {
        several: true,
        repeats,
        ..Places::default()
    };
    let text = match ShellText::parse(text.as_bytes(), &places, Dialect::default()) {
        Ok(text) => text,
        Err(fault) => panic!("{text}: {}", fault.what()),
    };
    let bytes = fields.join("\0");
    let how = if fields.is_empty() {
        Fields::None
    } else {
        Fields::Several
    };
    let (text, filled) = text.fill(Item::new(bytes.as_bytes(), how), 7);
    let string = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let parameters = filled.words.into_iter().map(string).collect();
    (string(text.into_owned()), parameters)
}

#[test]
fn several_fields_are_words_of_their_own_outside_of_quotes() {
    for (text, becomes) in [
        ("cat {}", r#"cat "$@""#),
        ("cat", r#"cat "$@""#),
        ("cat a{}b", r#"cat a"$@"b"#),
        (r#"cat "a {} b""#, r#"cat "a ${1} ${2} b""#),
        ("cat 'a {} b'", r#"cat 'a '"${1} ${2}"' b'"#),
        (
            "x={} cat {} > {}",
            r#"x="${1} ${2}" cat "$@" > "${1} ${2}""#,
        ),
        (
            "case {} in a) ls {};; esac",
            r#"case "${1} ${2}" in a) ls "$@";; esac"#,
        ),
        (
            r#"for x in {}; do ls "$x"; done"#,
            r#"for x in "$@"; do ls "$x"; done"#,
        ),
        (r#"a "$(b {} c)""#, r#"a "$(b "$@" c)""#),
        ("cp {2} {-2} {1}", r#"cp "${2}" "${1}" "${1}""#),
        ("cp {3} a{3} {-3}x > {3}", r#"cp  a"" ""x > """#),
        (r#"cp '{3}' "{3}""#, r#"cp ''""'' """#),
        (r#"cat "$1" "$2" | wc"#, r#"cat "$1" "$2" | wc"#),
        (r"cat \{1} {1}", r#"cat \{1} "${1}""#),
        ("cat ${1} {1}", r#"cat ${1} "${1}""#),
    ] {
        let (made, parameters) = made(text, false, &["a/b.c", "d"]);
        assert_eq!(made, becomes, "{text}");
        assert_eq!(parameters, ["a/b.c", "d"]);
    }
    let (text, parameters) = made("x {.} {} {#} {1/} {/}", false, &["a/b.c", "d"]);
    assert_eq!(
        text,
        r#"x "${3}" "${4}" "${1}" "${2}" "${5}" "${6}" "${7}" "${8}""#
    );
    assert_eq!(
        parameters,
        ["a/b.c", "d", "a/b", "d", "7", "b.c", "b.c", "d"]
    );
    let none = made("cat {} a{}b '{}'", false, &[]).0;
    assert_eq!(none, r#"cat  a""b ''""''"#);
}

#[test]
fn where_places_repeat_a_word_without_blanks_is_there_for_each_field() {
    for (text, becomes) in [
        ("cat {}", r#"cat "${1}" "${2}""#),
        ("cat a{}b", r#"cat a"${1}"b a"${2}"b"#),
        ("cat 'a{}b' c", r#"cat 'a'"${1}"'b' 'a'"${2}"'b' c"#),
        (r#"cat "a{}b""#, r#"cat "a${1}b" "a${2}b""#),
        (r#"cat "a {} b""#, r#"cat "a ${1} ${2} b""#),
        ("x=a{} cat > {}", r#"x=a"${1} ${2}" cat > "${1} ${2}""#),
        ("cat {1}-{2}", r#"cat "${1}"-"${2}""#),
        ("cat {1}-{}", r#"cat "${1}"-"${1}" "${1}"-"${2}""#),
        ("cat a{}$(b) {#}", r#"cat a"${1}"$(b) a"${2}"$(b) "${3}""#),
        ("cat $(b a{}) c", r#"cat $(b a"${1}" a"${2}") c"#),
    ] {
        assert_eq!(made(text, true, &["x", "y"]).0, becomes, "{text}");
    }
    assert_eq!(made("cat {} a{}b", true, &[]).0, r#"cat  a""b"#);
}

#[test]
fn f122_several_fields_are_no_options_and_no_program_text() {
    let places = Places {
        several: true,
        ..Places::default()
    };
    for text in [
        "sh {}",
        "bash -x {}",
        "[ a = {} ]",
        "[ {} ]",
        "test {}",
        "su {}",
        "flock {}",
        "{}",
        "ssh -- {}",
        "export x=1 {}",
        "x=1 {} y",
    ] {
        let fault = ShellText::parse(text.as_bytes(), &places, Dialect::default());
        assert!(fault.is_err(), "{text}: {fault:?}");
    }
    for text in [
        "sh script {}",
        "echo {}",
        r#"sh -c 'echo "$@"' sh {}"#,
        "[ -f {1} ]",
        "env {1} x",
    ] {
        let fault = ShellText::parse(text.as_bytes(), &places, Dialect::default());
        assert!(fault.is_ok(), "{text}: {fault:?}");
    }
}

#[test]
fn the_slot_is_a_parameter_that_the_worker_fills() {
    let text = ShellText::parse(
        b"echo {} '{%}' {%}x",
        &Places::default(),
        Dialect::default(),
    )
    .unwrap();
    let (made, filled) = text.fill(Item::value(b"a"), 7);
    let becomes = br#"echo "${1}" ''"${2}"'' "${2}"x"#;
    assert_eq!(made, becomes.as_slice());
    assert_eq!(filled.words, [&b"a"[..], b""]);
    assert_eq!(filled.slots, [SlotPlace::new(1, 0)]);
}

#[test]
fn numbers_that_are_made_here_may_stand_where_data_may_not() {
    for (text, becomes) in [
        ("echo $(({%} - 1)) {}", r#"echo $((${1} - 1)) "${2}""#),
        ("echo \"$(({#}+1))\" {}", r#"echo "$((${1}+1))" "${2}""#),
        (
            "[ {#} -gt 3 ] && cat {}",
            r#"[ "${1}" -gt 3 ] && cat "${2}""#,
        ),
        ("echo `echo {%}` {}", r#"echo $(echo "${1}") "${2}""#),
        ("sh -c 'echo {#}' {}", r#"sh -c 'echo '"${1}"'' "${2}""#),
    ] {
        // The line is always the first parameter.
        let becomes = becomes.replace("${2}", "${L}").replace("${1}", "${2}");
        assert_eq!(parsed(text), Ok(becomes.replace("${L}", "${1}")), "{text}");
    }
    refused("echo $(({#} + {}))", "{}", "arithmetic");
    refused("sh -c 'echo {#} {}'", "{}", "text of another shell");
    refused("echo ${x:-{#}} {}", "{#}", "within ${");
}

#[test]
fn both_streams_are_redirected_where_a_shell_knows_that() {
    for text in ["x {} &> f", "x {}&>>f", "(x {} &>f)", "a; x {} &>f; b"] {
        let text =
            ShellText::parse(text.as_bytes(), &Places::default(), Dialect::default()).unwrap();
        for shell in [
            None,
            Some(&b"/bin/dash"[..]),
            Some(b"sh"),
            Some(b"/x/bash/sh"),
        ] {
            assert!(text.misunderstood_by(shell).is_some());
        }
        for shell in [&b"/bin/bash"[..], b"zsh"] {
            assert!(text.misunderstood_by(Some(shell)).is_none());
        }
    }
    for text in [
        "x {} >f 2>&1",
        "x '&>' {}",
        "x \"&>\" {}",
        "x {} & >f",
        "a &&>f {}",
        "x \\&\\> {}",
        "x # &>\n{}",
    ] {
        let parsed =
            ShellText::parse(text.as_bytes(), &Places::default(), Dialect::default()).unwrap();
        assert!(parsed.misunderstood_by(None).is_none(), "{text}");
        assert!(misunderstood(text.as_bytes(), None).is_none(), "{text}");
    }
    assert_eq!(
        misunderstood(b"make all &> log", None).unwrap().column(),
        Some(10)
    );
    assert!(misunderstood(b"make all &> log", Some(b"/bin/bash")).is_none());
}

proptest! {
    #[test]
    fn fields_are_parameters_and_never_part_of_the_text(
        fields in prop::collection::vec(prop::collection::vec(1..=255u8, 0..20), 1..5),
        repeats in any::<bool>()) {
        let places = Places { several: true, repeats, ..Places::default() };
        let text = ShellText::parse(b"x {} a{}b '{}' \"{} {1}\" {9} {-1}", &places, Dialect::default()).unwrap();
        let bytes = fields.join(&0);
        let (made, filled) = text.fill(Item::new(&bytes, Fields::Several), 1);
        prop_assert_eq!(filled.words, fields.clone());
        // What it says depends on how many there are alone.
        let others = vec![&b"y"[..]; fields.len()].join(&0);
        prop_assert_eq!(made, text.fill(Item::new(&others, Fields::Several), 1).0);
    }
}

proptest! {
    #[test]
    fn quotes_are_followed_through_any_nesting((text, becomes) in piece()) {
        let text = format!("x {text} {{}}");
        prop_assert_eq!(parsed(&text), Ok(format!("x {becomes} \"${{1}}\"")));
    }

    #[test]
    fn any_text_is_read_to_its_end(text in prop::collection::vec(
        prop_oneof![
            Just("{}"), Just("'"), Just("\""), Just("\\"), Just("$("), Just(")"), Just("`"),
            Just("${"), Just("}"), Just("$(("), Just("))"), Just("\n"), Just("<<E"), Just("E"),
            Just(" "), Just("a"), Just("#"), Just(";"), Just("("), Just("$'"), Just("$\""),
            Just("$"), Just("sh -c "), Just("eval "), Just("\u{fc}"), Just("{%}"), Just("<"),
        ], 0..14)) {
        let text = text.concat();
        if let Err(fault) = ShellText::parse(text.as_bytes(), &Places::default(), Dialect::default()) {
            // A place may have been added.
            prop_assert!(fault.at <= text.len() + 1 && !fault.what().is_empty());
        }
    }

    #[test]
    fn values_are_the_lines_bytes(line in prop::collection::vec(any::<u8>(), 0..60)) {
        let text = ShellText::parse(b"x '{}' \"{}\" {}", &Places::default(), Dialect::default()).unwrap();
        prop_assert_eq!(text.fill(Item::value(&line), 1).1.words, vec![line]);
    }
}
