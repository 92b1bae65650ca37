//! What goes wrong, told to a person: one line that says what, indented facts,
//! and what to do about it. The shape is clap's own, so that all messages of
//! the program look alike.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;

use super::exit::Exit;
use super::habits;
use super::main::records;
use super::{program, summary};
use crate::pool::PoolError;
use crate::run::batch::Failure;
use crate::run::runfile::{Error, Gaps, RunFileError};
use crate::run::sink::writer::WriteError;
use crate::run::source::inputs::OpenError;
use crate::run::source::values::ReadError;
use crate::run::text;

/// A message about an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    what: String,
    facts: Vec<String>,
    tips: Vec<String>,
}

impl Message {
    /// `error: what`
    pub(crate) fn new(what: impl Into<String>) -> Message {
        Message {
            what: what.into(),
            facts: Vec::new(),
            tips: Vec::new(),
        }
    }

    /// Adds an indented line.
    pub(crate) fn fact(mut self, fact: impl Into<String>) -> Message {
        self.facts.push(fact.into());
        self
    }

    /// Adds what to do about it.
    pub(crate) fn tip(mut self, tip: impl Into<String>) -> Message {
        self.tips.push(tip.into());
        self
    }

    fn maybe_tip(self, tip: Option<String>) -> Message {
        match tip {
            Some(tip) => self.tip(tip),
            None => self,
        }
    }
}

/// A warning: the limit of open files allows fewer workers than asked for.
pub(super) fn fewer_workers(wanted: usize, fit: usize) -> String {
    let (wanted, fit) = (wanted as u64, fit as u64);
    format!(
        "warning: {} need more open files than the limit allows: {} started\n  \
         tip: raise the limit: ulimit -n\n",
        text::counted(wanted, "worker"),
        if fit == 1 {
            "1 is".to_owned()
        } else {
            format!("{} are", text::count(fit))
        },
    )
}

/// A warning: nobody else can look at the run file while it is written.
pub(super) fn on_network(path: &Path) -> String {
    let name = text::escaped(path.as_os_str().as_encoded_bytes());
    format!(
        "warning: run file {name} is on a network file system: it is slower there, and `status` \
         has to wait until the run has ended\n"
    )
}

/// Not even one worker can be kept.
pub(super) fn no_open_files() -> Message {
    Message::new("the limit of open files does not allow any worker")
        .tip("raise the limit: ulimit -n")
}

/// The system refuses what every run needs.
pub(super) fn cannot_start(why: &io::Error) -> Message {
    let message = Message::new(format!(
        "the run could not be started: {}",
        text::reason(why)
    ));
    match why.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAGAIN) => message
            .fact("no process or thread is left for it")
            .tip("raise the limit of processes: ulimit -u"),
        Some(Errno::EMFILE | Errno::ENFILE) => {
            message.tip("raise the limit of open files: ulimit -n")
        }
        _ => message,
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        for fact in &self.facts {
            writeln!(f, "  {fact}")?;
        }
        for tip in &self.tips {
            writeln!(f, "  tip: {tip}")?;
        }
        Ok(())
    }
}

/// Which worker a run was to use, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WorkerName {
    /// This program itself.
    Stock,
    /// A program of the user's, as it was written.
    Named(String),
}

/// What to say about a run that failed, and how to exit.
pub(crate) fn failure(failure: &Failure, worker: &WorkerName) -> (Option<Message>, Exit) {
    let message = match failure {
        Failure::Write(WriteError::Closed) => return (None, Exit::BROKEN_PIPE),
        Failure::UnknownTask { task, offered } => {
            return (Some(unknown_task(task, offered, worker)), Exit::USAGE);
        }
        Failure::Pool(e) => pool(e, worker),
        Failure::Read(e) => unreadable(e),
        Failure::Changed(job) => Message::new(format!(
            "job {job} is another one than in the job log, which says that it is done: the \
             command or its input has changed, so nothing more is run"
        ))
        .tip("to run all of it: with another --joblog, or without what leaves jobs out"),
        Failure::TooLarge(limit) => {
            let limit = text::size(*limit as u64);
            Message::new(format!(
                "a record of standard input is larger than {limit}, the limit; what comes before it is done"
            ))
            .tip("raise it with --block, or say what ends a record: --recend, --recstart")
        }
        Failure::Write(WriteError::Failed(e)) => {
            Message::new(format!("results could not be written: {}", text::reason(e)))
        }
        Failure::Write(e @ WriteError::Spill(cause)) => {
            Message::new(format!("{e}: {}", text::reason(cause)))
        }
        Failure::Write(WriteError::Kept(unwritten)) => {
            let path = text::quoted(unwritten.path.as_os_str().as_encoded_bytes());
            let why = text::reason(&unwritten.error);
            Message::new(format!("results could not be written to {path}: {why}"))
        }
        Failure::Write(e @ WriteError::Died) => Message::new(format!("internal error: {e}")),
        Failure::Spill(e) => spill(&text::reason(e)),
        Failure::RunFile(e) if matches!(e.error, Error::Full) && !is_record(e) => {
            let name = summary::quoted(e.path());
            Message::new(e.to_string())
                .fact("what is recorded is safe; jobs that were running were ended")
                .tip("make room, then go on: the same command and input, with --resume")
                .tip(format!(
                    "if all of the input was read, also: orchestrator resume {name}"
                ))
        }
        Failure::RunFile(e) => run_file(e),
        Failure::FailedTo(e) => {
            let what = "lines of failed jobs could not be written (--failed-to)";
            Message::new(format!("{what}: {}", text::reason(e)))
        }
        Failure::JobLog(e) => {
            let what = "the job log could not be written (--joblog)";
            Message::new(format!("{what}: {}", text::reason(e)))
        }
        Failure::Trace(e) => {
            let what = "the trace could not be written (--trace)";
            Message::new(format!("{what}: {}", text::reason(e)))
        }
        Failure::Resources(e) => cannot_start(e),
        Failure::PoolEnded => Message::new("internal error: the pool ended by itself"),
        Failure::Bug(what) => Message::new(format!("internal error: {what} (please report)")),
    };
    (Some(message), Exit::RUN_FAILED)
}

