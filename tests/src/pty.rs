//! A terminal for tests: programs run in it as if a person sat there.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::TestEnv;
use crate::env::eventually;

/// Both ends of a terminal, and the path of the second, where programs are. Nobody inherits
/// them unasked: another test's process would keep the terminal alive, and have two
/// descriptors more than it knows of.
///
/// # Panics
/// When there is no terminal left.
pub fn pair() -> (PtyMaster, File, PathBuf) {
    let flags = OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let ours = posix_openpt(OFlag::O_RDWR | flags).expect("a terminal");
    grantpt(&ours).expect("a terminal of ours");
    unlockpt(&ours).expect("a terminal without a lock");
    let path = PathBuf::from(ptsname_r(&ours).expect("its name"));
    let mut options = File::options();
    options.read(true).write(true).custom_flags(flags.bits());
    let theirs = options.open(&path).expect("its other end");
    (ours, theirs, path)
}

/// A terminal, and the program that was started in it.
pub struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// Ends when nobody has the terminal any more.
    reader: thread::JoinHandle<()>,
    /// Where programs find it.
    pub path: PathBuf,
    pub child: Child,
}

impl Terminal {
    /// Starts a program whose controlling terminal, stdin, stdout and stderr are
    /// this terminal.
    ///
    /// # Panics
    /// When there is no terminal left, or no `setsid`.
    pub fn start(env: &TestEnv, program: &str, args: &[&str]) -> Terminal {
        let size = "";
        Terminal::open(env.command("setsid"), size, program, args)
    }

    /// The same with so many columns, and a program that finds in its environment what it
    /// finds in a terminal where somebody sits.
    ///
    /// # Panics
    /// When there is no terminal left, or no `setsid`.
    pub fn wide(env: &TestEnv, columns: u16, program: &str, args: &[&str]) -> Terminal {
        let size = format!("stty rows 24 cols {columns}; ");
        let mut command = env.command("setsid");
        command.env("TERM", "xterm");
        for name in [
            "CI",
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
            "FORCE_COLOR",
        ] {
            command.env_remove(name);
        }
        Terminal::open(command, &size, program, args)
    }

    fn open(mut command: Command, size: &str, program: &str, args: &[&str]) -> Terminal {
        let (ours, theirs, path) = pair();
        let end = || Stdio::from(theirs.try_clone().expect("a descriptor"));
        let text = format!("{size}exec \"$0\" \"$@\"");
        command.args(["--ctty", "--wait", "sh", "-c", &text, program]);
        command.args(args);
        command.stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("setsid");
        drop((command, theirs));
        let keyboard = File::from(OwnedFd::from(ours));
        let mut output = keyboard.try_clone().expect("a descriptor");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Fails when nobody has the other end any more.
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                shown
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(&bytes[..n]);
            }
        });
        Terminal {
            keyboard,
            screen,
            reader,
            path,
            child,
        }
    }

    /// Presses keys.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("a terminal");
    }

    /// Waits until the program has ended and all that it wrote was shown.
    ///
    /// # Panics
    /// When somebody keeps the terminal.
    pub fn ended(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("a child");
        eventually("nobody has the terminal", || self.reader.is_finished());
        status
    }

    /// Everything that was shown so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The same as it came.
    pub fn bytes(&self) -> Vec<u8> {
        self.screen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until this text was shown.
    ///
    /// # Panics
    /// When it is not.
    pub fn shows(&self, text: &str) {
        eventually(&format!("the terminal shows {text:?}"), || {
            self.screen().contains(text)
        });
    }
}
