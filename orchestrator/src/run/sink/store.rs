//! Writes outputs into files instead of showing them. Nothing that is there is overwritten:
//! what is of an earlier run is set aside, unless it was said that it is replaced, and whoever
//! finds its place taken by another job of this run gets one with its number behind the name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::manner::{Keep, Manner, Table};
use super::place::{Files, Place, set_aside};
use crate::pool::Capture;
use crate::run::text;

/// By how much the clock of a file system may be behind.
const CLOCKS_APART: Duration = Duration::from_millis(10);

/// What a job has printed, and where it goes.
#[derive(Debug)]
pub(crate) enum Kept {
    /// To a file, whose path is shown behind this tag.
    File {
        seq: u64,
        tag: Vec<u8>,
        stdout: Capture,
    },
    /// To three files.
    Files {
        place: Place,
        seq: u64,
        stdout: Capture,
        stderr: Capture,
    },
    /// To the table.
    Row(Capture),
}

/// A file that cannot be written, and why.
#[derive(Debug)]
pub(crate) struct Unwritten {
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
    /// Whether it is what was to be written that could not be read.
    pub(crate) unread: bool,
}

impl Unwritten {
    pub(crate) fn new(path: &Path, error: io::Error) -> Unwritten {
        Unwritten {
            path: path.to_owned(),
            error,
            unread: false,
        }
    }
}

/// Where outputs are kept.
#[derive(Debug)]
pub(crate) struct Store {
    /// When this run began, as files see it.
    began: SystemTime,
    /// Whether what is of an earlier run is replaced.
    replaces: bool,
    /// Where files with outputs are made.
    dir: PathBuf,
    table: Option<(PathBuf, File)>,
    /// What is to be told, and what need not be told again.
    told: Vec<u8>,
    aside_told: bool,
    taken_told: bool,
}

impl Store {
    /// Makes what has to be there before the first job, if outputs are kept anywhere.
    ///
    /// # Errors
    /// When that is not possible.
    pub(crate) fn open(manner: &Manner, began: SystemTime) -> Result<Option<Store>, Unwritten> {
        let mut store = Store {
            began: began.checked_sub(CLOCKS_APART).unwrap_or(began),
            replaces: manner.replaces,
            dir: PathBuf::new(),
            table: None,
            told: Vec::new(),
            aside_told: false,
            taken_told: false,
        };
        match &manner.keep {
            Keep::Nowhere | Keep::Table(Table { file: None, .. }) => return Ok(None),
            Keep::Files(dir) => {
                if !dir.is_dir() {
                    let error = io::Error::from(io::ErrorKind::NotADirectory);
                    return Err(Unwritten::new(dir, error));
                }
                store.dir = dir.clone();
            }
            Keep::Tree(root, _) => {
                fs::create_dir_all(root).map_err(|e| Unwritten::new(root, e))?;
            }
            Keep::Named(_) => {}
            Keep::Table(Table {
                file: Some(path), ..
            }) => {
                let opened = store.open_table(path);
                let file = opened.map_err(|e| Unwritten::new(path, e))?;
                store.table = Some((path.clone(), file));
            }
        }
        Ok(Some(store))
    }

    fn open_table(&mut self, path: &Path) -> io::Result<File> {
        let is_full = |meta: fs::Metadata| meta.is_file() && meta.len() > 0;
        if !self.replaces && fs::metadata(path).is_ok_and(is_full) {
            let there = move_aside(&[path])?;
            self.tell_aside(path, &there[0]);
        }
        // A pipe or a device is what it is.
        OpenOptions::new()
            .write(true)
            .create(true)
            // All that there is to lose was set aside.
            .truncate(self.replaces)
            .open(path)
    }

