//! GNU parallel's options, all of them, and what becomes of each. Names are those of
//! version 20221122 with their abbreviations and spellings.

mod table;

pub(super) use table::GROUPS;

/// All options.
pub(super) fn all() -> impl Iterator<Item = &'static Opt> {
    GROUPS.iter().flat_map(|(_, options)| *options)
}

/// What somebody who writes this option to `orchestrator run`, which does not know it, is to
/// write there; nothing when GNU parallel does not know it either.
pub(in super::super) fn in_run(name: &str) -> Option<String> {
    let name = name.trim_start_matches('-');
    let option = all().find(|option| option.names.contains(&name))?;
    Some(match option.means {
        Means::Same(ours) | Means::Each(ours) | Means::Count(ours) => here(ours),
        Means::Own(kind) => kind.in_run()?,
        Means::Idle(why) => format!("leave it out: {why}"),
        Means::Refused(_) if name.starts_with("retry") => {
            "`orchestrator retry last` runs again what has failed".to_owned()
        }
        Means::Refused(instead) => instead.to_owned(),
    })
}

fn here(ours: &str) -> String {
    format!("GNU parallel's option is {ours} here")
}

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

impl Kind {
    /// What to write to `orchestrator run` for a name that is not known there.
    fn in_run(self) -> Option<String> {
        let shown = match self {
            Kind::Eof => "-E TEXT ends a source at an item that is TEXT",
            Kind::Lines => "-L N packs so many lines",
            Kind::Replace => "`{}` needs no -i; to write another word for it: -I STR",
            Kind::Quote => {
                "leave it out: no shell reads the words of the command, unless -c says so"
            }
            Kind::Group => "leave it out: each job's output is in one piece anyway",
            Kind::Silent => "leave it out: commands are shown with -v or -t only",
            Kind::NoKeepOrder => "leave it out: there is no order without -k",
            Kind::Resume => "--skip-logged ended leaves jobs out by what --joblog says",
            Kind::ResumeFailed => "--skip-logged succeeded leaves jobs out by what --joblog says",
            Kind::Profile => "profiles are for `orchestrator parallel`",
            Kind::Plain => "leave it out: options are read from nowhere else",
            Kind::Version => "`orchestrator --version` prints it",
            Kind::MinVersion => "it is for `orchestrator parallel`",
            Kind::Retries => return Some(here("--retries, which counts further attempts")),
            Kind::Halt => return Some(here("--halt")),
            Kind::Timeout => return Some(here("--timeout")),
            Kind::Delay => return Some(here("--delay")),
            Kind::ArgSep => return Some(here("--arg-sep")),
            Kind::ArgFileSep => return Some(here("--arg-file-sep")),
            Kind::Null => return Some(here("--null")),
            Kind::Delimiter => return Some(here("--delimiter")),
            Kind::Ungroup => return Some(here("--ungroup")),
            Kind::LineBuffer => return Some(here("--line-buffer")),
            Kind::Tag => return Some(here("--tag")),
            Kind::TagString => return Some(here("--tagstring")),
            Kind::JobLog => return Some(here("--joblog")),
            Kind::RoundRobin => return Some(here("--round-robin")),
            Kind::Help => return None,
        };
        Some(shown.to_owned())
    }

    /// What stands for its value, and what it does, in a line.
    pub(super) fn told(self) -> (&'static str, &'static str) {
        match self {
            Kind::Retries => (
                "N",
                "Try a job up to N times in all until it succeeds; 0: as often as it takes",
            ),
            Kind::Halt => (
                "WHEN,WHY",
                "Stop early: never, or now|soon,fail|success|done=N[%]; also 0, 1, 2, -1, -2, N%",
            ),
            Kind::Timeout => (
                "TIME|N%",
                "End a job that takes longer, e.g. 90, 1.5m, 1h30m, or N% of the median; 0: none",
            ),
            Kind::Delay => (
                "TIME[auto]",
                "Start a job only so long after the one before; with `auto` it adapts to failures",
            ),
            Kind::Quote => ("", "Words stay words: no shell reads the command"),
            Kind::ArgSep => (
                "TEXT",
                "What begins a list of arguments behind the command, in place of :::",
            ),
            Kind::ArgFileSep => (
                "TEXT",
                "What begins a list of files behind the command, in place of ::::",
            ),
            Kind::Null => ("", "Items end with a zero byte, not with a line feed"),
            Kind::Delimiter => (
                "TEXT",
                "Items end with this text, in which \\n, \\t, \\0, \\x2c and the like are bytes",
            ),
            Kind::Eof => (
                "TEXT",
                "An item that is this text ends its source; without one, none does",
            ),
            Kind::Lines => (
                "N",
                "Give a command the values of up to N lines [default: 1]; one that ends with a blank goes on in the next",
            ),
            Kind::Replace => ("STR", "Write STR for {}; without one, {}"),
            Kind::Group => (
                "",
                "Print each job's output in one piece when it ends (the default)",
            ),
            Kind::Ungroup => (
                "",
                "Print the output of running jobs as it comes: lines of several jobs may mix",
            ),
            Kind::LineBuffer => ("", "Print whole lines of running jobs as they come"),
            Kind::Tag => (
                "",
                "Put the job's line and a TAB in front of each line of its output",
            ),
            Kind::TagString => (
                "TEXT",
                "Put this text, with places as in a command, and a TAB in front of each line of output",
            ),
            Kind::Silent => ("", "Show no commands after all (see -v)"),
            Kind::JobLog => (
                "[+]FILE",
                "Add a line for each attempt at a job to this file, which is never emptied",
            ),
            Kind::Resume => (
                "",
                "Leave out jobs that have ended, by what --joblog says of an earlier run",
            ),
            Kind::ResumeFailed => (
                "",
                "Leave out jobs that have succeeded, by what --joblog says of an earlier run",
            ),
            Kind::RoundRobin => (
                "",
                "Start one command per worker and keep each fed with blocks for as long as there is input",
            ),
            Kind::NoKeepOrder => ("", "No order after all (see -k)"),
            Kind::Profile => (
                "NAME",
                "Read options from this file in ~/.parallel, or ./NAME (repeatable)",
            ),
            Kind::Plain => ("", "Read no options from $PARALLEL, files and profiles"),
            Kind::Help => ("", "Print what is offered"),
            Kind::Version => ("", "Print the version"),
            Kind::MinVersion => (
                "VERSION",
                "Exit with 0 if that version of GNU parallel is not newer than what is taken here, else 255",
            ),
        }
    }
}

impl Opt {
    /// Whether it does something.
    pub(super) fn is_offered(&self) -> bool {
        !matches!(self.means, Means::Refused(_) | Means::Idle(_))
    }

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
