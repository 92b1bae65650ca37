//! Runs of 500 jobs to which something happens: whatever that is, each job is done, none is
//! at work twice at once, and nothing is left anywhere.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::{elapsed_until, finish};
use orchestrator_tests::{Done, TestEnv};

use super::{complete, counts, lines};
use crate::run::sorted;

pub(super) const JOBS: u32 = 500;

/// Jobs run everywhere, and what was at work is begun again, in this time, unless nothing makes
/// them.
const AGAIN: Duration = Duration::from_secs(60);

/// Says so when it begins and ends, and where another attempt at the same is at work: its
/// lock goes with the last process that belongs to it. All hosts are of this machine. Where
/// jobs are to be held it waits for an end of a pipe, and elsewhere until that host has begun,
/// however late, but for the first.
pub(super) const JOB: &str = "read h < /proc/sys/kernel/hostname; \
    for p in hold.*; do until [ {} -le 100 ] || [ $p = hold.$h ] || [ ! -p $p ] || \
    [ -s on.${p#hold.} ]; do sleep 0.1; done; done; exec 9>>lock.{}; \
    read t x < /proc/uptime; echo {} begins on $h $t >> trail; flock -n 9 || echo {} >> overlaps; \
    echo {} >> begun; echo {} >> on.$h; \
    [ ! -p hold.$h ] || read x 2>/dev/null < hold.$h; echo {} >> ended; \
    read t x < /proc/uptime; echo {} ends on $h $t >> trail; echo {}";

/// A run of one's own, with these jobs.
pub(super) struct Run<'a> {
    pub(super) env: &'a TestEnv,
    /// Makes the command line.
    pub(super) command: &'a (dyn Fn(&TestEnv) -> Command + Sync),
    /// Whose jobs are held.
    pub(super) held: &'a str,
    hold: Option<File>,
    pub(super) child: Option<Child>,
}

impl<'a> Run<'a> {
    /// Starts one, and waits until jobs are held there while others are done.
    pub(super) fn start(
        env: &'a TestEnv,
        held: &'a str,
        command: &'a (dyn Fn(&TestEnv) -> Command + Sync),
    ) -> Run<'a> {
        let pipe = env.path().join(format!("hold.{held}"));
        let mut mkfifo = env.command("mkfifo");
        mkfifo.arg(&pipe);
        assert_eq!(env.run(mkfifo, "").code(), 0);
        // As long as somebody could write, whoever reads waits.
        let hold = File::options().read(true).write(true).open(&pipe).unwrap();
        env.file("input", lines(JOBS));
        let mut run = Run {
            env,
            command,
            held,
            hold: Some(hold),
            child: None,
        };
        run.begin(&[]);
        let on = format!("on.{held}");
        let all = || counts(env, &on).len() > 1 && counts(env, "ended").len() > 60;
        if elapsed_until(AGAIN, all).is_none() {
            run.failed("jobs never ran on all hosts");
        }
        run
    }

    /// It has not done what it was to do: why, is what it said.
    fn failed(&mut self, what: &str) -> ! {
        let child = self.child.take().unwrap();
        signal(child.id().cast_signed(), Signal::SIGTERM);
        panic!("{what}: {}", finish(child, Vec::new()).stderr);
    }

    /// Starts the command line, with more options.
    pub(super) fn begin(&mut self, more: &[&str]) {
        let mut command = (self.command)(self.env);
        let input = File::open(self.env.path().join("input")).unwrap();
        command
            .args(more)
            .args(["-c", JOB])
            .stdin(Stdio::from(input));
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until something that had begun is begun again, while it could still be at work.
    pub(super) fn is_begun_again(&mut self) {
        let twice = || counts(self.env, "begun").values().any(|&times| times > 1);
        if elapsed_until(AGAIN, twice).is_none() {
            self.failed("never begun again");
        }
    }

    pub(super) fn release(&mut self) {
        let pipe = self.env.path().join(format!("hold.{}", self.held));
        std::fs::remove_file(pipe).ok();
        self.hold = None;
    }

    pub(super) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        signal(child.id().cast_signed(), Signal::SIGKILL);
        child.wait().unwrap();
    }

    /// How it ended: well, with all that there was to do.
    pub(super) fn end(mut self) -> Done {
        self.release();
        let env = self.env;
        let done = finish(self.child.take().unwrap(), Vec::new());
        assert_eq!(done.code(), 0, "{}", done.stderr);
        complete(env, JOBS);
        assert_eq!(counts(env, "ended").len(), JOBS as usize);
        let overlaps = counts(env, "overlaps");
        let trail = std::fs::read_to_string(env.path().join("trail")).unwrap();
        let of_these = |line: &&str| overlaps.contains_key(line.split(' ').next().unwrap_or(line));
        let trail: Vec<_> = trail.lines().filter(of_these).collect();
        assert!(overlaps.is_empty(), "{trail:#?}: {}", done.stderr);
        let mut told = sorted(done.stdout());
        told.dedup();
        assert_eq!(told.len(), done.stdout().lines().count(), "none twice");
        env.no_process_left();
        done
    }

    /// Which were begun more than once.
    pub(super) fn twice(env: &TestEnv) -> Vec<String> {
        let all = counts(env, "begun").into_iter();
        all.filter(|(_, n)| *n > 1).map(|(job, _)| job).collect()
    }
}

pub(super) fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).ok();
}

/// One of several that are tried side by side, since they mostly wait.
pub(super) type Case<C> = (&'static str, fn(&C, usize));

/// Tries all of them, so many at once; each has a number.
pub(super) fn side_by_side<C: Sync>(context: &C, at_once: usize, cases: &[Case<C>]) {
    let next = Mutex::new(cases.iter().enumerate());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some((number, (name, case))) = next.lock().unwrap().next() else {
                        return;
                    };
                    let ended = catch_unwind(AssertUnwindSafe(|| case(context, number)));
                    if ended.is_err() {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "failed, for the reasons above: {failed:?}"
    );
}
