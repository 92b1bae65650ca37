//! The processes below this one, which is their child subreaper: what loses
//! its parent becomes its child, so that nothing gets away.
//!
//! For workers, and for an orchestrator whose worker was killed; not part of
//! the SDK.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::clock;
use crate::os::{self, Exit};

/// How long killing may take. Only processes that fork faster than they are
/// killed, or that the kernel holds, take more than some milliseconds.
const LIMIT: Duration = Duration::from_secs(5);
/// So many looks in a row must find nobody, since a look is not atomic.
const CLEAN_LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_micros(300);

/// Whether this process has any child, dead ones included. Cheap.
pub(crate) fn has_children() -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags) != Err(Errno::ECHILD)
}

/// The children of this process, dead ones included.
#[must_use]
pub fn children() -> Vec<Pid> {
    if has_children() {
        children_of("self")
    } else {
        Vec::new()
    }
}

/// Kills everything below this process and takes it off the process table,
/// but for these children and what is below them. Gives the number of
/// processes that had to be killed.
pub fn kill_all_but(spared: &[Pid]) -> u32 {
    let start = clock::now();
    let mut killed = 0;
    let mut clean_looks = 0;
    while has_children() && clean_looks < CLEAN_LOOKS && start.elapsed() < LIMIT {
        let mut children = children_of("self");
        children.retain(|pid| !spared.contains(pid));
        if children.is_empty() {
            clean_looks += 1;
            continue;
        }
        clean_looks = 0;
        for &child in &children {
            kill_tree(child, 0);
        }
        let ends: Vec<Exit> = children
            .iter()
            .filter_map(|&child| os::reap(child).map(|(exit, _)| exit))
            .collect();
        let by_us = |exit: &&Exit| **exit == Exit::Signal(Signal::SIGKILL as i32);
        killed += ends.iter().filter(by_us).count() as u32;
        if ends.len() < children.len() {
            std::thread::sleep(PAUSE);
        }
    }
    killed
}

/// Takes children that are dead off the process table, but for these.
pub fn reap_all_but(spared: &[Pid]) {
    for child in children() {
        if !spared.contains(&child) {
            os::reap(child);
        }
    }
}

/// A parent goes before its children: it can have no further ones.
fn kill_tree(pid: Pid, depth: u32) {
    let below = children_of(&pid.to_string());
    kill(pid, Signal::SIGKILL).ok();
    // What is deeper comes to us when its parents are dead.
    if depth < 32 {
        for child in below {
            kill_tree(child, depth + 1);
        }
    }
}

/// Children of all threads of a process, as `/proc` lists them: a number, or `self`.
#[must_use]
pub fn children_of(pid: &str) -> Vec<Pid> {
    let mut children = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return children;
    };
    for thread in threads.flatten() {
        if let Ok(list) = fs::read_to_string(thread.path().join("children")) {
            let pids = list.split_ascii_whitespace().filter_map(|n| n.parse().ok());
            children.extend(pids.map(Pid::from_raw));
        }
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own child")]
    fn a_child_is_listed_until_it_is_reaped() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        assert!(children().contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children().contains(&pid));
    }
}
