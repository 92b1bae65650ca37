//! A terminal for tests: programs run in it as if a person sat there.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::pty::openpty;

use crate::TestEnv;
use crate::env::eventually;

/// A terminal, and the program that was started in it.
pub struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    pub child: Child,
}

impl Terminal {
    /// Starts a program whose controlling terminal, stdin, stdout and stderr are
    /// this terminal.
    ///
    /// # Panics
    /// When there is no terminal left, or no `setsid`.
    pub fn start(env: &TestEnv, program: &str, args: &[&str]) -> Terminal {
        let pair = openpty(None, None).expect("a terminal");
        let slave = File::from(pair.slave);
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command: Command = env.command("setsid");
        command.args(["--ctty", "--wait", program]).args(args);
        command.stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("setsid");
        drop((command, slave));
        let keyboard = File::from(pair.master);
        let mut output = keyboard.try_clone().expect("a descriptor");
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Fails when nobody has the other end any more.
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..n]);
                shown
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
            }
        });
        Terminal {
            keyboard,
            screen,
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

    /// Everything that was shown so far.
    pub fn screen(&self) -> String {
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
