//! GNU parallel's options, all of them, and what becomes of each. Names are those of
//! version 20221122 with their abbreviations and spellings.

mod table;

pub(super) use table::OPTIONS;

/// An option of GNU parallel.
#[derive(Debug)]
pub(super) struct Opt {
    /// Its names; those of one letter are short ones.
    pub(super) names: &'static [&'static str],
    pub(super) takes: Takes,
    pub(super) means: Means,
}

/// What stands behind an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
    /// A value, unless something else follows that looks like an option.
    Maybe,
    /// A number, if one follows.
    MaybeNumber,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// It is this option of `orchestrator run`.
    Same(&'static str),
    /// It is this option of `orchestrator run`, as often as it is given.
    Each(&'static str),
    /// It is this option of `orchestrator run`; the number may have a suffix.
    Count(&'static str),
    /// It is translated here.
    Own(Kind),
    /// Nothing, for this reason.
    Idle(&'static str),
    /// There is no such thing here; what to use instead.
    Refused(&'static str),
}

/// What is translated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Attempts in all.
    Retries,
    /// A halt, in any of the notations.
    Halt,
    /// A time limit, or none.
    Timeout,
    /// A pause, as a time.
    Delay,
    /// Words stay words.
    Quote,
    /// What begins lists behind the command.
    ArgSep,
    ArgFileSep,
    /// What ends an item: one of them.
    Null,
    Delimiter,
    /// What ends all input, or nothing.
    Eof,
    /// How many lines, by default one.
    Lines,
    /// What stands for an item, by default `{}`.
    Replace,
    /// How output is kept together: one of them.
    Group,
    Ungroup,
    LineBuffer,
    /// What stands before output: one of them.
    Tag,
    TagString,
    /// No commands are shown after all.
    Silent,
    /// A file, with a plus when lines are added to it.
    JobLog,
    /// Jobs that have ended are left out, or those that have succeeded.
    Resume,
    ResumeFailed,
    /// It is about standard input in pieces.
    RoundRobin,
    /// No order after all.
    NoKeepOrder,
    /// Options from a file.
    Profile,
    /// No options from elsewhere.
    Plain,
    Help,
    Version,
    /// Whether this version is new enough.
    MinVersion,
}

impl Opt {
    /// Its best known names: one of a letter and a long one.
    pub(super) fn shown(&self) -> String {
        let short = self.names.iter().find(|name| name.len() == 1);
        let long = self.names.iter().find(|name| name.len() > 1);
        let names = [
            short.map(|name| format!("-{name}")),
            long.map(|name| format!("--{name}")),
        ];
        names.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests;
