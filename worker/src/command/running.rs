//! Attends to a running command: its output, its limits, the orchestrator's
//! messages about it, and at the end whatever it left behind.
//!
//! One loop waits for everything; decisions are in [`Running::obey`] and
//! [`Running::tick`]. The process group is signalled only as long as its
//! leader has not been taken off the process table: a zombie keeps its number
//! from being given to somebody else.

use std::io::{ErrorKind, PipeWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpgid};
use protocol::{CommandSpec, FromWorker, JobHeader, Limits, Outcome, StopStep, Stream, TaskError};

use super::cut::Cut;
use super::launch::{Launched, Refusal};
use super::output::{self, Source, pump};
use crate::clock::{self, Moment};
use crate::link::{Link, PATIENCE, READ_SIZE};
use crate::os::{self, Exit, Used};
use crate::state::{End, Key};
use crate::tree;

/// So long nobody looks at a command unless it ends: most are over by then, and
/// are not disturbed on the way, nor their worker.
const BRIEF: Duration = Duration::from_millis(2);
/// One that has printed more could have been stopped by a full pipe.
const TERSE: usize = READ_SIZE / 4;
/// What fits into a pipe, mostly.
const PIPE: usize = 64 << 10;
/// After this time the orchestrator is told that the command has started.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(5);
/// How long output may wait for more of it.
const OUTPUT_PATIENCE: Duration = Duration::from_millis(5);
/// How long the pipes may stay open after the command has ended: whoever holds
/// them then was left behind.
const LEAK_TIMEOUT: Duration = Duration::from_millis(100);
/// How often to look whether the last of a group that was asked to stop has
/// ended, when its leader has.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long a command may take to stop when there is nobody left to care.
const ORPHAN_GRACE: Duration = Duration::from_millis(100);
/// What is read at most from pipes whose writers have been killed; a pipe
/// holds no more unless somebody still writes.
const LAST_WORDS: usize = 1 << 20;

/// How a command ended.
pub(crate) struct Report {
    pub(crate) outcome: Outcome,
    pub(crate) error: Option<TaskError>,
    pub(crate) used: Used,
    pub(crate) wall: Duration,
    pub(crate) leaked: u32,
}

/// Why a command is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Cancelled,
    TimeLimit,
    /// It has written more than it may.
    OutputLimit,
    /// The connection has ended.
    End,
}

struct Running<'a> {
    link: &'a Link,
    key: Key,
    grace: Duration,
    /// How it is made to stop, if that was said, and how many of those steps were done.
    steps: &'a [StopStep],
    done: usize,
    /// The command's process, and the group that it leads.
    leader: Pid,
    pidfd: OwnedFd,
    stdin: Option<(PipeWriter, &'a [u8])>,
    stdout: Option<Source>,
    stderr: Option<Source>,
    limits: Limits,
    /// How much of stdout and stderr is passed on, if that is limited.
    cuts: Option<Box<[Cut; 2]>>,
    buffer: &'a mut Vec<u8>,
    /// How much the command has printed.
    printed: usize,
    /// When the orchestrator is to be told of the start.
    announce_at: Option<Moment>,
    /// When the time is up.
    limit_at: Option<Moment>,
    /// When the last step of making it stop has been in vain.
    kill_at: Option<Moment>,
    paused_since: Option<Moment>,
    stopping: Option<Why>,
    orphaned: bool,
    exited_at: Option<Moment>,
    /// Children that are none of the command's.
    spared: Vec<Pid>,
}

/// What can be said about each descriptor.
struct Ready {
    input: PollFlags,
    exit: PollFlags,
    stdin: PollFlags,
    stdout: PollFlags,
    stderr: PollFlags,
}

/// What one command leaves to the next.
pub(crate) struct Habits {
    /// Where output arrives.
    buffer: Vec<u8>,
    /// The last command was over soon, so the next may be.
    brief: bool,
}

impl Habits {
    pub(crate) fn new() -> Habits {
        Habits {
            buffer: Vec::new(),
            brief: true,
        }
    }