/// The input cannot be read any further.
fn unreadable(e: &ReadError) -> Message {
    let ReadError { what, why } = e;
    Message::new(format!("{what} could not be read: {}", text::reason(why)))
}

/// The input cannot be opened, or its names of columns not be read.
pub(super) fn no_input(e: &OpenError) -> Message {
    match e {
        OpenError::Read(e) => unreadable(e),
        OpenError::Open(path, why) => {
            let path = text::quoted(path.as_os_str().as_encoded_bytes());
            let why = text::reason(why);
            Message::new(format!("the input file {path} cannot be opened: {why}"))
        }
    }
}

/// There is no place for the page of a run.
pub(super) fn no_page(address: SocketAddr, why: &io::Error) -> Message {
    let what = format!(
        "the page of the run cannot be at {address}: {}",
        text::reason(why)
    );
    Message::new(what).tip("without an address, --dashboard takes a port that is free")
}

/// The directory where a recorded run began is not to be had.
pub(super) fn no_directory(path: &Path, why: &io::Error) -> Message {
    let path = text::escaped(path.as_os_str().as_encoded_bytes());
    let what = format!("the directory {path}, where the run began, cannot be entered");
    Message::new(format!("{what}: {}", text::reason(why)))
}

/// What is missing in a light record whose jobs are run.
pub(super) fn gaps(gaps: &Gaps) -> String {
    let mut said = String::new();
    let mut warn = |what: String| said += &format!("warning: {what}\n");
    if gaps.killed {
        warn(
            "that run was killed, or its record could not be written: what had failed until then \
             is recorded, and not what was done"
                .into(),
        );
    }
    if let Some(jobs) = gaps.cut {
        let jobs = text::counted(jobs, "job");
        warn(format!(
            "that run ended before its input was known to be read to the end: what came after \
             its first {jobs}, if anything, is not recorded"
        ));
    }
    if gaps.dropped > 0 {
        let jobs = text::counted(gaps.dropped, "job");
        warn(format!(
            "{jobs} that did not succeed are not recorded, for which the record had no room: give \
             their lines to a new run"
        ));
    }
    if let Some(why) = &gaps.failure {
        let why = text::escaped(why.as_bytes());
        warn(format!(
            "that run failed ({why}): results of jobs that succeeded may not have been written"
        ));
    }
    said
}

/// No run is recorded, or records cannot be read.
pub(super) fn no_record(dir: Option<&Path>) -> Message {
    let unread = dir.and_then(|dir| fs::read_dir(dir).err());
    let unread = unread.filter(|why| why.kind() != io::ErrorKind::NotFound);
    match dir {
        None => Message::new("no run is recorded: neither HOME nor XDG_STATE_HOME is set"),
        Some(dir) => {
            let dir = text::escaped(dir.as_os_str().as_encoded_bytes());
            if let Some(why) = unread {
                let why = text::reason(&why);
                return Message::new(format!(
                    "the records of runs in {dir} cannot be read: {why}"
                ))
                .tip("they are below XDG_STATE_HOME, or HOME: set it to what is yours");
            }
            Message::new(format!("no run is recorded in {dir}"))
                .tip("`orchestrator run` records, unless --no-record or ORCHESTRATOR_NO_RECORD is set, or inside a job")
        }
    }
}

