//! Shells that calculate with what variables hold, and those that know more than POSIX says.

use proptest::prelude::*;

use super::*;

/// A shell, by the name of its program.
fn shell(name: &str) -> Dialect {
    Dialect::of(name.as_bytes(), name.as_bytes())
}

fn parsed(text: &str, name: &str) -> Result<String, String> {
    let parsed = ShellText::parse(text.as_bytes(), &Places::default(), shell(name));
    let made = |found: ShellText| String::from_utf8(found.text).unwrap();
    parsed.map(made).map_err(|fault| fault.what())
}

/// Texts in which a shell would run what a line says, with what is shown as the reason.
const HOLES: [(&str, &str); 115] = [
    ("n={}; echo $((n + 1))", "n"),
    ("n={}; echo $(($n + 1))", "$n"),
    ("n={}; echo $((${n} + 1))", "${n"),
    ("n='{}'; echo \"$((n))\"", "n"),
    ("n={}; echo $[n]", "n"),
    ("n={}; echo $[$n + 1]", "$n"),
    ("n={}; ((n++))", "n"),
    ("n={}; if ((n > 3)); then echo; fi", "n"),
    ("n={}; for ((i = 0; i < n; i++)); do echo; done", "n"),
    ("n={}; let n+=1", "n"),
    ("n={}; let \"m = $n\"", "$n"),
    ("n={}; a[n]=1", "n"),
    ("n={}; a[$n]=1", "$n"),
    ("n={}; a=([n]=1)", "n"),
    ("n={}; echo ${a[n]}", "n"),
    ("n={}; echo \"${a[$n]}\"", "$n"),
    ("n={}; echo ${#a[$n]}", "$n"),
    ("n={}; x=abc; echo ${x:n}", "n"),
    ("n={}; x=abc; echo \"${x:0:$n}\"", "$n"),
    ("n={}; [[ n -gt 3 ]]", "n"),
    ("n={}; [[ $n -gt 3 && -f x ]]", "$n"),
    ("[[ {} -eq 1 ]]", "{}"),
    ("n={}; [[ -v $n ]]", "$n"),
    ("n={}; [[ -v a[$n] ]]", "$n"),
    ("n={}; [ -v \"$n\" ]", "$n"),
    ("n={}; test -v \"a[$n]\"", "$n"),
    ("n={}; [ $n = x ]", "$n"),
    ("[ $(cat {}) = x ]", "{}"),
    ("n={}; unset a[n]", "n"),
    ("n={}; unset \"a[$n]\"", "$n"),
    ("n={}; unset \"$n\"", "$n"),
    ("declare -i n={}", "{}"),
    ("declare -i n; n={}; echo", "n"),
    ("n={}; declare -i m=$n", "$n"),
    ("n={}; typeset -i m; m=$n", "m"),
    ("declare -i m; read m < {}", "m"),
    ("n={}; printf -v \"$n\" x", "$n"),
    ("n={}; printf -v a[n] x", "n"),
    ("n={}; printf \"$n\" x", "$n"),
    ("n={}; read \"$n\"", "$n"),
    ("n={}; read \"a[$n]\"", "$n"),
    ("n={}; export \"$n=1\"", "$n"),
    ("n={}; declare \"$n=1\"", "$n"),
    ("n={}; echo ${!n}", "${!n"),
    ("n={}; echo \"${n@P}\"", "${n"),
    ("n={}; RANDOM=$n", "$n"),
    ("n={}; PS4=$n; set -x; ls", "$n"),
    ("n={}; compgen -W \"$n\"", "$n"),
    ("n={}; BASH_ENV=$n bash x", "$n"),
    ("echo {} | source /dev/stdin", "source"),
    (". /dev/fd/3 3<<< {}", "."),
    // How it gets there.
    ("n=$(cat {}); echo $((n))", "n"),
    ("n=`cat {}`; echo $((n))", "n"),
    ("n=\"a $(echo \"{}\") b\"; echo $((n))", "n"),
    ("n+={}; echo $((n))", "n"),
    ("n={}; m=$n; echo $((m))", "m"),
    ("n={}; m=${n%.*}; k=\"x$m\"; echo $((k))", "k"),
    ("n={}; m=$(echo $n); echo $((m))", "m"),
    ("n={}; : ${m:=$n}; echo $((m))", "m"),
    ("n={}; echo $(( $(echo $n) ))", "$n"),
    ("echo $(( $(echo {}) ))", "{}"),
    ("echo $((n + 1)); n={}", "n"),
    ("while :; do echo $((m)); m=$n; n={}; done", "m"),
    ("for n in {}; do echo $((n)); done", "n"),
    ("for n in a $(ls {}); do echo $((n)); done", "n"),
    ("select n in {}; do echo $((n)); done", "n"),
    ("for n; do echo $((n)); done; ls {}", "n"),
    ("echo {} | read n; echo $((n))", "n"),
    ("echo {} | while read -r n; do echo $((n)); done", "n"),
    ("while read -r n; do echo $((n)); done < {}", "n"),
    ("read -r n <<< {}; echo $((n))", "n"),
    ("read -a n < <(cat {}); echo $((n))", "n"),
    ("mapfile -t n < {}; echo $((n[0]))", "n"),
    ("mapfile -t < {}; echo $((MAPFILE[0]))", "MAPFILE"),
    ("echo {} | { n=$(cat); echo $((n)); }", "n"),
    ("echo {} | (n=$(cat); echo $((n)))", "n"),
    ("x={}; read n <<E\n$x\nE\necho $((n))", "n"),
    ("x={}; cat <<E\n$((x))\nE", "x"),
    ("x={}; cat <<E\n$(let x)\nE", "x"),
    ("getopts a n; echo $((n)) {}", "n"),
    ("getopts a: n; echo $((OPTARG)) {}", "OPTARG"),
    ("printf -v n %s {}; echo $((n))", "n"),
    ("export n={}; echo $((n))", "n"),
    ("readonly n={}; echo $((n))", "n"),
    ("local n={}; echo $((n))", "n"),
    ("declare n={}; echo $((n))", "n"),
    ("n=({}); echo $((n[0]))", "n"),
    ("n+=(a {}); echo $((n[1]))", "n"),
    ("a[0]={}; echo $((a[0]))", "a"),
    ("cd {}; n=${PWD##*/}; echo $((n))", "n"),
    ("echo {}; echo $((_))", "_"),
    (
        "[[ {} =~ a(.*) ]]; echo $((BASH_REMATCH[1]))",
        "BASH_REMATCH",
    ),
    ("x={}; eval 'n=$x'; echo $((n))", "n"),
    ("v=m; read \"$v\" < {}; echo $((m))", "$v"),
    ("n={}; m=n; k=${!m}; echo $((k))", "${!m"),
    ("n={}; echo `echo \\`echo $((n))\\``", "n"),
    ("time [[ {} -gt 3 ]]", "{}"),
    (
        "[[ {} =~ ^[*-{]+$ ]]; echo $((BASH_REMATCH))",
        "BASH_REMATCH",
    ),
    ("[[ {} =~ ^{}$ ]]; echo $((BASH_REMATCH))", "BASH_REMATCH"),
    ("x={}; m=x; echo $((m))", "m"),
    ("x={}; for m in a x; do echo $((m)); done", "m"),
    ("x={}; m=$(echo x); echo $((m))", "m"),
    ("x={}; declare -i m=x", "m=x"),
    ("x={}; RANDOM=x", "RANDOM"),
    ("x={}; read m <<< x; echo $((m))", "m"),
    ("[[ -f a ]]\nn={}; echo $((n))", "n"),
    ("exec 3<<< {}; read -u 3 n; echo $((n))", "n"),
    ("if :; then exec 3< {}; fi; read n; echo $((n))", "n"),
    ("v=1; echo $((${!v})) {}", "${!v"),
    ("x={}; $x", "$x"),
    ("x={}; $(echo $x) a", "$x"),
    ("x={}; \"$x\" \"$x\"", "$x"),
    ("echo $((1 + $1))", "$1"),
    ("n=$1; echo $((n))", "n"),
    ("set -- $1; shift; for n; do echo $((n)); done", "n"),
];

