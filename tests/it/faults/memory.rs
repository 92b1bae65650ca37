//! The kernel kills for want of memory. Needs a memory cgroup that may be made
//! and written, which mostly means root; elsewhere a line says that nothing is
//! tested.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use orchestrator_tests::{TestEnv, eventually};
use serde_json::{Value, json};

use super::{ORCHESTRATOR, WORKER, not_tested, objects};

/// Enough for everybody but the one that takes all it can get.
const LIMIT: &str = "67108864";

/// A group of processes with a limit of memory, removed when it is dropped.
struct Group(PathBuf);

impl Group {
    /// Nothing where that is not to be had.
    fn new() -> Option<Group> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("orchestrator-test-{}-{n}", std::process::id());
        // Version 1, and version 2 where the root hands the controller down.
        let kinds = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ];
        kinds.iter().find_map(|(root, limit)| {
            let path = Path::new(root).join(&name);
            std::fs::create_dir(&path).ok()?;
            let group = Group(path);
            std::fs::write(group.0.join(limit), LIMIT).ok()?;
            // Without that, what is too much goes to the swap space.
            std::fs::write(group.0.join("memory.memsw.limit_in_bytes"), LIMIT).ok();
            std::fs::write(group.0.join("memory.swap.max"), "0").ok();
            Some(group)
        })
    }

    /// `orchestrator run` in this group.
    fn command(&self, env: &TestEnv, args: &[&str]) -> Command {
        let mut shell = env.command("sh");
        let text = "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"";
        shell.args(["-c", text]).arg(&self.0);
        shell.arg(ORCHESTRATOR).arg("run").args(args);
        shell
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let gone = || std::fs::remove_dir(&self.0).is_ok();
        if std::thread::panicking() {
            gone();
        } else {
            // It is busy until the last process has left it.
            eventually("the group can be removed", gone);
        }
    }
}

#[test]
fn f044_a_command_that_the_kernel_kills_for_its_memory_harms_no_other() {
    let Some(group) = Group::new() else {
        return not_tested("f044", "there is no memory cgroup to write to");
    };
    let env = TestEnv::new();
    let text = "[ $1 != 50 ] || exec tail /dev/zero; echo $1";
    let args = ["-j2", "-qk", "--format", "jsonl", "--", "sh", "-c", text];
    let args = [&args[..], &["sh", "{}"]].concat();
    let lines: String = (1..=100).map(|n| format!("{n}\n")).collect();
    let done = env.run(group.command(&env, &args), lines);
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let jobs = objects(done.stdout());
    assert_eq!(jobs.len(), 100);
    for (n, job) in (1..).zip(jobs) {
        if n == 50 {
            assert_eq!(job["verdict"], "oom", "{job}");
            let error = "ran out of memory: it was killed by the kernel's out-of-memory killer";
            assert_eq!(job["error"], json!(error));
            assert!(done.stderr.contains(error), "{}", done.stderr);
        } else {
            assert_eq!(job["stdout"], json!(format!("{n}\n")));
        }
    }
    env.no_process_left();
}

#[test]
fn f044_a_kill_of_somebody_elses_is_not_taken_for_want_of_memory() {
    let Some(group) = Group::new() else {
        return not_tested("f044", "there is no memory cgroup to write to");
    };
    let env = TestEnv::new();
    let text = "case $1 in tail) tail /dev/zero; exit $?;; oom) exec tail /dev/zero;; \
                kill) kill -9 $$;; worker) kill -9 $PPID; sleep 60;; esac";
    let args = ["-j1", "-qk", "--format", "jsonl", "--", "sh", "-c", text];
    let args = [&args[..], &["sh", "{}"]].concat();
    // Each kill of the kernel's explains one death: also one of a program of which
    // only the shell's status tells.
    let lines = "kill\nworker\noom\nkill\nworker\ntail\nkill\noom\noom\n";
    let done = env.run(group.command(&env, &args), lines);
    let told = |job: &Value| job["verdict"].as_str().unwrap().to_owned();
    let verdicts: Vec<_> = objects(done.stdout()).iter().map(told).collect();
    let expected = [
        "signaled", "crashed", "oom", "signaled", "crashed", "failed", "signaled", "oom", "oom",
    ];
    assert_eq!(verdicts, expected, "{}", done.stderr);
    env.no_process_left();
}

#[test]
fn f045_a_worker_that_the_kernel_kills_for_its_memory_costs_one_job() {
    let Some(group) = Group::new() else {
        return not_tested("f045", "there is no memory cgroup to write to");
    };
    let env = TestEnv::new();
    let args = ["-j2", "-qk", "--worker", WORKER, "--task", "swell"];
    let mut sizes = ["1000\n"; 100];
    sizes[50] = "300000000\n";
    let done = env.run(group.command(&env, &args), sizes.concat());
    assert_eq!(done.code(), 1, "{}", done.stderr);
    for (n, job) in (0..).zip(objects(done.stdout())) {
        let ok = n != 50;
        assert_eq!(job["ok"], json!(ok), "{n}: {job}");
        if !ok {
            let error = "ran out of memory: its worker was killed by the kernel's \
                         out-of-memory killer";
            assert_eq!(job["error"], json!(error));
        }
    }
    env.no_process_left();
}

#[test]
fn f045_f099_the_kernel_is_told_to_take_jobs_before_the_orchestrator() {
    let adjustment = |text: &str| text.trim().parse::<i32>().unwrap();
    let ours = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let expected = (adjustment(&ours) + 500).min(1000);
    let env = TestEnv::new();
    let mut command = env.command(ORCHESTRATOR);
    let text = "cat /proc/{}/oom_score_adj; cat /proc/$PPID/oom_score_adj";
    command.args(["run", "-q", "-c", text]);
    let done = env.run(command, "self\n");
    let told: Vec<_> = done.stdout().lines().map(adjustment).collect();
    assert_eq!(told, [expected; 2], "{}", done.stderr);
}
