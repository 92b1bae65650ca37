//! Shells that calculate with what variables hold, with lines that would run a command there.

use orchestrator_tests::{Done, TestEnv};

use super::run::ORCHESTRATOR;

/// Lines that make a file where a shell takes one for an expression, the name of a variable, an
/// operator of a test or program text.
const LINES: [&str; 7] = [
    "a[$(touch evil)]",
    // zsh knows this array.
    "path[$(touch evil)1]",
    "-v a[$(touch evil)]",
    "x -o -v a[$(touch${IFS}evil)] -o x",
    "-va[$(touch${IFS}evil)]",
    "$(touch evil)",
    "x=`touch evil`",
];

/// Texts in which a line would come to where a shell calculates, and such in which it does not.
const TEXTS: [&str; 84] = [
    "n={}; echo $((n + 1))",
    "n={}; echo $(($n + 1))",
    "n={}; echo $[n]",
    "n={}; ((n++))",
    "n={}; for ((i = n; i < 0; i++)); do :; done",
    "n={}; let n+=1",
    "n={}; let \"m = $n\"",
    "n={}; a[n]=1",
    "n={}; a[$n]=1",
    "n={}; a=([n]=1)",
    "n={}; a=([$n]=1)",
    "n={}; echo ${a[n]}",
    "n={}; echo ${#a[$n]}",
    "n={}; x=abc; echo ${x:n}",
    "n={}; x=abc; echo ${x:0:$n}",
    "n={}; [[ n -gt 3 ]]",
    "n={}; [[ 3 -gt $n ]]",
    "[[ {} -gt 3 ]]",
    "[ {} -gt 3 ]",
    "n={}; [ \"$n\" -gt 3 ]",
    "n={}; [ $n = x ]",
    "n={}; [ $n ]",
    "[ $(echo {}) = x ]",
    "n={}; [ -v \"$n\" ]",
    "n={}; [[ -v $n ]]",
    "n={}; test -n $n",
    "a=(1); n={}; unset a[n]",
    "a=(1); n={}; unset \"a[$n]\"",
    "a=(1); n={}; unset \"$n\"",
    "declare -i n={}",
    "declare -i n; n={}",
    "n={}; typeset -i m=$n",
    "integer n={}",
    "n={}; printf -v \"$n\" x",
    "n={}; printf \"$n\" x",
    "n={}; printf \"$n\" x y",
    "n={}; printf '%d' \"$n\"",
    "printf '%d' {}",
    "n={}; read \"$n\" < /dev/null",
    "n={}; export \"$n=1\"",
    "n={}; declare \"$n=1\"",
    "n={}; echo ${!n}",
    "n={}; echo ${n@P}",
    "n={}; RANDOM=$n",
    "n={}; SECONDS=$n",
    "n={}; PS4=$n; set -x; :",
    "exit {}",
    "n={}; (exit $n)",
    "n=$(echo {}); echo $((n))",
    "n=`echo {}`; echo $((n))",
    "n={}; m=$n; k=x; k=$m; echo $((k))",
    "n={}; : ${m:=$n}; echo $((m))",
    "echo $(( $(echo {}) ))",
    "for i in 1 2; do echo $((m)); m=$n; n={}; done",
    "for n in {}; do echo $((n)); done",
    "echo {} | { read -r n; echo $((n)); }",
    "echo {} | (n=$(cat); echo $((n)))",
    "read -r n <<< {}; echo $((n))",
    "read -r n < <(echo {}); echo $((n))",
    "mapfile -t n <<< {}; echo $((n[0]))",
    "x={}; cat <<E\n$((x))\nE",
    "x={}; read -r n <<E\n$x\nE\necho $((n))",
    "printf -v n %s {}; echo $((n))",
    "n=({}); echo $((n[0]))",
    "echo {}; echo $((_))",
    "[[ {} =~ .* ]]; echo $((BASH_REMATCH[0]))",
    "x={}; eval 'n=$x'; echo $((n))",
    "n={}; echo `echo \\`echo $((n))\\``",
    "echo $(($1))",
    "n=$1; echo $((n))",
    // And in these it does not.
    "n=$(printf %s {} | wc -c); echo $((n + 1)); [ $n -gt 3 ]",
    "n=$(printf %s {} | tr -cd 0-9); echo $((n + 1))",
    "x={}; n=${x//[!0-9]/}; echo $((n + 1)) ${#x} $((${#x}))",
    "x={}; [ \"$x\" = a ]; [ -n \"$x\" ]; case $x in a) :;; esac",
    "[[ {} == a* || {} < b ]]; [[ b == {} && -f {} ]]",
    "[[ {} =~ ^([0-9]+)$ ]] && echo $((BASH_REMATCH[1]))",
    "[[ a[] =~ {} ]]; echo ${BASH_REMATCH[0]}",
    "cat <<< {}; cat <(echo {}); tr a b <<< \"{}\"",
    "a=({} x); echo \"${a[@]}\" ${#a[@]} ${a[1]}",
    "declare x={} y; local z={}; echo \"$x\" ${x%a} ${x:-b} ${x:1:2}",
    "echo `echo {}` \"`printf %s '{}'`\"",
    "x={}; cat <<E\n$x ${x} $((1 + 1))\nE",
    "seq 3 | while read -r i; do echo $((i * 2)); done; echo {}",
    "mapfile -t l < {}; printf '%s\\n' \"${l[@]}\" {}",
];

