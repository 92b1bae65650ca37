//! Where the records of the last runs are: in the state directory, a file for each
//! run that has none of its own, and a link for each that has.
//!
//! Names begin with the time at which the run began, so that they sort by it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file::Lock;
use super::read::configuration;

/// How many runs are kept.
const KEPT: usize = 20;

/// What names end in.
const SUFFIX: &[u8] = b".db";

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
        let name = format!("{time}-{}.db", std::process::id());
        self.dir.join(name)
    }

    /// Makes the directory, if need be.
    ///
    /// # Errors
    /// When that is not possible.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
    }

    /// Deletes all but the last of those that nobody writes to, and what a failure has
    /// left. Those that were written last are kept, whenever their runs began.
    pub(crate) fn trim(&self) {
        let Ok(all) = self.list() else {
            return;
        };
        let mut all: Vec<_> = all
            .into_iter()
            .map(|path| {
                let found = fs::symlink_metadata(&path);
                (found.and_then(|found| found.modified()).ok(), path)
            })
            .collect();
        all.sort_unstable();
        let surplus = all.len().saturating_sub(KEPT);
        for (_, old) in &all[..surplus] {
            if Lock::holder(old).is_none() {
                self.delete(old);
            }
        }
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
        std::os::unix::fs::symlink(run_file, self.path(began))?;
        self.trim();
        Ok(())
    }

    /// The run file of the run that began last, if there is one that can be read.
    pub(crate) fn last(&self) -> Option<PathBuf> {
        let mut all = self.list().ok()?;
        all.sort_unstable();
        all.into_iter().rev().find_map(|path| {
            // A link is a run file elsewhere; that it is gone is worth knowing.
            let link = fs::read_link(&path).ok();
            link.or_else(|| configuration(&path).is_ok().then_some(path))
        })
    }

    /// All records: also those of which only a part is there.
    fn list(&self) -> io::Result<Vec<PathBuf>> {
        let mut all = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if let Some(end) = memchr::memmem::find(name.as_bytes(), SUFFIX) {
                let stem = &name.as_bytes()[..end + SUFFIX.len()];
                all.insert(self.dir.join(OsStr::from_bytes(stem)));
            }
        }
        Ok(all.into_iter().collect())
    }

    /// Deletes a record and what SQLite and its run have put beside it.
    pub(crate) fn delete(&self, record: &Path) {
        let name = record.file_name().unwrap_or_default().as_bytes();
        let Ok(found) = fs::read_dir(&self.dir) else {
            return;
        };
        for entry in found.flatten() {
            if !entry.file_name().as_bytes().starts_with(name) {
                continue;
            }
            // Another run may be at it as well.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()).ok(),
                _ => fs::remove_file(entry.path()).ok(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::file::beside;
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

    /// A record, with what is beside it, that was written so many seconds after the
    /// beginning of time.
    fn put(history: &History, n: u64) -> PathBuf {
        history.prepare().unwrap();
        let path = history.path(at(n));
        for path in [path.clone(), beside(&path, "-lock")] {
            let file = fs::File::create(path).unwrap();
            file.set_modified(at(n)).unwrap();
        }
        history.trim();
        path
    }

    #[test]
    fn the_last_twenty_are_kept_with_all_that_is_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        assert_eq!(history.last(), None);
        let orphan = beside(&history.path(at(0)), "-lock");
        history.prepare().unwrap();
        fs::write(&orphan, "").unwrap();
        for n in 1..=30 {
            put(&history, n);
        }
        let names = fs::read_dir(history.dir()).unwrap();
        assert_eq!(names.count(), 2 * KEPT);
        assert!(history.path(at(11)).exists());
        assert!(!history.path(at(10)).exists() && !orphan.exists());
        // They are empty.
        assert_eq!(history.last(), None);
    }

    #[test]
    fn a_long_run_is_as_young_as_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        for n in 2..=30 {
            put(&history, n);
        }
        let long = history.path(at(1));
        fs::write(&long, "").unwrap();
        history.trim();
        assert!(long.exists());
    }

    #[test]
    fn a_run_with_a_file_of_its_own_is_remembered_by_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        let file = dir.path().join("run.db");
        history.point(at(5), &file).unwrap();
        history.point(at(6), &file).unwrap();
        assert_eq!(history.last(), Some(file.clone()));
        assert_eq!(history.list().unwrap(), [history.path(at(6))]);
        // The link is deleted and not the file.
        fs::write(&file, "").unwrap();
        history.delete(&history.path(at(6)));
        assert!(file.exists() && history.list().unwrap().is_empty());
    }

    #[test]
    fn one_that_is_written_to_is_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let history = history(dir.path());
        let first = put(&history, 1);
        let lock = Lock::take(&first).unwrap();
        let found = fs::File::open(&first).unwrap();
        found.set_modified(at(1)).unwrap();
        for n in 2..=40 {
            put(&history, n);
        }
        assert!(first.exists());
        drop(lock);
        history.trim();
        assert!(!first.exists());
    }
}
