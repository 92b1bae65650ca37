//! Jobs and the terminal from which the orchestrator was started.

use nix::sys::termios::tcgetattr;
use orchestrator_tests::{Terminal, TestEnv, pty};

use super::ORCHESTRATOR;

#[test]
fn f057_f058_jobs_cannot_reach_the_terminal() {
    let env = TestEnv::new();
    let (_ours, terminal, _) = pty::pair();
    let before = tcgetattr(&terminal).unwrap();
    // The shell has a terminal, which it could change; the job it starts has
    // none, not even one to wait for.
    let reach = "if (: </dev/tty) 2>/dev/null; then echo there is a terminal; \
                 else echo there is none; fi";
    let job = format!("{reach}; stty -echo </dev/tty; stty -echo; ps -o tty= -p $$");
    let text = format!("{reach}; echo 1 | \"$0\" run -q -- sh -c '{job}' {{}}; {reach}");
    let mut command = env.command("setsid");
    command.args(["--ctty", "--wait", "sh", "-c", &text, ORCHESTRATOR]);
    command.stdin(terminal.try_clone().unwrap());
    let done = orchestrator_tests::env::finish(command.spawn().unwrap(), vec![]);
    let lines: Vec<&str> = done.stdout().lines().map(str::trim).collect();
    let expected = [
        "there is a terminal",
        "there is none",
        "?",
        "there is a terminal",
    ];
    assert_eq!(lines, expected, "{}", done.stderr);
    assert!(
        tcgetattr(&terminal).unwrap() == before,
        "its modes were changed"
    );
}

#[test]
fn f075_who_types_the_input_is_told_so_once() {
    let env = TestEnv::new();
    for (args, told) in [
        (&["-q", "-j1"][..], "reading commands from the terminal"),
        (
            &["-q", "-j1", "echo", "{}-{}"],
            "reading jobs from the terminal",
        ),
    ] {
        let args = [&["run"], args].concat();
        let mut terminal = Terminal::start(&env, ORCHESTRATOR, &args);
        terminal.shows(&format!("{told}: one per line, Ctrl-D to end"));
        // What is typed is echoed; what comes of it looks different.
        let (line, output) = match args.len() {
            3 => ("echo $((6*7))\n", "42\r\n"),
            _ => ("word\n", "word-word\r\n"),
        };
        terminal.press(line);
        terminal.shows(output);
        terminal.press(line);
        terminal.press("\u{4}");
        assert_eq!(terminal.ended().code(), Some(0));
        assert_eq!(terminal.screen().matches(told).count(), 1);
        assert!(!terminal.screen().contains("error"));
    }
}
