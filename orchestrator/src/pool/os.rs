//! The fence: every syscall of the orchestrator that std and tokio do not
//! offer, as a few safe functions.

use std::fs::{File, OpenOptions};
use std::io;
#[cfg(feature = "cli")]
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, FdFlag, fallocate, fcntl};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getsid};
use protocol::MAX_FRAME;

/// Where temporary files are made: in `TMPDIR` or `/tmp`.
pub(crate) fn temporary() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// A temporary file that has no name and vanishes with its descriptor, in this
/// directory or where such files are.
///
/// # Errors
/// When the directory cannot be written.
pub(crate) fn unlinked_file(dir: Option<&Path>) -> io::Result<File> {
    let dir = dir.map_or_else(temporary, Path::to_owned);
    let unnamed = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE | libc::O_CLOEXEC)
        .mode(0o600)
        .open(&dir);
    match unnamed {
        // Not every file system knows O_TMPFILE.
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => named_for_a_moment(&dir),
        other => other,
    }
}

/// Such a file where one cannot be made without a name.
fn named_for_a_moment(dir: &Path) -> io::Result<File> {
    let (fd, path) = nix::unistd::mkstemp(&dir.join("orchestrator-XXXXXX"))?;
    // No worker that is started later is to have it, nor its place on the disk.
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    nix::unistd::unlink(&path)?;
    nix::sys::stat::fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
    Ok(File::from(fd))
}

/// How much memory this process has taken at most so far, in KiB; 0 when that
/// is not known.
pub(super) fn own_peak_kib() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    usage.map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0))
}

/// The same for another process, without what it has inherited.
pub(super) fn peak_kib(pid: u32) -> Option<u64> {
    status_kib(pid, "VmHWM:")
}

/// How much memory a process has now, resident, in bytes.
pub(super) fn resident(pid: u32) -> Option<u64> {
    status_kib(pid, "VmRSS:").map(|kib| kib.saturating_mul(1024))
}

fn status_kib(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix(name))?;
    size.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// How many descriptors a process has open.
pub(super) fn open_files(pid: u32) -> Option<u64> {
    let list = PathBuf::from(format!("/proc/{pid}/fd"));
    // Since Linux 6.2 it is the size of the list, which costs next to nothing.
    match list.metadata().ok()?.len() {
        0 => Some(list.read_dir().ok()?.count() as u64),
        files => Some(files),
    }
}

/// How many bytes are in a pipe that nobody has read.
#[cfg(feature = "cli")]
#[expect(unsafe_code, reason = "no crate that is used offers it")]
pub(crate) fn unread(pipe: &OwnedFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one number to where the pointer points, which is ours.
    let end = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if end == 0 {
        bytes.unsigned_abs() as usize
    } else {
        0
    }
}

/// Descriptors that one worker takes: three pipes, its status page, what the
/// runtime waits for its end with; and one to spare.
const FILES_PER_WORKER: u64 = 6;
/// Descriptors for everything else: some twenty of a run with all its files, and what
/// spawning needs for a moment.
const OTHER_FILES: u64 = 40;

/// Raises this process's soft limit of open files, if need be, so that so many
/// workers can be kept. Programs that the workers start inherit it.
///
/// # Errors
/// How many workers the hard limit allows.
pub fn allow_open_files(workers: usize) -> Result<(), usize> {
    let need = (workers as u64)
        .saturating_mul(FILES_PER_WORKER)
        .saturating_add(OTHER_FILES);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return Ok(());
    };
    if soft >= need {
        return Ok(());
    }
    if hard >= need && setrlimit(Resource::RLIMIT_NOFILE, need, hard).is_ok() {
        return Ok(());
    }
    let room = soft.max(hard).saturating_sub(OTHER_FILES);
    Err(usize::try_from(room / FILES_PER_WORKER).unwrap_or(usize::MAX))
}

/// Limits the private memory of a process, and of those that it starts from now
/// on, unless there is a lower limit.
///
/// # Errors
/// When it has ended and was reaped, or is not ours to limit.
#[expect(unsafe_code, reason = "no crate offers it for another process")]
pub(crate) fn limit_memory(pid: u32, bytes: u64) -> io::Result<()> {
    let (pid, resource) = (pid.cast_signed(), libc::RLIMIT_DATA);
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: one pointer is null, which means to change nothing, the other one
    // leads to a structure of ours that outlives the call.
    let read = unsafe { libc::prlimit(pid, resource, std::ptr::null(), &mut limits) };
    Errno::result(read)?;
    limits.rlim_cur = limits.rlim_cur.min(bytes);
    limits.rlim_max = limits.rlim_max.min(bytes);
    // SAFETY: the same, with the pointers' roles exchanged.
    let set = unsafe { libc::prlimit(pid, resource, &limits, std::ptr::null_mut()) };
    Errno::result(set)?;
    Ok(())
}

/// Lets a process, and those that it starts from now on, run at this niceness,
/// unless it is nicer already.
///
/// # Errors
/// When it has ended and was reaped, or is not ours to change.
#[expect(unsafe_code, reason = "no crate in use offers it")]
pub(crate) fn be_nice(pid: u32, nice: i32) -> io::Result<()> {
    Errno::clear();
    // SAFETY: it takes no pointer.
    let now = unsafe { libc::getpriority(libc::PRIO_PROCESS, pid) };
    // -1 is a niceness as well.
    if now == -1 && Errno::last_raw() != 0 {
        return Err(io::Error::last_os_error());
    }
    if nice > now {
        // SAFETY: it takes no pointer.
        let set = unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, nice) };
        Errno::result(set)?;
    }
    Ok(())
}

/// How many workers this process may have at most: nobody has so many jobs that
/// can really run at once, unless they only wait.
#[cfg(feature = "cli")]
const MOST_WORKERS: usize = 1024;