fn run(env: &TestEnv, args: &[&str]) -> Done {
    let mut command = env.command(ORCHESTRATOR);
    command.args(args);
    env.run(command, LINES.join("\n"))
}

/// Those of these shells that are there.
fn shells() -> Vec<&'static str> {
    let env = TestEnv::new();
    let is_there = |shell: &&str| {
        let mut command = env.command("sh");
        command.args(["-c", "command -v \"$1\"", "sh", shell]);
        env.run(command, "").code() == 0
    };
    ["sh", "bash", "dash", "zsh", "ksh", "ksh93", "mksh"]
        .into_iter()
        .filter(is_there)
        .collect()
}

#[test]
fn f122_no_line_is_run_where_a_shell_calculates() {
    for shell in shells() {
        let env = TestEnv::new();
        let evil = env.path().join("evil");
        let (mut accepted, mut refused) = (0, 0);
        for text in TEXTS {
            let done = run(&env, &["run", "-q", "--shell", shell, "-c", text]);
            match done.code() {
                2 => refused += 1,
                _ => accepted += 1,
            }
            assert!(!evil.exists(), "{shell}: {text}: {}", done.stderr);
        }
        assert!(accepted > 9 && refused > 3, "{shell}: {accepted} {refused}");
    }
}

#[test]
fn f122_bash_would_run_lines_there() {
    // What the test above looks for can be seen.
    let env = TestEnv::new();
    let mut command = env.command("bash");
    command.args(["-c", "n=$1; echo $((n + 1))", "bash", LINES[0]]);
    env.run(command, "");
    assert!(env.path().join("evil").exists());
}

#[test]
fn f122_what_is_refused_says_what_where_and_what_to_do() {
    let env = TestEnv::new();
    let text = "n={}; echo $((n + 1))";
    let done = run(&env, &["run", "--shell", "bash", "-c", text]);
    assert_eq!((done.code(), done.stdout()), (2, ""));
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert!(
        lines[0].starts_with("error: `n` at column 15 may hold what the line says"),
        "{}",
        done.stderr
    );
    assert_eq!(lines[2], "  |               ^");
    assert!(lines[3].contains("tr -cd 0-9"), "{}", done.stderr);
    // What comes through a pipe is data, too.
    for text in ["read -r n; echo $((n))", "n=$(cat); echo $((n))"] {
        let done = run(&env, &["run", "--pipe", "--shell", "bash", "-c", text]);
        assert_eq!(done.code(), 2, "{text}: {}", done.stderr);
    }
    assert!(!env.path().join("evil").exists());
}

#[test]
fn what_bash_knows_is_offered_where_bash_reads_the_text() {
    let env = TestEnv::new();
    let text = "[[ {} == a* ]] && cat <(sort <<< {})";
    let done = run(&env, &["run", "-c", text]);
    assert_eq!(done.code(), 2);
    assert!(done.stderr.contains("--shell bash"), "{}", done.stderr);
    let done = run(&env, &["run", "-q", "-k", "--shell", "bash", "-c", text]);
    assert_eq!(done.stdout(), "a[$(touch evil)]\n", "{}", done.stderr);
    // A pattern in a line is none.
    let mut command = env.command(ORCHESTRATOR);
    let text = "[[ ab == {} ]] && echo same; [[ ab =~ ^{}$ ]] && echo fits; echo {}";
    command.args(["run", "-q", "-k", "--shell", "bash", "-c", text]);
    let done = env.run(command, "a*\nab\n.*\n");
    assert_eq!(done.stdout(), "a*\nsame\nfits\nab\n.*\n", "{}", done.stderr);
}
