//! The places for a line, in the words of a command and in shell text alike.
//!
//! Their meanings are GNU parallel's, but for `{path}`, which is ours;
//! extensions and directory names are cut by bytes, since file names need not be
//! UTF-8.

use super::item::Item;

/// What of a line is put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `{}`: the line.
    Line,
    /// `{.}`: without its last extension; a dot in a directory is none.
    NoExtension,
    /// `{/}`: what comes after the last slash.
    Base,
    /// `{//}`: the directory, `.` when there is none.
    Directory,
    /// `{/.}`: what comes after the last slash, without its last extension.
    BaseNoExtension,
    /// `{#}`: the job's number, from 1.
    Number,
    /// `{path}`: the line as the name of a file, which no program takes for an
    /// option.
    Path,
}

const PLACES: [(&[u8], Place); 7] = [
    (b"{}", Place::Line),
    (b"{.}", Place::NoExtension),
    (b"{/}", Place::Base),
    (b"{//}", Place::Directory),
    (b"{/.}", Place::BaseNoExtension),
    (b"{#}", Place::Number),
    (b"{path}", Place::Path),
];

/// GNU parallel's place for the job slot, which would otherwise pass for an
/// ordinary word and silently do the wrong thing.
pub(super) const SLOT: &[u8] = b"{%}";

impl Place {
    /// The place that a text begins with, and what it is written as; `before`
    /// is the byte in front of it.
    pub(super) fn at(text: &[u8], before: Option<u8>) -> Option<(&'static [u8], Place)> {
        // No place is the beginning of another one, so at most one fits.
        let (written, place) = PLACES
            .into_iter()
            .find(|(written, _)| text.starts_with(written))?;
        // `${#}` and `${path}` mean something to every shell.
        let is_variable = before == Some(b'$') && matches!(place, Place::Number | Place::Path);
        (!is_variable).then_some((written, place))
    }

    /// Adds what an item puts there: of several fields each what it would put there alone, with blanks
    /// between them.
    pub(super) fn fill(self, item: Item<'_>, number: u64, word: &mut Vec<u8>) {
        if self == Place::Number {
            return word.extend_from_slice(number.to_string().as_bytes());
        }
        if let Some(field) = item.only() {
            return self.field(field, word);
        }
        for (i, field) in item.fields().enumerate() {
            if i > 0 {
                word.push(b' ');
            }
            self.field(field, word);
        }
    }

    fn field(self, line: &[u8], word: &mut Vec<u8>) {
        match self {
            Place::Line => word.extend_from_slice(line),
            Place::NoExtension => word.extend_from_slice(no_extension(line)),
            Place::Base => word.extend_from_slice(base(line)),
            Place::Directory => word.extend_from_slice(directory(line)),
            Place::BaseNoExtension => word.extend_from_slice(no_extension(base(line))),
            Place::Number => {}
            Place::Path => {
                // A name that begins so is a relative one.
                if line.starts_with(b"-") {
                    word.extend_from_slice(b"./");
                }
                word.extend_from_slice(line);
            }
        }
    }
}

/// Without the last dot and what follows, unless nothing or a slash follows.
fn no_extension(path: &[u8]) -> &[u8] {
    match memchr::memrchr2(b'.', b'/', path) {
        Some(dot) if path[dot] == b'.' && dot + 1 < path.len() => &path[..dot],
        _ => path,
    }
}

fn base(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..])
}

/// As `dirname(1)` says: slashes at the end count for nothing.
fn directory(path: &[u8]) -> &[u8] {
    let trimmed = trim_slashes(path);
    if trimmed.is_empty() {
        return if path.is_empty() { b"." } else { b"/" };
    }
    match memchr::memrchr(b'/', trimmed) {
        None => b".",
        Some(slash) => match trim_slashes(&trimmed[..slash]) {
            b"" => b"/",
            directory => directory,
        },
    }
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let end = path
        .iter()
        .rposition(|&b| b != b'/')
        .map_or(0, |last| last + 1);
    &path[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the place that is written so puts in.
    fn one(written: &str, line: &[u8]) -> Vec<u8> {
        let (text, place) = Place::at(written.as_bytes(), None).unwrap();
        assert_eq!(text, written.as_bytes());
        let mut word = Vec::new();
        place.fill(Item::value(line), 7, &mut word);
        word
    }

    #[test]
    fn gnu_forms_have_gnu_meanings() {
        for (line, no_ext, base, dir, base_no_ext) in [
            (
                "dir/file.tar.gz",
                "dir/file.tar",
                "file.tar.gz",
                "dir",
                "file.tar",
            ),
            ("sub.dir/file", "sub.dir/file", "file", "sub.dir", "file"),
            ("file", "file", "file", ".", "file"),
            ("/file.c", "/file", "file.c", "/", "file"),
            ("a//b.c", "a//b", "b.c", "a", "b"),
            ("a/b/", "a/b/", "", "a", ""),
            ("foo.", "foo.", "foo.", ".", "foo."),
            (".bashrc", "", ".bashrc", ".", ""),
            ("", "", "", ".", ""),
            ("/", "/", "", "/", ""),
        ] {
            for (written, what) in [
                ("{}", line),
                ("{.}", no_ext),
                ("{/}", base),
                ("{//}", dir),
                ("{/.}", base_no_ext),
                ("{#}", "7"),
            ] {
                let put = one(written, line.as_bytes());
                assert_eq!(put, what.as_bytes(), "{written} of {line:?}");
            }
        }
    }

    #[test]
    fn f123_a_file_whose_name_begins_with_a_dash_is_no_option() {
        for (line, path) in [
            ("-rf", "./-rf"),
            ("--", "./--"),
            ("-", "./-"),
            ("a-b", "a-b"),
            ("/-a", "/-a"),
            ("./-a", "./-a"),
            ("+x", "+x"),
            ("", ""),
        ] {
            assert_eq!(one("{path}", line.as_bytes()), path.as_bytes(), "{line:?}");
        }
    }

    #[test]
    fn what_a_shell_calls_a_parameter_is_no_place() {
        for written in ["{#}", "{path}"] {
            assert!(Place::at(written.as_bytes(), Some(b'x')).is_some());
            assert!(Place::at(written.as_bytes(), Some(b'$')).is_none());
        }
        assert!(Place::at(b"{}", Some(b'$')).is_some());
    }

    proptest! {
        #[test]
        fn parts_of_any_line_are_bytes_of_it(line in prop::collection::vec(any::<u8>(), 0..30)) {
            prop_assert_eq!(&one("{}", &line), &line);
            for written in ["{.}", "{/}", "{/.}"] {
                let part = one(written, &line);
                prop_assert!(part.is_empty() || memchr::memmem::find(&line, &part).is_some());
            }
        }
    }
}
