//! What a job log says is done, for a run that goes on: jobs are known by their numbers, as in
//! GNU parallel, and a job that is another one now is noticed.

use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;

use super::sink::command_line::{self, Setting};
use super::sink::joblog;
use super::source::command;

/// No line of a log is longer: a command has at most two megabytes of arguments, and what is
/// written for it is at most a few times as long.
const LONGEST: u64 = 16 << 20;

/// Which of the jobs in a log are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    /// All that have ended by themselves or by their time limit.
    Ended,
    /// Those that have succeeded.
    Succeeded,
}

/// The jobs that are done, in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Done {
    jobs: Vec<Job>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Job {
    seq: u64,
    /// What its command was, unless another program has written the log.
    command: Option<u64>,
    done: bool,
}

impl Done {
    /// Reads a log; one that is not there says nothing.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub(crate) fn open(path: &Path, counts: Counts) -> io::Result<Done> {
        // Without it, opening a FIFO waits for somebody who writes.
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_NONBLOCK);
        match options.open(path) {
            Ok(file) if file.metadata()?.file_type().is_fifo() => Err(io::Error::other(
                "it is a FIFO, which keeps nothing: name a file",
            )),
            Ok(file) => Done::read(BufReader::new(file), counts),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Done::default()),
            Err(e) => Err(e),
        }
    }

    fn read(mut log: impl BufRead, counts: Counts) -> io::Result<Done> {
        let mut jobs = Vec::new();
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            if log.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            // Whoever wrote it had no time to end it: that job is not known to be done.
            let Some(whole) = line.strip_suffix(b"\n") else {
                if line.len() as u64 == LONGEST {
                    return Err(io::Error::other(format!("line {number} is too long")));
                }
                break;
            };
            if whole.is_empty() || whole.starts_with(b"Seq\t") {
                continue;
            }
            match job(whole, counts) {
                Some(job) => jobs.push(job),
                // Cut off by a crash, with a line behind it.
                None if number > 1 => {}
                None => return Err(io::Error::other(joblog::NO_LOG)),
            }
        }
        // The last attempt at a job is what counts.
        jobs.reverse();
        jobs.sort_by_key(|job: &Job| job.seq);
        jobs.dedup_by_key(|job| job.seq);
        jobs.retain(|job| job.done);
        jobs.shrink_to_fit();
        Ok(Done { jobs })
    }

    /// Whether the job with this number is done.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.find(seq).is_some()
    }

    /// Whether a job that is done had the command that is this input now.
    pub(super) fn is_same(&self, seq: u64, input: &Bytes, setting: Setting) -> bool {
        let Some(logged) = self.find(seq).and_then(|job| job.command) else {
            return true;
        };
        // In another slot it may have been another one.
        if command::spec(input).is_none_or(|spec| !spec.slots.is_empty()) {
            return true;
        }
        let mut line = Vec::new();
        joblog::on_one_line(&command_line::of(input, setting).line, &mut line);
        hash(&line) == logged
    }

    fn find(&self, seq: u64) -> Option<&Job> {
        let at = self.jobs.binary_search_by_key(&seq, |job| job.seq).ok()?;
        self.jobs.get(at)
    }
}

