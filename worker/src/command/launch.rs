//! From a specification to a process, or to a precise reason why not.
//!
//! The program is looked up here and started by its absolute path, without a
//! copy of this process: what it costs does not depend on the size of that.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{AccessFlags, Pid, eaccess};
use protocol::{Attempt, CommandSpec, EnvChange, Outcome, Program, TaskError};

use super::slot;
use crate::os::{self, CStrings, EnvironmentMark, Spawner};
use crate::tree;

/// Where programs are looked for when the job has no `PATH` at all.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The variable that tells a command how often it was tried, from 1.
const ATTEMPT: &str = "ORCHESTRATOR_ATTEMPT";

/// A program file that is still open for writing somewhere cannot be started,
/// nor anything while no process or memory is left; usually that is over within
/// moments.
const BUSY_PAUSES_MS: [u64; 3] = [10, 30, 100];

/// A command that cannot be started.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) outcome: Outcome,
    pub(crate) error: TaskError,
}

impl Refusal {
    /// The system does not want to, or would not.
    pub(crate) fn new(errno: Errno, text: impl Into<String>) -> Refusal {
        Refusal {
            outcome: Outcome::SpawnError(errno as i32),
            error: TaskError::new(text),
        }
    }

    /// It is no specification of a command.
    fn rejected(text: impl Into<String>) -> Refusal {
        Refusal {
            outcome: Outcome::Rejected,
            error: TaskError::new(text),
        }
    }
}

/// A command that has been started.
pub(crate) struct Launched {
    /// The process, and the group that it leads.
    pub(crate) leader: Pid,
    /// There is one when the job says what the command is to read.
    pub(crate) stdin: Option<PipeWriter>,
    pub(crate) stdout: PipeReader,
    pub(crate) stderr: PipeReader,
    /// Children that were there before: helpers of some task, not ours to kill.
    pub(crate) spared: Vec<Pid>,
}

/// What all commands of a worker need to be started.
pub(crate) struct Launcher {
    spawner: Spawner,
    /// What commands read that get no input; opened when the first one comes.
    null: Option<OwnedFd>,
    /// This process's environment, as commands inherit it, and by what it is
    /// known to be still the same.
    variables: CStrings,
    mark: Option<EnvironmentMark>,
    /// Signals that have another effect here than by default, and in which turn
    /// of the worker that was so: only functions change it.
    signals: Vec<i32>,
    turn: Option<u64>,
}

impl Launcher {
    pub(crate) fn new() -> Launcher {
        Launcher {
            spawner: Spawner::new(),
            null: None,
            mark: None,
            variables: CStrings::new(Vec::new()),
            signals: Vec::new(),
            turn: None,
        }
    }

    /// Starts a command, which is told by [`ATTEMPT`] how often it was tried. `turn`
    /// changes whenever a function has run.
    pub(crate) fn launch(
        &mut self,
        spec: &CommandSpec,
        attempt: Attempt,
        turn: u64,
    ) -> Result<Launched, Refusal> {
        let spec = slot::filled(spec).map_err(|slot| {
            let (word, at) = (slot.word, slot.at);
            Refusal::rejected(format!(
                "there is no place for the slot at byte {at} of word {word}"
            ))
        })?;
        let spec = &*spec;
        let argv = argv(spec);
        check(spec, &argv)?;
        let program = resolve(spec, argv[0])?;
        let input = open_input(spec)?;
        let spared = tree::children();
        self.look_around(turn);
        let mut pauses = BUSY_PAUSES_MS.iter();
        loop {
            let error = match self.spawn(spec, attempt, &program, &argv, input.as_ref()) {
                Ok(launched) => return Ok(Launched { spared, ..launched }),
                Err(error) => error,
            };
            match (error.raw_os_error(), pauses.next()) {
                (Some(libc::ETXTBSY | libc::EAGAIN | libc::ENOMEM), Some(&pause)) => {
                    std::thread::sleep(Duration::from_millis(pause));
                }
                _ => return Err(diagnose(&error, spec, &program, &argv)),
            }
        }
    }