    /// Whether this one may well be over before anybody has to look at it.
    pub(crate) fn expect_brief(&self, spec: &CommandSpec) -> bool {
        let mut stdin = spec.stdin.iter();
        self.brief && stdin.all(|data| data.len() <= PIPE) && spec.stdin_path.is_none()
    }
}

/// Attends to a command until it and everything that it started are gone.
pub(crate) fn attend(
    link: &Link,
    header: &JobHeader,
    spec: &CommandSpec,
    launched: Launched,
    start: Moment,
    habits: &mut Habits,
) -> Result<Report, Refusal> {
    let leader = launched.leader;
    link.status
        .start(header.job.0, header.attempt.0, leader.as_raw() as u32);
    let pidfd = match prepare(&launched, spec) {
        Ok(pidfd) => pidfd,
        Err(e) => return Err(give_up(&launched, &e)),
    };
    let brief = habits.expect_brief(spec);
    let mut running = Running {
        link,
        key: (header.job, header.attempt),
        grace: Duration::from_millis(spec.grace_ms),
        steps: &spec.stop,
        done: 0,
        leader,
        pidfd,
        stdin: launched
            .stdin
            .zip(spec.stdin.as_ref().map(|data| &data[..])),
        stdout: Some(Source::new(launched.stdout, Stream::Stdout)),
        stderr: Some(Source::new(launched.stderr, Stream::Stderr)),
        limits: spec.limits,
        cuts: spec.limits.output.map(|limit| {
            let cut = || Cut::new(limit.bytes);
            Box::new([cut(), cut()])
        }),
        buffer: &mut habits.buffer,
        printed: 0,
        announce_at: Some(start + ANNOUNCE_AFTER),
        limit_at: spec
            .time_limit_ms
            .map(|limit| start + Duration::from_millis(limit)),
        kill_at: None,
        paused_since: None,
        stopping: None,
        orphaned: false,
        exited_at: None,
        spared: launched.spared,
    };
    // Mostly that is all, and the command need not be looked after for it.
    running.feed();
    if brief && running.stdin.is_none() {
        running.leave_alone(start);
    }
    running.attend();
    let was_brief = running.exited_at.is_some_and(|at| at - start < BRIEF);
    let (report, printed) = running.clean_up(start);
    habits.brief = was_brief && printed <= TERSE;
    Ok(report)
}

/// What can fail for want of descriptors, once the process exists.
fn prepare(launched: &Launched, spec: &CommandSpec) -> std::io::Result<OwnedFd> {
    if let Some(pipe) = &launched.stdin {
        os::set_nonblocking(pipe)?;
        let size = spec.stdin.as_ref().map_or(0, |data| data.len());
        if size > PIPE {
            os::widen(pipe, size);
        }
    }
    os::pidfd_open(launched.leader)
}

fn give_up(launched: &Launched, error: &std::io::Error) -> Refusal {
    killpg(launched.leader, Signal::SIGKILL).ok();
    waitpid(launched.leader, None).ok();
    tree::kill_all_but(&launched.spared);
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EINVAL));
    Refusal::new(errno, format!("cannot attend to the command: {error}"))
}

