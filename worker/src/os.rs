//! The operating system where nix has no safe function for it: the fence
//! around this crate's `unsafe`. A few small safe functions, no logic.
#![expect(
    unsafe_code,
    reason = "system calls and shared memory; every block says why it is sound"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::Pid;

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

/// A number that stays the same as long as no variable of the environment is
/// added, removed or set: setting one puts another pointer into the list.
pub(crate) fn environment_fingerprint() -> u64 {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut fingerprint = 0u64;
    // SAFETY: the list is never null inside a process that has not called
    // `clearenv`, which is looked for, and ends with a null pointer. It is read
    // by the thread that runs the jobs, between two of them; what is pointed to
    // is not looked at. Only a thread that a job has left behind could change
    // the list at this moment, and whoever does that has promised, with
    // `set_var` or `setenv`, that no thread whose doings are unknown reads it.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let pointer = *entry as u64;
            fingerprint =
                (fingerprint.rotate_left(5) ^ pointer).wrapping_mul(0x517c_c1b7_2722_0a95);
            entry = entry.add(1);
        }
    }
    fingerprint
}

/// Strings as `execve` takes them. Made before a process is started: between
/// clone and exec there is no memory to be had.
pub(crate) struct CStrings {
    strings: Vec<CString>,
    /// Of each string, and null at the end.
    pointers: Vec<*const c_char>,
}

impl CStrings {
    pub(crate) fn new(strings: Vec<CString>) -> CStrings {
        let pointers = strings.iter().map(|string| string.as_ptr());
        let pointers = pointers.chain([std::ptr::null()]).collect();
        CStrings { strings, pointers }
    }

    pub(crate) fn strings(&self) -> &[CString] {
        &self.strings
    }
}

/// What a process is to be.
pub(crate) struct Program<'a> {
    /// A path.
    pub(crate) path: &'a CStr,
    pub(crate) argv: &'a CStrings,
    pub(crate) env: &'a CStrings,
    pub(crate) cwd: Option<&'a CStr>,
    /// What its first three descriptors are; none of these is one of them.
    pub(crate) stdio: [BorrowedFd<'a>; 3],
    /// Signals that have another effect here than by default.
    pub(crate) signals: &'a [c_int],
}

/// Signals that have a handler here. SIGPIPE is always among them: Rust ignores
/// it, and commands expect its default effect.
pub(crate) fn handled_signals() -> Vec<c_int> {
    let is_handled = |signal: &c_int| {
        // SAFETY: zero is a valid sigaction; nothing is installed, and the
        // pointer is to a live local.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(*signal, std::ptr::null(), &raw mut action) == 0
                && ![libc::SIG_IGN, libc::SIG_DFL].contains(&action.sa_sigaction)
        }
    };
    (1..=libc::SIGRTMAX())
        .filter(|signal| *signal == libc::SIGPIPE || is_handled(signal))
        .collect()
}

/// Starts processes the way `posix_spawn` does: the new one borrows the memory
/// of this one until it is the other program, so that nothing is copied.
///
/// `posix_spawn` asks for each of 64 signals whether it has a handler, and
/// resets each, in every new process. That is more than half of all its system
/// calls, and much of what a short command costs; here the caller knows.
pub(crate) struct Spawner {
    /// What the new process calls functions on. Only what is used of it is
    /// memory.
    stack: Box<[MaybeUninit<u128>]>,
}

impl Spawner {
    pub(crate) fn new() -> Spawner {
        Spawner {
            stack: Box::new_uninit_slice(64 * 1024 / size_of::<u128>()),
        }
    }

