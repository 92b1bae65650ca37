//! What makes a line of a later input the same job as a recorded one: what is
//! done, where, and with what item. The line's number is no part of it, so an
//! input may be reordered, and lines put in and taken out.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::run::source::lines::Content;
use crate::run::text;

/// What is done with every item of a run, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Purpose {
    /// The options that say what it is: `--`, `-c`, `--task`, or nothing for lines
    /// that are commands; with `--worker`, the worker's words come behind it.
    pub(crate) words: Vec<Vec<u8>>,
    /// Where it is done.
    pub(crate) cwd: PathBuf,
}

impl Purpose {
    /// The same for the same purpose, in any version of this program.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let cwd = self.cwd.as_os_str().as_bytes();
        for part in self.words.iter().map(Vec::as_slice).chain([cwd]) {
            // With its length: no two lists of words are the same bytes.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// As it would be written, and where.
    pub(crate) fn with_place(&self) -> String {
        format!(
            "{self} in {}",
            text::escaped(self.cwd.as_os_str().as_bytes())
        )
    }
}

/// As it would be written on the command line.
impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.words.is_empty() {
            f.write_str("lines that are commands")?;
        }
        for (i, word) in self.words.iter().enumerate() {
            let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_./{}=:,+@%#".contains(b);
            f.write_str(if i > 0 { " " } else { "" })?;
            match !word.is_empty() && word.iter().all(plain) {
                true => f.write_str(&text::escaped(word))?,
                false => write!(f, "'{}'", text::escaped(word).replace('\'', "'\\''"))?,
            }
        }
        Ok(())
    }
}

/// What a job is known by. Two items that are alike have the same: which of them
/// is meant is found by counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) [u8; 16]);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Makes keys for one purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys([u8; 32]);

impl Keys {
    pub(crate) fn of(purpose: &Purpose) -> Keys {
        Keys(purpose.fingerprint())
    }

    /// The key of an item.
    pub(crate) fn key(&self, item: &Content) -> Key {
        let hash = match item {
            Content::Whole(bytes) => blake3::keyed_hash(&self.0, bytes),
            Content::TooLong { start, length } => blake3::Hasher::new_keyed(&self.0)
                .update(start)
                .update(b"\0too long\0")
                .update(&length.to_le_bytes())
                .finalize(),
            Content::Unfit(unfit) => blake3::Hasher::new_keyed(&self.0)
                .update(unfit.what.as_bytes())
                .update(b"\0unfit\0")
                .finalize(),
        };
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_bytes()[..16]);
        Key(key)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn purpose(words: &[&str], cwd: &str) -> Purpose {
        Purpose {
            words: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
            cwd: cwd.into(),
        }
    }

    fn key(purpose: &Purpose, item: &'static [u8]) -> Key {
        Keys::of(purpose).key(&Content::Whole(Bytes::from_static(item)))
    }

    #[test]
    fn f113_a_key_depends_on_purpose_directory_and_item_and_on_nothing_else() {
        let gzip = purpose(&["--", "gzip", "{}"], "/a");
        assert_eq!(key(&gzip, b"x"), key(&gzip.clone(), b"x"));
        for other in [
            purpose(&["--", "gzip", "-9", "{}"], "/a"),
            purpose(&["--", "gzip{}"], "/a"),
            purpose(&["-c", "gzip", "{}"], "/a"),
            purpose(&["--", "gzip", "{}"], "/b"),
            purpose(&["--", "gzip", "{}", "/a"], ""),
        ] {
            assert_ne!(key(&gzip, b"x"), key(&other, b"x"), "{other}");
        }
        assert_ne!(key(&gzip, b"x"), key(&gzip, b"x "));
    }

    /// A run file is read by later versions.
    #[test]
    fn keys_do_not_change_with_versions() {
        let key = key(&purpose(&["--", "gzip", "{}"], "/a"), b"x");
        assert_eq!(key.to_string(), "1e77deddc7f3ef6babb0aeaeb25a584e");
    }

    #[test]
    fn an_item_that_is_too_long_is_not_its_beginning() {
        let keys = Keys::of(&purpose(&["--", "x"], "/"));
        let start = Bytes::from_static(b"abc");
        let long = |length| Content::TooLong {
            start: start.clone(),
            length,
        };
        assert_ne!(keys.key(&long(9)), keys.key(&long(10)));
        assert_ne!(keys.key(&long(3)), keys.key(&Content::Whole(start.clone())));
    }

    #[test]
    fn a_purpose_reads_like_a_command_line() {
        assert_eq!(
            purpose(&["--", "gzip", "-9", "{}"], "/").to_string(),
            "-- gzip -9 {}"
        );
        assert_eq!(purpose(&["-c", "a | b"], "/").to_string(), "-c 'a | b'");
        assert_eq!(
            purpose(&["--", "it's", ""], "/").to_string(),
            "-- 'it'\\''s' ''"
        );
        assert_eq!(purpose(&[], "/").to_string(), "lines that are commands");
    }
}
