//! Lines that are JSON: a task's argument, or an object with an id and the
//! argument.
//!
//! The syntax is checked here, where the line number is known, so that the
//! answer to a typing error can point at it. The argument itself stays text:
//! only the task knows its type.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::run::text::escaped;

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The argument.
    Argument,
    /// `{"id": …, "args": …}`.
    Record,
}

/// A line that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// The id as it was written: a JSON string or number.
    pub(crate) id: Option<Box<str>>,
    /// The argument as JSON text.
    pub(crate) args: Bytes,
}

/// Why a line was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadJson {
    /// What is wrong, as the end of a sentence.
    pub(crate) what: String,
    /// Where, in bytes from 1; absent when the text is valid JSON, but not a
    /// job.
    pub(crate) column: Option<usize>,
    /// The id, when it can be read all the same.
    pub(crate) id: Option<Box<str>>,
}

/// Only what a job may say; anything else is a mistake to be told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

/// A record of which only the id matters.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

/// Reads a line; `None` when it is blank.
///
/// # Errors
/// When it is not valid JSON or not of this shape.
pub(crate) fn parse(shape: Shape, line: &Bytes) -> Result<Option<Parsed>, BadJson> {
    let Some(whole) = whole(line)? else {
        return Ok(None);
    };
    if shape == Shape::Argument {
        return Ok(Some(Parsed {
            id: None,
            args: line.slice_ref(whole.as_bytes()),
        }));
    }
    if !whole.starts_with('{') {
        return Err(not_a_job("it is not a JSON object"));
    }
    let record: Record<'_> = serde_json::from_str(whole).map_err(|e| BadJson {
        id: id_of(whole),
        ..not_a_job(&bare(&e))
    })?;
    let id = record.id.map(RawValue::get);
    if id.is_some_and(|id| !is_id(id)) {
        return Err(not_a_job("`id` is neither a string nor a number"));
    }
    let args = record.args.map_or_else(
        || Bytes::from_static(b"null"),
        |args| line.slice_ref(args.get().as_bytes()),
    );
    Ok(Some(Parsed {
        id: id.map(Box::from),
        args,
    }))
}

/// The JSON of a line; `None` when it is blank.
///
/// # Errors
/// When it is not valid. Checked as a whole first: for a syntax error inside a record this
/// gives the same column, and what remains can only be a wrong record.
pub(super) fn whole(line: &[u8]) -> Result<Option<&str>, BadJson> {
    if let Some(number) = whole_number(line) {
        return Ok(Some(number));
    }
    if line
        .iter()
        .all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
    {
        return Ok(None);
    }
    let whole: &RawValue = serde_json::from_slice(line).map_err(|e| bad_json(&e, line))?;
    Ok(Some(whole.get()))
}

/// This text if it is a number without sign, fraction, exponent and blanks: what many
/// small jobs are given and give back is known to be JSON without a parser.
pub(crate) fn whole_number(text: &[u8]) -> Option<&str> {
    let leading = *text.first()?;
    if !text.iter().all(u8::is_ascii_digit) || (leading == b'0' && text.len() > 1) {
        return None;
    }
    str::from_utf8(text).ok()
}

/// The id of an object that is no job for another reason.
pub(super) fn id_of(object: &str) -> Option<Box<str>> {
    let named: Named<'_> = serde_json::from_str(object).ok()?;
    let id = named.id.map(RawValue::get);
    id.filter(|id| is_id(id)).map(Box::from)
}

/// Whether a JSON value is a string or a number.
pub(super) fn is_id(value: &str) -> bool {
    value.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
}

pub(super) fn not_a_job(why: &str) -> BadJson {
    BadJson {
        what: why.to_owned(),
        column: None,
        id: None,
    }
}

fn bad_json(error: &serde_json::Error, line: &[u8]) -> BadJson {
    // The parser looks at the encoding of a whole string at a time.
    if let Err(e) = std::str::from_utf8(line) {
        return BadJson {
            what: "invalid UTF-8".to_owned(),
            column: Some(e.valid_up_to() + 1),
            id: None,
        };
    }
    let what = match line {
        [0xef, 0xbb, 0xbf, ..] => "it begins with a byte-order mark".to_owned(),
        _ => bare(error),
    };
    // At an unexpected end serde_json names the last column that there is;
    // what is missing belongs behind it.
    let behind = usize::from(error.classify() == Category::Eof);
    BadJson {
        what,
        column: Some((error.column() + behind).max(1)),
        id: None,
    }
}

