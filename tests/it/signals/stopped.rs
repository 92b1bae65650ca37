//! Runs that stand still for a while, and go on.

use std::process::Child;
use std::time::Duration;

use nix::sys::signal::Signal;
use orchestrator_tests::env::finish;
use orchestrator_tests::{Terminal, TestEnv, eventually};

use super::{ORCHESTRATOR, children, ended_by, heard, send, start, up};

fn proc_line(pid: u32, key: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_default().trim().to_owned()
}

/// Whether a process is stopped.
fn is_stopped(pid: u32) -> bool {
    proc_line(pid, "State:").starts_with('T')
}

/// The processes of the jobs: those below a worker.
fn jobs_of(child: &Child) -> Vec<u32> {
    children(child.id())
        .into_iter()
        .flat_map(children)
        .collect()
}

#[test]
fn f092_suspend_stops_the_jobs_and_continue_lets_them_go_on() {
    let env = TestEnv::new();
    // One process per job, which does nothing else.
    let script = "touch up.$1; exec sleep 1000";
    let child = start(&env, &["-j2"], script, "1\n2\n");
    up(&env, 2);
    for _ in 0..2 {
        send(&child, Signal::SIGTSTP);
        eventually("all are stopped", || {
            let jobs = jobs_of(&child);
            jobs.len() == 2 && jobs.iter().all(|&pid| is_stopped(pid)) && is_stopped(child.id())
        });
        send(&child, Signal::SIGCONT);
        eventually("all go on", || {
            let jobs = jobs_of(&child);
            jobs.len() == 2 && !jobs.iter().any(|&pid| is_stopped(pid)) && !is_stopped(child.id())
        });
    }
    assert_eq!(ended_by(child, &[Signal::SIGTERM]).code(), 143);
}

/// A job that must survive a stop of three seconds with a limit of two, so that it ends when it is
/// told to: before the stop and behind it, nothing but its start takes time.
const SURVIVOR: &str = "touch up.$1; until test -e go; do sleep 0.01; done; echo survived";

#[test]
fn f092_a_stop_at_the_terminal_is_no_time_that_counts() {
    let env = TestEnv::new();
    env.file("in", "1\n2\n");
    let mut terminal = Terminal::start(&env, "bash", &["--norc", "--noprofile", "-i"]);
    terminal.press("PS1='$ '; stty -echo\n");
    env.file("job", SURVIVOR);
    terminal.press(&format!(
        "{ORCHESTRATOR} run -j2 --timeout 2 -- sh job {{}} < in; echo \"status $?\"\n"
    ));
    up(&env, 2);
    terminal.press("\x1a");
    terminal.shows("Stopped");
    wait_three_seconds();
    terminal.press("fg\n");
    // Long enough to be ended, if the time of the stop counted.
    std::thread::sleep(Duration::from_millis(500));
    env.file("go", "");
    terminal.shows("2 jobs succeeded");
    let screen = terminal.screen();
    assert_eq!(screen.matches("survived").count(), 2, "{screen}");
    terminal.press("exit\n");
    terminal.ended();
}

/// A fixed time, for the time is what is tested.
fn wait_three_seconds() {
    std::thread::sleep(Duration::from_secs(3));
}

#[test]
fn f093_a_stopped_orchestrator_times_nothing_out() {
    for during in [true, false] {
        let env = TestEnv::new();
        let mut child = start(&env, &["-j2", "--timeout", "2"], SURVIVOR, "1\n2\n");
        up(&env, 2);
        send(&child, Signal::SIGSTOP);
        eventually("it is stopped", || is_stopped(child.id()));
        if during {
            env.file("go", "");
        }
        wait_three_seconds();
        send(&child, Signal::SIGCONT);
        // What it has to do when it goes on, it has done when it tells this.
        send(&child, Signal::SIGUSR1);
        heard(&mut child, "orchestrator: ");
        env.file("go", "");
        drop(child.stdin.take());
        let done = finish(child, vec![]);
        assert_eq!(done.stdout(), "survived\nsurvived\n", "{}", done.stderr);
        assert_eq!(done.code(), 0);
    }
}