/// As many workers as the limits of this process allow.
#[cfg(feature = "cli")]
pub(crate) fn most_workers() -> usize {
    let files = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) => hard.saturating_sub(OTHER_FILES) / FILES_PER_WORKER,
        Err(_) => u64::MAX,
    };
    // A worker and its command; half of all is for others of this user.
    let processes = match getrlimit(Resource::RLIMIT_NPROC) {
        Ok((soft, _)) => soft / 4,
        Err(_) => u64::MAX,
    };
    let most = usize::try_from(files.min(processes)).unwrap_or(usize::MAX);
    most.clamp(1, MOST_WORKERS)
}

/// Gives memory that this process has freed back to the system, as far as the
/// allocator knows how: a few hundred microseconds after a burst, and the next
/// burst takes it again page by page. Nothing where the allocator is not glibc's.
#[cfg(feature = "cli")]
pub(crate) fn return_free_memory() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "no crate offers it")]
        // SAFETY: it takes no pointer, and may be called by any thread at any time.
        let _whether_any = unsafe { libc::malloc_trim(0) };
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

impl StatusPage {
    /// What the worker had no time to write, when this many bytes have come
    /// since its greeting. The page is a stranger's: nothing in it is believed
    /// beyond its bounds.
    pub(crate) fn held(&self, received: u64) -> Option<Vec<u8>> {
        const HELD_AT: u64 = 4096;
        let mut header = [0; 12];
        self.0.read_exact_at(&mut header, 16).ok()?;
        let [position @ .., a, b, c, d] = header;
        let position = u64::from_le_bytes(position);
        let len = u64::from(u32::from_le_bytes([a, b, c, d]));
        let room = self.0.metadata().ok()?.len().checked_sub(HELD_AT)?;
        let skipped = received.checked_sub(position)?;
        if skipped >= len || len > room.min(MAX_FRAME as u64) {
            return None;
        }
        let mut held = vec![0; (len - skipped) as usize];
        self.0.read_exact_at(&mut held, HELD_AT + skipped).ok()?;
        Some(held)
    }
}

/// Lets a process go on that somebody has stopped; whether it had to.
pub(crate) fn resume_if_stopped(pid: u32) -> bool {
    let pid = Pid::from_raw(pid.cast_signed());
    state(pid) == Some(b'T') && kill(pid, Signal::SIGCONT).is_ok()
}

/// Whether there is such a process, and it has not ended.
pub(crate) fn is_alive(pid: Pid) -> bool {
    state(pid).is_some_and(|state| state != b'Z' && state != b'X')
}

/// The letter for what a process is doing.
fn state(pid: Pid) -> Option<u8> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything, parentheses and blanks included.
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(name_end + 2).copied()
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Stdio};

    use super::*;

    fn page(position: u64, len: u32, held: &[u8]) -> StatusPage {
        let file = unlinked_file(None).unwrap();
        file.write_all_at(&position.to_le_bytes(), 16).unwrap();
        file.write_all_at(&len.to_le_bytes(), 24).unwrap();
        file.write_all_at(held, 4096).unwrap();
        StatusPage(file)
    }

    #[test]
    fn nobody_inherits_a_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        for made in [
            unlinked_file(Some(dir.path())),
            named_for_a_moment(dir.path()),
        ] {
            let flags = fcntl(made.unwrap(), FcntlArg::F_GETFD).unwrap();
            assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// A process that leads a group of its own in this test's session, and says
    /// what it is told.
    #[expect(clippy::disallowed_methods, reason = "a test's own child")]
    fn stranger() -> Child {
        let mut command = std::process::Command::new("/bin/cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.process_group(0).spawn().unwrap()
    }

    /// Whether it can still do anything: who was killed a moment ago cannot.
    fn answers(child: &mut Child) -> bool {
        let mut answer = [0];
        let asked = child.stdin.as_mut().unwrap().write_all(b"?");
        asked.is_ok()
            && child
                .stdout
                .as_mut()
                .unwrap()
                .read_exact(&mut answer)
                .is_ok()
    }

    #[test]
    fn f035_a_group_outside_the_workers_session_is_never_signalled() {
        let session = getsid(None).unwrap().as_raw().cast_unsigned();
        let mut child = stranger();
        let group = child.id().cast_signed();
        assert!(answers(&mut child));
        // The number of a dead worker's command may be somebody else's now, and
        // what the page says was written by a stranger in any case.
        for worker in [child.id(), session + 1, 1, 0, u32::MAX] {
            // In a container the tests' own session may be 1, or 0 for one
            // that was opened outside.
            if worker != session {
                kill_command(worker, group);
            }
        }
        // Nor is it ours, everybody's, or one that does not exist.
        for group in [0, 1, -1, i32::MIN, i32::MAX] {
            kill_command(session, group);
        }
        assert!(answers(&mut child), "it was killed");
        // A worker is the leader of its session: there, this would be right.
        kill_command(session, group);
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        // Its number is free now.
        kill_command(session, group);
    }

    #[test]
    fn held_bytes_are_taken_from_where_the_stream_ended() {
        let held = |received| page(100, 5, b"abcde").held(received);
        assert_eq!(held(100).unwrap(), b"abcde");
        assert_eq!(held(103).unwrap(), b"de");
        assert_eq!(held(105), None);
        assert_eq!(held(99), None, "something is missing in between");
    }

    #[test]
    fn a_page_that_lies_about_its_size_is_not_believed() {
        assert_eq!(page(0, 6, b"abcde").held(0), None);
        assert_eq!(page(0, u32::MAX, b"abcde").held(0), None);
        assert_eq!(page(u64::MAX, 5, b"abcde").held(3), None);
    }
}
