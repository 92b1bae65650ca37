//! What signals mean to a run: a ladder of three steps, each shorter than the
//! one before, a pause, and a look at what runs.
//!
//! Handlers are installed for a run only. They act on the run's reins beside the
//! run itself, which may be waiting for somebody to read its results. The last
//! resort is a thread: should the ladder itself get stuck, the process ends of
//! the signal all the same, and its end is its workers' end.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};

use super::exit::Exit;
use super::main::say;
use crate::pool;
use crate::run::reins::{Reins, Stop};
use crate::run::screen::{self, say_at_once};

/// How much longer than its deadlines a stop may take.
const STUCK: Duration = Duration::from_secs(5);

/// Undoes what whoever started this program may have done to its signals: a
/// blocked signal would never arrive, and children would inherit the mask.
pub(super) fn unblock() {
    SigSet::empty().thread_set_mask().ok();
}

/// The signals that a run listens to.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Arrivals,
    terminate: Arrivals,
    /// Absent when hangups are ignored, as under `nohup`.
    hangup: Option<Arrivals>,
    quit: Arrivals,
    suspend: Arrivals,
    status: Arrivals,
    child: Arrivals,
    ladder: Ladder,
    /// Tells the last resort when to act.
    watchdog: Option<mpsc::Sender<(Duration, Signal)>>,
    /// How long jobs have when they are told to end.
    grace: Duration,
    notes: Notes,
}

/// What is said of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notes {
    /// What happens now.
    Ours,
    /// What GNU parallel says.
    Gnu,
    Nothing,
}

impl Signals {
    /// Installs the handlers; in a tokio runtime.
    pub(super) fn install(grace: Duration, notes: Notes) -> io::Result<Signals> {
        let hangup = if is_ignored(Signal::SIGHUP) {
            None
        } else {
            Some(signal(SignalKind::hangup())?)
        };
        Ok(Signals {
            // A script's shell ignores these two for what it starts in the
            // background; whoever sends them to it by name means it all the same.
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
            suspend: signal(SignalKind::from_raw(libc::SIGTSTP))?,
            status: signal(SignalKind::user_defined1())?,
            // A handler of any kind, where whoever started us ignored the
            // signal: the kernel would throw away how children ended.
            child: signal(SignalKind::child())?,
            ladder: Ladder::default(),
            watchdog: None,
            grace,
            notes,
        })
    }

    /// Turns signals into what they mean to this run; for as long as it is
    /// polled.
    pub(super) async fn attend(&mut self, reins: &Reins) -> std::convert::Infallible {
        loop {
            let arrived = tokio::select! {
                _ = self.interrupt.recv() => Signal::SIGINT,
                _ = self.terminate.recv() => Signal::SIGTERM,
                () = arrival(&mut self.hangup) => Signal::SIGHUP,
                _ = self.quit.recv() => Signal::SIGQUIT,
                _ = self.suspend.recv() => Signal::SIGTSTP,
                _ = self.status.recv() => Signal::SIGUSR1,
                _ = self.child.recv() => Signal::SIGCHLD,
            };
            match arrived {
                Signal::SIGTSTP => {
                    reins.pause().await;
                    screen::hide();
                    // Returns when somebody lets this process go on.
                    raise(Signal::SIGSTOP).ok();
                    screen::show();
                    reins.resume();
                }
                Signal::SIGUSR1 => say(&format!("orchestrator: {}", reins.status().await)),
                Signal::SIGCHLD => pool::meet_strangers(),
                stop => {
                    if stop == Signal::SIGQUIT {
                        say_at_once(&format!("orchestrator: {}", reins.status().await));
                    }
                    let step = self.climb(stop, reins);
                    if self.notes == Notes::Gnu && step == Step::Stop(Stop::Soon) {
                        say_at_once(&waited_for(&reins.commands().await));
                    }
                }
            }
        }
    }

    fn climb(&mut self, signal: Signal, reins: &Reins) -> Step {
        let step = self.ladder.step(signal);
        if self.notes == Notes::Ours {
            // Whoever stops a run may do so because its terminal is stuck.
            say_at_once(&self.note(step));
        }
        match step {
            Step::Stop(stop) => {
                match stop {
                    Stop::Soon => {}
                    // The jobs, then the workers.
                    Stop::Now => self.watch(self.grace.saturating_mul(2).saturating_add(2 * STUCK)),
                    Stop::Kill => self.watch(STUCK),
                }
                reins.stop(stop);
                step
            }
            Step::Leave => {
                say_at_once("");
                Exit::Signal(signal).leave()
            }
        }
    }