    /// Notices what functions, or threads that they have left behind, have
    /// changed in this process.
    fn look_around(&mut self, turn: u64) {
        if self.turn != Some(turn) {
            self.signals = os::handled_signals();
            self.turn = Some(turn);
        }
        if !self.mark.as_ref().is_some_and(EnvironmentMark::holds) {
            let mark = EnvironmentMark::now();
            self.variables = CStrings::new(inherited());
            self.mark = Some(mark);
        }
    }

    fn spawn(
        &mut self,
        spec: &CommandSpec,
        attempt: Attempt,
        program: &Path,
        argv: &[&OsStr],
        input: Option<&OwnedFd>,
    ) -> io::Result<Launched> {
        let path = c_string(program.as_os_str())?;
        let argv: io::Result<_> = argv.iter().map(|argument| c_string(argument)).collect();
        let cwd = spec
            .cwd
            .as_ref()
            .map(|cwd| c_string(OsStr::from_bytes(cwd)));
        let (cwd, changed) = (cwd.transpose()?, changed(spec, attempt, &self.variables)?);
        let null = match &mut self.null {
            Some(null) => null,
            none => none.insert(os::move_high(File::open("/dev/null")?.as_fd())?),
        };
        let (stdin_there, stdin) = match spec.stdin {
            Some(_) => Some(io::pipe()?).unzip(),
            None => (None, None),
        };
        let stdin_there = stdin_there
            .map(|end| out_of_the_way(end.into()))
            .transpose()?;
        let (stdout, stdout_there) = io::pipe()?;
        let (stderr, stderr_there) = io::pipe()?;
        let stdout_there = out_of_the_way(stdout_there.into())?;
        let stderr_there = out_of_the_way(stderr_there.into())?;
        let leader = self.spawner.spawn(&os::Program {
            path: &path,
            argv: &CStrings::new(argv?),
            env: changed.as_ref().unwrap_or(&self.variables),
            cwd: cwd.as_deref(),
            stdio: [
                stdin_there.as_ref().or(input).unwrap_or(null).as_fd(),
                stdout_there.as_fd(),
                stderr_there.as_fd(),
            ],
            signals: &self.signals,
            limits: [
                spec.limits.cpu_s.map(os::Limit::cpu),
                spec.limits.open_files.map(os::Limit::open_files),
            ],
        })?;
        Ok(Launched {
            leader,
            stdin,
            stdout,
            stderr,
            spared: Vec::new(),
        })
    }
}

/// [`check`] has found no NUL byte in any text.
fn c_string(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

/// A descriptor that is none of the first three: a command's end of a pipe can
/// be one of them when a task has closed it here.
fn out_of_the_way(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    os::move_high(fd.as_fd())
}

/// The variables of this process, for a job's first attempt.
fn inherited() -> Vec<CString> {
    let all = std::env::vars_os().filter(|(name, _)| name != ATTEMPT);
    let first = (OsString::from(ATTEMPT), OsString::from("1"));
    let variables = all.chain([first]);
    let variables = variables.map(|(name, value)| variable(&name, &value));
    variables.filter_map(Result::ok).collect()
}

fn variable(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut text = name.to_owned().into_vec();
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    Ok(CString::new(text)?)
}

/// The variables with the job's changes, if it has any.
fn changed(
    spec: &CommandSpec,
    attempt: Attempt,
    before: &CStrings,
) -> io::Result<Option<CStrings>> {
    let again = (attempt > Attempt::FIRST).then(|| EnvChange {
        name: ATTEMPT.as_bytes().to_vec().into(),
        value: Some(attempt.to_string().into_bytes().into()),
    });
    if spec.env.is_empty() && again.is_none() {
        return Ok(None);
    }
    let mut variables = before.strings().to_vec();
    for change in again.iter().chain(&spec.env) {
        let is_meant = |variable: &CString| {
            let rest = variable.as_bytes().strip_prefix(&change.name[..]);
            rest.is_some_and(|rest| rest.first() == Some(&b'='))
        };
        variables.retain(|variable| !is_meant(variable));
        if let Some(value) = &change.value {
            let [name, value] = [&change.name, value].map(|text| OsStr::from_bytes(text));
            variables.push(variable(name, value)?);
        }
    }
    Ok(Some(CStrings::new(variables)))
}

fn argv(spec: &CommandSpec) -> Vec<&OsStr> {
    match &spec.program {
        Program::Argv(argv) => argv.iter().map(|a| OsStr::from_bytes(a)).collect(),
        Program::Shell { text, args } => {
            let shell: [&[u8]; 4] = [b"/bin/sh", b"-c", text, b"sh"];
            let args = args.iter().map(|a| &a[..]);
            shell
                .into_iter()
                .chain(args)
                .map(OsStr::from_bytes)
                .collect()
        }
    }
}

/// What no system call could carry, or would carry differently from what was
/// meant.
fn check(spec: &CommandSpec, argv: &[&OsStr]) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::rejected(text));
    let has_nul = |text: &[u8]| text.contains(&0);
    if argv.first().is_none_or(|program| program.is_empty()) {
        return invalid("no program is named".into());
    }
    if let Some(at) = argv.iter().position(|a| has_nul(a.as_bytes())) {
        return invalid(format!("argument {at} contains a NUL byte"));
    }
    if spec.cwd.as_ref().is_some_and(|cwd| has_nul(cwd)) {
        return invalid("the working directory's name contains a NUL byte".into());
    }
    if let Some(path) = &spec.stdin_path {
        if has_nul(path) {
            return invalid("the name of what it reads contains a NUL byte".into());
        }
        if spec.stdin.is_some() {
            return invalid("it can read data or a file on stdin, not both".into());
        }
    }
    if let Some(step) = spec.stop.iter().find(|step| !is_signal(step.signal)) {
        return invalid(format!("{} is no signal", step.signal));
    }
    for change in &spec.env {
        let name = OsStr::from_bytes(&change.name).display();
        if change.name.is_empty() || change.name.contains(&b'=') || has_nul(&change.name) {
            return invalid(format!("`{name}` cannot be an environment variable's name"));
        }
        if change.value.as_ref().is_some_and(|value| has_nul(value)) {
            return invalid(format!(
                "the environment variable `{name}` contains a NUL byte"
            ));
        }
    }
    Ok(())
}

