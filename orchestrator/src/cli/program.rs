//! Finds a program as a shell would, once, before anything starts: a name that
//! is mistyped is told at once and not once per job.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::errors::Message;
use super::habits;
use crate::run::runfile::History;
use crate::run::text;

/// Where programs are looked for when `PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How much of a script the kernel looks at to find its interpreter.
const LONGEST_FIRST_LINE: u64 = 256;

/// Where to look.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    /// The value of `PATH`.
    pub(crate) path: Option<OsString>,
    /// The working directory.
    pub(crate) cwd: PathBuf,
    /// Whether it is to be started, and so must be there.
    pub(crate) must_exist: bool,
    /// Where runs without a run file are remembered, if they are.
    pub(crate) history: Option<History>,
    /// What this process was told of how many CPUs it may count on.
    pub(crate) cpus: Option<OsString>,
}

impl Lookup {
    /// The absolute path of a program; `what` says what it is for.
    ///
    /// # Errors
    /// When there is none that can be executed, with what to do about it.
    pub(crate) fn find(&self, what: &str, name: &OsStr) -> Result<PathBuf, Message> {
        match self.look_for(what, name) {
            Err(_) if !self.must_exist => Ok(PathBuf::from(name)),
            found => found,
        }
    }

    fn look_for(&self, what: &str, name: &OsStr) -> Result<PathBuf, Message> {
        let shown = text::quoted(name.as_bytes());
        if name.as_bytes().contains(&b'/') {
            let path = self.cwd.join(name);
            return match check(&path) {
                Check::Good => startable(what, name, path),
                Check::Absent => Err(not_found(what, name)),
                Check::NotAFile => Err(Message::new(format!("{what} {shown} is not a file"))),
                Check::NotExecutable => {
                    let escaped = text::escaped(name.as_bytes());
                    Err(Message::new(format!("{what} {shown} is not executable"))
                        .tip(format!("make it executable: chmod +x {escaped}")))
                }
            };
        }
        let dirs = self.dirs();
        let mut candidates = dirs.iter().map(|dir| dir.join(name));
        if let Some(path) = candidates.find(|path| matches!(check(path), Check::Good)) {
            return startable(what, name, path);
        }
        Err(self.not_found(what, name, &dirs))
    }

    fn dirs(&self) -> Vec<PathBuf> {
        let path = self.path.clone().unwrap_or_else(|| DEFAULT_PATH.into());
        // An empty element would mean the working directory: a trap, not a
        // wish.
        let mut seen = HashSet::new();
        std::env::split_paths(&path)
            .filter(|dir| !dir.as_os_str().is_empty())
            .map(|dir| self.cwd.join(dir))
            .filter(|dir| seen.insert(dir.clone()))
            .collect()
    }

    fn not_found(&self, what: &str, name: &OsStr, dirs: &[PathBuf]) -> Message {
        let list: Vec<String> = dirs
            .iter()
            .map(|dir| text::escaped(dir.as_os_str().as_bytes()))
            .collect();
        let message = not_found(what, name);
        if habits::is_builtin(name.as_bytes()) {
            return message.tip(habits::builtin_tip(name.as_bytes()));
        }
        let message = message.fact(format!("looked in: {}", list.join(", ")));
        let escaped = text::escaped(name.as_bytes());
        match check(&self.cwd.join(name)) {
            Check::Good if !name.is_empty() => {
                return message.tip(format!("there is one here: ./{escaped}"));
            }
            Check::NotExecutable => {
                return message.tip(format!(
                    "there is a file here: chmod +x {escaped}, then ./{escaped}, or name its interpreter in front"
                ));
            }
            _ => {}
        }
        let known: Vec<String> = dirs.iter().flat_map(|dir| names_in(dir)).collect();
        let wanted = name.to_string_lossy();
        match text::similar(&wanted, known.iter().map(String::as_str)) {
            Some(name) => message.tip(format!("a similar command exists: {}", text::quoted(name))),
            None => message,
        }
    }
}

fn not_found(what: &str, name: &OsStr) -> Message {
    let shown = text::quoted(name.as_bytes());
    Message::new(format!("{what} {shown} not found"))
}

/// A script whose interpreter is missing would fail for every line.
fn startable(what: &str, name: &OsStr, path: PathBuf) -> Result<PathBuf, Message> {
    match missing_interpreter(&path) {
        None => Ok(path),
        Some(interpreter) => {
            let shown = text::quoted(name.as_bytes());
            let message = Message::new(format!("{what} {shown} cannot be started"));
            Err(no_interpreter(message, name.as_bytes(), &interpreter))
        }
    }
}

/// The interpreter that a script's first line names, when there is none.
pub(super) fn missing_interpreter(script: &Path) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let file = fs::File::open(script).ok()?;
    BufReader::new(file.take(LONGEST_FIRST_LINE))
        .read_until(b'\n', &mut line)
        .ok()?;
    // As the kernel reads it: a carriage return is part of the name.
    let mut words = line
        .strip_prefix(b"#!")?
        .split(|byte| b" \t\n".contains(byte));
    let name = words.find(|word| !word.is_empty())?;
    // One that is not absolute depends on the working directory.
    let gone = name.starts_with(b"/") && !Path::new(OsStr::from_bytes(name)).exists();
    gone.then(|| name.to_vec())
}

