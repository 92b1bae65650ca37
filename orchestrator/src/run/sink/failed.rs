//! Lines whose jobs have not succeeded, as they came, so that they can be piped in
//! again.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::run::source::lines::Delimiter;

/// The file that they go to.
#[derive(Debug)]
pub(crate) struct Failed {
    file: File,
    delimiter: Delimiter,
}

impl Failed {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// When that is not possible.
    pub(crate) fn create(path: &Path, delimiter: Delimiter) -> io::Result<Failed> {
        let file = File::create(path)?;
        Ok(Failed { file, delimiter })
    }

    /// Writes a line with what ends it. At once: there are few, and none may be lost.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, item: &[u8]) -> io::Result<()> {
        let line = [item, self.delimiter.bytes()].concat();
        (&self.file).write_all(&line)
    }
}
