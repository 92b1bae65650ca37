//! Command lines, taken apart and put together.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::super::super::errors::Message;
use super::super::super::words;
use crate::run::text;

/// A command line, taken apart.
///
/// # Errors
/// When a quote has no end, or there is nothing in it.
pub(super) fn split(line: &OsStr) -> Result<Vec<OsString>, Message> {
    let shown = text::quoted(line.as_bytes());
    match words::split(line.as_bytes()) {
        Some(words) if !words.is_empty() => Ok(words.into_iter().map(OsString::from_vec).collect()),
        Some(_) => Err(Message::new(format!("{shown} is no command line"))),
        None => Err(Message::new(format!(
            "{shown} has a quote or a backslash without an end"
        ))),
    }
}

/// As any shell reads it that knows single quotes, in which some (fish, csh) see a backslash or
/// an exclamation mark.
pub(super) fn quoted(word: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(byte);
    if !word.is_empty() && word.iter().all(plain) {
        return word.to_vec();
    }
    let mut quoted = vec![b'\''];
    for &byte in word {
        match byte {
            b'\'' | b'\\' | b'!' => quoted.extend([b'\'', b'\\', byte, b'\'']),
            byte => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

pub(super) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

pub(super) fn replaced(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut rest = text;
    let mut all = Vec::with_capacity(text.len());
    while let Some(at) = find(rest, what) {
        all.extend_from_slice(&rest[..at]);
        all.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    all.extend_from_slice(rest);
    all
}

/// Whether a template says how each host is reached.
pub(super) fn is_for_hosts(template: &OsString) -> bool {
    find(template.as_bytes(), b"{host}").is_some()
}
