//! What belongs to the whole process and is there when a job starts: working
//! directory, umask, environment. A function that changes them would change
//! what later jobs mean.
//!
//! After a job of a function the first two are put back, whether they were
//! changed or not: that takes two of the cheapest system calls, while to look
//! at the directory costs more. Still it is more than the smallest jobs take;
//! those are spared it by what they are: a function that has ended in less time than
//! a system call takes has made none. (What reading its input and writing its output
//! may do besides is found with a later job.) How long the cheapest one takes, `umask`, is
//! measured here, now and then again, since CPUs change their speed. The
//! environment cannot be put back under threads that may be reading it. Whether
//! it is the same is told by its pointers first; only when these differ its text
//! is compared.
//!
//! Left out: limits and signal handlers, which it would take too long to look
//! at, and text of the environment that was changed in its place, which only C
//! can do.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};
use nix::unistd::fchdir;

use crate::clock::{self, Moment};
use crate::os::{self, EnvironmentMark};

pub(crate) struct Surroundings {
    /// The working directory; absent when there is no way back to it.
    directory: Option<OwnedFd>,
    umask: Mode,
    /// Sorted, and what tells cheaply that it is the same.
    environment: Vec<(OsString, OsString)>,
    mark: EnvironmentMark,
    /// Less ticks than any system call takes, and when that was found out.
    shortest: u64,
    measured: Moment,
}

/// How long what was measured is believed.
const MEASURED_FOR: Duration = Duration::from_millis(10);

/// Why no further job may run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoiled {
    /// The environment is another one.
    Environment,
    /// There is no way back to the working directory.
    Directory(Errno),
    /// The worker's own descriptors were closed, the link's among them.
    Descriptors,
}

impl Surroundings {
    /// As they are now.
    pub(crate) fn now() -> Surroundings {
        // There is no way to read it that changes nothing. Whoever makes a file
        // at this very moment makes one for its owner alone.
        let mask = umask(Mode::S_IRWXG | Mode::S_IRWXO);
        umask(mask);
        Surroundings {
            directory: directory(),
            umask: mask,
            environment: environment(),
            mark: EnvironmentMark::now(),
            shortest: shortest(mask),
            measured: clock::now(),
        }
    }

    /// Whether a function that took so many ticks cannot have changed anything
    /// with a system call, nor written anything; setting a variable takes none,
    /// so it is looked at here.
    pub(crate) fn is_too_short_for_a_change(&self, ticks: u64, now: Moment) -> bool {
        ticks < self.shortest && now - self.measured < MEASURED_FOR && self.mark.holds()
    }

    /// Puts back what can be put back.
    pub(crate) fn restore(&mut self, now: Moment) -> Result<(), Spoiled> {
        match self.directory.as_ref().map_or(Ok(()), fchdir) {
            Ok(()) => {}
            Err(Errno::EBADF) => return Err(Spoiled::Descriptors),
            Err(errno) => return Err(Spoiled::Directory(errno)),
        }
        if now - self.measured >= MEASURED_FOR {
            self.measured = now;
            // Only downwards: what a call took when it was fast, it may again.
            self.shortest = self.shortest.min(shortest(self.umask));
        } else {
            umask(self.umask);
        }
        if !self.mark.holds() {
            let mark = EnvironmentMark::now();
            if environment() != self.environment {
                return Err(Spoiled::Environment);
            }
            self.mark = mark;
        }
        Ok(())
    }
}

/// A little less than what the cheapest system call usually takes, in ticks. (The
/// least of all would be whatever the count's worst moment makes of it.)
fn shortest(mask: Mode) -> u64 {
    let one = |_| {
        let before = os::ticks();
        umask(mask);
        os::ticks().wrapping_sub(before)
    };
    let mut ticks: [u64; 9] = std::array::from_fn(one);
    ticks.sort_unstable();
    ticks[4] / 8 * 7
}

fn directory() -> Option<OwnedFd> {
    let mut options = File::options();
    let options = options.read(true).custom_flags(libc::O_PATH);
    let directory = os::move_high(options.open(".").ok()?.as_fd()).ok()?;
    fchdir(&directory).is_ok().then_some(directory)
}

fn environment() -> Vec<(OsString, OsString)> {
    let mut all: Vec<_> = std::env::vars_os().collect();
    all.sort_unstable();
    all
}
