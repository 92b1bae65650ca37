//! Where the records of the last runs are: in the state directory, a file for each
//! run that has none of its own, and a link for each that has.
//!
//! Names begin with the time at which the run began, so that they sort by it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file::Lock;

/// How many runs are kept.
const KEPT: usize = 20;

/// What names end in.
const SUFFIX: &str = ".db";

/// The directory of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    dir: PathBuf,
}

impl History {
    /// The one of a user whose state is here: `XDG_STATE_HOME`, which counts only if
    /// it is absolute, and `HOME`.
    /// From <https://specifications.freedesktop.org/basedir-spec/latest/>.
    pub(crate) fn of(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<History> {
        let absolute = |path: &PathBuf| path.is_absolute();
        let state = state.filter(absolute).or_else(|| {
            let home = home.filter(absolute)?;
            Some(home.join(".local/state"))
        })?;
        Some(History {
            dir: state.join("orchestrator/runs"),
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the run that began then and is of this process has its record.
    pub(crate) fn path(&self, began: SystemTime) -> PathBuf {
        let time = humantime::format_rfc3339_micros(began).to_string();
        let time = time.replace(['-', ':'], "");
        let name = format!("{time}-{}{SUFFIX}", std::process::id());
        self.dir.join(name)
    }

    /// Makes room for one more: makes the directory, and deletes the oldest of those
    /// that nobody writes to.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)?;
        let mut all = self.list()?;
        all.sort_unstable();
        let surplus = (all.len() + 1).saturating_sub(KEPT);
        for old in &all[..surplus] {
            if Lock::holder(old).is_none() {
                self.delete(old)?;
            }
        }
        Ok(())
    }

    /// Remembers a run that has a file of its own, which is there once.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn point(&self, began: SystemTime, run_file: &Path) -> io::Result<()> {
        self.prepare()?;
        for old in self.list()? {
            if fs::read_link(&old).is_ok_and(|target| target == run_file) {
                fs::remove_file(old)?;
            }
        }
        std::os::unix::fs::symlink(run_file, self.path(began))
    }

    /// The run file of the run that began last, if there is one.
    pub(crate) fn last(&self) -> Option<PathBuf> {
        let last = self.list().ok()?.into_iter().max()?;
        // A link is a run file elsewhere.
        Some(fs::read_link(&last).unwrap_or(last))
    }

    fn list(&self) -> io::Result<Vec<PathBuf>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if name.as_bytes().ends_with(SUFFIX.as_bytes()) {
                all.push(self.dir.join(name));
            }
        }
        Ok(all)
    }

    /// Deletes a record and what SQLite and its run have put beside it.
    fn delete(&self, record: &Path) -> io::Result<()> {
        let name = record.file_name().unwrap_or_default().as_bytes();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if !entry.file_name().as_bytes().starts_with(name) {
                continue;
            }
            // Another run may be at it as well.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()).ok(),
                _ => fs::remove_file(entry.path()).ok(),
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn history(dir: &Path) -> History {
        History::of(Some(dir.into()), None).unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_state_directory_is_found_as_the_specification_says() {
        let of = |state: Option<&str>, home: Option<&str>| {
            let found = History::of(state.map(PathBuf::from), home.map(PathBuf::from));
            found.map(|history| history.dir.display().to_string())
        };
        let home = "/h/.local/state/orchestrator/runs".to_owned();
        assert_eq!(
            of(Some("/s"), Some("/h")),
            Some("/s/orchestrator/runs".into())
        );
        assert_eq!(of(None, Some("/h")), Some(home.clone()));
        // Relative ones do not count.
        assert_eq!(of(Some("s"), Some("/h")), Some(home.clone()));
        assert_eq!(of(Some(""), Some("/h")), Some(home));
        assert_eq!(of(None, Some("h")), None);
        assert_eq!(of(None, None), None);
    }

    #[test]
    fn the_last_twenty_are_kept_with_all_that_is_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        assert_eq!(history.last(), None);
        for n in 0..30 {
            history.prepare().unwrap();
            let path = history.path(at(n * 1_000_000));
            fs::write(&path, "").unwrap();
            fs::write(super::super::file::beside(&path, "-lock"), "").unwrap();
        }
        assert_eq!(history.last(), Some(history.path(at(29_000_000))));
        let names = fs::read_dir(history.dir()).unwrap();
        assert_eq!(names.count(), 2 * KEPT);
        assert!(history.path(at(10_000_000)).exists());
        assert!(!history.path(at(9_000_000)).exists());
    }

    #[test]
    fn a_run_with_a_file_of_its_own_is_remembered_by_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        let file = dir.path().join("run.db");
        history.point(at(5), &file).unwrap();
        assert_eq!(history.last(), Some(file.clone()));
        // The link is deleted and not the file.
        fs::write(&file, "").unwrap();
        for n in 6..40 {
            history.prepare().unwrap();
            fs::write(history.path(at(n)), "").unwrap();
        }
        assert!(file.exists() && !history.path(at(5)).exists());
    }

    #[test]
    fn one_that_is_written_to_is_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        history.prepare().unwrap();
        let first = history.path(at(1));
        fs::write(&first, "").unwrap();
        let lock = Lock::take(&first).unwrap();
        for n in 2..40 {
            history.prepare().unwrap();
            fs::write(history.path(at(n)), "").unwrap();
        }
        assert!(first.exists());
        drop(lock);
        history.prepare().unwrap();
        assert!(!first.exists());
    }
}
