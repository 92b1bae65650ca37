//! The fence: every syscall of the orchestrator that std and tokio do not
//! offer, as a few safe functions.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getsid};

/// A temporary file that has no name and vanishes with its descriptor, in
/// `TMPDIR` or `/tmp`.
///
/// # Errors
/// When the directory cannot be written.
pub(crate) fn unlinked_file() -> io::Result<File> {
    let dir = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let unnamed = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE | libc::O_CLOEXEC)
        .mode(0o600)
        .open(&dir);
    match unnamed {
        // Not every file system knows O_TMPFILE.
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            let (fd, path) = nix::unistd::mkstemp(&dir.join("orchestrator-XXXXXX"))?;
            nix::unistd::unlink(&path)?;
            nix::sys::stat::fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
            Ok(File::from(fd))
        }
        other => other,
    }
}

/// Gives a range of a file back to the file system. Failure costs disk space
/// until the file is closed and nothing else, so it is not reported.
pub(crate) fn punch_hole(file: &File, start: u64, len: u64) {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(file, flags, start as i64, len as i64).ok();
}

/// What a worker's status page says, see `docs/protocol.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) job: u64,
    pub(crate) attempt: u32,
    /// Process group of the running command, 0 for none.
    pub(crate) group: i32,
}

/// A worker's status page, readable after the worker has died.
#[derive(Debug)]
pub(crate) struct StatusPage(File);

impl StatusPage {
    /// Opens the page through its owner's descriptor. The number comes from the
    /// worker, so whatever it names must not be able to block us.
    pub(crate) fn open(pid: u32, fd: i32) -> Option<StatusPage> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
            .open(format!("/proc/{pid}/fd/{fd}"))
            .ok()?;
        let meta = file.metadata().ok()?;
        (meta.is_file() && meta.len() >= 16).then_some(StatusPage(file))
    }

    pub(crate) fn read(&self) -> Option<Status> {
        let mut page = [0; 16];
        self.0.read_exact_at(&mut page, 0).ok()?;
        let [job @ .., a, b, c, d, e, f, g, h] = page;
        Some(Status {
            job: u64::from_le_bytes(job),
            attempt: u32::from_le_bytes([a, b, c, d]),
            group: i32::from_le_bytes([e, f, g, h]),
        })
    }
}

/// Kills the process group of a worker's command. A worker is the leader of a
/// session of its own, so a group whose leader is in that session is certainly
/// its command's and no stranger's that got the same number.
pub(crate) fn kill_command(worker: u32, group: i32) {
    let (Ok(session), 2..) = (i32::try_from(worker), group) else {
        return;
    };
    let group = Pid::from_raw(group);
    if getsid(Some(group)) == Ok(Pid::from_raw(session)) {
        // It may have ended by itself in the meantime.
        killpg(group, Signal::SIGKILL).ok();
    }
}
