//! The input, checked: its sources, and what is made of what they say.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use regex::bytes::{Regex, RegexBuilder};

use crate::cli::args::{PackArgs, SourceArgs, TrimArg};
use crate::cli::errors::{self, Message};
use crate::run::source::columns::{Columns, Trim};
use crate::run::source::inputs::{Form, From, Inputs, Opened, Source};
use crate::run::source::lines::Delimiter;
use crate::run::source::work::Work;
use crate::run::text;

/// A list behind the command.
struct List {
    separator: Vec<u8>,
    of_files: bool,
    linked: bool,
    words: Vec<Vec<u8>>,
}

/// Takes the lists of items and files off the words of a command; all from standard
/// input when there are none.
///
/// # Errors
/// When options make no sense, or exclude each other.
pub(super) fn inputs(
    args: SourceArgs,
    packing: &PackArgs,
    (null, max_line): (bool, u64),
    words: &mut Vec<Vec<u8>>,
) -> Result<Inputs, Message> {
    let lists = lists(&args, words)?;
    let mut sources: Vec<Source> = args
        .arg_file
        .into_iter()
        .map(|path| Source {
            from: file(path),
            linked: false,
        })
        .collect();
    for list in lists {
        let List {
            separator,
            of_files,
            linked,
            words,
        } = list;
        if of_files {
            // One source for each.
            sources.extend(words.into_iter().map(|word| Source {
                from: file(OsStr::from_bytes(&word).into()),
                linked,
            }));
        } else {
            let words = words.into_iter().map(Bytes::from).collect();
            let from = From::Words(separator, words);
            sources.push(Source { from, linked });
        }
    }
    let default = Inputs::default();
    if sources.is_empty() {
        sources = default.sources;
    }
    let stdin = sources
        .iter()
        .filter(|source| matches!(source.from, From::Stdin));
    if stdin.count() > 1 {
        return Err(Message::new("standard input (`-`) can be one source only"));
    }
    let delimiter = match (null, args.delimiter) {
        (true, _) => Delimiter::Nul,
        (false, None) => Delimiter::Newline,
        (false, Some(written)) => delimiter(written.as_bytes())?,
    };
    Ok(Inputs {
        sources,
        link: args.link,
        delimiter,
        max_line,
        form: Form {
            end: args.end_of_file.map(OsStringExt::into_vec),
            skip_blank: args.no_run_if_empty,
            continued: packing.max_lines.is_some(),
            trim: trim(args.trim),
            trim_names: trim(args.trim),
            columns: columns(args.colsep.as_deref(), args.csv)?,
        },
        header: args.header.is_some(),
        packs: packing.packs(),
        packing: None,
        nothing: packing.puts_nothing(),
        shuffle: args
            .shuf
            .map(|seed| seed.unwrap_or_else(|| RandomState::new().hash_one(()))),
    })
}

/// Whether the input is one stream of bytes.
///
/// # Errors
/// When items are made of it.
pub(super) fn check_one_stream(inputs: &Inputs) -> Result<(), Message> {
    if inputs.is_one_stream() {
        return Ok(());
    }
    let what = "--pipe cuts one stream of bytes: standard input, or one -a FILE";
    Err(Message::new(what).tip("leave out options and lists that make items"))
}

/// A file that is made anew must not be one that is read: it would be empty by then.
///
/// # Errors
/// When it is.
pub(super) fn check_not_read(inputs: &Inputs, failed_to: Option<&Path>) -> Result<(), Message> {
    let Some((path, made)) = failed_to.and_then(|path| Some((path, fs::metadata(path).ok()?)))
    else {
        return Ok(());
    };
    let found = inputs
        .sources
        .iter()
        .filter_map(|source| match &source.from {
            From::Stdin => File::from(io::stdin().as_fd().try_clone_to_owned().ok()?)
                .metadata()
                .ok(),
            From::File(path) => fs::metadata(path).ok(),
            From::Words(..) => None,
        });
    let is_made = |found: Metadata| (found.dev(), found.ino()) == (made.dev(), made.ino());
    if !made.is_file() || !found.into_iter().any(is_made) {
        return Ok(());
    }
    let path = text::quoted(path.as_os_str().as_encoded_bytes());
    let what =
        format!("--failed-to {path} is the input, too, and would be emptied before it is read");
    Err(Message::new(what).tip("name another file, and give that one to the next run"))
}

/// The names of columns, and the input that they were read from, which goes on behind them.
/// With a recorded run they are known, and nothing is read.
///
/// # Errors
/// When the input cannot be read.
pub(super) fn names(
    inputs: &Inputs,
    known: Vec<OsString>,
) -> Result<(Vec<Vec<u8>>, Option<Opened>), Message> {
    if !inputs.header || !known.is_empty() {
        return Ok((known.into_iter().map(OsStringExt::into_vec).collect(), None));
    }
    let opened = inputs.open().map_err(|e| errors::no_input(&e))?;
    Ok((opened.names.clone(), Some(opened)))
}

