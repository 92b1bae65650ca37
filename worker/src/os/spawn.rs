//! Processes are started here.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::Pid;

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
    /// Limits of its own; most have none.
    pub(crate) limits: [Option<Limit>; 2],
}

/// A limit of a process: where it is told, and where the kernel has had enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    resource: Resource,
    soft: u64,
    hard: u64,
}

impl Limit {
    /// So many seconds of CPU time, with one more for those who handle SIGXCPU.
    pub(crate) fn cpu(seconds: u64) -> Limit {
        Limit {
            resource: Resource::RLIMIT_CPU,
            soft: seconds,
            hard: seconds.saturating_add(1),
        }
    }

    /// So many open descriptors.
    pub(crate) fn open_files(number: u64) -> Limit {
        Limit {
            resource: Resource::RLIMIT_NOFILE,
            soft: number,
            hard: number,
        }
    }

    /// Sets it for this process. What is allowed already at most stays so.
    fn set(self) -> Result<(), Errno> {
        let (_, hard) = getrlimit(self.resource)?;
        let hard = hard.min(self.hard);
        setrlimit(self.resource, hard.min(self.soft), hard)
    }
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

    /// Starts a process that leads a group of its own. It is killed when this thread ends, so
    /// that it does not outlive this process when all of a pool is killed at once.
    pub(crate) fn spawn(&mut self, program: &Program<'_>) -> Result<Pid, Errno> {
        let birth = Birth {
            program,
            parent: std::process::id().cast_signed(),
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
    parent: c_int,
    /// Why it did not become the program.
    error: AtomicI32,
}

extern "C" fn be_born(birth: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a pointer to a `Birth` that lives until this
    // process has become another program or ended.
    let birth = unsafe { &*birth.cast::<Birth<'_>>() };
    birth
        .error
        .store(become_program(birth) as i32, Ordering::Relaxed);
    127
}

/// Only comes back with an error. Runs in memory that it shares with its
/// parent, where it must neither take memory nor a lock.
fn become_program(birth: &Birth<'_>) -> Errno {
    let program = birth.program;
    // SAFETY: zero is a valid sigaction and means the default effect. All
    // pointers are to live locals, or to strings and lists of them that end as
    // C wants them and that `program` borrows. Only this process's own
    // handlers, mask, descriptors and limits are changed.
    unsafe {
        let action: libc::sigaction = std::mem::zeroed();
        for &signal in program.signals {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
        if libc::setpgid(0, 0) < 0 {
            return Errno::last();
        }
        // Where that is not allowed, others see to it, as long as they live.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // Whose parent was killed before is not told any more.
        if libc::getppid() != birth.parent {
            return Errno::ESRCH;
        }
        for (number, fd) in (0..).zip(&program.stdio) {
            if libc::dup2(fd.as_raw_fd(), number) < 0 {
                return Errno::last();
            }
        }
        if program.cwd.is_some_and(|cwd| libc::chdir(cwd.as_ptr()) < 0) {
            return Errno::last();
        }
        // The last that may need a descriptor is done.
        for limit in program.limits.iter().flatten() {
            if let Err(error) = limit.set() {
                return error;
            }
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
