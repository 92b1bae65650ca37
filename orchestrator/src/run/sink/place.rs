//! Where the results of a job go: names of files, made of its item. Pure.

use std::ffi::OsString;
use std::num::NonZero;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::run::source::item::Item;

/// The longest name of a file, in bytes, and how much of that is left for what is put behind
/// a name so that it is no other's.
const LONGEST: usize = 255;
const BEHIND: usize = 24;

/// Where the results of a job go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a directory of their own.
    Directory(Vec<u8>),
    /// In files called like this one.
    Name(Vec<u8>),
}

/// The three files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) stdout: PathBuf,
    pub(crate) stderr: PathBuf,
    pub(crate) seq: PathBuf,
}

impl Place {
    /// In a tree: a directory for each field of the item, below one for the field's
    /// number, or name where it has one. What the first `again` are called, the next are called
    /// again. An item that is no argument has the job's number.
    pub(crate) fn in_tree(
        (root, again): (&Path, Option<NonZero<usize>>),
        item: Item<'_>,
        names: &[Vec<u8>],
        seq: u64,
    ) -> Place {
        let mut path = root.as_os_str().as_bytes().to_vec();
        if item.fields().next().is_none() {
            path.push(b'/');
            path.extend(seq.to_string().bytes());
        }
        for (n, field) in item.fields().enumerate() {
            let n = again.map_or(n, |again| n % again);
            path.push(b'/');
            match names.get(n) {
                Some(name) => path.extend(component(name)),
                None => path.extend((n + 1).to_string().bytes()),
            }
            path.push(b'/');
            path.extend(component(field));
        }
        Place::Directory(path)
    }

    /// By a name that was made for the job: a directory when a slash is at its end.
    pub(crate) fn named(name: Vec<u8>) -> Place {
        match name.ends_with(b"/") {
            true => Place::Directory(name),
            false => Place::Name(name),
        }
    }

    /// The files, with this behind the name that they have in common.
    pub(crate) fn files(&self, behind: &[u8]) -> Files {
        match self {
            Place::Directory(path) => {
                let end = path.iter().rposition(|&b| b != b'/').map_or(0, |at| at + 1);
                // The root stays the root.
                let path = if end == 0 { path } else { &path[..end] };
                let directory = PathBuf::from(os([path, behind].concat()));
                Files {
                    stdout: directory.join("stdout"),
                    stderr: directory.join("stderr"),
                    seq: directory.join("seq"),
                }
            }
            Place::Name(name) => {
                let with = |end: &[u8]| PathBuf::from(os([name, behind, end].concat()));
                Files {
                    stdout: with(b""),
                    stderr: with(b".err"),
                    seq: with(b".seq"),
                }
            }
        }
    }
}

impl Files {
    /// All of them.
    pub(crate) fn all(&self) -> [&Path; 3] {
        [&self.stdout, &self.stderr, &self.seq]
    }
}

fn os(bytes: Vec<u8>) -> OsString {
    OsString::from_vec(bytes)
}

/// A value as the name of a directory: it names no other directory, and is not too long.
fn component(value: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(value.len());
    for &byte in value {
        match byte {
            b'\\' => name.extend_from_slice(b"\\\\"),
            b'/' => name.extend_from_slice(b"\\_"),
            b'\t' => name.extend_from_slice(b"\\t"),
            0 => name.extend_from_slice(b"\\0"),
            _ => name.push(byte),
        }
    }
    // The directory itself, or the one above it.
    if matches!(value, b"." | b"..") {
        name.insert(0, b'\\');
    }
    if name.len() > LONGEST - BEHIND {
        name.truncate(LONGEST - BEHIND);
        // Not half an escape.
        let slashes = name.iter().rev().take_while(|&&b| b == b'\\').count();
        name.truncate(name.len() - slashes % 2);
    }
    name
}

/// The name of what has the place of something that is of today, with a number that nobody
/// has: as `cp --backup=numbered` calls it.
pub(crate) fn set_aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".~{number}~"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::run::source::item::Fields;

    fn tree(item: &[u8], names: &[&str]) -> String {
        let names: Vec<Vec<u8>> = names.iter().map(|n| n.as_bytes().to_vec()).collect();
        let item = Item::new(item, Fields::Several);
        let place = Place::in_tree((Path::new("d"), None), item, &names, 7);
        place.files(b"").stdout.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_tree_is_laid_out_as_gnu_parallel_does() {
        assert_eq!(tree(b"a", &[]), "d/1/a/stdout");
        assert_eq!(tree(b"a/b\0y z", &[]), "d/1/a\\_b/2/y z/stdout");
        assert_eq!(tree(b"1\0x", &["A", "B"]), "d/A/1/B/x/stdout");
        assert_eq!(tree(b"a\tb\0a\\b", &[]), "d/1/a\\tb/2/a\\\\b/stdout");
        assert_eq!(tree(b"", &[]), "d/1/stdout");
        let item = Item::new(b"a\0b\0c", Fields::Several);
        let again = (Path::new("d"), NonZero::new(2));
        let place = Place::in_tree(again, item, &[b"A".to_vec()], 7);
        assert_eq!(place.files(b"").seq, Path::new("d/A/a/2/b/A/c/seq"));
        let block = Place::in_tree(
            (Path::new("d"), None),
            Item::new(b"x", Fields::None),
            &[],
            7,
        );
        assert_eq!(block.files(b"").seq, Path::new("d/7/seq"));
    }

    #[test]
    fn no_value_leaves_its_directory() {
        assert_eq!(tree(b"..", &[]), "d/1/\\../stdout");
        assert_eq!(tree(b".\0..", &[".."]), "d/\\../\\./2/\\../stdout");
        assert_eq!(tree(b"../../x", &[]), "d/1/..\\_..\\_x/stdout");
    }

    #[test]
    fn a_name_may_be_of_files_or_of_a_directory() {
        let files = Place::named(b"o/a".to_vec()).files(b"~2");
        let expected = ["o/a~2", "o/a~2.err", "o/a~2.seq"].map(Path::new);
        assert_eq!(files.all(), expected);
        let files = Place::named(b"o/a//".to_vec()).files(b"~2");
        let expected = ["o/a~2/stdout", "o/a~2/stderr", "o/a~2/seq"].map(Path::new);
        assert_eq!(files.all(), expected);
        let files = Place::named(b"/".to_vec()).files(b"");
        assert_eq!(files.seq, Path::new("/seq"));
        assert_eq!(set_aside(Path::new("a/b"), 2), Path::new("a/b.~2~"));
    }

    proptest! {
        #[test]
        fn any_value_is_one_short_name(value in prop::collection::vec(any::<u8>(), 0..600)) {
            let name = component(&value);
            prop_assert!(!name.contains(&b'/') && !name.contains(&0));
            prop_assert!(name.len() <= LONGEST - BEHIND);
            prop_assert!(name != b"." && name != b"..");
            prop_assert_eq!(name.is_empty(), value.is_empty());
        }
    }
}
