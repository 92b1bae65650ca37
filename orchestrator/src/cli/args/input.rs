//! Where the items of a run come from, and what is made of them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `run` about its input.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct SourceArgs {
    /// Read items from this file, not from standard input (repeatable: every combination;
    /// `-` is standard input)
    #[arg(short = 'a', long, value_name = "FILE")]
    pub(crate) arg_file: Vec<PathBuf>,

    /// Take the first items of all sources together, then the second ones, and so on; a
    /// source that ends before the longest begins again
    #[arg(long, visible_alias = "xapply")]
    pub(crate) link: bool,

    /// Items end with this text, in which \n, \t, \0, \x2c and the like are bytes
    #[arg(
        short = 'd',
        long,
        value_name = "TEXT",
        conflicts_with = "null",
        allow_hyphen_values = true
    )]
    pub(crate) delimiter: Option<OsString>,

    /// Divide each item into columns {1}, {2}, … by what this regular expression matches,
    /// e.g. '\t', ' +'
    #[arg(short = 'C', long, value_name = "REGEX", allow_hyphen_values = true)]
    pub(crate) colsep: Option<OsString>,

    /// Items are records of CSV, divided by a comma or the one byte of --colsep
    #[arg(long, conflicts_with_all = ["null", "delimiter"])]
    pub(crate) csv: bool,

    /// `:` takes the first item of each source for the names of its columns, for {name}; with
    /// --pipe, what each command reads in front of its block: `:` for the first line, N for N
    /// lines, or what a regular expression matches at the beginning
    #[arg(long, value_name = ":", value_parser = header, allow_hyphen_values = true)]
    pub(crate) header: Option<Header>,

    /// The names that the first items had, of a run that is recorded
    #[arg(long, value_name = "NAME", hide = true, allow_hyphen_values = true)]
    pub(crate) header_name: Vec<OsString>,

    /// An item that is this text ends its source
    #[arg(short = 'E', value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) end_of_file: Option<OsString>,

    /// Cut off blanks at the left (l), at the right (r) or both (lr) of each value
    #[arg(
        long,
        value_enum,
        value_name = "WHERE",
        default_value = "n",
        hide_default_value = true
    )]
    pub(crate) trim: TrimArg,

    /// Leave out items that are empty or only blanks
    #[arg(short = 'r', long)]
    pub(crate) no_run_if_empty: bool,

    /// Take the items in a random order, or in the one that a number stands for: reads all of
    /// the input first
    #[arg(long, value_name = "SEED", num_args = 0..=1, require_equals = true)]
    pub(crate) shuf: Option<Option<u64>>,

    /// What begins a list of items behind the command, in place of `:::`
    #[arg(
        long,
        value_name = "TEXT",
        default_value = ":::",
        hide_default_value = true
    )]
    pub(crate) arg_sep: OsString,

    /// What begins a list of files behind the command, in place of `::::`
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "::::",
        hide_default_value = true
    )]
    pub(crate) arg_file_sep: OsString,
}

/// What stands at the beginning of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// The first item.
    First,
    /// So many lines.
    Lines(usize),
    /// What this regular expression matches.
    Pattern(String),
}

fn header(text: &str) -> Result<Header, String> {
    match text {
        // In GNU parallel it is a pattern, of which this is the usual one.
        ":" | ".*\\n" => Ok(Header::First),
        _ => match text.parse() {
            Ok(0) => Err("it must be at least one line; values of files are {1}, {2}, …".into()),
            Ok(lines) => Ok(Header::Lines(lines)),
            Err(_) => Ok(Header::Pattern(text.to_owned())),
        },
    }
}

/// Where blanks are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrimArg {
    /// nowhere
    N,
    /// at the left
    L,
    /// at the right
    R,
    /// on both sides
    #[value(alias = "rl")]
    Lr,
}