/// A run file cannot be used.
pub(super) fn run_file(e: &RunFileError) -> Message {
    let name = summary::quoted(e.path());
    let message = Message::new(e.to_string());
    match &e.error {
        Error::Exists => message
            .tip("to go on with the run in it, add --resume")
            .tip("to begin anew, name another file"),
        Error::OtherPurpose { recorded, wanted } => message
            .fact(format!("recorded: {}", text::escaped(recorded.as_bytes())))
            .fact(format!("now:      {wanted}"))
            .tip("give it a run file of its own, or resume all the same with --force"),
        Error::InputNotWhole => message
            .tip(format!(
                "give the input once more: orchestrator run --run-file {name} --resume …"
            ))
            .tip(format!(
                "to run only what has failed: orchestrator retry --failed {name}"
            )),
        Error::Light => message.tip(format!("to run them again: orchestrator retry {name}")),
        Error::Full if is_record(e) => {
            message.tip(format!("make room, then orchestrator retry {name}"))
        }
        // Nothing has begun.
        Error::Full => message.tip("make room, then give the same command again"),
        Error::Locked(_) => message.tip(format!("see how far it is: orchestrator status {name}")),
        _ => message,
    }
}

/// Whether it is about a light record.
fn is_record(e: &RunFileError) -> bool {
    records().is_some_and(|records| e.path().starts_with(records.dir()))
}

fn spill(why: &str) -> Message {
    Message::new(format!(
        "output of jobs could not be kept in a temporary file: {why}"
    ))
    .tip("set TMPDIR to a directory with more room, or name one with --tmpdir")
}

fn unknown_task(task: &str, offered: &Arc<[String]>, worker: &WorkerName) -> Message {
    let shown = text::quoted(task);
    let mut names: Vec<&str> = offered.iter().map(String::as_str).collect();
    names.sort_unstable();
    let list = match &names[..] {
        [] => "it offers no tasks".to_owned(),
        names => format!("its tasks: {}", text::escaped(names.join(", ").as_bytes())),
    };
    let similar = text::similar(task, names.iter().copied())
        .map(|name| format!("a similar task exists: {}", text::quoted(name)));
    match worker {
        WorkerName::Stock => Message::new(format!("there is no task named {shown}"))
            .fact("without --worker, jobs run in a worker that can only run commands")
            .tip("name the program that offers the task: --worker PROGRAM"),
        WorkerName::Named(name) => {
            let name = text::quoted(name);
            let what = if task == "command" {
                format!("worker {name} does not run commands: it has no task named {shown}")
            } else {
                format!("worker {name} has no task named {shown}")
            };
            Message::new(what).maybe_tip(similar).fact(list)
        }
    }
}

/// What to say about a pool that failed.
pub(crate) fn pool(error: &PoolError, worker: &WorkerName) -> Message {
    let mut what = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        // Shared errors show themselves as what shares them.
        let shared = e.downcast_ref::<Arc<io::Error>>().map(AsRef::as_ref);
        let reason = e.downcast_ref().or(shared).map(text::reason);
        what = format!("{what}: {}", reason.unwrap_or_else(|| e.to_string()));
        cause = e.source();
    }
    let message = Message::new(text::escaped(what.as_bytes()));
    let try_it = match worker {
        WorkerName::Stock => None,
        WorkerName::Named(name) => Some(format!(
            "try it alone: `orchestrator tasks --worker {}`",
            habits::shell_word(name.as_bytes())
        )),
    };
    match error {
        PoolError::NotAWorker { program, .. } => message.tip(format!(
            "to run an ordinary command for each line, put it after `--`: \
             orchestrator run -- {} {{}}",
            text::escaped(program.as_bytes())
        )),
        PoolError::Version { theirs, ours, .. } => message.tip(if theirs < ours {
            "build the worker again with the worker crate of this orchestrator's version"
        } else {
            "use the orchestrator that the worker was built for, or a newer one"
        }),
        PoolError::StartTimeout { stderr, .. } => {
            let message = message.fact("it never finished the greeting of a worker");
            last_output(message, stderr).maybe_tip(try_it)
        }
        PoolError::KeepsDying { stderr, .. } => last_output(message, stderr).maybe_tip(try_it),
        PoolError::Hosts { hosts } => {
            let told = hosts.iter().fold(message, |message, (host, what)| {
                message.fact(text::escaped(format!("{host} {what}").as_bytes()))
            });
            // What is there and does not do is no matter of ssh.
            let unreached = |(_, what): &(_, String)| what.starts_with("cannot be reached: ssh");
            told.tip(match hosts.iter().any(unreached) {
                true => "try one by hand: ssh -o BatchMode=yes HOST true; docs/hosts.md says what each needs",
                false => "docs/hosts.md says what each needs",
            })
        }
        PoolError::Spill(cause) => spill(&text::reason(cause)),
        PoolError::Spawn { source, .. } => unstartable(message, source, worker),
        _ => message,
    }
}