#[test]
fn f122_what_holds_data_is_not_calculated_with() {
    let mut wrong = Vec::new();
    for (text, shown) in HOLES {
        let fault = ShellText::parse(text.as_bytes(), &Places::default(), shell("bash"));
        match fault {
            Ok(_) => wrong.push(format!("{text}: accepted")),
            Err(fault) => {
                let said = String::from_utf8_lossy(&fault.shown).into_owned();
                if said != shown || !text[fault.at..].starts_with(shown) {
                    wrong.push(format!("{text}: {}", fault.what()));
                }
            }
        }
        // So do the others, and what is called `sh` and is one of them.
        for file in ["zsh", "ksh93", "mksh", "posh"] {
            if parsed(text, file).is_ok() {
                wrong.push(format!("{text}: accepted for {file}"));
            }
        }
        let sh = Dialect::of(b"/bin/sh", b"/usr/bin/bash");
        if ShellText::parse(text.as_bytes(), &Places::default(), sh).is_ok() {
            wrong.push(format!("{text}: accepted for sh"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_shell_that_calculates_with_numbers_only_may_be_given_data() {
    for text in [
        "n={}; echo $((n + 1))",
        "n=$(cat {}); echo $((n + 1))",
        "[ {} -gt 3 ]",
        "n={}; [ $n = x ]",
        "read -r n < {}; echo $((n))",
        "exit {}",
        "echo $(( $(wc -l < {}) + 1 ))",
    ] {
        for name in ["dash", "ash", "yash"] {
            assert!(
                parsed(text, name).is_ok(),
                "{name}: {:?}",
                parsed(text, name)
            );
        }
    }
}

#[test]
fn f122_zsh_and_korn_shells_calculate_in_more_places() {
    for text in [
        "exit {}",
        "n={}; exit $n",
        "printf '%d\\n' {}",
        "n={}; printf 'a %5.2f' \"$n\"",
        "for i in a; do break {}; done",
        "n={}; COLUMNS=$n",
        "ulimit -n {}",
    ] {
        assert!(parsed(text, "zsh").is_err(), "{text}");
        assert!(parsed(text, "mksh").is_err(), "{text}");
        assert!(
            parsed(text, "bash").is_ok(),
            "{text}: {:?}",
            parsed(text, "bash")
        );
    }
    for text in ["[ {} -gt 3 ]", "n={}; [ \"$n\" -le 3 ]"] {
        assert!(parsed(text, "mksh").is_err(), "{text}");
        assert!(
            parsed(text, "bash").is_ok(),
            "{text}: {:?}",
            parsed(text, "bash")
        );
    }
    for text in [
        "n={}; echo $a[$n]",
        "n={}; echo ${(e)n}",
        "n={}; echo ${(P)n}",
        "n={}; echo ${~n}",
        "repeat {} ls",
        "emulate sh -c {}",
        "[ -t {} ]",
    ] {
        assert!(parsed(text, "zsh").is_err(), "{text}");
    }
    for text in ["printf '%s %q\\n' {} a", "[ {} = 3 ]", "exit 3; ls {}"] {
        assert!(
            parsed(text, "zsh").is_ok(),
            "{text}: {:?}",
            parsed(text, "zsh")
        );
    }
}

/// Texts that are fine, for bash.
const HONEST: [&str; 74] = [
    "cat {} | wc -l",
    "i=0; while [ $i -lt 3 ]; do i=$((i + 1)); done; cat {}",
    "for ((i = 0; i < 3; i++)); do echo $i {}; done",
    "for i in 1 2 3; do echo $((i * 2)) {}; done",
    "i=5; ((i > 3)) && echo {}",
    "n=$(wc -l < {}); echo $((n + 1))",
    "n=$(cat {} | wc -c); [ $n -gt 3 ] && echo big {}",
    "n=$(stat -c %s {}); if (( n > 1000 )); then gzip {}; fi",
    "n=$(grep -c ERROR < {}); echo $((n * 2))",
    "n=$(date +%s -r {}); now=$(date +%s); echo $((now - n))",
    "n=$(printf %s {} | tr -cd 0-9); echo $((n + 1))",
    "x={}; n=${x//[!0-9]/}; echo $((10#$n + 1))",
    "x={}; echo $(( ${x//[!0-9]/} + 1 ))",
    "x={}; echo $((${#x} + 1))",
    "x={}; n=${#x}; echo $((n * 2))",
    "n=$(expr {} + 1); echo $((n))",
    "echo $(( $(wc -l < {}) + 1 ))",
    "[ $(wc -l < {}) -ge 3 ] && echo {}",
    "test {} -gt 3 && echo {}",
    "[ {} -gt 3 ] || exit 1",
    "x={}; [ \"$x\" = a ] && echo $((1 + 1))",
    "x={}; echo \"$x\" ${x%.*} ${x##*/} ${x:-none} ${x/a/b} ${x^^} \"${x:+a}\"",
    "x={}; echo ${x:0:3} \"${x:1}\" ${x: -2}",
    "a=(1 2 3); echo ${a[1]} ${a[@]} ${#a[@]} ${a[*]:1:2} {}",
    "a=({}); echo \"${a[@]}\" ${#a[@]}",
    "a=(-x {}); ls \"${a[@]}\"",
    "x={}; a+=(\"$x\"); echo ${!a[@]}",
    "[[ -f {} ]] && echo {}",
    "[[ {} == *.txt ]] && echo {}",
    "[[ a == {} || ( b != {} && ! -d {} ) ]] && echo {}",
    "[[ {} =~ ^([0-9]+)-([0-9]+)$ ]] && echo $((BASH_REMATCH[1] + 1))",
    "[[ {} =~ \\.(jpg|png)$ ]] && echo {}",
    "[[ x =~ {} ]] && echo {}",
    "[[ {} < b && {} > a ]]; echo {}",
    "if [[ -n {} && ( {} = a* ) ]]; then echo {}; fi",
    "[[ $(wc -l < {}) -gt 3 ]] && echo {}",
    "x={}; [[ $x = @(a|b c)* ]] && echo {}",
    "cat <<< {}",
    "tr a b <<< \"a {} b\"",
    "diff <(sort {}) <(sort b)",
    "cat {} | tee >(wc -l > {}.count) | gzip > {}.gz",
    "while read -r l; do echo \"$l\"; done < <(sort {})",
    "seq 3 | while read -r i; do echo $((i * 2)); done; cat {}",
    "read -r i <<< 5; echo $((i)) {}",
    "local x={}; declare y=1 z={}; typeset -r w={}; echo \"$x\"",
    "declare -i n=3; n+=1; echo $n {}",
    "declare -A m; echo {}",
    "mapfile -t lines < {}; echo \"${lines[0]}\" ${#lines[@]}",
    "IFS=, read -r a b <<< {}; echo \"$a\"",
    "printf -v x '%s' {}; echo \"$x\"",
    "printf '%d\\n' {}",
    "x=`basename {}`; echo \"$x\"",
    "x=\"`dirname \"{}\"`\"; echo \"$x\"",
    "echo `wc -l < {}` lines",
    "trap 'rm -f \"$t\"' EXIT; t=$(mktemp); sort {} > \"$t\"; echo $((1 + 2))",
    "trap \"rm $$\" EXIT; cat {}",
    "s=$(date +%s); cat {}; e=$(date +%s); echo $((e - s))",
    "s=$SECONDS; cat {}; echo $((SECONDS - s))",
    "echo $((RANDOM % 10)) {}",
    "echo {1..3} {}",
    "shopt -s nullglob; for f in {}/*; do echo \"$f\"; done",
    "case {} in *.gz) zcat {};; *) cat {};; esac",
    "x={}; case $x in [0-9]*) echo n;; esac",
    "t=$(mktemp -d); cp {} $t/; cd $t && ls; rm -r $t",
    "cat {} > {.}.out 2> {.}.err",
    "set -euo pipefail; cat {} | sort | head -n $((2 * 5))",
    "cat <<E\n$((1 + 2)) $x\nE\ncat {}",
    "x={}; cat <<E\nvalue: $x ${x%.*}\nE",
    "ok=$(test -f {} && echo 1 || echo 0); echo $((ok + 1))",
    "x={}; \"$x\" -v",
    "d={}; \"$d/bin/x\" \"$d\"",
    "a[0]={}; a[1]+={}; echo \"${a[0]}\"",
    "echo $'a\\tb \\' {' {}",
    "n=$(ls {} | wc -l); for ((i = 0; i < n; i++)); do echo $i; done",
];

#[test]
fn honest_texts_are_read_by_bash() {
    let refused = |text: &&'static str| Some((*text, parsed(text, "bash").err()?));
    let refused: Vec<_> = HONEST.iter().filter_map(refused).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn a_place_in_what_only_some_shells_know_is_a_parameter_in_quotes() {
    for (text, becomes) in [
        ("[[ {} == x ]]", r#"[[ "${1}" == x ]]"#),
        ("[[ x == {} ]] || ls", r#"[[ x == "${1}" ]] || ls"#),
        ("[[ x = a{}* ]]", r#"[[ x = a"${1}"* ]]"#),
        ("[[ x =~ {} ]]", r#"[[ x =~ "${1}" ]]"#),
        ("[[ x =~ ^(a|'{}')$ ]]", r#"[[ x =~ ^(a|''"${1}"'')$ ]]"#),
        ("cat <<< {}", r#"cat <<< "${1}""#),
        ("cat <<<\"a {}\"", r#"cat <<<"a ${1}""#),
        ("cat <(sort {})", r#"cat <(sort "${1}")"#),
        ("x > >(tee {})", r#"x > >(tee "${1}")"#),
        ("a=(x{} '{}')", r#"a=(x"${1}" ''"${1}"'')"#),
        ("((x)) && ls {}", r#"((x)) && ls "${1}""#),
        ("((x = {#} * 2)); ls {}", r#"((x = ${2} * 2)); ls "${1}""#),
    ] {
        // The line is always the first parameter.
        assert_eq!(parsed(text, "bash").as_deref(), Ok(becomes), "{text}");
        // What is called `sh` is not to know it.
        assert!(parsed(text, "dash").is_err(), "{text}");
    }
    for (text, name) in [
        ("[[ x =~ {} ]]", "zsh"),
        ("cat <(sort {})", "mksh"),
        ("[[ -f x ]] && ls {}", "posh"),
        ("declare -n x={}", "bash"),
        ("f() { ls; }; f {}", "bash"),
        ("((x = {}))", "bash"),
        ("a=([{}]=1)", "bash"),
        ("a[{}]=1", "bash"),
        ("f ( ) { ls; }; f {}", "bash"),
        ("cat <<< $(case x in a) b;; esac) {}", "bash"),
        ("bash <<< {}", "bash"),
        ("source <(echo {})", "bash"),
        ("sh <(echo {})", "bash"),
        ("sh < <(echo {})", "bash"),
        ("x={}; sh <<E\necho $x\nE", "bash"),
        ("x={}; sh <<E\necho $x\nE", "dash"),
    ] {
        assert!(parsed(text, name).is_err(), "{name}: {text}");
    }
}

#[test]
fn several_values_stay_one_word_where_the_grammar_wants_one() {
    let places = Places {
        several: true,
        ..Places::default()
    };
    for (text, becomes) in [
        ("[[ {} == x ]]", r#"[[ "${1} ${2}" == x ]]"#),
        ("cat <<< {}", r#"cat <<< "${1} ${2}""#),
        ("a=({}); ls", r#"a=("$@"); ls"#),
        ("diff <(cat {})", r#"diff <(cat "$@")"#),
        ("x `ls {}`", r#"x $(ls "$@")"#),
    ] {
        let text_made = ShellText::parse(text.as_bytes(), &places, shell("bash")).unwrap();
        let fields = super::super::super::item::Fields::Several;
        let (made, _) = text_made.fill(Item::new(b"a\0b", fields), 1);
        assert_eq!(String::from_utf8_lossy(&made), becomes, "{text}");
    }
}

#[test]
fn backticks_around_a_place_are_translated_where_that_is_plain() {
    for (text, becomes) in [
        ("echo `cat {}`", r#"echo $(cat "${1}")"#),
        ("echo \"`cat '{}'`\"", r#"echo "$(cat ''"${1}"'')""#),
        ("x=`(cd {}; ls)`", r#"x=$( (cd "${1}"; ls))"#),
        ("a=`b` `cat {}`", r#"a=`b` $(cat "${1}")"#),
    ] {
        assert_eq!(parsed(text, "dash").as_deref(), Ok(becomes), "{text}");
    }
    for text in [
        "echo `cat {} \\`date\\``",
        "echo `cat {} # x`",
        "echo `case {} in a) b;; esac`",
        "echo \"`cat \"{}\"`\"",
        "echo `eval {}`",
        "echo `cat <<E\n{}\nE\n`",
    ] {
        assert!(parsed(text, "dash").is_err(), "{text}");
    }
}

proptest! {
    /// Honest pieces in any order are honest; with what calculates with data among them, the text
    /// is refused, wherever that stands.
    #[test]
    fn texts_of_honest_pieces_are_read_and_no_others(
        pieces in prop::collection::vec(0..HONEST.len(), 1..5),
        hole in 0..HOLES.len(),
        at in 0..5_usize) {
        // Each in a shell of its own, and with names of its own.
        let own = |number: usize, text: &str| {
            let names = ["x", "n", "m", "k", "a"];
            let mut text = text.to_owned();
            for name in names {
                text = rename(&text, name, &format!("{name}{number}"));
            }
            text
        };
        // What is fed into a row of commands may be read anywhere.
        let calm = |text: &&str| {
            !["read", "<<", "mapfile", "REMATCH"].iter().any(|word| text.contains(word))
        };
        let mut texts: Vec<String> = (0..).zip(pieces).map(|(n, piece)| own(n, HONEST[piece]))
            .filter(|text| calm(&text.as_str())).collect();
        texts.push("ls {}".into());
        let honest = texts.join("\n");
        prop_assert!(parsed(&honest, "bash").is_ok(), "{}: {:?}", honest, parsed(&honest, "bash"));
        texts.insert(at.min(texts.len()), HOLES[hole].0.to_owned());
        let text = texts.join("\n");
        prop_assert!(parsed(&text, "bash").is_err(), "{}", text);
    }

    #[test]
    fn any_text_is_read_to_its_end_by_any_shell(text in prop::collection::vec(
        prop_oneof![
            Just("{}"), Just("'"), Just("\""), Just("\\"), Just("$("), Just(")"), Just("`"),
            Just("${"), Just("}"), Just("$(("), Just("))"), Just("\n"), Just("<<E"), Just("E"),
            Just(" "), Just("x"), Just("#"), Just(";"), Just("("), Just("$'"), Just("[["),
            Just("]]"), Just("<("), Just("<<<"), Just("=("), Just("$x"), Just("x="), Just("["),
            Just("]"), Just("=~"), Just("|"), Just("$["), Just("read x"), Just("${x:"), Just("(("),
            Just("$1"), Just("let "), Just("declare -i "), Just("\u{fc}"), Just("${!"),
        ], 0..14), name in prop::sample::select(vec!["bash", "zsh", "mksh", "dash", "posh"])) {
        let text = text.concat();
        if let Err(fault) = ShellText::parse(text.as_bytes(), &Places::default(), shell(name)) {
            prop_assert!(fault.at <= text.len() + 1 && !fault.what().is_empty());
        }
    }
}

/// A text in which a variable has another name.
fn rename(text: &str, name: &str, other: &str) -> String {
    let is_in_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.';
    let bytes = text.as_bytes();
    let mut made = String::new();
    for (at, char) in text.char_indices() {
        let before = at.checked_sub(1).map(|at| bytes[at]);
        let after = bytes.get(at + 1).copied();
        let alone = !before.is_some_and(is_in_name) && !after.is_some_and(is_in_name);
        if alone && char.to_string() == name {
            made += other;
        } else {
            made.push(char);
        }
    }
    made
}
