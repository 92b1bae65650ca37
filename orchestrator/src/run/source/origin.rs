//! What items are called in messages, and where they come from.

use std::path::Path;
use std::sync::Arc;

use super::lines::Delimiter;
use crate::run::text;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    unit: &'static str,
    place: Arc<str>,
}

impl Origin {
    /// Of pieces of standard input.
    pub(crate) fn stdin(delimiter: Delimiter) -> Origin {
        Origin {
            unit: delimiter.unit(),
            place: "standard input".into(),
        }
    }

    /// Of pieces of a file.
    pub(crate) fn file(delimiter: Delimiter, path: &Path) -> Origin {
        Origin {
            unit: delimiter.unit(),
            place: text::quoted(path.as_os_str().as_encoded_bytes()).into(),
        }
    }

    /// Of words on the command line, behind this one.
    pub(crate) fn words(separator: &[u8]) -> Origin {
        Origin {
            unit: "argument",
            place: text::escaped(separator).into(),
        }
    }

    /// Of what several sources give together.
    pub(crate) fn several() -> Origin {
        Origin {
            unit: "combination",
            place: "the input sources".into(),
        }
    }

    /// What an item is.
    pub(crate) fn unit(&self) -> &'static str {
        self.unit
    }

    /// Where items come from.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The item with this number, in full.
    pub(crate) fn item(&self, number: u64) -> String {
        format!("{} {number} of {}", self.unit, self.place)
    }
}