/// Whether this can do something with items of several fields.
///
/// # Errors
/// When an item has to be one value.
pub(super) fn check_fields(work: &Work) -> Result<(), Message> {
    let what = match work {
        Work::Command(_) | Work::Shell(_) => return Ok(()),
        Work::Commands => "a line that is a command",
        Work::Jobs { .. } => "a job as an object",
        Work::Task { .. } => "the argument of a task",
    };
    let what = format!("columns, combinations and packs are for commands: {what} is one value");
    Err(Message::new(what).tip("to fill them into a command: orchestrator run -- COMMAND {1} {2}"))
}

fn file(path: PathBuf) -> From {
    match path.as_os_str() == "-" {
        true => From::Stdin,
        false => From::File(path),
    }
}

fn trim(arg: TrimArg) -> Trim {
    Trim {
        left: matches!(arg, TrimArg::L | TrimArg::Lr),
        right: matches!(arg, TrimArg::R | TrimArg::Lr),
    }
}

/// What stands behind the command, which keeps the words before the first list.
fn lists(args: &SourceArgs, words: &mut Vec<Vec<u8>>) -> Result<Vec<List>, Message> {
    let separators = [(&args.arg_sep, false), (&args.arg_file_sep, true)];
    if args.arg_sep == args.arg_file_sep || separators.iter().any(|(text, _)| text.is_empty()) {
        let what = "--arg-sep and --arg-file-sep must be two different texts";
        return Err(Message::new(what));
    }
    let begins = |word: &[u8]| {
        separators.iter().find_map(|(text, of_files)| {
            let rest = word.strip_prefix(text.as_bytes())?;
            matches!(rest, b"" | b"+").then(|| List {
                separator: word.to_vec(),
                of_files: *of_files,
                linked: rest == b"+",
                words: Vec::new(),
            })
        })
    };
    let mut lists: Vec<List> = Vec::new();
    let mut command = Vec::new();
    for word in words.drain(..) {
        match (begins(&word), lists.last_mut()) {
            (Some(list), _) => lists.push(list),
            (None, Some(list)) => list.words.push(word),
            (None, None) => command.push(word),
        }
    }
    *words = command;
    let empty = lists
        .iter()
        .find(|list| list.of_files && list.words.is_empty());
    if let Some(list) = empty {
        let what = format!("{} names no file", text::quoted(&list.separator));
        return Err(Message::new(what));
    }
    Ok(lists)
}

/// The bytes that are written so: as in C behind a backslash.
///
/// # Errors
/// When what stands behind a backslash means nothing.
fn delimiter(written: &[u8]) -> Result<Delimiter, Message> {
    let mut bytes = Vec::new();
    let mut rest = written;
    while let Some((&first, behind)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = behind;
            continue;
        }
        let digits = |from: &[u8], radix: u32, most: usize| {
            let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
            let digits = from.iter().take(most).take_while(is_digit).count();
            let text = str::from_utf8(&from[..digits]).ok()?;
            Some((u8::from_str_radix(text, radix).ok()?, digits))
        };
        let (byte, length) = match behind.first() {
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'r') => (b'\r', 1),
            Some(b'a') => (7, 1),
            Some(b'b') => (8, 1),
            Some(b'f') => (12, 1),
            Some(b'v') => (11, 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'0'..=b'7') => digits(behind, 8, 3).ok_or_else(|| bad_escape(rest))?,
            Some(b'x') => {
                let (byte, length) = digits(&behind[1..], 16, 2).ok_or_else(|| bad_escape(rest))?;
                (byte, length + 1)
            }
            _ => return Err(bad_escape(rest)),
        };
        bytes.push(byte);
        rest = &behind[length..];
    }
    Ok(match &bytes[..] {
        b"\n" => Delimiter::Newline,
        b"\0" => Delimiter::Nul,
        _ => Delimiter::Text(bytes.leak()),
    })
}

fn bad_escape(rest: &[u8]) -> Message {
    let shown = text::quoted(&rest[..rest.len().min(4)]);
    Message::new(format!("--delimiter: {shown} stands for no byte"))
        .tip("a byte is written \\n, \\t, \\0, \\x2c or \\054, and a backslash \\\\")
}

fn columns(colsep: Option<&OsStr>, csv: bool) -> Result<Columns, Message> {
    if !csv {
        let regex = colsep.map(regex).transpose()?;
        return Ok(regex.map_or(Columns::One, Columns::Between));
    }
    match colsep.map(OsStr::as_bytes) {
        None => Ok(Columns::Csv(b',')),
        Some(b"\\t") => Ok(Columns::Csv(b'\t')),
        Some(&[separator]) if !b"\"\n\r\0".contains(&separator) => Ok(Columns::Csv(separator)),
        Some(other) => Err(Message::new(format!(
            "with --csv, --colsep is one byte or \\t, not {}",
            text::quoted(other)
        ))),
    }
}