    /// What is to be told on stderr, once.
    pub(crate) fn told(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.told)
    }

    /// Keeps what a job has printed; gives what is to be shown of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep(&mut self, kept: &Kept) -> Result<Vec<u8>, Unwritten> {
        match kept {
            Kept::File { seq, tag, stdout } => {
                let (path, file) = self.new_file(*seq)?;
                write(&path, file, stdout)?;
                let mut line = tag.clone();
                line.extend_from_slice(path.as_os_str().as_bytes());
                line.push(b'\n');
                return Ok(line);
            }
            Kept::Files {
                place,
                seq,
                stdout,
                stderr,
            } => {
                let (files, [out, err, mut number]) = self.claim(place, *seq)?;
                write(&files.stdout, out, stdout)?;
                write(&files.stderr, err, stderr)?;
                let written = number.write_all(seq.to_string().as_bytes());
                let closed = written.and_then(|()| close(number));
                closed.map_err(|e| Unwritten::new(&files.seq, e))?;
            }
            Kept::Row(row) => {
                if let Some((path, file)) = &self.table {
                    copy(path, file, row)?;
                }
            }
        }
        Ok(Vec::new())
    }

    /// All has been kept.
    ///
    /// # Errors
    /// Some file systems report a failed write no earlier than here.
    pub(crate) fn close(self) -> Result<(), Unwritten> {
        match self.table {
            None => Ok(()),
            Some((path, file)) => close(file).map_err(|e| Unwritten::new(&path, e)),
        }
    }

    /// A file for one job's stdout, for nobody else's eyes.
    fn new_file(&self, seq: u64) -> Result<(PathBuf, File), Unwritten> {
        let process = std::process::id();
        let mut n = 0u32;
        loop {
            let again = if n == 0 {
                String::new()
            } else {
                format!("-{n}")
            };
            let path = self.dir.join(format!("par{process}-{seq}{again}.par"));
            let made = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            match made {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => n += 1,
                made => {
                    let file = made.map_err(|e| Unwritten::new(&path, e))?;
                    return Ok((path, file));
                }
            }
        }
    }

    /// Makes the files for a job's results, where there are none.
    fn claim(&mut self, place: &Place, seq: u64) -> Result<(Files, [File; 3]), Unwritten> {
        let mut behind = Vec::new();
        let mut tries = 0u32;
        loop {
            let files = place.files(&behind);
            if let Some(parent) = files.seq.parent() {
                fs::create_dir_all(parent).map_err(|e| Unwritten::new(parent, e))?;
            }
            match make(&files) {
                Ok(made) => {
                    if !behind.is_empty() {
                        self.tell_taken(&place.files(b""), &files, seq);
                    }
                    return Ok((files, made));
                }
                Err((path, e)) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Unwritten::new(&path, e));
                }
                // A file that is there without its number is no result, and stays.
                Err((path, _))
                    if path == files.seq && behind.is_empty() && self.is_older(&path) =>
                {
                    let gone = self.make_way(&files);
                    gone.map_err(|e| Unwritten::new(&files.seq, e))?;
                }
                Err(_) => {
                    tries += 1;
                    behind = match tries {
                        1 => format!("~{seq}"),
                        n => format!("~{seq}.{n}"),
                    }
                    .into_bytes();
                }
            }
        }
    }

    /// What is of an earlier run leaves its place.
    fn make_way(&mut self, files: &Files) -> io::Result<()> {
        if self.replaces {
            return remove(&files.all());
        }
        let moved = move_aside(&files.all())?;
        self.tell_aside(&files.stdout, &moved[0]);
        Ok(())
    }

    /// Whether this is of an earlier run.
    fn is_older(&self, path: &Path) -> bool {
        let changed = fs::symlink_metadata(path).and_then(|meta| meta.modified());
        changed.is_ok_and(|at| at < self.began)
    }

    fn tell_aside(&mut self, path: &Path, moved: &Path) {
        if !std::mem::replace(&mut self.aside_told, true) {
            let (path, moved) = (shown(path), shown(moved));
            let what = format!(
                "warning: {path} is of an earlier run: kept as {moved}, and so are others\n"
            );
            self.told.extend_from_slice(what.as_bytes());
        }
    }

    fn tell_taken(&mut self, wanted: &Files, got: &Files, seq: u64) {
        if !std::mem::replace(&mut self.taken_told, true) {
            let (wanted, got) = (shown(&wanted.stdout), shown(&got.stdout));
            let what = format!(
                "warning: {wanted} is there already, so the results of job {seq} are in {got}; \
                 others may be named so, too\n"
            );
            self.told.extend_from_slice(what.as_bytes());
        }
    }
}

