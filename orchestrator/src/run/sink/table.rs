//! A job as a row of a table: GNU parallel's columns, with the fields of the item and all
//! that the job has printed. It is written piece by piece, so that its size costs no memory.

use std::cell::OnceCell;
use std::io::{self, Write};

use super::command_line::{self, Setting, Typed};
use super::facts::Facts;
use super::jsonl;
use super::manner::Form;
use crate::pool::Capture;
use crate::run::source::item::Item;
use crate::run::source::work::Ticket;

/// What stands before and behind the fields of the item in the header.
const BEFORE: &str = "Seq Host Starttime JobRuntime Send Receive Exitval Signal Command";
const BEHIND: &str = "Stdout Stderr";

/// Where jobs run: here.
const HOST: &str = ":";

/// How many fields rows have: as many as the first, with which it is known.
#[derive(Debug, Default)]
pub(crate) struct Columns(OnceCell<usize>);

/// A row that is to be written.
pub(super) struct Row<'a> {
    pub(super) ticket: &'a Ticket,
    pub(super) item: Item<'a>,
    pub(super) facts: Facts,
    pub(super) setting: Setting,
    pub(super) stdout: &'a Capture,
    pub(super) stderr: &'a Capture,
}

impl Row<'_> {
    /// The columns that are numbers, with their names.
    fn numbers(&self, typed: &Typed) -> [(&'static str, String); 7] {
        let facts = &self.facts;
        [
            ("Seq", self.ticket.seq.to_string()),
            ("Starttime", facts.start_s()),
            ("JobRuntime", facts.runtime_s()),
            ("Send", typed.stdin.to_string()),
            ("Receive", facts.received.to_string()),
            ("Exitval", facts.exit.to_string()),
            ("Signal", facts.signal.to_string()),
        ]
    }
}

impl Columns {
    /// The header, with the first job; an object needs none.
    pub(crate) fn header(&self, form: Form, item: Item<'_>, names: &[Vec<u8>]) -> Vec<u8> {
        let mut header = Vec::new();
        if form == Form::Json || self.0.get().is_some() {
            return header;
        }
        let fields = item.fields().count();
        self.0.set(fields).ok();
        let separator = separator(form);
        let mut add = |value: &[u8]| {
            if !header.is_empty() {
                header.push(separator);
            }
            write_value(&mut header, separator, value).ok();
        };
        BEFORE.split(' ').for_each(|name| add(name.as_bytes()));
        for n in 0..fields {
            match names.get(n) {
                Some(name) => add(name),
                None => add(format!("V{}", n + 1).as_bytes()),
            }
        }
        BEHIND.split(' ').for_each(|name| add(name.as_bytes()));
        header.push(b'\n');
        header
    }
}

/// Writes a row.
pub(super) fn write(
    out: &mut impl Write,
    form: Form,
    columns: &Columns,
    row: &Row<'_>,
) -> io::Result<()> {
    match form {
        Form::Json => write_object(out, row),
        Form::Csv | Form::Tsv => write_values(out, separator(form), columns, row),
    }
}

fn separator(form: Form) -> u8 {
    match form {
        Form::Tsv => b'\t',
        Form::Csv | Form::Json => b',',
    }
}

fn write_values(
    out: &mut impl Write,
    separator: u8,
    columns: &Columns,
    row: &Row<'_>,
) -> io::Result<()> {
    let typed = command_line::of(&row.ticket.command, row.setting);
    for (n, (name, number)) in row.numbers(&typed).iter().enumerate() {
        if n > 0 {
            out.write_all(&[separator])?;
        }
        out.write_all(number.as_bytes())?;
        if *name == "Seq" {
            out.write_all(&[separator])?;
            out.write_all(HOST.as_bytes())?;
        }
    }
    let mut add = |value: &[u8]| {
        out.write_all(&[separator])?;
        write_value(out, separator, value)
    };
    add(&typed.line)?;
    // As many columns as in the header: what is too much goes into the last one.
    let wanted = columns.0.get().copied().unwrap_or(1);
    let mut fields = row.item.fields();
    for n in 1..=wanted {
        match n < wanted {
            true => add(fields.next().unwrap_or_default())?,
            false => add(&fields.by_ref().collect::<Vec<_>>().join(&b' '))?,
        }
    }
    for capture in [row.stdout, row.stderr] {
        out.write_all(&[separator])?;
        write_capture(out, separator, capture)?;
    }
    out.write_all(b"\n")
}

/// Whether a value needs quotes for this.
fn is_special(byte: u8, separator: u8) -> bool {
    byte == separator || matches!(byte, b'"' | b'\n' | b'\r' | b' ' | b'\t')
}

fn write_value(out: &mut impl Write, separator: u8, value: &[u8]) -> io::Result<()> {
    if !value.iter().any(|&byte| is_special(byte, separator)) {
        return out.write_all(value);
    }
    out.write_all(b"\"")?;
    write_doubled(out, value)?;
    out.write_all(b"\"")
}

