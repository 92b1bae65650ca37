//! What is open while a text is read.

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
    Parameter { from: usize },
    /// `$((…))`, with the number of parentheses that are open.
    Arithmetic { from: usize, depth: usize },
    /// `` `…` ``
    Backticks { from: usize },
}

/// What a row of commands began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    Nothing,
    Parenthesis,
    Substitution { from: usize },
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
        }
    }
}
