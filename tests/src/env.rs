//! A test's environment: a directory of its own, commands that cannot hang the
//! suite, and the proof that no process is left.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use orchestrator::Launch;

use crate::life::{self, LifePipe};

/// No single program in a test takes longer than this.
const DEADLINE: Duration = Duration::from_secs(180);
/// A question that takes longer than this is asked less often: it keeps a processor from
/// what is waited for.
const DEAR: Duration = Duration::from_millis(10);
/// How long processes that were told to end may take.
const LEFT_DEADLINE: Duration = Duration::from_secs(10);

/// Opens the life pipe and becomes the program that follows.
const ALIVE: &str = "exec 9>\"$0\"; exec \"$@\"";

/// Every process that is started through it, and everything that those start,
/// carries a mark in its environment, and has the life pipe open unless a
/// worker or a careful program lies between. When it is dropped, none may be
/// left by either proof: who forgets the one does not forget the other.
pub struct TestEnv {
    dir: tempfile::TempDir,
    mark: String,
    life: LifePipe,
}

/// What a program did.
#[derive(Debug)]
pub struct Done {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Done {
    /// Its exit code, 128 + n when it was ended by signal n.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .or(self.status.signal().map(|n| 128 + n))
            .expect("a status is a code or a signal")
    }

    pub fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text on stdout")
    }
}

impl TestEnv {
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> TestEnv {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        TestEnv {
            dir: tempfile::tempdir().expect("a temporary directory"),
            mark: format!("ORCHESTRATOR_TEST_MARK={}-{n}", std::process::id()),
            life: LifePipe::new(),
        }
    }

    /// What proves that all are dead. Scripts of jobs open it by the name in
    /// `ORCHESTRATOR_TEST_LIFE`, or with [`LifePipe::open`].
    pub fn life(&self) -> &LifePipe {
        &self.life
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where programs of this environment keep what they remember.
    pub fn state(&self) -> PathBuf {
        self.path().join(".state")
    }

    /// Writes a file into the directory.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// A program in this environment, its stdin empty, its output piped.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one home of starting test programs"
    )]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let (name, value) = self.mark.split_once('=').expect("NAME=VALUE");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", ALIVE])
            .arg(self.life.path())
            .arg(program)
            .env(life::VARIABLE, self.life.path())
            .env("XDG_STATE_HOME", self.state())
            // Whoever runs the tests may like another one.
            .env("SHELL", "/bin/sh")
            .current_dir(self.path())
            .env(name, value)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A worker program in this environment, for a pool of this process.
    pub fn launch(&self, program: impl Into<PathBuf>) -> Launch {
        let program = program.into();
        let mut launch = Launch::program("/bin/sh");
        launch.name = program.display().to_string();
        launch.args = vec!["-c".into(), ALIVE.into()];
        launch.args.push(self.life.path().into());
        launch.args.push(program.into());
        launch
    }

    /// Runs a program on this input to its end.
    pub fn run(&self, mut command: Command, stdin: impl Into<Vec<u8>>) -> Done {
        let child = command.stdin(Stdio::piped()).spawn();
        finish(child.expect("a process"), stdin.into())
    }

    /// The processes that this environment caused and that still live.
    pub fn processes(&self) -> Vec<u32> {
        let marked = |pid: &u32| {
            // Gone, a stranger's, or a zombie (whose environment is empty).
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let mut variables = environment.split(|&b| b == 0);
            variables.any(|variable| variable == self.mark.as_bytes())
        };
        pids().filter(marked).collect()
    }

    /// Waits until no process is left that this environment caused.
    ///
    /// # Panics
    /// When one is left after the deadline.
    pub fn no_process_left(&self) {
        self.no_process_left_after(LEFT_DEADLINE);
    }

    /// The same with another deadline.
    ///
    /// # Panics
    /// When one is left then.
    pub fn no_process_left_after(&self, deadline: Duration) {
        // A process that is just replacing itself shows no environment for a
        // moment, and a newborn has not opened the pipe; so one look is not
        // enough.
        let mut empty = 0;
        let gone = within(deadline, || {
            let all_gone = self.life.is_over() && self.processes().is_empty();
            empty = if all_gone { empty + 1 } else { 0 };
            empty == 3
        });
        if !gone {
            panic!("left behind: {:?}", self.kill_all());
        }
    }

    /// Kills whatever is left, and says what that was.
    fn kill_all(&self) -> Vec<String> {
        let mut left = [self.processes(), self.life.holders()].concat();
        left.sort_unstable();
        left.dedup();
        let names = left.iter().map(|&pid| describe(pid)).collect();
        for pid in left {
            kill(Pid::from_raw(pid as i32), Signal::SIGKILL).ok();
        }
        names
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        if thread::panicking() {
            // The test has failed already; only clean up.
            self.kill_all();
        } else {
            self.no_process_left();
        }
    }
}

/// Feeds a process its input, takes its output, and waits for its end.
///
/// # Panics
/// When it takes longer than the deadline.
pub fn finish(mut child: Child, input: Vec<u8>) -> Done {
    let pid = Pid::from_raw(child.id() as i32);
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let feeder = thread::spawn(move || {
        // The program may stop reading; that is its right.
        stdin.map(|mut pipe| pipe.write_all(&input).ok());
    });
    let out = thread::spawn(move || take(stdout));
    let err = thread::spawn(move || take(stderr));
    let (ended, waiting) = std::sync::mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let late = waiting
            .recv_timeout(DEADLINE)
            .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout);
        if late {
            kill(pid, Signal::SIGKILL).ok();
        }
        late
    });
    let status = child.wait().expect("a status");
    drop(ended);
    assert!(!watchdog.join().expect("watchdog"), "it hung");
    let stdout = out.join().expect("stdout");
    let stderr = String::from_utf8_lossy(&err.join().expect("stderr")).into_owned();
    feeder.join().expect("stdin");
    Done {
        status,
        stdout,
        stderr,
    }
}

fn take(pipe: Option<impl Read>) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut all).expect("output");
    }
    all
}

/// Waits until a condition holds.
///
/// # Panics
/// When it does not hold after the deadline.
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    assert!(within(DEADLINE, holds), "never came true: {what}");
}

fn within(deadline: Duration, holds: impl FnMut() -> bool) -> bool {
    elapsed_until(deadline, holds).is_some()
}

/// How long it takes until a condition holds; nothing when the deadline passes.
///
/// Of the deadline only that counts for which this waits and computes. That a machine with much
/// to do lets us wait longer is no merit of what is waited for, which has to wait as well.
#[expect(clippy::disallowed_methods, reason = "the deadline of a test")]
pub fn elapsed_until(deadline: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let start = Instant::now();
    let computed = thread_time();
    let mut slept = Duration::ZERO;
    loop {
        let asked = Instant::now();
        if holds() {
            return Some(start.elapsed());
        }
        if slept + (thread_time() - computed) > deadline {
            return None;
        }
        let took = asked.elapsed();
        let dear = took > DEAR;
        let pause = if dear { 4 * took } else { Duration::ZERO };
        let pause = pause.clamp(Duration::from_millis(2), Duration::from_millis(200));
        thread::sleep(pause);
        slept += pause;
    }
}

/// What this thread has computed so far.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("a clock that Linux has")
        .into()
}

/// All processes of this machine.
pub(crate) fn pids() -> impl Iterator<Item = u32> {
    let listing = std::fs::read_dir("/proc").expect("/proc").flatten();
    listing.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn describe(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    format!("{pid}: {line}")
}
