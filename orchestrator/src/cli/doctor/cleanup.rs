//! What makes sure that nothing outlives a worker that crashes or is killed.

use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::{get_pdeathsig, set_pdeathsig};
use nix::sys::signal::Signal;

use super::check::Check;
use crate::pool::adopt_orphans;

pub(super) fn check() -> Check {
    let subreaper = adopt_orphans();
    let memfd = memfd_create("doctor", MFdFlags::MFD_CLOEXEC).is_ok();
    let proc_is_there = Path::new("/proc/self/exe").exists();
    let tiers = [
        ("subreaper", subreaper.is_ok()),
        ("status page (memfd)", memfd),
    ];
    let names = |is: bool| {
        let all = tiers.iter().filter(|(_, there)| *there == is);
        all.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    };
    let (there, missing) = (names(true), names(false));
    let value = match missing.is_empty() {
        true => there,
        false => format!("{there}; not: {missing}"),
    };
    let check = Check::new("cleanup", value)
        .fact("subreaper", subreaper.is_ok())
        .fact("memfd", memfd)
        .fact("death_signal", death_signal());
    if !proc_is_there {
        return check.fail("workers are started from /proc/self/exe: mount /proc");
    }
    match (subreaper, memfd) {
        (Err(e), _) => check.warn(format!(
            "what leaves its process group outlives a worker that is killed: {e}; \
             in a container, start with an init process: docker run --init"
        )),
        (Ok(()), false) => check.warn("answers that a dying worker had no time to write are lost"),
        (Ok(()), true) => check,
    }
}

/// Whether the kernel tells a process that its parent has died. What it was is put back.
fn death_signal() -> bool {
    let Ok(before) = get_pdeathsig() else {
        return false;
    };
    let set = set_pdeathsig(Signal::SIGURG).is_ok();
    set_pdeathsig(before).is_ok() && set
}
