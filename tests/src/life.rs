//! The proof that processes are dead, however they escaped.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;

use crate::env::{elapsed_until, pids};

/// Names the pipe in the environment of those who shall open it.
pub(crate) const VARIABLE: &str = "ORCHESTRATOR_TEST_LIFE";

/// A FIFO that processes open for writing, and pass on to what they start. Its
/// end of file proves that all of them are dead: a process can change its name,
/// its session and its environment, but only its death closes what it does not
/// know of.
///
/// Workers do not pass it on, because they keep descriptors from their jobs.
/// So a job's script has to open it: [`LifePipe::open`].
#[derive(Debug)]
pub struct LifePipe {
    /// Of its own, so that a test's directory holds what the test put there.
    dir: tempfile::TempDir,
    /// Nobody in this process ever opens the other end: without a writer, this
    /// one is at its end.
    read_end: File,
}

impl LifePipe {
    #[expect(clippy::new_without_default, reason = "it makes a FIFO")]
    pub fn new() -> LifePipe {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Tests run programs as another user, too.
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
        mode(dir.path(), 0o755).expect("a mode");
        let path = dir.path().join("life");
        nix::unistd::mkfifo(&path, Mode::empty()).expect("a FIFO");
        mode(&path, 0o666).expect("a mode");
        let mut options = File::options();
        let options = options.read(true).custom_flags(libc::O_NONBLOCK);
        let read_end = options.open(path).expect("a FIFO to read");
        LifePipe { dir, read_end }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("life")
    }

    /// Shell text that opens the pipe for everything that follows.
    pub fn open(&self) -> String {
        format!("exec 9>{}\n", self.path().display())
    }

    /// Whether nobody has it open.
    pub fn is_over(&self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match (&self.read_end).read(&mut buffer) {
                Ok(0) => return true,
                // Somebody printed to it.
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return false,
                Err(e) => panic!("the life pipe cannot be read: {e}"),
            }
        }
    }

    /// The processes that have it open, as far as we may look.
    pub fn holders(&self) -> Vec<u32> {
        let path = self.path();
        let holds = |pid: &u32| {
            let open = std::fs::read_dir(format!("/proc/{pid}/fd"));
            let mut open = open.into_iter().flatten().flatten();
            open.any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == path))
        };
        let others = pids().filter(|&pid| pid != std::process::id());
        others.filter(holds).collect()
    }

    /// Waits until nobody has it open, and gives the time that this took.
    ///
    /// # Panics
    /// When somebody has it open after this time.
    pub fn everyone_dies_within(&self, limit: Duration) -> Duration {
        let took = elapsed_until(limit, || self.is_over());
        took.unwrap_or_else(|| panic!("alive after {limit:?}: {:?}", self.holders()))
    }
}
