//! Items whose jobs have not succeeded, so that they can be piped in again: lines as
//! they came; items of several fields as lines of CSV, for `--csv`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::run::source::columns::push_csv;
use crate::run::source::item::{Fields, Item};
use crate::run::source::lines::Delimiter;

/// The file that they go to.
#[derive(Debug)]
pub(crate) struct Failed {
    file: File,
    delimiter: Delimiter,
    fields: Fields,
}

impl Failed {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// When that is not possible.
    pub(crate) fn create(path: &Path, delimiter: Delimiter, fields: Fields) -> io::Result<Failed> {
        let file = File::create(path)?;
        Ok(Failed {
            file,
            delimiter,
            fields,
        })
    }

    /// Writes a line with what ends it. At once: there are few, and none may be lost.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, item: &[u8]) -> io::Result<()> {
        let mut line = Vec::with_capacity(item.len() + 1);
        let divided = match self.fields {
            Fields::One => false,
            Fields::Several => true,
            // Values that were only read are a single one, mostly.
            Fields::None => memchr::memchr(0, item).is_some(),
        };
        let end = match divided {
            // As fields of CSV, which can be anything.
            true => {
                for (i, field) in Item::new(item, Fields::Several).fields().enumerate() {
                    if i > 0 {
                        line.push(b',');
                    }
                    push_csv(field, &mut line);
                }
                b"\n"
            }
            false => {
                line.extend_from_slice(item);
                self.delimiter.bytes()
            }
        };
        line.extend_from_slice(end);
        (&self.file).write_all(&line)
    }
}