    fn note(&self, step: Step) -> String {
        let again = if io::stderr().is_terminal() {
            " (Ctrl-C again to kill them now)"
        } else {
            ""
        };
        match step {
            Step::Stop(Stop::Soon) => {
                "stopping: no further job is started, those that run are waited for\n".into()
            }
            Step::Stop(Stop::Now) => format!(
                "stopping: running jobs get {:?} to finish{again}\n",
                self.grace
            ),
            Step::Stop(Stop::Kill) => "stopping: running jobs are killed\n".into(),
            Step::Leave => String::new(),
        }
    }

    /// From now on there is a last resort, after this time.
    fn watch(&mut self, patience: Duration) {
        let Some(signal) = self.ladder.signal() else {
            return;
        };
        if let Some(watchdog) = &self.watchdog {
            watchdog.send((patience, signal)).ok();
            return;
        }
        let (sender, receiver) = mpsc::channel();
        sender.send((patience, signal)).ok();
        let dog = thread::Builder::new().name("last resort".into());
        if dog.spawn(move || last_resort(&receiver)).is_ok() {
            self.watchdog = Some(sender);
        }
    }

    /// The signal that the run was stopped by, to be died of.
    pub(super) fn stopped_by(&self) -> Option<Signal> {
        self.ladder.signal()
    }
}

/// What GNU parallel says when it starts no more jobs because of a signal.
fn waited_for(commands: &[String]) -> String {
    let mut lines = format!(
        "parallel: SIGHUP received. No new jobs will be started.\n\
         parallel: Waiting for these {} jobs to finish. Send SIGTERM to stop now.\n",
        commands.len()
    );
    for command in commands {
        lines += &format!("parallel: {command}\n");
    }
    lines
}

async fn arrival(arrivals: &mut Option<Arrivals>) {
    match arrivals {
        Some(arrivals) => {
            arrivals.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Ends the process when the time is over, whatever it is waiting for.
fn last_resort(orders: &mpsc::Receiver<(Duration, Signal)>) {
    let Ok((mut patience, mut signal)) = orders.recv() else {
        return;
    };
    loop {
        match orders.recv_timeout(patience) {
            Ok(order) => (patience, signal) = order,
            Err(RecvTimeoutError::Timeout) => {
                say_at_once("error: stopped before all results were written: nobody reads them\n");
                Exit::Signal(signal).leave();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

/// What a signal means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Stop(Stop),
    /// Everything else was in vain, or takes too long for whoever asks.
    Leave,
}

/// How far the run has been told to stop, and by which signal.
#[derive(Debug, Default)]
struct Ladder {
    reached: Option<(Stop, Signal)>,
}

impl Ladder {
    fn step(&mut self, signal: Signal) -> Step {
        let reached = self.reached.map(|(stop, _)| stop);
        let stop = match (signal, reached) {
            (_, Some(Stop::Kill)) => return Step::Leave,
            (Signal::SIGQUIT, _) | (_, Some(Stop::Now)) => Stop::Kill,
            (Signal::SIGHUP, None) => Stop::Soon,
            (_, None | Some(Stop::Soon)) => Stop::Now,
        };
        // The one that asked first is answered, unless it asked for little.
        self.reached = match self.reached {
            Some((Stop::Now, first)) => Some((stop, first)),
            _ => Some((stop, signal)),
        };
        Step::Stop(stop)
    }

    fn signal(&self) -> Option<Signal> {
        self.reached.map(|(_, signal)| signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn climb(signals: &[Signal]) -> (Vec<Step>, Option<Signal>) {
        let mut ladder = Ladder::default();
        let steps = signals.iter().map(|&signal| ladder.step(signal)).collect();
        (steps, ladder.signal())
    }

    #[test]
    fn each_request_is_a_step_further() {
        use Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        let now = Step::Stop(Stop::Now);
        let (soon, kill) = (Step::Stop(Stop::Soon), Step::Stop(Stop::Kill));
        for (signals, steps, dies_of) in [
            (
                &[SIGINT, SIGINT, SIGINT][..],
                &[now, kill, Step::Leave][..],
                SIGINT,
            ),
            (&[SIGTERM, SIGINT], &[now, kill], SIGTERM),
            (&[SIGHUP], &[soon], SIGHUP),
            (&[SIGHUP, SIGHUP, SIGHUP], &[soon, now, kill], SIGHUP),
            (&[SIGHUP, SIGTERM], &[soon, now], SIGTERM),
            (&[SIGQUIT, SIGINT], &[kill, Step::Leave], SIGQUIT),
        ] {
            let (taken, signal) = climb(signals);
            assert_eq!((&taken[..], signal), (steps, Some(dies_of)), "{signals:?}");
        }
        assert_eq!(climb(&[]).1, None);
    }
}