fn shown(path: &Path) -> String {
    text::quoted(path.as_os_str().as_bytes())
}

/// Makes all three files, or none.
fn make(files: &Files) -> Result<[File; 3], (PathBuf, io::Error)> {
    let make = |path: &Path| {
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        made.map_err(|e| (path.to_owned(), e))
    };
    // First what tells a result from any other file.
    let seq = make(&files.seq)?;
    let made = make(&files.stdout).and_then(|stdout| match make(&files.stderr) {
        Ok(stderr) => Ok([stdout, stderr]),
        Err(e) => {
            fs::remove_file(&files.stdout).ok();
            Err(e)
        }
    });
    match made {
        Ok([stdout, stderr]) => Ok([stdout, stderr, seq]),
        Err(e) => {
            fs::remove_file(&files.seq).ok();
            Err(e)
        }
    }
}

/// Gives files that belong together names with a number that none of them has.
fn move_aside(paths: &[&Path]) -> io::Result<Vec<PathBuf>> {
    let free = |n: u32| {
        let taken = |path: &&Path| fs::symlink_metadata(set_aside(path, n)).is_ok();
        !paths.iter().any(taken)
    };
    let number = (1..=u32::MAX).find(|n| free(*n)).unwrap_or(u32::MAX);
    let mut moved = Vec::new();
    for path in paths {
        let aside = set_aside(path, number);
        match fs::rename(path, &aside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => moved.push(aside),
        }
    }
    Ok(moved)
}