/// What to say about a program that the system did not start.
fn unstartable(message: Message, why: &io::Error, worker: &WorkerName) -> Message {
    match (why.raw_os_error().map(Errno::from_raw), worker) {
        (Some(Errno::EMFILE | Errno::ENFILE), _) => {
            message.tip("use fewer workers (-j), or raise `ulimit -n`")
        }
        (Some(Errno::EAGAIN | Errno::ENOMEM), _) => message.tip("use fewer workers (-j)"),
        // The file was there when it was looked up.
        (Some(Errno::ENOENT), WorkerName::Named(name)) => {
            match program::missing_interpreter(Path::new(name)) {
                Some(interpreter) => {
                    program::no_interpreter(message, name.as_bytes(), &interpreter)
                }
                None if Path::new(name).exists() => {
                    message.fact("the file exists, but the loader that it needs does not")
                }
                None => message,
            }
        }
        _ => message,
    }
}

/// What a worker said before its end, if it said something.
fn last_output(message: Message, stderr: &str) -> Message {
    if stderr.trim().is_empty() {
        return message.fact("it printed nothing on stderr");
    }
    let message = message.fact("its last output was:");
    stderr.trim_end().lines().fold(message, |message, line| {
        message.fact(format!("  {}", text::escaped(line.as_bytes())))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn named() -> WorkerName {
        WorkerName::Named("./w".into())
    }

    fn said(failed: &Failure, worker: &WorkerName) -> String {
        failure(failed, worker).0.unwrap().to_string()
    }

    fn offered() -> Arc<[String]> {
        ["primes", "fib"].map(str::to_owned).into()
    }

    #[test]
    fn an_unknown_task_gets_a_suggestion_and_the_list() {
        let failed = Failure::UnknownTask {
            task: "fibb".into(),
            offered: offered(),
        };
        assert_eq!(
            said(&failed, &named()),
            "error: worker `./w` has no task named `fibb`\n  its tasks: fib, primes\n  \
             tip: a similar task exists: `fib`\n"
        );
        assert_eq!(failure(&failed, &named()).1, Exit::USAGE);
        assert!(said(&failed, &WorkerName::Stock).contains("tip: name the program"));
        let failed = Failure::UnknownTask {
            task: "command".into(),
            offered: offered(),
        };
        assert!(said(&failed, &named()).starts_with("error: worker `./w` does not run commands"));
    }

    #[test]
    fn a_full_disk_is_one_line() {
        let failed = Failure::Write(WriteError::Failed(io::Error::from_raw_os_error(28)));
        assert_eq!(
            said(&failed, &WorkerName::Stock),
            "error: results could not be written: no space left on device\n"
        );
        assert_eq!(failure(&failed, &named()).1, Exit::RUN_FAILED);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_message() {
        let failed = Failure::Write(WriteError::Closed);
        assert_eq!(failure(&failed, &named()), (None, Exit::BROKEN_PIPE));
    }

    #[test]
    fn workers_that_die_show_their_last_words() {
        let error = PoolError::KeepsDying {
            program: "./w".into(),
            status: "ended with status 127".into(),
            ready: false,
            attempts: 3,
            stderr: "./w: cannot open libpng\n\x1b[31mbye\n".into(),
        };
        assert_eq!(
            pool(&error, &named()).to_string(),
            "error: worker `./w` ended with status 127 before it was ready (tried 3 times)\n  \
             its last output was:\n    ./w: cannot open libpng\n    \\u{1b}[31mbye\n  \
             tip: try it alone: `orchestrator tasks --worker ./w`\n"
        );
        let error = PoolError::StartTimeout {
            program: "./w".into(),
            after: Duration::from_secs(10),
            stderr: String::new(),
        };
        let said = pool(&error, &named()).to_string();
        assert!(
            said.contains(
                "  it never finished the greeting of a worker\n  it printed nothing on stderr\n"
            ),
            "{said}"
        );
    }

    #[test]
    fn causes_are_part_of_the_line() {
        let error = PoolError::Spawn {
            program: "./w".into(),
            source: Arc::new(io::Error::from_raw_os_error(13)),
        };
        assert_eq!(
            pool(&error, &named()).to_string(),
            "error: worker `./w` cannot be started: permission denied\n"
        );
    }

    #[test]
    fn an_ordinary_program_is_told_where_it_belongs() {
        let error = PoolError::NotAWorker {
            program: "/usr/bin/convert".into(),
            printed: "`Version: ImageMagick`".into(),
        };
        assert_eq!(
            pool(&error, &named()).to_string(),
            "error: `/usr/bin/convert` does not speak the worker protocol \
             (it printed `Version: ImageMagick`)\n  tip: to run an ordinary command for each \
             line, put it after `--`: orchestrator run -- /usr/bin/convert {}\n"
        );
    }
}