    /// Starts a process that leads a group of its own.
    pub(crate) fn spawn(&mut self, program: &Program<'_>) -> Result<Pid, Errno> {
        let birth = Birth {
            program,
            error: AtomicI32::new(0),
        };
        let top = self.stack.as_mut_ptr_range().end;
        // No handler may run in the new process while memory is shared.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: `CLONE_VFORK` stops this thread until the new process has
        // ended or no longer shares our memory. Until then the stack, of which
        // `top` is the aligned upper end, and all that `birth` refers to stay
        // where they are: both are borrowed here, the stack exclusively.
        // `be_born` only makes system calls, and touches nothing of ours but
        // `birth.error` and this stopped thread's errno.
        let pid = unsafe {
            libc::clone(
                be_born,
                top.cast(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                (&raw const birth).cast_mut().cast(),
            )
        };
        let errno = Errno::last();
        mask.thread_set_mask().ok();
        if pid < 0 {
            return Err(errno);
        }
        let pid = Pid::from_raw(pid);
        match birth.error.into_inner() {
            0 => Ok(pid),
            error => {
                nix::sys::wait::waitpid(pid, None).ok();
                Err(Errno::from_raw(error))
            }
        }
    }
}

struct Birth<'a> {
    program: &'a Program<'a>,
    /// Why it did not become the program.
    error: AtomicI32,
}