/// What the command reads, if that has a name.
fn open_input(spec: &CommandSpec) -> Result<Option<OwnedFd>, Refusal> {
    let Some(path) = &spec.stdin_path else {
        return Ok(None);
    };
    let name = Path::new(OsStr::from_bytes(path));
    let cwd = spec.cwd.as_deref().map_or(&b"."[..], |cwd| cwd);
    // This thread must not wait for whoever may write to a named pipe.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(Path::new(OsStr::from_bytes(cwd)).join(name));
    let opened = file.and_then(|file| {
        os::set_blocking(&file)?;
        out_of_the_way(file.into())
    });
    opened.map(Some).map_err(|e| {
        let errno = Errno::from_raw(e.raw_os_error().unwrap_or(libc::EINVAL));
        let text = format!(
            "cannot read `{}` as its stdin: {}",
            name.display(),
            errno.desc()
        );
        Refusal::new(errno, text)
    })
}

fn is_signal(number: i32) -> bool {
    Signal::try_from(number).is_ok()
}

/// The program's absolute path. Names are looked up in the job's `PATH`; empty
/// elements, which traditionally mean the working directory, are ignored.
fn resolve(spec: &CommandSpec, name: &OsStr) -> Result<PathBuf, Refusal> {
    let cwd = Path::new(OsStr::from_bytes(
        spec.cwd.as_deref().map_or(b".", |cwd| cwd),
    ));
    let absolute = |path: &Path| {
        std::path::absolute(cwd.join(path)).map_err(|e| {
            let errno = Errno::from_raw(e.raw_os_error().unwrap_or(libc::EINVAL));
            Refusal::new(errno, format!("cannot tell the working directory: {e}"))
        })
    };
    if name.as_bytes().contains(&b'/') {
        return absolute(Path::new(name));
    }
    let path = search_path(spec);
    let mut forbidden = None;
    let elements = path.as_bytes().split(|&b| b == b':');
    for element in elements.filter(|element| !element.is_empty()) {
        let candidate = absolute(&Path::new(OsStr::from_bytes(element)).join(name))?;
        if !candidate.is_file() {
            continue;
        }
        if eaccess(&candidate, AccessFlags::X_OK).is_ok() {
            return Ok(candidate);
        }
        forbidden.get_or_insert(candidate);
    }
    let name = name.display();
    Err(match forbidden {
        Some(found) => Refusal::new(
            Errno::EACCES,
            format!("`{}` is not executable", found.display()),
        ),
        None => Refusal::new(
            Errno::ENOENT,
            format!("there is no program `{name}` in PATH"),
        ),
    })
}