fn write_capture(out: &mut impl Write, separator: u8, capture: &Capture) -> io::Result<()> {
    let mut special = false;
    capture.for_each(|piece| {
        special |= piece.iter().any(|&byte| is_special(byte, separator));
        Ok(())
    })?;
    if !special {
        return capture.for_each(|piece| out.write_all(piece));
    }
    out.write_all(b"\"")?;
    capture.for_each(|piece| write_doubled(out, piece))?;
    out.write_all(b"\"")
}

/// Quotes within quotes stand twice.
fn write_doubled(out: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    let mut rest = piece;
    while let Some(at) = memchr::memchr(b'"', rest) {
        out.write_all(&rest[..=at])?;
        out.write_all(b"\"")?;
        rest = &rest[at + 1..];
    }
    out.write_all(rest)
}

fn write_object(out: &mut impl Write, row: &Row<'_>) -> io::Result<()> {
    let typed = command_line::of(&row.ticket.command, row.setting);
    out.write_all(b"{ ")?;
    for (name, number) in row.numbers(&typed) {
        write!(out, "\"{name}\": {number}, ")?;
        if name == "Seq" {
            write!(out, "\"Host\": \"{HOST}\", ")?;
        }
    }
    out.write_all(b"\"Command\": ")?;
    jsonl::write_bytes(out, &typed.line)?;
    out.write_all(b", \"V\": [ ")?;
    for (n, field) in row.item.fields().enumerate() {
        out.write_all(if n > 0 { b"," } else { b"" })?;
        jsonl::write_bytes(out, field)?;
    }
    out.write_all(b" ], \"Stdout\": ")?;
    jsonl::write_capture(out, row.stdout)?;
    out.write_all(b", \"Stderr\": ")?;
    jsonl::write_capture(out, row.stderr)?;
    out.write_all(b" }\n")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};

    use super::super::render::tests::ticket;
    use super::*;
    use crate::pool::Spill;
    use crate::run::source::item::Fields;

    fn rows(form: Form, items: &[&'static [u8]], names: &[Vec<u8>]) -> String {
        // All of it beyond one byte is read back from the file.
        let room = Spill::new(1);
        let (stdout, stderr) = (b"o,\"q\nx", b"e");
        let stdout = Capture::of(&room, stdout).unwrap();
        let stderr = Capture::of(&room, stderr).unwrap();
        let columns = Columns::default();
        let mut out = Vec::new();
        for item in items {
            let ticket = ticket(&[b"echo", b"y, z"]);
            let item = Item::new(item, Fields::Several);
            out.extend(columns.header(form, item, names));
            let row = Row {
                ticket: &ticket,
                item,
                facts: Facts {
                    start: UNIX_EPOCH + Duration::from_millis(1_500),
                    runtime: Duration::from_millis(7),
                    received: 6,
                    exit: 2,
                    signal: 0,
                },
                setting: Setting::default(),
                stdout: &stdout,
                stderr: &stderr,
            };
            write(&mut out, form, &columns, &row).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_quoted_where_they_have_to_be() {
        assert_eq!(
            rows(Form::Csv, &[b"1\0a b"], &[]),
            "Seq,Host,Starttime,JobRuntime,Send,Receive,Exitval,Signal,Command,V1,V2,Stdout,Stderr\n\
             3,:,1.500,0.007,0,6,2,0,\"echo 'y, z'\",1,\"a b\",\"o,\"\"q\nx\",e\n"
        );
        let names = [b"A".to_vec(), b"B".to_vec()];
        let tsv = rows(Form::Tsv, &[b"1\0x"], &names);
        assert!(
            tsv.contains("\tCommand\tA\tB\tStdout\tStderr\n3\t:\t1.500\t"),
            "{tsv}"
        );
    }

    #[test]
    fn every_row_has_the_columns_of_the_header() {
        let text = rows(Form::Csv, &[b"1\0x", b"2", b"3\0y\0z"], &[]);
        assert!(text.contains("z'\",1,x,\"o"), "{text}");
        assert!(text.contains("z'\",2,,\"o"), "{text}");
        assert!(text.contains("z'\",3,\"y z\",\"o"), "{text}");
    }

    #[test]
    fn an_object_has_the_same_names() {
        let object: Value = serde_json::from_str(&rows(Form::Json, &[b"1\0\xff"], &[])).unwrap();
        let expected = json!({
            "Seq": 3, "Host": ":", "Starttime": 1.5, "JobRuntime": 0.007, "Send": 0, "Receive": 6,
            "Exitval": 2, "Signal": 0, "Command": "echo 'y, z'", "V": ["1", {"base64": "/w=="}],
            "Stdout": "o,\"q\nx", "Stderr": "e",
        });
        assert_eq!(object, expected);
    }
}
