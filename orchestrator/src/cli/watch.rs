//! What is looked at while a run goes on: the file that says how many jobs run
//! at once, and whether the machine has room for more. One timer for all of it, and
//! none when there is nothing to look at.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::errors::{self, Message};
use super::main::say;
use crate::pool;
use crate::run::gate::{self, Gate, Measured};
use crate::run::jobs::Jobs;
use crate::run::reins::Reins;
use crate::run::text;

/// How often to look whether the file has changed.
const LOOK: Duration = Duration::from_secs(1);

/// How often to measure what the machine has room for.
const MEASURE: Duration = Duration::from_millis(100);

/// After how many measurements in a row that let no job start, while none runs, that is told.
const PATIENCE: u32 = 30;

/// How often to look whether there is a pool already.
const BEGIN: Duration = Duration::from_millis(2);

/// How much of the file is read: a number and some blanks.
const LONGEST: u64 = 256;

/// What is looked at while a run goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// The file that says how many jobs run at once.
    pub(crate) jobs: Option<JobsFile>,
    /// What must be so for a job to start.
    pub(crate) gate: Gate,
    /// For how many measurements none may start; told when there have been enough, once.
    pub(crate) closed: u32,
}

impl Watch {
    /// Looks, and pulls the reins; for as long as it is polled.
    pub(super) async fn attend(mut self, reins: &Reins) -> Infallible {
        if self.jobs.is_none() && !self.gate.is_there() {
            return std::future::pending().await;
        }
        while !reins.hold() {
            tokio::time::sleep(BEGIN).await;
        }
        let (pause, looks) = match self.gate.is_there() {
            true => (MEASURE, LOOK.div_duration_f64(MEASURE) as u32),
            false => (LOOK, 1),
        };
        for turn in (1..=looks).cycle() {
            if self.gate.is_there() {
                self.measure(reins).await;
            }
            tokio::time::sleep(pause).await;
            if let Some(file) = self.jobs.as_mut().filter(|_| turn == looks) {
                match file.look() {
                    Ok(None) => {}
                    Ok(Some(workers)) => resize(reins, workers),
                    Err(warning) => say(&warning),
                }
            }
        }
        std::future::pending().await
    }

    /// Lets as many jobs start as there is room for, or one make room.
    async fn measure(&mut self, reins: &Reins) {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let measured = Measured {
            load: self.gate.load.and_then(|_| gate::load(&text("/proc/stat"))),
            memory: self
                .gate
                .memory
                .and_then(|_| gate::memory(&text("/proc/meminfo"))),
        };
        let starts = self.gate.starts(measured);
        reins.allow_starts(starts);
        self.tell_closed(starts == 0, measured, reins).await;
        if self.gate.is_short(measured)
            && let Some(job) = reins.put_back_youngest().await
        {
            let left = text::size(measured.memory.unwrap_or_default());
            say(&format!(
                "warning: only {left} of memory are available (--memfree): run again later:\n{job}"
            ));
        }
    }
}

impl Watch {
    /// Says once that nothing has started for a while, if something would and nothing runs.
    async fn tell_closed(&mut self, closed: bool, measured: Measured, reins: &Reins) {
        self.closed = match (closed, self.closed) {
            (_, told) if told > PATIENCE => return,
            (false, _) => 0,
            (true, looks) => looks + 1,
        };
        if self.closed < PATIENCE {
            return;
        }
        if reins.stands_still().await {
            self.closed = PATIENCE + 1;
            let after = text::duration(MEASURE * PATIENCE);
            let why = self.gate.reason(measured);
            say(&format!("note: no job has started for {after}: {why}\n"));
        } else {
            self.closed = 0;
        }
    }
}

/// From now on so many jobs run at once, or as many as the limits allow.
fn resize(reins: &Reins, wanted: usize) {
    let workers = match pool::allow_open_files(wanted) {
        Ok(()) => wanted,
        Err(fit) => {
            let fit = fit.max(1);
            say(&errors::fewer_workers(wanted, fit));
            fit
        }
    };
    reins.resize(workers);
}

/// A file that says how many jobs run at once.
#[derive(Clone, Debug)]
pub(crate) struct JobsFile {
    path: PathBuf,
    /// How many CPUs there are.
    cpus: usize,
    /// How many jobs it said last.
    number: usize,
    /// By what it is known to be still the same.
    stamp: Option<Stamp>,
    /// Whether what it says now could not be read, the last time that somebody
    /// looked, and whether that was told.
    bad: Bad,
}

/// When a file was changed, where it is and how long.
type Stamp = (i64, i64, u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    No,
    /// Somebody may be just writing it.
    Perhaps,
    Told,
}