/// The value of `PATH` that the job will see.
fn search_path(spec: &CommandSpec) -> OsString {
    let changes = spec.env.iter().rev();
    let path = match changes
        .into_iter()
        .find(|change| &change.name[..] == b"PATH")
    {
        Some(change) => change
            .value
            .as_ref()
            .map(|value| OsStr::from_bytes(value).to_owned()),
        None => std::env::var_os("PATH"),
    };
    path.unwrap_or_else(|| DEFAULT_PATH.into())
}

/// Which of program, working directory and interpreter an error is about: the
/// operating system gives the same number for all three.
fn diagnose(error: &io::Error, spec: &CommandSpec, program: &Path, argv: &[&OsStr]) -> Refusal {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EINVAL));
    let shown = program.display();
    let cwd = spec
        .cwd
        .as_ref()
        .map(|cwd| Path::new(OsStr::from_bytes(cwd)));
    let bad_cwd = cwd.filter(|cwd| !cwd.is_dir());
    let text = match (errno, bad_cwd) {
        (Errno::ENOENT | Errno::ENOTDIR, Some(cwd)) => {
            format!("the working directory `{}` does not exist", cwd.display())
        }
        (Errno::ENOENT, None) if !program.exists() => format!("there is no program `{shown}`"),
        (Errno::ENOENT, None) => match interpreter(program) {
            Some(interpreter) => no_interpreter(&shown.to_string(), &interpreter),
            None => format!("`{shown}` exists, but the loader that it needs does not"),
        },
        (Errno::EACCES, _) if program.is_dir() => format!("`{shown}` is a directory"),
        (Errno::EACCES, _) if eaccess(program, AccessFlags::X_OK).is_err() => {
            format!("`{shown}` is not executable")
        }
        (Errno::ENOEXEC, _) => {
            format!("`{shown}` is neither a program nor a script with a `#!` line")
        }
        (Errno::E2BIG, _) => too_big(spec, argv),
        _ => format!("cannot start `{shown}`: {}", errno.desc()),
    };
    Refusal::new(errno, text)
}

fn no_interpreter(script: &str, interpreter: &str) -> String {
    // A carriage return must be seen, and it is the whole reason.
    let why = if interpreter.ends_with('\r') {
        "; the line ends with a carriage return (Windows line ends), which \
         `sed -i 's/\\r$//' FILE` removes"
    } else {
        ""
    };
    format!(
        "`{script}` exists, but there is no interpreter `{}`, which its first line names{why}",
        interpreter.escape_debug()
    )
}

/// The interpreter that a script's first line names.
fn interpreter(program: &Path) -> Option<String> {
    let mut line = Vec::new();
    let file = File::open(program).ok()?;
    BufReader::new(file.take(256))
        .read_until(b'\n', &mut line)
        .ok()?;
    named_interpreter(&line)
}

/// As the kernel reads it: only blanks and the line feed end the name.
fn named_interpreter(first_line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(first_line.strip_prefix(b"#!")?).into_owned();
    let mut words = line.split([' ', '\t', '\n']);
    words.find(|word| !word.is_empty()).map(str::to_owned)
}

/// How long Linux lets one word be, where pages have 4 KiB.
const WORD: usize = (128 << 10) - 1;

fn too_big(spec: &CommandSpec, argv: &[&OsStr]) -> String {
    let arguments = argv
        .iter()
        .enumerate()
        .map(|(at, a)| (a.len(), format!("argument {at}")));
    let values = spec.env.iter().map(|change| {
        let size = change.value.as_ref().map_or(0, |value| value.len());
        let name = OsStr::from_bytes(&change.name).display();
        (size, format!("the environment variable `{name}`"))
    });
    let (size, largest) = arguments.chain(values).max().unwrap_or_default();
    let most = match size > WORD {
        true => format!(" of at most {WORD}"),
        false => String::new(),
    };
    format!("the argument list is too long; the largest part is {largest} with {size} bytes{most}")
}

#[cfg(test)]
mod tests;
