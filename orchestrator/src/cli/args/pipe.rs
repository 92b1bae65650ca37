//! Standard input as what commands read.

use std::ffi::OsString;
use std::num::NonZero;

use clap::Args;

use super::Header;

/// Options of `run` that are about blocks of records.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Pipe")]
pub(crate) struct PipeArgs {
    /// Cut standard input into blocks of records; each is what one command reads on stdin
    #[arg(long, visible_alias = "spreadstdin")]
    pub(crate) pipe: bool,

    /// How large a block is about, e.g. 100k (100,000 bytes), 10M (10 MiB) [default: 1M]; a
    /// record that is larger makes it larger
    #[arg(long, visible_alias = "block-size", value_name = "SIZE", value_parser = size, requires = "pipe")]
    pub(crate) block: Option<usize>,

    /// How many records a block has, however large they are: -N
    #[arg(skip)]
    pub(crate) records: Option<NonZero<usize>>,

    /// A record is so many lines: -L
    #[arg(skip)]
    pub(crate) lines: Option<NonZero<usize>>,

    /// What each command reads first: --header
    #[arg(skip)]
    pub(crate) header: Option<Header>,

    /// What a record ends with [default: \n, or nothing with --recstart]; nothing: a block may
    /// end anywhere
    #[arg(
        long,
        value_name = "TEXT",
        requires = "pipe",
        allow_hyphen_values = true
    )]
    pub(crate) recend: Option<OsString>,

    /// What a record begins with
    #[arg(
        long,
        value_name = "TEXT",
        requires = "pipe",
        allow_hyphen_values = true
    )]
    pub(crate) recstart: Option<OsString>,

    /// --recend and --recstart are regular expressions
    #[arg(long, visible_alias = "regex", requires = "pipe")]
    pub(crate) regexp: bool,

    /// Take what separates records out of blocks
    #[arg(long, visible_aliases = ["rrs", "removerecsep"], requires = "pipe")]
    pub(crate) remove_rec_sep: bool,

    /// Start one command per worker and keep each fed with blocks for as long as there is input
    #[arg(long, visible_alias = "round", requires = "pipe")]
    pub(crate) round_robin: bool,
}

/// What a suffix multiplies by: capitals by powers of 1024, small letters by powers of 1000.
fn unit(suffix: u8) -> Option<f64> {
    let power = b"kmgtp"
        .iter()
        .position(|&unit| unit == suffix.to_ascii_lowercase())?;
    let base: f64 = if suffix.is_ascii_uppercase() {
        1024.
    } else {
        1000.
    };
    Some(base.powi(power as i32 + 1))
}

fn size(text: &str) -> Result<usize, String> {
    let no_size = || "not a size; write bytes, or a number with K, M, G or k, m, g".to_owned();
    let (digits, unit) = match text.as_bytes().last().and_then(|&last| unit(last)) {
        Some(unit) => (&text[..text.len() - 1], unit),
        None => (text, 1.),
    };
    let is_number = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = digits.parse().map_err(|_| no_size())?;
    if !is_number {
        return Err(no_size());
    }
    let bytes = (number * unit) as u64;
    match bytes {
        0 => Err("it must be at least 1".into()),
        // What a command reads is one piece.
        1..=MAX_BLOCK => Ok(bytes as usize),
        _ => Err("at most 4G: each command's block is in memory while it runs".into()),
    }
}

/// The largest block.
const MAX_BLOCK: u64 = 4 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_suffixes_that_people_know() {
        for (text, bytes) in [
            ("1", 1),
            ("1k", 1_000),
            ("1K", 1_024),
            ("1.5k", 1_500),
            ("10M", 10 << 20),
            ("2g", 2_000_000_000),
            ("4G", 4 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "", "k", "0", "-1", "1e3", "1kk", "5G", "1P", "inf", "nan", "1x",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