impl JobsFile {
    /// The file at this path; what it says counts in CPUs.
    ///
    /// # Errors
    /// When it does not say how many jobs.
    pub(super) fn open(path: PathBuf, cpus: usize) -> Result<Option<JobsFile>, Message> {
        let shown = text::quoted(path.file_name().unwrap_or(path.as_os_str()).as_bytes());
        let tip = "write how many jobs run at once: N, N%, +N, -N, or a file that says so";
        let refuse = |what: String| Err(Message::new(format!("-j {shown} {what}")).tip(tip));
        let stamp = match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => Some(stamp(&meta)),
            Ok(_) => return refuse("is no number of jobs, and no file".into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return refuse("is no number of jobs, and there is no such file".into());
            }
            Err(e) => return refuse(format!("cannot be read: {}", text::reason(&e))),
        };
        match read(&path) {
            Ok(jobs) => Ok(Some(JobsFile {
                path,
                cpus,
                number: jobs.count(cpus),
                stamp,
                bad: Bad::No,
            })),
            Err(what) => refuse(format!("is a file that {what}")),
        }
    }

    /// How many jobs it said last.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Looks at it again: how many jobs it says, if that is another number now.
    ///
    /// # Errors
    /// Lines for stderr, once, when it says no number any more.
    fn look(&mut self) -> Result<Option<usize>, String> {
        let found = fs::metadata(&self.path).ok().filter(fs::Metadata::is_file);
        let found = found.map(|meta| stamp(&meta));
        if found == self.stamp && self.bad != Bad::Perhaps {
            return Ok(None);
        }
        self.stamp = found;
        let said = match found {
            Some(_) => read(&self.path),
            None => Err("is not there any more".to_owned()),
        };
        self.take(said)
    }

    /// What it says now.
    fn take(&mut self, said: Result<Jobs, String>) -> Result<Option<usize>, String> {
        match said {
            Ok(jobs) => {
                self.bad = Bad::No;
                let before = std::mem::replace(&mut self.number, jobs.count(self.cpus));
                Ok(Some(self.number).filter(|&number| number != before))
            }
            Err(what) => match self.bad {
                Bad::No => {
                    self.bad = Bad::Perhaps;
                    Ok(None)
                }
                Bad::Perhaps => {
                    self.bad = Bad::Told;
                    let shown = text::quoted(self.path.as_os_str().as_bytes());
                    let jobs = text::counted(self.number as u64, "job");
                    Err(format!(
                        "warning: the file {shown} of -j {what}: still {jobs} at once\n"
                    ))
                }
                Bad::Told => Ok(None),
            },
        }
    }
}

fn stamp(meta: &fs::Metadata) -> Stamp {
    (meta.mtime(), meta.mtime_nsec(), meta.ino(), meta.len())
}

/// What the file says; if it is nothing, that as a predicate.
fn read(path: &Path) -> Result<Jobs, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map(|file| file.take(LONGEST));
    file.and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|e| format!("cannot be read ({})", text::reason(&e)))?;
    let said = bytes.trim_ascii();
    let jobs = std::str::from_utf8(said).ok().and_then(|s| s.parse().ok());
    jobs.ok_or_else(|| format!("says {}, no number of jobs", text::quoted(said)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_changes_and_bad_content_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs");
        let write = |text: &str| fs::write(&path, text).unwrap();
        write(" 3\n");
        let mut file = JobsFile::open(path.clone(), 2).unwrap().unwrap();
        assert_eq!((file.number(), file.look()), (3, Ok(None)));
        write("+100\n");
        assert_eq!(file.look(), Ok(Some(102)));
        assert_eq!(file.look(), Ok(None));
        write("three!");
        assert_eq!(file.look(), Ok(None), "somebody may be writing it");
        let warning = file.look().unwrap_err();
        assert!(warning.contains("says `three!`, no number of jobs: still 102 jobs"));
        assert_eq!((file.look(), file.number()), (Ok(None), 102));
        fs::remove_file(&path).unwrap();
        assert_eq!(file.look(), Ok(None), "it was told that nothing is known");
        write("200%");
        assert_eq!(file.look(), Ok(Some(4)));
        fs::remove_file(&path).unwrap();
        assert_eq!(file.look(), Ok(None));
        assert!(file.look().unwrap_err().contains("is not there any more"));
        write("4 ");
        assert_eq!(file.look(), Ok(None), "the same number");
    }

    #[test]
    fn what_is_empty_for_a_moment_is_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs");
        fs::write(&path, "3").unwrap();
        let mut file = JobsFile::open(path.clone(), 2).unwrap().unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(file.look(), Ok(None));
        fs::write(&path, "5").unwrap();
        assert_eq!(file.look(), Ok(Some(5)));
    }

    #[test]
    fn a_file_that_says_nothing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs");
        for text in ["", "abc", "1 2", "\u{fffd}"] {
            fs::write(&path, text).unwrap();
            let said = JobsFile::open(path.clone(), 2).unwrap_err().to_string();
            assert!(said.contains("-j `jobs` is a file that says"), "{said}");
        }
    }
}
