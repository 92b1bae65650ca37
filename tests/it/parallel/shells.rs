//! Which shell reads a text, and what bash makes of texts that `sh` does not know.

use orchestrator_tests::TestEnv;

use super::super::run::ORCHESTRATOR;
use super::Line;

/// Only bash and the like make three words of this.
const TEXT: &str = "echo {1..3} {}";

#[test]
fn the_users_shell_reads_texts_when_it_is_one_like_sh() {
    for (shell, named, printed) in [
        ("/bin/bash", "", "1 2 3 a\n"),
        ("/bin/sh", "", "{1..3} a\n"),
        // It reads no text as sh does, whether it is there or not.
        ("/usr/bin/fish", "", "{1..3} a\n"),
        ("/bin/csh", "", "{1..3} a\n"),
        ("/nowhere/bash", "", "{1..3} a\n"),
        ("bash", "", "{1..3} a\n"),
        ("", "", "{1..3} a\n"),
        // What is named for this comes first.
        ("/bin/bash", "/bin/sh", "{1..3} a\n"),
        ("/bin/sh", "bash", "1 2 3 a\n"),
    ] {
        let env = TestEnv::new();
        let mut command = env.command(ORCHESTRATOR);
        command.args(["parallel", TEXT]).env("SHELL", shell);
        match named {
            "" => command.env_remove("PARALLEL_SHELL"),
            named => command.env("PARALLEL_SHELL", named),
        };
        let done = env.run(command, "a\n");
        assert_eq!(done.stdout(), printed, "{shell} {named}: {}", done.stderr);
        assert_eq!(done.stderr, "", "{shell} {named}");
    }
}

#[test]
fn the_shell_of_a_script_reads_its_texts() {
    let env = TestEnv::new();
    let text = format!("\"$1\" parallel '{TEXT}' ::: a; true");
    for (shell, other, printed) in [
        ("bash", "/bin/sh", "1 2 3 a\n"),
        ("dash", "/bin/bash", "{1..3} a\n"),
    ] {
        let mut command = env.command(shell);
        command.args(["-c", &text, shell, ORCHESTRATOR]);
        command.env("SHELL", other).env_remove("PARALLEL_SHELL");
        let done = env.run(command, "");
        assert_eq!((done.stdout(), done.stderr.as_str()), (printed, ""));
    }
}

/// The same text in bash, for each of these lines.
fn same_in_bash(texts: &[&str], lines: &str) {
    for text in texts {
        let line = Line::new(&["-k", text]).stdin(lines);
        line.env("PARALLEL_SHELL", "/bin/bash").same();
    }
}

#[test]
fn what_bash_knows_means_the_same() {
    same_in_bash(
        &[
            "echo {1..3} {}",
            "echo -e 'a\\tb' {}",
            "[[ {} == b* ]] && echo {}",
            "[[ b == {} || -z {} ]] && echo 'is {}'",
            "[[ {} =~ ([0-9]+) ]] && echo ${BASH_REMATCH[1]}",
            "if [[ {} < m ]]; then echo {} is small; fi",
            "tr a-z A-Z <<< {}",
            "paste <(echo {}) <(echo {} | tr a-z A-Z)",
            "echo {} | tee >(cat > /dev/null)",
            "x={}; echo ${x^^} ${x:0:1} ${#x} ${x/b/z}",
            "a=({} x); echo ${#a[@]} \"${a[@]}\"",
            "declare x={}; echo $x",
            "((1 + 1 == 2)) && echo {}",
            "for ((i = 0; i < 2; i++)); do echo $i {}; done",
            "n=$(wc -c <<< {}); echo $((n + 1))",
            "echo $(( $(wc -c <<< {}) * 2 ))",
            "echo `echo {}` \"`echo {}`\"",
            "printf '%03d %s\\n' 7 {}",
            "declare -A m; m[x]={}; echo ${m[x]}; let n=5+1; echo $n",
            "seq 3 | while read -r i; do echo $((i * 2)) {}; done",
            "echo {} &> {}.log",
            "! [[ {} == b ]] && echo {}",
            "echo {} |& cat",
            "echo {} &> /dev/null; echo $?",
            "set -o pipefail; false | echo {}; echo $?",
            "[ $(wc -c <<< {}) -ge 3 ] && echo {}",
            "read -r x <<< {}; echo \"<$x>\"",
            "mapfile -t x < <(echo {}; echo b); echo ${#x[@]}",
            "trap 'echo bye' EXIT; echo {}",
            "case {} in a*|b*) echo ab;; *) echo other;; esac",
            "shopt -s extglob; x={}; echo ${x##+(a)}",
            "echo {a,b}{} {#}",
            "echo $'a\\tb' {}",
        ],
        "abc\nb\n12\nx_y\n",
    );
    // Ours leaves a line in quotes as it is.
    same_in_bash(&["cat <<< {}", "[[ {} == '*' ]] && echo star"], "a b\n*\n");
}
