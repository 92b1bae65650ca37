//! What `--plus` adds that is not a part of a path: changes as in bash's parameter expansion,
//! with regular expressions as in GNU parallel, on bytes.

use regex::bytes::{NoExpand, Regex, RegexBuilder};

/// A change to a value.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// How it is written, without braces.
    written: Vec<u8>,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// `{:-text}`: this, when the value is empty.
    Default(Vec<u8>),
    /// `{:n}` and `{:n:length}`.
    Range(usize, Option<usize>),
    /// `{#re}` and `{##re}`: without what fits at the beginning.
    Prefix(Regex),
    /// `{%re}` and `{%%re}`: without what fits at the end. The first group is what stays.
    Suffix(Regex),
    /// `{/re/text}`, and `{//re/text}` for all that fit.
    Replace(Regex, Vec<u8>, Often),
    /// `{^re}` and `{^^re}` in capitals, `{,re}` and `{,,re}` in small letters.
    Case(Regex, Often, fn(&mut [u8])),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Often {
    Once,
    Always,
}

/// Text in braces that would be a change if its regular expression were one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPattern;

/// Two that are written alike do the same.
impl PartialEq for Change {
    fn eq(&self, other: &Change) -> bool {
        self.written == other.written
    }
}

impl Eq for Change {}

impl Change {
    /// The change that is written so, if it is one.
    ///
    /// # Errors
    /// When its pattern is no regular expression.
    pub(super) fn parse(written: &[u8]) -> Result<Option<Change>, BadPattern> {
        let how = match written {
            [b':', b'-', text @ ..] => How::Default(text.to_vec()),
            [b':', numbers @ ..] => match range(numbers) {
                Some((from, length)) => How::Range(from, length),
                None => return Ok(None),
            },
            [b'#', b'#', re @ ..] => How::Prefix(regex(&format!("^(?:{})", pattern(re)), false)?),
            [b'#', re @ ..] => How::Prefix(regex(&format!("^(?:{})", pattern(re)), true)?),
            [b'%', b'%', re @ ..] => {
                How::Suffix(regex(&format!("^(.*?)(?:{})$", pattern(re)), false)?)
            }
            [b'%', re @ ..] => How::Suffix(regex(&format!("^(.*)(?:{})$", pattern(re)), false)?),
            [b'/', b'/', rest @ ..] => match replacement(rest) {
                Some((re, text)) => How::Replace(regex(&pattern(re), false)?, text, Often::Always),
                None => return Ok(None),
            },
            [b'/', rest @ ..] => match replacement(rest) {
                Some((re, text)) => How::Replace(regex(&pattern(re), false)?, text, Often::Once),
                None => return Ok(None),
            },
            [b'^', b'^', re @ ..] => case(re, Often::Always, <[u8]>::make_ascii_uppercase)?,
            [b'^', re @ ..] => case(re, Often::Once, <[u8]>::make_ascii_uppercase)?,
            [b',', b',', re @ ..] => case(re, Often::Always, <[u8]>::make_ascii_lowercase)?,
            [b',', re @ ..] => case(re, Often::Once, <[u8]>::make_ascii_lowercase)?,
            _ => return Ok(None),
        };
        let written = written.to_vec();
        Ok(Some(Change { written, how }))
    }

    /// Adds the changed value.
    pub(super) fn apply(&self, value: &[u8], word: &mut Vec<u8>) {
        match &self.how {
            How::Default(text) if value.is_empty() => word.extend_from_slice(text),
            How::Default(_) => word.extend_from_slice(value),
            How::Range(from, length) => {
                let rest = value.get(*from..).unwrap_or_default();
                let end = length.map_or(rest.len(), |length| length.min(rest.len()));
                word.extend_from_slice(&rest[..end]);
            }
            How::Prefix(re) => {
                let end = re.find(value).map_or(0, |found| found.end());
                word.extend_from_slice(&value[end..]);
            }
            How::Suffix(re) => {
                let stays = re.captures(value).and_then(|found| found.get(1));
                word.extend_from_slice(stays.map_or(value, |stays| stays.as_bytes()));
            }
            How::Replace(re, text, often) => {
                let limit = usize::from(*often == Often::Once);
                word.extend_from_slice(&re.replacen(value, limit, NoExpand(text)));
            }
            How::Case(re, often, change) => {
                let start = word.len();
                word.extend_from_slice(value);
                let found = re.find_iter(value);
                for found in found.take(if *often == Often::Once { 1 } else { usize::MAX }) {
                    change(&mut word[start + found.start()..start + found.end()]);
                }
            }
        }
    }
}

/// `n` or `n:length`.
fn range(text: &[u8]) -> Option<(usize, Option<usize>)> {
    let text = std::str::from_utf8(text).ok()?;
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        // More than any value has.
        (digits && !text.is_empty()).then(|| text.parse().unwrap_or(usize::MAX))
    };
    match text.split_once(':') {
        None => Some((number(text)?, None)),
        Some((from, length)) => Some((number(from)?, Some(number(length)?))),
    }
}

/// The pattern and the text of `re/text`.
fn replacement(text: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let slash = memchr::memchr(b'/', text).filter(|&slash| slash > 0)?;
    Some((&text[..slash], text[slash + 1..].to_vec()))
}

fn case(re: &[u8], often: Often, change: fn(&mut [u8])) -> Result<How, BadPattern> {
    let pattern = pattern(re);
    let pattern = match often {
        Often::Once => format!("^(?:{pattern})"),
        Often::Always => pattern,
    };
    Ok(How::Case(regex(&pattern, false)?, often, change))
}

/// The pattern as text: a byte that is none by itself is written in hexadecimal.
fn pattern(re: &[u8]) -> String {
    let mut pattern = String::with_capacity(re.len());
    for chunk in re.utf8_chunks() {
        pattern.push_str(chunk.valid());
        for byte in chunk.invalid() {
            pattern.push_str(&format!("\\x{byte:02x}"));
        }
    }
    pattern
}

/// A pattern for bytes; with `lazy`, its repetitions fit as little as they can.
fn regex(pattern: &str, lazy: bool) -> Result<Regex, BadPattern> {
    let mut builder = RegexBuilder::new(pattern);
    // A value may hold line feeds, which are characters like others.
    builder
        .unicode(false)
        .dot_matches_new_line(true)
        .swap_greed(lazy);
    builder.build().map_err(|_| BadPattern)
}