/// What the parser says without the position, which it counts within a line, and fit
/// for a terminal: it may repeat a name of the line, whose escapes are undone by then.
pub(super) fn bare(error: &serde_json::Error) -> String {
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    escaped(text.strip_suffix(&position).unwrap_or(&text).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(line: &str) -> Result<Option<Parsed>, BadJson> {
        parse(Shape::Record, &Bytes::copy_from_slice(line.as_bytes()))
    }

    fn argument(line: &[u8]) -> Result<Option<Parsed>, BadJson> {
        parse(Shape::Argument, &Bytes::copy_from_slice(line))
    }

    #[test]
    fn an_argument_is_passed_on_as_it_was_written() {
        for text in ["40", "{\"a\": [1.50, 1e400]}", "\"\\u00e4\"", "null"] {
            let parsed = argument(format!("  {text}\r").as_bytes()).unwrap().unwrap();
            assert_eq!(parsed.args, text);
            assert_eq!(parsed.id, None);
        }
    }

    #[test]
    fn a_record_gives_id_and_argument() {
        let parsed = record(r#"{"id": "a b", "args": {"n": 1}}"#)
            .unwrap()
            .unwrap();
        assert_eq!(parsed.id.as_deref(), Some("\"a b\""));
        assert_eq!(parsed.args, r#"{"n": 1}"#);
        let parsed = record(r#"{"id":12345678901234567890123}"#)
            .unwrap()
            .unwrap();
        assert_eq!(parsed.id.as_deref(), Some("12345678901234567890123"));
        assert_eq!(parsed.args, "null");
        let parsed = record(r#"{"id":null,"args":null}"#).unwrap().unwrap();
        assert_eq!((parsed.id, &parsed.args[..]), (None, &b"null"[..]));
    }

    #[test]
    fn blank_lines_are_no_jobs() {
        assert_eq!(argument(b"").unwrap(), None);
        assert_eq!(argument(b" \t\r").unwrap(), None);
    }

    #[test]
    fn syntax_errors_have_a_column() {
        for (line, what, column) in [
            (&b"{\"n\": }"[..], "expected value", 7),
            (b"a.png", "expected value", 1),
            (b"[1 2]", "expected `,` or `]`", 4),
            (b"{\"n\": 1", "EOF while parsing an object", 8),
            (b"1 2", "trailing characters", 3),
            (b"\xef\xbb\xbf1", "it begins with a byte-order mark", 1),
            (b"\"\xff\"", "invalid UTF-8", 2),
        ] {
            let error = argument(line).unwrap_err();
            assert_eq!(error.what, what, "{line:?}");
            assert_eq!(error.column, Some(column), "{line:?}");
        }
    }

    #[test]
    fn wrong_records_say_what_is_wrong() {
        for (line, what) in [
            ("[1, 2]", "it is not a JSON object"),
            (r#"{"id": [1]}"#, "`id` is neither a string nor a number"),
            (
                r#"{"agrs": 1}"#,
                "unknown field `agrs`, expected `id` or `args`",
            ),
            (r#"{"id": 1, "id": 2}"#, "duplicate field `id`"),
        ] {
            let error = record(line).unwrap_err();
            assert_eq!((error.what.as_str(), error.column), (what, None));
        }
        assert_eq!(record(r#"{"id": }"#).unwrap_err().column, Some(8));
    }

    #[test]
    fn the_name_of_an_unknown_field_cannot_command_a_terminal() {
        // Found by fuzzing.
        for (line, shown) in [
            ("{\"a\\u001b[31m\\nb\": 1}", "`a\\u{1b}[31m\\nb`"),
            ("{\"\\u202ex\u{7f}\": 1}", "`\\u{202e}x\\u{7f}`"),
        ] {
            let what = format!("unknown field {shown}, expected `id` or `args`");
            assert_eq!(record(line).unwrap_err().what, what);
        }
    }

    #[test]
    fn a_wrong_record_keeps_its_id_when_it_has_one() {
        for (line, id) in [
            (r#"{"id": "a", "agrs": 1}"#, Some("\"a\"")),
            (r#"{"agrs": {"id": 2}, "id": 7}"#, Some("7")),
            (r#"{"agrs": 1}"#, None),
            (r#"{"agrs": 1, "id": [1]}"#, None),
            (r#"{"id": 1, "id": 2}"#, None),
            (r#"{"id": 1, "args": 1, "args": 2}"#, Some("1")),
        ] {
            assert_eq!(record(line).unwrap_err().id.as_deref(), id, "{line}");
        }
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        assert!(argument(&vec![b'['; 1 << 20]).is_err());
    }

    #[test]
    fn a_whole_number_is_json_and_nothing_else_is_taken_for_one() {
        for text in ["0", "7", "1234567890123456789012"] {
            assert_eq!(whole_number(text.as_bytes()), Some(text));
            assert!(serde_json::from_str::<&RawValue>(text).is_ok());
        }
        for text in [
            "", "00", "01", "-1", "+1", "1.0", "1e3", " 1", "1 ", "1\n", "x", "\u{661}",
        ] {
            assert_eq!(whole_number(text.as_bytes()), None, "{text:?}");
        }
    }
}
