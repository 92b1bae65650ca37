//! Large results, as files in a directory beside the run file, named by what they
//! hold. A name is in the run file only after what it names is on the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::pool::Capture;
use crate::run::text;

/// What is longer stands in a file of its own, in bytes.
pub(super) const INLINE: u64 = 64 << 10;

/// The directory of large results.
#[derive(Debug)]
pub(super) struct Blobs {
    dir: PathBuf,
}

/// Something that was kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Nothing,
    Inline(Vec<u8>),
    File(String),
}

impl Kept {
    /// For two columns: what is kept there itself, and the name of a file.
    pub(super) fn columns(&self) -> (Option<&[u8]>, Option<&str>) {
        match self {
            Kept::Nothing => (None, None),
            Kept::Inline(bytes) => (Some(bytes), None),
            Kept::File(name) => (None, Some(name)),
        }
    }
}

impl Blobs {
    /// Those of this run file; the directory is made with the first of them.
    pub(super) fn of(run_file: &Path) -> Blobs {
        Blobs {
            dir: super::file::beside(run_file, ".files"),
        }
    }

    /// Keeps what a job has printed.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(super) fn keep(&self, capture: &Capture) -> io::Result<Kept> {
        if capture.is_empty() {
            return Ok(Kept::Nothing);
        }
        if capture.len() > INLINE {
            return self.store(|take| capture.for_each(take)).map(Kept::File);
        }
        capture.to_vec().map(Kept::Inline)
    }

    /// Keeps bytes that are in memory.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn keep_bytes(&self, bytes: &[u8]) -> io::Result<Kept> {
        if bytes.is_empty() {
            return Ok(Kept::Nothing);
        }
        if bytes.len() as u64 > INLINE {
            return self.store(|take| take(bytes)).map(Kept::File);
        }
        Ok(Kept::Inline(bytes.to_vec()))
    }

    /// Makes the directory, so that it is still there after a power cut, or checks that
    /// it is ours.
    fn prepare(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.dir) {
            Ok(()) => match self.dir.parent() {
                Some(parent) => File::open(parent)?.sync_all(),
                None => Ok(()),
            },
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            Err(_) => {
                let found = fs::symlink_metadata(&self.dir)?;
                if found.is_dir() && found.uid() == geteuid().as_raw() {
                    return Ok(());
                }
                let name = text::escaped(self.dir.as_os_str().as_encoded_bytes());
                Err(io::Error::other(format!("{name} is no directory of ours")))
            }
        }
    }

    fn store(
        &self,
        write: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<String> {
        self.prepare()?;
        // The run file's lock keeps others away; what a crash has left is ours.
        let unfinished = self.dir.join(".unfinished");
        fs::remove_file(&unfinished).or_else(|e| match e.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(e),
        })?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        let mut hasher = blake3::Hasher::new();
        write(&mut |piece| {
            hasher.update(piece);
            file.write_all(piece)
        })?;
        file.sync_all()?;
        let name = hasher.finalize().to_hex().to_string();
        fs::rename(&unfinished, self.dir.join(&name))?;
        File::open(&self.dir)?.sync_all()?;
        Ok(name)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        // A run file may come from anywhere.
        if name.len() != 64 || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(io::Error::other("the run file names no such file"));
        }
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.dir.join(name))
    }

    /// The end of what is in a file, of so many bytes at most; whether the rest is what its
    /// name says is not looked at, since that may be very much.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn tail(&self, name: &str, most: usize) -> io::Result<Vec<u8>> {
        let mut file = self.open(name)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most as u64)))?;
        let mut tail = Vec::new();
        file.take(most as u64).read_to_end(&mut tail)?;
        Ok(tail)
    }

    /// Gives what is in a file, piece by piece.
    ///
    /// # Errors
    /// When it cannot be read, or is not what its name says.
    pub(super) fn read(
        &self,
        name: &str,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut file = self.open(name)?;
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; 256 << 10];
        loop {
            let read = match file.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            hasher.update(&piece[..read]);
            take(&piece[..read])?;
        }
        if hasher.finalize().to_hex().as_str() != name {
            return Err(io::Error::other(format!("{name} is not what was written")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Spill;

    #[test]
    fn what_is_large_is_kept_in_a_file_by_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(&dir.path().join("run"));
        let room = Spill::new(1 << 10);
        let kept = |bytes: &[u8]| blobs.keep(&Capture::of(&room, bytes).unwrap()).unwrap();
        assert_eq!(kept(b""), Kept::Nothing);
        assert_eq!(kept(b"x"), Kept::Inline(b"x".to_vec()));
        assert!(!blobs.dir.exists());
        let large = vec![7; INLINE as usize + 1];
        let Kept::File(name) = kept(&large) else {
            panic!("it is large")
        };
        assert_eq!(kept(&large), Kept::File(name.clone()));
        assert_eq!(blobs.keep_bytes(&large).unwrap(), Kept::File(name.clone()));
        let mut read = Vec::new();
        let mut take = |piece: &[u8]| {
            read.extend_from_slice(piece);
            Ok(())
        };
        blobs.read(&name, &mut take).unwrap();
        assert_eq!(read, large);
        assert_eq!(blobs.tail(&name, 10).unwrap(), [7; 10]);
        assert_eq!(blobs.tail(&name, 1 << 20).unwrap(), large);
        assert_eq!(fs::read_dir(&blobs.dir).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_was_changed_or_is_elsewhere_is_no_result() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(&dir.path().join("run"));
        let Kept::File(name) = blobs.keep_bytes(&[7; 100_000]).unwrap() else {
            panic!("it is large")
        };
        fs::write(blobs.dir.join(&name), "another").unwrap();
        assert!(blobs.read(&name, |_| Ok(())).is_err());
        for bad in ["../../etc/passwd", "", "/etc/passwd"] {
            assert!(blobs.read(bad, |_| Ok(())).is_err(), "{bad}");
            assert!(blobs.tail(bad, 10).is_err(), "{bad}");
        }
    }
}