/// Says which interpreter is missing, and why it may be.
pub(super) fn no_interpreter(message: Message, script: &[u8], interpreter: &[u8]) -> Message {
    let shown = text::quoted(interpreter);
    let message = message.fact(format!(
        "its first line names the interpreter {shown}, which does not exist"
    ));
    if !interpreter.ends_with(b"\r") {
        return message;
    }
    message
        .fact("the first line ends with a carriage return (Windows line ends)")
        .tip(format!("sed -i 's/\\r$//' {}", text::escaped(script)))
}

enum Check {
    Good,
    Absent,
    NotAFile,
    NotExecutable,
}

fn check(path: &Path) -> Check {
    match fs::metadata(path) {
        Err(_) => Check::Absent,
        Ok(meta) if !meta.is_file() => Check::NotAFile,
        Ok(_) if access(path, AccessFlags::X_OK).is_err() => Check::NotExecutable,
        Ok(_) => Check::Good,
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn house() -> (tempfile::TempDir, Lookup) {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir_all(bin.join("folder")).unwrap();
        for (name, mode) in [
            ("bin/zstd", 0o755),
            ("bin/plain", 0o644),
            ("here", 0o755),
            ("tasks.py", 0o644),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let lookup = Lookup {
            cpus: None,
            path: Some(std::env::join_paths([Path::new(""), &bin]).unwrap()),
            cwd: dir.path().to_owned(),
            must_exist: true,
            history: None,
        };
        (dir, lookup)
    }

    fn find(lookup: &Lookup, name: &str) -> Result<PathBuf, String> {
        lookup
            .find("command", OsStr::new(name))
            .map_err(|m| m.to_string())
    }

    #[test]
    fn names_are_looked_up_and_paths_are_made_absolute() {
        let (dir, lookup) = house();
        assert_eq!(find(&lookup, "zstd"), Ok(dir.path().join("bin/zstd")));
        assert_eq!(find(&lookup, "bin/zstd"), Ok(dir.path().join("bin/zstd")));
        assert_eq!(find(&lookup, "./here"), Ok(dir.path().join("./here")));
        assert_eq!(find(&lookup, "/bin/sh"), Ok("/bin/sh".into()));
    }

    #[test]
    fn a_name_that_is_mistyped_gets_a_suggestion() {
        let (dir, lookup) = house();
        let bin = dir.path().join("bin");
        assert_eq!(
            find(&lookup, "zstdd").unwrap_err(),
            format!(
                "error: command `zstdd` not found\n  looked in: {}\n  \
                 tip: a similar command exists: `zstd`\n",
                bin.display()
            )
        );
        assert!(find(&lookup, "").is_err());
    }

    #[test]
    fn the_working_directory_is_not_searched_but_told() {
        let (_dir, lookup) = house();
        let said = find(&lookup, "here").unwrap_err();
        assert!(
            said.ends_with("  tip: there is one here: ./here\n"),
            "{said}"
        );
        let said = find(&lookup, "tasks.py").unwrap_err();
        let tip = "  tip: there is a file here: chmod +x tasks.py, then ./tasks.py, or name its interpreter in front\n";
        assert!(said.ends_with(tip), "{said}");
    }

    #[test]
    fn what_cannot_be_executed_says_why() {
        let (_dir, lookup) = house();
        let said = |name| find(&lookup, name).unwrap_err();
        assert_eq!(said("./nothing"), "error: command `./nothing` not found\n");
        assert_eq!(
            said("bin/folder"),
            "error: command `bin/folder` is not a file\n"
        );
        assert_eq!(
            said("bin/plain"),
            "error: command `bin/plain` is not executable\n  \
             tip: make it executable: chmod +x bin/plain\n"
        );
        assert!(said("plain").starts_with("error: command `plain` not found"));
    }

    #[test]
    fn a_script_without_its_interpreter_is_told_with_the_reason() {
        let (dir, lookup) = house();
        let script = |text: &str| fs::write(dir.path().join("here"), text).unwrap();
        script("#!/bin/sh -e\r\n");
        assert!(find(&lookup, "./here").is_ok());
        script("#!/no/such -x\n");
        assert_eq!(
            find(&lookup, "./here").unwrap_err(),
            "error: command `./here` cannot be started\n  \
             its first line names the interpreter `/no/such`, which does not exist\n"
        );
        script("#!/bin/sh\r\necho\r\n");
        assert_eq!(
            find(&lookup, "./here").unwrap_err(),
            "error: command `./here` cannot be started\n  \
             its first line names the interpreter `/bin/sh\\r`, which does not exist\n  \
             the first line ends with a carriage return (Windows line ends)\n  \
             tip: sed -i 's/\\r$//' ./here\n"
        );
    }
}