extern "C" fn be_born(birth: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a pointer to a `Birth` that lives until this
    // process has become another program or ended.
    let birth = unsafe { &*birth.cast::<Birth<'_>>() };
    birth
        .error
        .store(become_program(birth.program) as i32, Ordering::Relaxed);
    127
}

/// Only comes back with an error. Runs in memory that it shares with its
/// parent, where it must neither take memory nor a lock.
fn become_program(program: &Program<'_>) -> Errno {
    // SAFETY: zero is a valid sigaction and means the default effect. All
    // pointers are to live locals, or to strings and lists of them that end as
    // C wants them and that `program` borrows. Only this process's own
    // handlers, mask and descriptors are changed.
    unsafe {
        let action: libc::sigaction = std::mem::zeroed();
        for &signal in program.signals {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
        if libc::setpgid(0, 0) < 0 {
            return Errno::last();
        }
        for (number, fd) in (0..).zip(&program.stdio) {
            if libc::dup2(fd.as_raw_fd(), number) < 0 {
                return Errno::last();
            }
        }
        if program.cwd.is_some_and(|cwd| libc::chdir(cwd.as_ptr()) < 0) {
            return Errno::last();
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::execve(
            program.path.as_ptr(),
            program.argv.pointers.as_ptr(),
            program.env.pointers.as_ptr(),
        );
    }
    Errno::last()
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

/// How many bytes of frames survive this process while they wait to be written.
pub(crate) const HELD: usize = 128 * 1024;

/// Memory that the orchestrator can read, through `/proc`, when this process is
/// stuck or dead: which job runs here, which process group its command has, and
/// what has not been written yet. Layout, little-endian: u64 job, u32 attempt,
/// u32 process group, u64 position of the held bytes in the stream, u32 their
/// number; from 4096 on the held bytes.
///
/// The process may be killed between any two instructions. Whatever is stored
/// with `Release` describes only what was stored before it.
pub(crate) struct StatusPage {
    memory: OwnedFd,
    page: NonNull<u8>,
}

// SAFETY: the header is only ever accessed through atomics, and the bytes
// behind it only by the one [`Held`] that belongs to the page.
unsafe impl Send for StatusPage {}
// SAFETY: as above.
unsafe impl Sync for StatusPage {}

impl StatusPage {
    const HEADER: usize = 4096;
    const SIZE: NonZeroUsize =
        NonZeroUsize::new(StatusPage::HEADER + HELD).expect("it is not zero");

    fn new() -> io::Result<StatusPage> {
        let memory = memfd_create("worker-status", MFdFlags::MFD_CLOEXEC)?;
        nix::unistd::ftruncate(&memory, Self::SIZE.get() as libc::off_t)?;
        let memory = move_high(memory.as_fd())?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses a fresh address, so no memory of ours is
        // replaced; the mapping is never removed, so it outlives every use.
        let page = unsafe { mmap(None, Self::SIZE, access, MapFlags::MAP_SHARED, &memory, 0) }?;
        Ok(StatusPage {
            memory,
            page: page.cast(),
        })
    }

    /// The page, and the right to hold bytes in it.
    pub(crate) fn with_held() -> io::Result<(Arc<StatusPage>, Held)> {
        let page = Arc::new(StatusPage::new()?);
        let held = Held {
            page: Arc::clone(&page),
            position: 0,
            length: 0,
        };
        Ok((page, held))
    }

    /// The number under which this process has the page open.
    pub(crate) fn number(&self) -> RawFd {
        self.memory.as_raw_fd()
    }

    /// A job starts. The job's number is stored last: who sees it sees the rest.
    pub(crate) fn start(&self, job: u64, attempt: u32, group: u32) {
        let header = self.header();
        header.attempt.store(attempt.to_le(), Ordering::Relaxed);
        header.group.store(group.to_le(), Ordering::Relaxed);
        header.job.store(job.to_le(), Ordering::Release);
    }

    /// No job runs.
    pub(crate) fn clear(&self) {
        self.header().job.store(0, Ordering::Release);
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping is page-aligned, longer than a header, never
        // removed, and nobody in this process accesses its beginning in another
        // way. Every bit pattern is a valid header.
        unsafe { self.page.cast().as_ref() }
    }
}

/// The beginning of the page; numbers are little-endian.
#[repr(C)]
struct Header {
    job: AtomicU64,
    attempt: AtomicU32,
    group: AtomicU32,
    position: AtomicU64,
    length: AtomicU32,
}

/// The part of the page that holds bytes: there is one of it, so that only one
/// thread at a time can write there.
pub(crate) struct Held {
    page: Arc<StatusPage>,
    position: u64,
    length: usize,
}

impl Held {
    /// How many bytes are held.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Holds more bytes, which continue those that are held, if there is room.
    pub(crate) fn hold(&mut self, bytes: &[u8]) -> bool {
        let length = self.length + bytes.len();
        if length > HELD {
            return false;
        }
        // SAFETY: the mapping is `HEADER + HELD` bytes long and never removed,
        // and `self.length + bytes.len() <= HELD`. The target is not part of
        // the header. No reference to it exists in this process, and whoever
        // writes to it has this one value, of which there is no copy,
        // exclusively.
        unsafe {
            let target = self.page.page.add(StatusPage::HEADER + self.length);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target.as_ptr(), bytes.len());
        }
        self.length = length;
        let header = self.page.header();
        header
            .length
            .store((length as u32).to_le(), Ordering::Release);
        true
    }

    /// So many bytes of the stream, with all that are held, have been written.
    pub(crate) fn written(&mut self, count: usize) {
        self.length = 0;
        self.position += count as u64;
        let header = self.page.header();
        // In this order: the held bytes are never given another place.
        header.length.store(0, Ordering::Release);
        header
            .position
            .store(self.position.to_le(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn the_status_page_has_its_documented_layout() {
        let (page, mut held) = StatusPage::with_held().unwrap();
        let path = format!("/proc/self/fd/{}", page.number());
        let file = std::fs::File::open(path).unwrap();
        page.start(0x0102_0304_0506_0708, 3, 77);
        let mut bytes = [0; 16];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, [8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0, 77, 0, 0, 0]);
        page.clear();
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes[..8], [0; 8]);

        held.written(0x0A0B);
        assert!(held.hold(b"abc") && held.hold(b"de"));
        assert!(!held.hold(&[0; HELD - 4]));
        file.read_exact_at(&mut bytes, 16).unwrap();
        assert_eq!(bytes, [11, 10, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        file.read_exact_at(&mut bytes[..6], 4096).unwrap();
        assert_eq!(bytes[..6], *b"abcde\0");
        held.written(5);
        file.read_exact_at(&mut bytes, 16).unwrap();
        assert_eq!(bytes, [16, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn moved_descriptors_are_high() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(move_high(null.as_fd()).unwrap().as_raw_fd() >= HIGH);
    }
}