fn regex(written: &OsStr) -> Result<Regex, Message> {
    let shown = text::quoted(written.as_bytes());
    let refused = |why: &str| Message::new(format!("--colsep: {shown} {why}"));
    let Some(pattern) = written.to_str() else {
        return Err(refused("is not UTF-8").tip("a byte is written \\xff"));
    };
    // Values are bytes, and so are their separators.
    let regex = RegexBuilder::new(pattern).unicode(false).build();
    let regex = regex.map_err(|e| {
        let why = e.to_string();
        let last = why.lines().last().unwrap_or_default();
        let last = last.strip_prefix("error: ").unwrap_or(last);
        refused(&format!("is no regular expression: {last}"))
    })?;
    if regex.is_match(b"") {
        return Err(refused("matches where there is nothing")
            .tip("for one or more of something write +, not *"));
    }
    Ok(regex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::tests::run;

    fn planned(words: &[&str]) -> Result<(Inputs, Vec<Vec<u8>>), String> {
        let args = run(words)?;
        let mut words = args.words.into_iter().map(OsStringExt::into_vec).collect();
        let inputs = inputs(
            args.sources,
            &args.packing,
            (args.null, args.max_line),
            &mut words,
        );
        inputs
            .map(|inputs| (inputs, words))
            .map_err(|message| message.to_string())
    }

    fn sources(words: &[&str]) -> (Vec<String>, Vec<String>) {
        let (inputs, words) = planned(words).unwrap();
        let shown = |source: &Source| {
            let from = match &source.from {
                From::Stdin => "stdin".to_owned(),
                From::File(path) => format!("file {}", path.display()),
                From::Words(_, words) => format!("{words:?}"),
            };
            format!("{from}{}", if source.linked { " +" } else { "" })
        };
        let text = |word: Vec<u8>| String::from_utf8(word).unwrap();
        let words = words.into_iter().map(text).collect();
        (inputs.sources.iter().map(shown).collect(), words)
    }

    #[test]
    fn lists_stand_behind_the_command() {
        let (from, command) =
            sources(&["-a", "f", "echo", "{}", ":::", "a", "-b", "::::+", "g", "-"]);
        assert_eq!(from, ["file f", "[b\"a\", b\"-b\"]", "file g +", "stdin +"]);
        assert_eq!(command, ["echo", "{}"]);
        let (from, command) = sources(&["--", "echo", ":::"]);
        assert_eq!(
            (from, command),
            (vec!["[]".to_owned()], vec!["echo".to_owned()])
        );
        assert_eq!(sources(&["echo"]).0, ["stdin"]);
        assert_eq!(sources(&[":::", "true"]).1, [""; 0]);
    }

    #[test]
    fn a_word_that_begins_a_list_can_be_an_argument() {
        let (from, command) = sources(&["--arg-sep", ",,", "echo", ":::", ",,", ":::", ",,+", "b"]);
        assert_eq!(command, ["echo", ":::"]);
        assert_eq!(from, ["[b\":::\"]", "[b\"b\"] +"]);
        assert!(planned(&["--arg-sep", "::::", "echo"]).is_err());
        assert!(
            planned(&["echo", "::::"])
                .unwrap_err()
                .contains("`::::` names no file")
        );
        assert!(planned(&["-a", "-", "echo", "::::", "-"]).is_err());
    }

    #[test]
    fn a_delimiter_is_written_as_in_c() {
        for (written, bytes) in [
            ("\\n", &b"\n"[..]),
            ("\\0", b"\0"),
            ("\\000", b"\0"),
            (",", b","),
            ("\\x2c\\t;", b",\t;"),
            ("\\0541\\\\", b",1\\"),
            ("", b""),
            ("ü", "ü".as_bytes()),
        ] {
            let delimiter = delimiter(written.as_bytes()).unwrap();
            assert_eq!(delimiter.bytes(), bytes, "{written}");
        }
        for wrong in ["\\", "\\q", "\\xg", "\\777", "a\\"] {
            assert!(delimiter(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_divides_columns_is_checked() {
        let refused = |words: &[&str]| planned(words).unwrap_err();
        assert!(refused(&["--colsep", "a*", "echo"]).contains("matches where there is nothing"));
        let said = refused(&["-C", "(", "echo"]);
        assert!(
            said.contains("`(` is no regular expression: unclosed group"),
            "{said}"
        );
        assert!(refused(&["--csv", "-C", ",;", "echo"]).contains("one byte"));
        assert!(refused(&["--csv", "-0", "echo"]).contains("cannot be used"));
        assert!(planned(&["--csv", "-C", "\\t", "--header", ":", "echo"]).is_ok());
    }
}