/// Removes those of them that are there.
fn remove(paths: &[&Path]) -> io::Result<()> {
    for path in paths {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn write(path: &Path, file: File, capture: &Capture) -> Result<(), Unwritten> {
    copy(path, &file, capture)?;
    close(file).map_err(|e| Unwritten::new(path, e))
}

fn copy(path: &Path, mut file: &File, capture: &Capture) -> Result<(), Unwritten> {
    let mut failed = None;
    let read = capture.for_each(|piece| {
        file.write_all(piece).map_err(|e| {
            failed = Some(e);
            io::Error::other("not written")
        })
    });
    match (failed, read) {
        (Some(error), _) => Err(Unwritten::new(path, error)),
        (None, Err(error)) => Err(Unwritten {
            unread: true,
            ..Unwritten::new(path, error)
        }),
        (None, Ok(())) => Ok(()),
    }
}

fn close(file: File) -> io::Result<()> {
    nix::unistd::close(file).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Spill;
    use crate::run::source::item::Item;

    fn manner(keep: &Keep) -> Manner {
        Manner {
            keep: keep.clone(),
            ..Manner::default()
        }
    }

    fn store(keep: &Keep, began: SystemTime) -> Store {
        Store::open(&manner(keep), began).unwrap().unwrap()
    }

    fn capture(text: &str) -> Capture {
        Capture::of(&Spill::new(4), text.as_bytes()).unwrap()
    }

    fn files(root: &Path, seq: u64, stdout: &str) -> Kept {
        Kept::Files {
            place: Place::in_tree((root, None), Item::value(b"a"), &[], seq),
            seq,
            stdout: capture(stdout),
            stderr: capture("err"),
        }
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{e}: {}", path.display()))
    }

    const LONG_AGO: SystemTime = SystemTime::UNIX_EPOCH;

    fn far_ahead() -> SystemTime {
        LONG_AGO + Duration::from_secs(1 << 40)
    }

    #[test]
    fn defect_7_equal_arguments_never_overwrite_each_others_results() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("d");
        let mut store = store(&Keep::Tree(root.clone(), None), LONG_AGO);
        for (seq, text) in [(1, "first"), (2, "second"), (3, "third")] {
            store.keep(&files(&root, seq, text)).unwrap();
        }
        for (name, seq, text) in [
            ("a", "1", "first"),
            ("a~2", "2", "second"),
            ("a~3", "3", "third"),
        ] {
            assert_eq!(read(root.join("1").join(name).join("stdout")), text);
            assert_eq!(read(root.join("1").join(name).join("stderr")), "err");
            assert_eq!(read(root.join("1").join(name).join("seq")), seq);
        }
        let told = String::from_utf8(store.told()).unwrap();
        assert_eq!(told.matches("warning").count(), 1, "{told}");
        assert!(told.contains("the results of job 2 are in"), "{told}");
    }

    #[test]
    fn results_of_an_earlier_run_are_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("d");
        for (n, text) in ["old", "newer", "newest"].into_iter().enumerate() {
            let mut store = store(&Keep::Tree(root.clone(), None), far_ahead());
            store.keep(&files(&root, 1, text)).unwrap();
            assert_eq!(store.told().is_empty(), n == 0);
        }
        let place = root.join("1/a");
        assert_eq!(read(place.join("stdout")), "newest");
        assert_eq!(read(place.join("stdout.~1~")), "old");
        assert_eq!(read(place.join("stdout.~2~")), "newer");
        assert_eq!(read(place.join("seq.~2~")), "1");
    }

    #[test]
    fn results_of_an_earlier_run_are_replaced_and_those_of_this_one_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("d");
        let keep = Keep::Tree(root.clone(), None);
        store(&keep, LONG_AGO)
            .keep(&files(&root, 1, "old"))
            .unwrap();
        let replacing = Manner {
            replaces: true,
            ..manner(&keep)
        };
        let mut store = Store::open(&replacing, far_ahead()).unwrap().unwrap();
        store.keep(&files(&root, 1, "new")).unwrap();
        // As if this run had just made it.
        store.began = LONG_AGO;
        store.keep(&files(&root, 2, "equal")).unwrap();
        assert_eq!(read(root.join("1/a/stdout")), "new");
        assert_eq!(read(root.join("1/a~2/stdout")), "equal");
        assert_eq!(fs::read_dir(root.join("1/a")).unwrap().count(), 3);
    }

    #[test]
    fn a_file_that_is_no_result_is_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        fs::write(&path, "precious").unwrap();
        let name = path.as_os_str().as_bytes().to_vec();
        let kept = Kept::Files {
            place: Place::named(name),
            seq: 5,
            stdout: capture("out"),
            stderr: capture(""),
        };
        let label = crate::run::source::label::Label::parse(
            b"{}",
            &crate::run::source::place::Places::default(),
        )
        .unwrap();
        let mut store = store(&Keep::Named(label), far_ahead());
        store.keep(&kept).unwrap();
        assert_eq!(read(path.clone()), "precious");
        assert_eq!(read(dir.path().join("a.txt~5")), "out");
        assert!(!dir.path().join("a.txt.seq").exists());
    }

    #[test]
    fn a_table_that_is_there_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let keep = Keep::Table(Table {
            form: super::super::manner::Form::Csv,
            file: Some(path.clone()),
        });
        for text in ["one", "two"] {
            let mut store = store(&keep, LONG_AGO);
            store.keep(&Kept::Row(capture(text))).unwrap();
            store.close().unwrap();
        }
        assert_eq!(read(path.clone()), "two");
        assert_eq!(read(dir.path().join("t.csv.~1~")), "one");
        let full = Keep::Table(Table {
            form: super::super::manner::Form::Csv,
            file: Some("/dev/full".into()),
        });
        let mut full = Store::open(&manner(&full), LONG_AGO).unwrap().unwrap();
        let failed = full.keep(&Kept::Row(capture("x"))).unwrap_err();
        assert_eq!(failed.error.raw_os_error(), Some(28));
    }

    #[test]
    fn a_file_for_stdout_is_told_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&Keep::Files(dir.path().to_owned()), LONG_AGO);
        let kept = || Kept::File {
            seq: 1,
            tag: b"t\t".to_vec(),
            stdout: capture("output"),
        };
        for _ in 0..2 {
            let line = String::from_utf8(store.keep(&kept()).unwrap()).unwrap();
            let path = line
                .strip_prefix("t\t")
                .unwrap()
                .strip_suffix('\n')
                .unwrap();
            assert_eq!(read(path.into()), "output");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        let missing = Keep::Files(dir.path().join("no"));
        assert!(Store::open(&manner(&missing), LONG_AGO).is_err());
    }
}
