//! Jobs and the terminal from which the orchestrator was started.

use nix::pty::openpty;
use nix::sys::termios::tcgetattr;
use orchestrator_tests::TestEnv;

use super::ORCHESTRATOR;

#[test]
fn f057_f058_jobs_cannot_reach_the_terminal() {
    let env = TestEnv::new();
    let pty = openpty(None, None).unwrap();
    let before = tcgetattr(&pty.slave).unwrap();
    // The shell has a terminal, which it could change; the job it starts has
    // none, not even one to wait for.
    let reach = "if (: </dev/tty) 2>/dev/null; then echo there is a terminal; \
                 else echo there is none; fi";
    let job = format!("{reach}; stty -echo </dev/tty; stty -echo; ps -o tty= -p $$");
    let text = format!("{reach}; echo 1 | \"$0\" run -q -- sh -c '{job}' {{}}; {reach}");
    let mut command = env.command("setsid");
    command.args(["--ctty", "--wait", "sh", "-c", &text, ORCHESTRATOR]);
    command.stdin(pty.slave.try_clone().unwrap());
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
        tcgetattr(&pty.slave).unwrap() == before,
        "its modes were changed"
    );
}
