//! The words of a command with places for an item: `sha256sum {}`.
//!
//! The words become an argument vector, never text for a shell, so no byte of
//! an item is ever read as program text; words that name a shell and would make it
//! read an item so are refused. Replacement is a single pass over each
//! word: what an item puts in is not looked at again, even when it holds `{}`.
//!
//! Of an item with several fields, `{}` (or `{.}` and so on) as a word of its own becomes a word
//! for each; in a longer word they have blanks between them, or, where places repeat, the word
//! is there once for each. A field that is missing is nothing: a place that is a whole word is no word then.

use protocol::SlotPlace;

use super::item::Item;
use super::place::{Found, Place, Places, Which};
use super::shell::Why;
use super::shell::Word;
use super::shell::command::program_text;

/// A command with places for an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    words: Vec<Vec<Piece>>,
    several: bool,
    repeats: bool,
    /// Whether a word for a field that is not there is left out, or else is empty.
    drops: bool,
    /// Whether the fields that `{}` puts into a word that is not repeated are words, as blanks between
    /// them would make them for a shell.
    splits: bool,
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Place(Place),
}

/// What an item makes of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    /// The argument vector, or the parameters of a text.
    pub(crate) words: Vec<Vec<u8>>,
    /// Where in them the worker puts its slot.
    pub(crate) slots: Vec<SlotPlace>,
}

/// Why words are no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// There is this, which is not offered.
    Unoffered(Vec<u8>, &'static Why),
    /// The word with this number is for a shell, which would read what an item
    /// puts in as program text.
    ShellText(usize),
}

impl Template {
    /// Finds the places in these words. When there is none, `{}` is added as
    /// the last word.
    ///
    /// # Errors
    /// When a word holds a place that is not offered, or one where the item
    /// would not stay data.
    pub(crate) fn parse<W: AsRef<[u8]>>(
        words: &[W],
        places: &Places,
    ) -> Result<Template, TemplateError> {
        let parsed: Result<Vec<_>, _> = words
            .iter()
            .map(|word| parse_word(word.as_ref(), places))
            .collect();
        let mut parsed = parsed?;
        let mut plain = Vec::new();
        for (number, pieces) in parsed.iter().enumerate() {
            let place = pieces.iter().position(is_place);
            let word = Word::plain(number, words[number].as_ref(), place);
            // It may become several words, of which a shell would read each in another way.
            if places.several && (is_whole(pieces) || places.repeats && pieces.iter().any(is_all)) {
                plain.push(word.clone());
            }
            plain.push(word);
        }
        if let Some(number) = program_text(&plain) {
            return Err(TemplateError::ShellText(number));
        }
        if places.appends && !parsed.iter().flatten().any(is_place) {
            parsed.push(vec![Piece::Place(Place::WHOLE)]);
        }
        Ok(Template {
            words: parsed,
            several: places.several,
            repeats: places.repeats,
            drops: places.ours,
            splits: !places.ours,
        })
    }

    /// The program, when it is the same for every item.
    pub(crate) fn program(&self) -> Option<&[u8]> {
        match self.words.first()?.as_slice() {
            [Piece::Literal(name)] => Some(name),
            _ => None,
        }
    }

    /// The same with another program.
    pub(crate) fn with_program(mut self, program: Vec<u8>) -> Template {
        if let Some(first) = self.words.first_mut() {
            *first = vec![Piece::Literal(program)];
        }
        self
    }

    /// The argument vector for an item.
    pub(crate) fn fill(&self, item: Item<'_>, number: u64) -> Filled {
        let mut filled = Filled {
            words: Vec::with_capacity(self.words.len()),
            slots: Vec::new(),
        };
        for pieces in &self.words {
            if self.several && item.only().is_none() {
                self.fill_several(pieces, item, number, &mut filled);
            } else if !self.leaves_out(pieces, item) {
                filled.add(pieces, item, None, number);
            }
        }
        filled
    }

    fn fill_several(&self, pieces: &[Piece], item: Item<'_>, number: u64, filled: &mut Filled) {
        let has_all = pieces.iter().any(is_all);
        let repeats = self.repeats && item.count() > 0 && has_all;
        if self.splits && has_all && !repeats {
            filled.add_split(pieces, item, number);
        } else if is_whole(pieces) || repeats {
            for field in item.fields() {
                filled.add(pieces, item, Some(field), number);
            }
        } else if !self.leaves_out(pieces, item) {
            filled.add(pieces, item, None, number);
        }
    }
}

impl Template {
    /// Words stay one word each, but those that are repeated.
    pub(super) fn unsplit(mut self) -> Template {
        self.splits = false;
        self
    }

    /// Whether there is any place.
    pub(super) fn has_place(&self) -> bool {
        self.words.iter().flatten().any(is_place)
    }

    /// Whether a word is nothing but a place for a field that is not there.
    fn leaves_out(&self, pieces: &[Piece], item: Item<'_>) -> bool {
        match pieces {
            [Piece::Place(Place::Value(which, _))] if self.drops && *which != Which::All => {
                which.field(item).is_none()
            }
            _ => false,
        }
    }
}

impl Filled {
    /// Adds a word; `{}` and the like are of `field` in it, if there is one.
    fn add(&mut self, pieces: &[Piece], item: Item<'_>, field: Option<&[u8]>, number: u64) {
        self.words.push(Vec::new());
        for piece in pieces {
            match field.filter(|_| is_all(piece)) {
                Some(field) => self.extend(piece, Item::value(field), number),
                None => self.extend(piece, item, number),
            }
        }
    }

    /// Adds a word that a place for all fields divides where a blank would stand.
    fn add_split(&mut self, pieces: &[Piece], item: Item<'_>, number: u64) {
        if item.count() == 0 && is_whole(pieces) {
            return;
        }
        self.words.push(Vec::new());
        for piece in pieces {
            if !is_all(piece) {
                self.extend(piece, item, number);
                continue;
            }
            for (n, field) in item.fields().enumerate() {
                if n > 0 {
                    self.words.push(Vec::new());
                }
                self.extend(piece, Item::value(field), number);
            }
        }
    }

    /// Adds this to the last word.
    fn extend(&mut self, piece: &Piece, item: Item<'_>, number: u64) {
        let at = self.words.len() - 1;
        let word = &mut self.words[at];
        match piece {
            Piece::Literal(bytes) => word.extend_from_slice(bytes),
            Piece::Place(Place::Slot) => self.slots.push(SlotPlace::new(at, word.len())),
            Piece::Place(place) => place.fill(item, number, word),
        }
    }
}

fn is_place(piece: &Piece) -> bool {
    matches!(piece, Piece::Place(_))
}

fn is_all(piece: &Piece) -> bool {
    matches!(piece, Piece::Place(Place::Value(Which::All, _)))
}

/// Whether a word is nothing but a place for all fields.
fn is_whole(pieces: &[Piece]) -> bool {
    matches!(pieces, [piece] if is_all(piece))
}

fn parse_word(word: &[u8], places: &Places) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut rest = word;
    while let Some(&first) = rest.first() {
        match places.at(rest, literal.last().copied()) {
            Found::Place(length, place) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Place(place));
                rest = &rest[length..];
            }
            Found::Unoffered(length, why) => {
                return Err(TemplateError::Unoffered(rest[..length].to_vec(), why));
            }
            Found::Nothing => {
                literal.push(first);
                rest = &rest[1..];
            }
        }
    }
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests;