impl Running<'_> {
    /// Waits for the end of a command that is likely to come soon. What it
    /// prints stays in its pipes meanwhile, and messages in theirs.
    fn leave_alone(&mut self, start: Moment) {
        let until = start + BRIEF;
        let until = self.limit_at.map_or(until, |at| at.min(until));
        // Answers of earlier jobs wait for this one's, but not for longer.
        let held = self.link.state().outbox.waiting_since(start);
        let held = held.map(|since| (since + PATIENCE).min(until));
        for at in held.into_iter().chain([until]) {
            let left = at - clock::now();
            if os::is_readable_for(&self.pidfd, left) {
                self.exited_at = Some(clock::now());
                return;
            }
            self.link.flush(&mut self.link.state());
        }
    }

    /// Returns when the leader has ended and its pipes are closed, or have
    /// stayed open for too long after that.
    fn attend(&mut self) {
        loop {
            let now = clock::now();
            self.obey(now);
            self.tick(now);
            if self.is_over(now) {
                return;
            }
            let ready = self.wait(now);
            if !ready.input.is_empty() {
                self.link.receive_ready();
            }
            if !ready.stdin.is_empty() {
                self.feed();
            }
            self.pump(ready.stdout, ready.stderr);
            if !ready.exit.is_empty() {
                self.exited_at = Some(clock::now());
                self.stdin = None;
            }
        }
    }

    /// Whether there is nothing left to wait for.
    fn is_over(&self, now: Moment) -> bool {
        let Some(exited_at) = self.exited_at else {
            return false;
        };
        // A shell dies of SIGTERM at once, but the program that it ran has the
        // same right to its grace as if there had been no shell.
        if self.kill_at.is_some() && self.group_lingers() {
            return false;
        }
        let silent = self.stdout.is_none() && self.stderr.is_none();
        silent || now - exited_at >= LEAK_TIMEOUT
    }

    /// Whether the group has members beside its leader, which is dead: they
    /// have lost their parent, so that they are children of this process.
    fn group_lingers(&self) -> bool {
        let mut others = tree::children();
        others.retain(|pid| *pid != self.leader && !self.spared.contains(pid));
        others
            .into_iter()
            .any(|pid| getpgid(Some(pid)) == Ok(self.leader) && os::reap(pid).is_none())
    }

    /// Waits for anything to happen, or for the next deadline.
    fn wait(&self, now: Moment) -> Ready {
        let waiting = self.link.state().outbox.waiting_since(now);
        let limit_at = self.limit_at.filter(|_| self.limit_applies());
        let lingering = self.exited_at.is_some() && self.kill_at.is_some();
        let deadline = [
            lingering.then(|| now + LOOK_AGAIN),
            waiting.map(|since| since + OUTPUT_PATIENCE),
            self.exited_at
                .filter(|_| !lingering)
                .map(|exited| exited + LEAK_TIMEOUT),
            self.announce_at,
            self.kill_at,
            limit_at,
        ];
        let timeout = match deadline.into_iter().flatten().min() {
            None => PollTimeout::NONE,
            // Rounded up: waking early would only mean to wait again.
            Some(at) => {
                PollTimeout::try_from((at - now).as_millis() + 1).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut ready = Ready {
            input: PollFlags::empty(),
            exit: PollFlags::empty(),
            stdin: PollFlags::empty(),
            stdout: PollFlags::empty(),
            stderr: PollFlags::empty(),
        };
        let readable = PollFlags::POLLIN;
        let mut flags: Vec<&mut PollFlags> = Vec::with_capacity(5);
        let mut fds = Vec::with_capacity(5);
        // An end of file stays readable: whoever has gone is not asked again.
        if !self.orphaned {
            flags.push(&mut ready.input);
            fds.push(PollFd::new(self.link.input(), readable));
        }
        if self.exited_at.is_none() {
            flags.push(&mut ready.exit);
            fds.push(PollFd::new(self.pidfd.as_fd(), readable));
        }
        if let Some((pipe, _)) = &self.stdin {
            flags.push(&mut ready.stdin);
            fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        }
        if let Some(source) = &self.stdout {
            flags.push(&mut ready.stdout);
            fds.push(PollFd::new(source.as_fd(), readable));
        }
        if let Some(source) = &self.stderr {
            flags.push(&mut ready.stderr);
            fds.push(PollFd::new(source.as_fd(), readable));
        }
        poll(&mut fds, timeout).ok();
        for (flag, fd) in flags.into_iter().zip(&fds) {
            *flag = fd.revents().unwrap_or(PollFlags::empty());
        }
        ready
    }

    /// What the orchestrator's messages mean for this command.
    fn obey(&mut self, now: Moment) {
        let state = self.link.state();
        let (end, paused) = (state.end.clone(), state.paused);
        drop(state);
        match end {
            Some(End::Bye) => self.stop(Why::End, now),
            Some(End::Gone | End::Violation(_)) if !self.orphaned => {
                self.orphaned = true;
                self.grace = self.grace.min(ORPHAN_GRACE);
                self.stop(Why::End, now);
                let kill_at = now + self.grace;
                self.kill_at = self.kill_at.map(|at| at.min(kill_at));
            }
            Some(_) | None => {}
        }
        if self.link.is_cancelled() {
            self.stop(Why::Cancelled, now);
        }
        match self.paused_since {
            None if paused && self.stopping.is_none() => {
                self.signal(Signal::SIGSTOP);
                self.paused_since = Some(now);
            }
            Some(since) if !paused => {
                self.signal(Signal::SIGCONT);
                self.paused_since = None;
                self.limit_at = self.limit_at.map(|at| at + (now - since));
            }
            None | Some(_) => {}
        }
    }

    /// What is due.
    fn tick(&mut self, now: Moment) {
        if self.announce_at.is_some_and(|at| at <= now) {
            self.announce_at = None;
            let (job, attempt) = self.key;
            let mut state = self.link.state();
            state.outbox.send(&FromWorker::Started { job, attempt });
            self.link.flush(&mut state);
        }
        if self.limit_applies() && self.limit_at.is_some_and(|at| at <= now) {
            self.stop(Why::TimeLimit, now);
        }
        if self.writes_too_much() {
            self.stop(Why::OutputLimit, now);
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.step(now);
        }
        let mut state = self.link.state();
        let waiting = state.outbox.waiting_since(now);
        if state.outbox.is_full() || waiting.is_some_and(|since| now - since >= OUTPUT_PATIENCE) {
            self.link.flush(&mut state);
        }
    }

    /// Whether it has written so much that it is to end.
    fn writes_too_much(&self) -> bool {
        let kills = self.limits.output.is_some_and(|limit| limit.kill);
        let mut cuts = self.cuts.iter().flat_map(|cuts| cuts.iter());
        kills && cuts.any(Cut::is_exceeded)
    }

    /// A command that is paused, or being stopped, has no time limit.
    fn limit_applies(&self) -> bool {
        self.paused_since.is_none() && self.stopping.is_none() && self.exited_at.is_none()
    }

    /// Asks the command to stop, once: the first reason decides its outcome.
    fn stop(&mut self, why: Why, now: Moment) {
        if self.stopping.is_some() || self.exited_at.is_some() {
            return;
        }
        self.stopping = Some(why);
        self.step(now);
        // A stopped process takes no notice of anything else.
        self.signal(Signal::SIGCONT);
    }

    /// The next step of making it stop; the last one is SIGKILL.
    fn step(&mut self, now: Moment) {
        let next = match (self.steps, self.done) {
            ([], 0) => Some((Signal::SIGTERM, self.grace)),
            // Nobody is left to care how it ends.
            (_, 1..) if self.orphaned => None,
            (steps, done) => steps.get(done).and_then(|step| {
                let signal = Signal::try_from(step.signal).ok()?;
                Some((signal, Duration::from_millis(step.wait_ms)))
            }),
        };
        self.done += 1;
        match next.filter(|(signal, _)| *signal != Signal::SIGKILL) {
            Some((signal, wait)) => {
                self.signal(signal);
                self.kill_at = Some(now + wait);
            }
            None => {
                self.kill_at = None;
                self.signal(Signal::SIGKILL);
            }
        }
    }

    /// The leader is alive or a zombie here, so the group is still its own.
    fn signal(&self, signal: Signal) {
        killpg(self.leader, signal).ok();
    }

    /// Passes on what the command has written, a pipe's content at a time.
    fn pump(&mut self, stdout: PollFlags, stderr: PollFlags) -> usize {
        let (link, key, buffer) = (self.link, self.key, &mut *self.buffer);
        let [out, err] = match self.cuts.as_deref_mut() {
            Some([out, err]) => [Some(out), Some(err)],
            None => [None, None],
        };
        let pumped = pump(&mut self.stdout, stdout, out, link, key, buffer)
            + pump(&mut self.stderr, stderr, err, link, key, buffer);
        self.printed += pumped;
        pumped
    }

    /// Gives the command more of what it reads.
    fn feed(&mut self) {
        let Some((pipe, data)) = &mut self.stdin else {
            return;
        };
        let done = match pipe.write(data) {
            Ok(n) => {
                *data = &data[n..];
                data.is_empty()
            }
            Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if done {
            self.stdin = None;
        }
    }

    /// The leader has ended: kills what is left, takes everything off the
    /// process table, and gathers the last output.
    fn clean_up(mut self, start: Moment) -> (Report, usize) {
        let wall = self.exited_at.unwrap_or(start) - start;
        self.signal(Signal::SIGKILL);
        let end = os::reap(self.leader);
        let leaked = tree::kill_all_but(&self.spared);
        let mut last_words = 0;
        while last_words < LAST_WORDS {
            match self.pump(PollFlags::POLLIN, PollFlags::POLLIN) {
                0 => break,
                n => last_words += n,
            }
        }
        let (outcome, error) = self.outcome(end);
        if let Some(cuts) = self.cuts.take() {
            let streams = [Stream::Stdout, Stream::Stderr];
            for (cut, stream) in cuts.into_iter().zip(streams) {
                output::finish(cut, stream, self.link, self.key);
            }
        }
        let report = Report {
            outcome,
            error,
            used: end.map(|(_, used)| used).unwrap_or_default(),
            wall,
            leaked,
        };
        (report, self.printed)
    }

    fn outcome(&self, end: Option<(Exit, Used)>) -> (Outcome, Option<TaskError>) {
        let (outcome, text) = match (self.stopping, end) {
            (Some(Why::TimeLimit), _) => (Outcome::TimedOut, None),
            (Some(Why::Cancelled | Why::End), _) => (Outcome::Cancelled, None),
            (Some(Why::OutputLimit), _) => (Outcome::OutputLimit, Some(self.excess())),
            // It was over before that was seen.
            (None, _) if self.writes_too_much() => (Outcome::OutputLimit, Some(self.excess())),
            (None, Some((Exit::Code(0), _))) => (Outcome::Ok, None),
            (None, Some((Exit::Code(code), _))) => (Outcome::Failed(code), None),
            (None, Some((Exit::Signal(signal), used))) => {
                (Outcome::Signaled(signal), self.cpu_time_is_up(signal, used))
            }
            (None, None) => {
                let text = "the command's exit status was taken by other code of this worker";
                (Outcome::Failed(1), Some(text.to_owned()))
            }
        };
        (outcome, text.map(TaskError::new))
    }

    /// Which limit its output has exceeded, in words.
    fn excess(&self) -> String {
        let [out, err] = match self.cuts.as_deref() {
            Some([out, err]) => [out.is_exceeded(), err.is_exceeded()],
            None => [false, false],
        };
        let stream = match (out, err) {
            (true, true) => "stdout and stderr",
            (false, true) => "stderr",
            _ => "stdout",
        };
        let bytes = self.limits.output.map_or(0, |limit| limit.bytes);
        format!("more than {bytes} bytes on {stream}")
    }

    /// The reason in words, if a signal ended it because of its CPU time: the first
    /// one that the kernel sends for that, or SIGKILL when it has gone on.
    fn cpu_time_is_up(&self, signal: i32, used: Used) -> Option<String> {
        let limit = self.limits.cpu_s?;
        let is_up = match signal {
            libc::SIGXCPU => true,
            libc::SIGKILL => (used.user_us + used.system_us) / 1_000_000 >= limit,
            _ => false,
        };
        is_up.then(|| format!("it has used up its CPU time of {limit}s"))
    }
}
