//! The job log: GNU parallel's nine columns and three of ours behind them, a line for each
//! attempt, written when it is over.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use protocol::WorkerId;

use super::command_line::{self, Setting, Typed};
use super::facts::Facts;
use crate::run::source::pipe::lanes::Bell;
use crate::run::source::work::Ticket;
use crate::scheduler::Verdict;

/// What stands at the top.
const HEADER: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\t\
                      Verdict\tAttempt\tWorker\n";

/// How many columns that are.
pub(crate) const COLUMNS: usize = 12;

/// Why a file is none.
pub(crate) const NO_LOG: &str =
    "the file is there, and it is no job log: it does not begin with `Seq`";

/// The file. It is only ever added to.
#[derive(Debug)]
pub(crate) struct JobLog {
    file: File,
    /// The line that is being made.
    line: Vec<u8>,
    /// Whether the command is the first line of what a job has printed, and counts.
    counts_commands: bool,
}

/// Who made an attempt, and how it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) facts: Facts,
    pub(crate) verdict: Verdict,
    pub(crate) number: u32,
    pub(crate) worker: Option<WorkerId>,
    /// On which host, if that was not this one.
    pub(crate) host: Option<&'a str>,
    /// Where that was.
    pub(crate) setting: Setting,
    /// What a task is called; commands are read off their tickets.
    pub(crate) task: Option<&'a str>,
}

impl JobLog {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be written, or is something else.
    pub(crate) fn open(path: &Path) -> io::Result<JobLog> {
        let mut options = OpenOptions::new();
        // A pipe or a device has no beginning to be looked at.
        let regular = !path.exists() || path.is_file();
        let mut file = options.append(true).create(true).read(regular).open(path)?;
        let start = match regular {
            true => continued(&mut file)?,
            false => HEADER,
        };
        file.write_all(start.as_bytes())?;
        Ok(JobLog {
            file,
            line: Vec::new(),
            counts_commands: false,
        })
    }

    /// The command counts with what a job has printed, as in GNU parallel with `-v`.
    pub(crate) fn counts_commands(&mut self) {
        self.counts_commands = true;
    }

    /// Adds an attempt, with one write.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&mut self, ticket: &Ticket, attempt: &Attempt<'_>) -> io::Result<()> {
        self.line.clear();
        let Facts {
            received,
            exit,
            signal,
            ..
        } = attempt.facts;
        let (start, runtime) = (attempt.facts.start_s(), attempt.facts.runtime_s());
        let seq = ticket.seq;
        let host = attempt.host.unwrap_or(":");
        let Typed { line, stdin } = command_line::of(&ticket.command, attempt.setting);
        let received = match self.counts_commands {
            true => received + line.len() as u64 + 1,
            false => received,
        };
        let stdin = ticket.bell().map_or(stdin, Bell::given);
        write!(
            self.line,
            "{seq}\t{host}\t{start}\t{runtime:>10}\t{stdin}\t{received}\t{exit}\t{signal}\t"
        )?;
        match attempt.task {
            Some(task) => {
                let item = ticket.item.as_deref().unwrap_or_default();
                on_one_line(&[task.as_bytes(), b" ", item].concat(), &mut self.line);
            }
            None => on_one_line(&line, &mut self.line),
        }
        let (word, number) = (attempt.verdict.word(), attempt.number);
        write!(self.line, "\t{word}\t{number}\t")?;
        if let Some(worker) = attempt.worker {
            write!(self.line, "{worker}")?;
        }
        self.line.push(b'\n');
        self.file.write_all(&self.line)
    }
}

/// What is to be written to this file first.
///
/// # Errors
/// When it cannot be read, or holds something else than a job log.
fn continued(file: &mut File) -> io::Result<&'static str> {
    let mut start = Vec::new();
    Read::take(&mut *file, 4).read_to_end(&mut start)?;
    if start.is_empty() {
        return Ok(HEADER);
    }
    if start != b"Seq\t" {
        return Err(io::Error::other(NO_LOG));
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    // Whoever wrote the last line had no time to end it.
    Ok(if last == *b"\n" { "" } else { "\n" })
}

/// Adds a command with what would end a column or a line as an escape.
pub(crate) fn on_one_line(command: &[u8], line: &mut Vec<u8>) {
    for &byte in command {
        match byte {
            b'\t' => line.extend_from_slice(b"\\t"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            0 => line.push(b' '),
            _ => line.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::render::tests::ticket;
    use super::*;

    fn add(path: &Path) {
        let mut log = JobLog::open(path).unwrap();
        let attempt = Attempt {
            facts: Facts {
                start: UNIX_EPOCH + Duration::from_millis(1_500),
                runtime: Duration::from_micros(12_345_678),
                received: 7,
                exit: 3,
                signal: 0,
            },
            verdict: Verdict::Failed(3),
            number: 2,
            worker: Some(WorkerId(4)),
            host: None,
            setting: Setting::default(),
            task: None,
        };
        log.write(&ticket(&[b"a", b"b\tc\n"]), &attempt).unwrap();
    }

    #[test]
    fn defect_12_a_log_that_is_there_is_added_to_and_never_truncated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        add(&path);
        add(&path);
        let line = "3\t:\t1.500\t    12.346\t0\t7\t3\t0\ta 'b\\tc\\n'\tfailed\t2\t4\n";
        let expected = format!("{HEADER}{line}{line}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        // Cut within a line, as by a full disk.
        std::fs::write(&path, &expected[..expected.len() - 4]).unwrap();
        add(&path);
        let cut = &expected[..expected.len() - 4];
        let expected = format!("{cut}\n{line}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn the_columns_are_counted() {
        assert_eq!(HEADER.split('\t').count(), COLUMNS);
    }

    #[test]
    fn a_file_that_is_no_log_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, "precious").unwrap();
        assert!(JobLog::open(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert!(JobLog::open(&dir.path().join("no/such")).is_err());
    }
}
