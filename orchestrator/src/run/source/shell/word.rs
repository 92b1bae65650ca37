//! A fault in a command's words, and the words themselves.

use super::fault::{self, Why};

/// A fault whose text has not been cut out yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at: usize,
    pub(super) length: usize,
    pub(super) why: &'static Why,
}

/// A word of a command, as the shell sees it before it expands anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::run::source) struct Word {
    /// Where it begins.
    pub(super) at: usize,
    /// Where it begins in the text that is made.
    pub(super) made: usize,
    /// Its characters without quotes; variables as they are written.
    pub(super) value: Vec<u8>,
    /// Where the first place in it is, and how long that is.
    pub(super) place: Option<(usize, usize)>,
    /// How many of its characters come before the first place or variable in
    /// it, if there is one.
    pub(super) known: Option<usize>,
    /// Whether something in it is quoted.
    pub(super) is_quoted: bool,
    /// Where it ends.
    pub(super) end: usize,
    /// Where something in it is that may be data when it is expanded, and how long that is; not
    /// what becomes a number.
    pub(super) data: Option<(usize, usize)>,
    /// Whether it says the name of a variable that may hold data: where the shell calculates, that
    /// is as good as its value.
    pub(super) names_data: bool,
    /// Whether it is what a command prints, by the name of a file.
    pub(super) feeds: bool,
    /// Whether such a thing stands outside of quotes and is a variable, so that it may become
    /// several words.
    pub(super) is_loose: bool,
}

/// Shells, whose option `-c` takes program text.
const SHELLS: [&[u8]; 22] = [
    b"sh", b"bash", b"dash", b"ash", b"ksh", b"ksh88", b"ksh93", b"mksh", b"lksh", b"oksh",
    b"loksh", b"pdksh", b"posh", b"zsh", b"yash", b"rbash", b"rksh", b"fish", b"csh", b"tcsh",
    b"hush", b"nu",
];

/// Ways to write the shell that reads the text.
const THIS_SHELL: [&[u8]; 6] = [b"$SHELL", b"${SHELL}", b"$BASH", b"${BASH}", b"$0", b"${0}"];

impl Word {
    pub(super) fn new(at: usize, made: usize) -> Word {
        Word {
            at,
            made,
            ..Word::default()
        }
    }

    /// A word of a command that no shell reads, the one with this number.
    pub(in crate::run::source) fn plain(number: usize, text: &[u8], place: Option<usize>) -> Word {
        Word {
            at: number,
            made: 0,
            value: text.to_vec(),
            place: place.map(|_| (number, text.len())),
            known: place,
            is_quoted: true,
            ..Word::default()
        }
    }

    /// Something follows that is not known before the shell runs.
    pub(super) fn expand(&mut self) {
        self.known.get_or_insert(self.value.len());
    }

    /// Whether it begins with a place or a variable, so that it may turn out to
    /// be anything.
    pub(super) fn is_open(&self) -> bool {
        self.known == Some(0)
    }

    /// Whether it begins with a place, or with a dash and a place, so that the
    /// line may make any option of it.
    pub(super) fn may_be_option(&self) -> bool {
        self.place.is_some() && (self.is_open() || self.value.starts_with(b"-"))
    }

    /// Whether there is data in it, or the name of a variable with data.
    pub(super) fn holds(&self) -> bool {
        self.data.is_some() || self.names_data
    }

    /// The same with what comes from the line by way of a variable, or without quotes.
    pub(super) fn may_turn_out(&self) -> bool {
        let begins = self.is_open() || self.value.starts_with(b"-");
        self.is_loose || (self.data.is_some() && begins)
    }

    /// Whether it is this word, without any quotes: so it may be a word of the
    /// shell's grammar.
    pub(super) fn is_bare(&self, word: &[u8]) -> bool {
        !self.is_quoted && self.place.is_none() && self.value == word
    }

    pub(super) fn is_number(&self) -> bool {
        let is_plain = !self.is_quoted && self.known.is_none();
        is_plain && self.value.iter().all(u8::is_ascii_digit)
    }

    pub(super) fn is_assignment(&self) -> bool {
        self.assigned().is_some()
    }

    /// The variable that it gives a value to.
    pub(super) fn assigned(&self) -> Option<&[u8]> {
        let end = memchr::memchr(b'=', &self.value)?;
        let name = self.value[..end]
            .strip_suffix(b"+")
            .unwrap_or(&self.value[..end]);
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let starts = name.first().is_some_and(|b| !b.is_ascii_digit());
        let is_known = self.known.is_none_or(|known| end < known);
        (starts && is_known && name.iter().all(is_name)).then_some(name)
    }

    /// Whether elements of an array follow.
    pub(super) fn begins_array(&self) -> bool {
        let is_plain = self.known.is_none() && !self.is_quoted;
        is_plain && self.value.ends_with(b"=") && self.is_assignment()
    }

    /// Whether it begins as an element of an array does.
    pub(super) fn is_element(&self) -> bool {
        let is_name = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_';
        let name = self.value.iter().take_while(is_name).count();
        let is_known = self.known.is_none_or(|known| name < known);
        name > 0 && is_known && self.value.get(name) == Some(&b'[')
    }

    pub(super) fn is_one_of(&self, names: &[&[u8]]) -> bool {
        self.place.is_none() && names.contains(&&self.value[..])
    }

    pub(super) fn is_shell(&self) -> bool {
        let name = memchr::memrchr(b'/', &self.value).map_or(0, |slash| slash + 1);
        let is_known = SHELLS.contains(&&self.value[name..]);
        (is_known && self.place.is_none()) || self.is_one_of(&THIS_SHELL)
    }

    /// The place in it as a fault.
    pub(super) fn refused(&self, why: &'static Why) -> Option<Mark> {
        let (at, length) = self.place?;
        Some(Mark { at, length, why })
    }

    /// The data in it as a fault, unless that is a place of which more is known.
    pub(super) fn held(&self, why: &'static Why) -> Option<Mark> {
        let (at, length) = self.data?;
        Some(Mark { at, length, why })
    }

    /// The word as a fault, or else the place that it begins with.
    pub(super) fn marked(&self, why: &'static Why) -> Mark {
        let place = self.place.filter(|_| self.is_open());
        let (at, length) = place.unwrap_or((self.at, self.value.len()));
        Mark { at, length, why }
    }

    /// Program text for a shell: no place may be in it, and nothing that may
    /// come from one.
    pub(super) fn as_program(&self, why: &'static Why) -> Option<Mark> {
        let handed_on = || self.known.map(|_| self.marked(&fault::HANDED_ON));
        self.refused(why).or_else(handed_on)
    }
}
