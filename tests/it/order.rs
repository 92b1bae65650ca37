//! Who starts before whom.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use nix::sys::stat::Mode;
use orchestrator_tests::env::finish;
use orchestrator_tests::{TestEnv, eventually};

use crate::run::{ORCHESTRATOR, command};

/// Regression: what one worker was sent ahead waited behind its long job, and began after later
/// ones that others were given in the meantime.
#[test]
fn long_commands_start_in_the_order_of_the_input_whichever_ends_first() {
    let env = TestEnv::new();
    let gate = |job: usize| env.path().join(format!("gate.{job}"));
    // Open on both sides, so that nobody waits for anybody to come.
    let mut gates: Vec<File> = Vec::new();
    for job in 1..=8 {
        nix::unistd::mkfifo(&gate(job), Mode::S_IRWXU).unwrap();
        let mut both = File::options();
        gates.push(both.read(true).write(true).open(gate(job)).unwrap());
    }
    let order = env.path().join("order");
    let begun = || std::fs::read_to_string(&order).unwrap_or_default();
    // However fast the gate opens, each is long: nothing is sent ahead behind such a job.
    let script = "echo $1 >> order; read go < gate.$1; sleep 0.05";
    let mut run = command(&env, &["-j2", "--", "sh", "-c", script, "sh", "{}"]);
    run.current_dir(env.path()).stdin(Stdio::piped());
    let mut run = run.spawn().expect(ORCHESTRATOR);
    let mut stdin = run.stdin.take().unwrap();
    stdin.write_all(b"1\n2\n3\n4\n5\n6\n7\n8\n").unwrap();
    drop(stdin);
    let mut first: Vec<String> = Vec::new();
    eventually("two have begun", || {
        first = begun().lines().map(str::to_owned).collect();
        first.len() == 2
    });
    first.sort();
    assert_eq!(first, ["1", "2"], "at the same time");
    // Now this worker's job ends first, now that one's, and one stays for long.
    for (next, ends) in (3..=8).zip([2, 3, 1, 5, 6, 7]) {
        gates[ends - 1].write_all(b"go\n").unwrap();
        eventually("another one has begun", || begun().lines().count() == next);
        assert_eq!(
            begun().lines().last(),
            Some(&*next.to_string()),
            "{}",
            begun()
        );
    }
    for job in [4, 8] {
        gates[job - 1].write_all(b"go\n").unwrap();
    }
    assert_eq!(finish(run, vec![]).code(), 0);
}
