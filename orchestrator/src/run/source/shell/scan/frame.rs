//! What is open while a text is read.

use super::super::names::Fed;
use super::super::word::Word;

/// Something that was opened and is not closed yet.
#[derive(Debug)]
pub(super) enum Frame {
    /// Commands: the whole text, or what is in parentheses.
    Command(Command),
    /// `'…'`
    Single { from: usize },
    /// `"…"`, or `$"…"`.
    Double { from: usize, dollar: bool },
    /// `$'…'`
    DollarSingle { from: usize },
    /// `${…}`
    Parameter {
        from: usize,
        name: Vec<u8>,
        part: Part,
    },
    /// `$((…))` or `((…))`, with the number of parentheses that are open; `$[…]`, with that of brackets.
    Arithmetic {
        from: usize,
        depth: usize,
        brackets: bool,
    },
    /// `` `…` `` with backslashes and the like in it, whose commands are not looked at.
    Backticks { from: usize },
    /// The lines of a here-document.
    Document,
}

/// The part of `${…}` that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What comes behind the name.
    Name,
    /// An index, with so many brackets open.
    Index(usize),
    /// Numbers behind a colon.
    Offset,
    /// What the variable gets when it has no value.
    Value,
    /// Anything else.
    Rest,
}

/// What a row of commands began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    Nothing,
    Parenthesis,
    /// `$(…)`
    Substitution {
        from: usize,
    },
    /// `` `…` `` that mean the same.
    Backticks {
        from: usize,
        translated: bool,
    },
    /// `<(…)` and `>(…)`
    Process {
        from: usize,
    },
    /// The elements behind `x=`.
    Array,
}

/// `[[ … ]]` while it is being read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Test {
    /// How many parentheses of a pattern are open.
    pub(super) depth: usize,
    /// Whether the word is a regular expression.
    pub(super) is_pattern: bool,
}

/// A row of commands that is being read.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) opener: Opener,
    /// The words of the current one so far.
    pub(super) words: Vec<Word>,
    /// The word that is not complete.
    pub(super) word: Option<Word>,
    /// The redirection whose target comes next.
    pub(super) redirection: Option<u8>,
    /// Whether the current one has `<`.
    pub(super) has_input: bool,
    /// Here-documents that begin on the next line.
    pub(super) documents: Vec<Document>,
    /// Where `[[` was, while there is no `]]`.
    pub(super) test: Option<Test>,
    /// Where the first data in anything of this row is, and how long that is.
    pub(super) data: Option<(usize, usize)>,
    /// Whether this row may print data that it is given.
    pub(super) prints: bool,
    /// Whether the current one is a row in parentheses that may.
    pub(super) inner_prints: bool,
    /// What feeds the current one.
    pub(super) fed: Fed,
    /// Whether the current one prints into a file.
    pub(super) silent: bool,
    /// Whether messages may come with what the current one prints.
    pub(super) mixes: bool,
}

/// A here-document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) delimiter: Vec<u8>,
    /// `<<-`: tabs at the beginning of lines do not count.
    pub(super) tabs: bool,
    pub(super) quoted: bool,
}

impl Command {
    pub(super) fn new(opener: Opener) -> Command {
        Command {
            opener,
            words: Vec::new(),
            word: None,
            redirection: None,
            has_input: false,
            documents: Vec::new(),
            test: None,
            data: None,
            prints: false,
            inner_prints: false,
            fed: Fed::default(),
            silent: false,
            mixes: false,
        }
    }
}
