//! The operating system where nix has no safe function for it: the fence
//! around this crate's `unsafe`. A few small safe functions, no logic.
#![expect(
    unsafe_code,
    reason = "system calls and shared memory; every block says why it is sound"
)]

mod page;
mod spawn;

use std::ffi::c_char;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use bytes::BytesMut;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::unistd::Pid;

#[cfg(test)]
pub(crate) use page::HELD;
pub(crate) use page::{Held, StatusPage};
pub(crate) use spawn::{CStrings, Limit, Program, Spawner, handled_signals};

/// Where descriptors go that jobs should not come across by counting from 0.
const HIGH: RawFd = 100;

/// A duplicate of a descriptor with a high number, closed on exec.
pub(crate) fn move_high(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let number = match fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(HIGH)) {
        // The limit on descriptors may be below what we ask for.
        Err(_) => fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3))?,
        Ok(number) => number,
    };
    // SAFETY: fcntl has just created this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Keeps all descriptors from 3 on from being inherited by commands: a lock or
/// a socket that the orchestrator had open must not live on in a job.
pub(crate) fn close_on_exec_all() {
    // SAFETY: the call has no memory arguments and closes nothing, it only
    // marks descriptors.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3 as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if done == 0 {
        return;
    }
    // Before Linux 5.11 there is no such flag: go through the list.
    let Ok(listing) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|&number: &RawFd| number > 2) {
        // SAFETY: the borrow ends with this statement; a number that has been
        // closed since it was listed makes fcntl fail and nothing else.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok();
    }
}

/// Makes reads and writes of this descriptor return instead of waiting.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Makes them wait again.
pub(crate) fn set_blocking(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Lets a pipe hold so many bytes, or as many as the system allows up to a megabyte.
pub(crate) fn widen(pipe: impl AsFd, bytes: usize) {
    let bytes = bytes.min(1 << 20) as i32;
    fcntl(pipe, FcntlArg::F_SETPIPE_SZ(bytes)).ok();
}

/// Reads at most so many bytes to behind those that are in a buffer.
pub(crate) fn read_behind(
    fd: BorrowedFd<'_>,
    buffer: &mut BytesMut,
    most: usize,
) -> Result<usize, Errno> {
    buffer.reserve(most);
    let room = &mut buffer.spare_capacity_mut()[..most];
    // SAFETY: the kernel writes at most `room.len()` bytes to memory that is ours
    // alone, and which need not be initialised for that.
    let n = unsafe { libc::read(fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
    let n = Errno::result(n)? as usize;
    // SAFETY: `n <= most`, for which there is room, and the kernel has written
    // these bytes.
    unsafe { buffer.set_len(buffer.len() + n) };
    Ok(n)
}

/// Gives signals that are ignored their default effect again. Who started us
/// may have ignored some (`nohup`, a shell's background job), and commands
/// would inherit that. Handlers are left alone: they are the Rust runtime's
/// or the user's. SIGPIPE stays ignored here, and std resets it in children.
pub(crate) fn unignore_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        if signal == libc::SIGPIPE {
            continue;
        }
        // SAFETY: zero is a valid sigaction; both pointers are to live locals;
        // only SIG_DFL is installed, so no code of ours runs in a handler.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
            {
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            }
        }
    }
}

/// The environment's list of pointers as it was at some time. Setting a variable puts
/// another pointer into the list, so it is told without a look at the text whether one was
/// added, removed or set.
pub(crate) struct EnvironmentMark(Vec<usize>);

unsafe extern "C" {
    static environ: *const *const c_char;
}

impl EnvironmentMark {
    /// As it is now.
    pub(crate) fn now() -> EnvironmentMark {
        let mut pointers = Vec::new();
        // SAFETY: the list is never null inside a process that has not called
        // `clearenv`, which is looked for, and ends with a null pointer. It is read
        // by the thread that runs the jobs, between two of them; what is pointed to
        // is not looked at. Only a thread that a job has left behind could change
        // the list at this moment, and whoever does that has promised, with
        // `set_var` or `setenv`, that no thread whose doings are unknown reads it.
        unsafe {
            let mut entry = environ;
            while !entry.is_null() && !(*entry).is_null() {
                pointers.push(*entry as usize);
                entry = entry.add(1);
            }
        }
        EnvironmentMark(pointers)
    }

    /// Whether it is still the same. This is done behind every function, and there may be a
    /// hundred variables.
    pub(crate) fn holds(&self) -> bool {
        // SAFETY: as above; none of the pointers that are known is null, so that what is
        // read lies no further than the list's end.
        unsafe {
            let mut entry = environ;
            if entry.is_null() {
                return self.0.is_empty();
            }
            // Four at a time, which takes half the instructions.
            let (fours, rest) = self.0.as_chunks::<4>();
            for &[first, second, third, fourth] in fours {
                if *entry as usize != first
                    || *entry.add(1) as usize != second
                    || *entry.add(2) as usize != third
                    || *entry.add(3) as usize != fourth
                {
                    return false;
                }
                entry = entry.add(4);
            }
            for &known in rest {
                if *entry as usize != known {
                    return false;
                }
                entry = entry.add(1);
            }
            (*entry).is_null()
        }
    }
}

/// A descriptor that becomes readable when this child has ended.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: the call has no memory arguments.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number as RawFd) })
}

/// Waits for as long at most until this descriptor is readable.
pub(crate) fn is_readable_for(fd: impl AsFd, limit: Duration) -> bool {
    // `poll` counts in milliseconds.
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    matches!(ppoll(&mut fds, Some(limit.into()), None), Ok(1..))
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

/// What a thread or a child has used: microseconds and KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
    pub(crate) max_rss_kib: u64,
}

impl From<libc::rusage> for Used {
    fn from(usage: libc::rusage) -> Used {
        let micros = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
        Used {
            user_us: micros(usage.ru_utime),
            system_us: micros(usage.ru_stime),
            max_rss_kib: usage.ru_maxrss as u64,
        }
    }
}

/// Takes a child that has ended off the process table. `None` when it has not
/// ended, or is no child of ours.
pub(crate) fn reap(pid: Pid) -> Option<(Exit, Used)> {
    let mut status = 0;
    // SAFETY: zero is a valid rusage, and both pointers are to live locals.
    let (found, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let found = libc::wait4(pid.as_raw(), &raw mut status, libc::WNOHANG, &raw mut usage);
        (found, usage)
    };
    if found != pid.as_raw() {
        return None;
    }
    let exit = if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    };
    Some((exit, usage.into()))
}

/// What the calling thread has used so far; memory is the whole process's.
pub(crate) fn thread_usage() -> Used {
    // SAFETY: zero is a valid rusage, and the pointer is to a live local. The
    // call cannot fail with these arguments.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage.into()
    }
}

/// A count that grows steadily and costs next to nothing to read: for what is
/// shorter than a look at the clock. Compares only with itself.
#[cfg(target_arch = "x86_64")]
pub(crate) fn ticks() -> u64 {
    // SAFETY: the instruction is there on all processors of this kind, and only
    // reads.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The same where there is no such count: nanoseconds.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn ticks() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |t| {
        t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64
    })
}

/// Ends the process now: no destructors, no `atexit`, which could wait for a
/// thread that will never end.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_descriptors_are_high() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(move_high(null.as_fd()).unwrap().as_raw_fd() >= HIGH);
    }
}