/// What a line says.
fn job(line: &[u8], counts: Counts) -> Option<Job> {
    let columns: Vec<&[u8]> = line.split(|&byte| byte == b'\t').collect();
    let number = |column: usize| {
        let text = std::str::from_utf8(columns.get(column)?).ok()?;
        text.trim().parse::<i64>().ok()
    };
    let seq = u64::try_from(number(0)?).ok()?;
    let (exit, signal, command) = (number(6)?, number(7)?, *columns.get(8)?);
    // It was ended from outside: GNU parallel has no line for such a job.
    let is_ours = columns.len() == joblog::COLUMNS;
    let was_told = is_ours && matches!(columns[9], b"interrupted" | b"cancelled");
    let done = match counts {
        Counts::Ended => !was_told,
        Counts::Succeeded => exit == 0 && signal == 0,
    };
    Some(Job {
        seq,
        command: is_ours.then(|| hash(command)),
        done,
    })
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use protocol::{CommandSpec, Encoding, Program, SlotPlace};
    use serde_bytes::ByteBuf;

    use super::*;

    const HEADER: &str =
        "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand";

    fn read(lines: &str, counts: Counts) -> io::Result<Done> {
        Done::read(format!("{HEADER}\n{lines}").as_bytes(), counts)
    }

    fn numbers(lines: &str, counts: Counts) -> Vec<u64> {
        let done = read(lines, counts).unwrap();
        done.jobs.iter().map(|job| job.seq).collect()
    }

    const LINES: &str = "3\t:\t1.0\t     0.001\t0\t0\t0\t0\techo c\tok\t1\t1\n\
                         1\t:\t1.0\t     0.001\t0\t0\t7\t0\techo a\tfailed\t1\t1\n\
                         2\t:\t1.0\t     0.001\t0\t0\t-1\t15\techo b\tinterrupted\t1\t1\n\
                         4\t:\t1.0\t     0.001\t0\t0\t-1\t15\techo d\ttimeout\t1\t1\n\
                         5\t:\t1.0\t     0.001\t0\t0\t1\t0\techo e\tfailed\t1\t1\n\
                         5\t:\t1.0\t     0.001\t0\t0\t0\t0\techo e\tok\t2\t1\n";

    #[test]
    fn a_log_says_which_jobs_are_done() {
        assert_eq!(numbers(LINES, Counts::Ended), [1, 3, 4, 5]);
        assert_eq!(numbers(LINES, Counts::Succeeded), [3, 5]);
        // Another program's, which has no line for jobs that it has ended.
        let gnus = "2\t:\t1.0\t     0.001\t0\t0\t-1\t15\techo b\n1\t:\t1\t2\t0\t0\t0\t0\tx\n";
        assert_eq!(numbers(gnus, Counts::Ended), [1, 2]);
        assert_eq!(numbers(gnus, Counts::Succeeded), [1]);
    }

    #[test]
    fn what_is_no_log_is_refused_and_a_line_without_an_end_is_none() {
        for cut in ["1\t:\t1.0", "1\t:\t1\t2\t0\t0\t0\t0\tech"] {
            assert!(numbers(cut, Counts::Ended).is_empty());
            let behind = format!("{cut}\n2\t:\t1\t2\t0\t0\t0\t0\tx\n");
            assert!(numbers(&behind, Counts::Succeeded).contains(&2));
        }
        assert!(Done::read(&b"precious\n"[..], Counts::Ended).is_err());
        assert!(Done::read(&b""[..], Counts::Ended).unwrap().jobs.is_empty());
        let missing = Done::open(Path::new("/no/such/log"), Counts::Ended);
        assert!(missing.unwrap().jobs.is_empty());
        assert!(Done::open(Path::new("/"), Counts::Ended).is_err());
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused = Done::open(&fifo, Counts::Ended).err().unwrap();
        assert!(refused.to_string().contains("FIFO"), "and it does not wait");
    }

    #[test]
    fn defect_6_a_job_that_is_another_one_now_is_noticed() {
        let done = read(LINES, Counts::Ended).unwrap();
        let spec = |word: &str| {
            let words = ["echo", word].map(ByteBuf::from);
            CommandSpec::new(Program::Argv(words.into()))
        };
        let same = |seq, spec: &CommandSpec| {
            let input = Encoding::Bincode.encode(spec).unwrap();
            done.is_same(seq, &input, Setting::default())
        };
        assert!(same(3, &spec("c")) && same(1, &spec("a")));
        assert!(!same(3, &spec("a")) && !same(1, &spec("c")));
        let mut in_a_slot = spec("c");
        in_a_slot.slots = vec![SlotPlace::new(1, 0)];
        assert!(same(3, &in_a_slot));
    }
}
