//! The text as it is given to the shell, and its parameters.

use std::borrow::Cow;

use protocol::SlotPlace;

use super::super::item::Item;
use super::super::place::{Place, Places};
use super::super::template::Filled;
use super::dialect::Dialect;
use super::fault::Fault;
use super::scan::{Scan, scan};
use super::several::Several;

/// Text for a shell, with positional parameters where the places were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShellText {
    /// As it is for an item of one field.
    text: Vec<u8>,
    /// What `$1` and so on are made of. The first is always the line, for text
    /// that says `$1` itself.
    places: Vec<Place>,
    /// What is needed when items may have several fields.
    several: Option<Several>,
    /// What is wrong with it for a shell that knows less than bash.
    for_few: Option<Fault>,
}

impl ShellText {
    /// Finds the places in a text. When there is none and the text is a simple
    /// command that does not speak of its parameters, a place is added at its
    /// end.
    ///
    /// # Errors
    /// When the text is not complete, when there is no place for the item in
    /// it, or one where the item would not stay data.
    pub(crate) fn parse(
        text: &[u8],
        places: &Places,
        dialect: Dialect,
    ) -> Result<ShellText, Fault> {
        let found = scan(text, places, dialect)?;
        if found.has_place || found.speaks_of_parameters || !places.appends {
            return Ok(ShellText::new(found, places));
        }
        if !found.is_simple {
            return Err(Fault::no_place());
        }
        let found = scan(&[text, b" ", places.whole()].concat(), places, dialect)?;
        Ok(ShellText::new(found, places))
    }

    /// The same, but where there is no place, one is added at the end, whatever stands
    /// there.
    ///
    /// # Errors
    /// When the text is not complete, or the line would not stay data.
    pub(crate) fn parse_adding(
        text: &[u8],
        places: &Places,
        dialect: Dialect,
    ) -> Result<ShellText, Fault> {
        let found = scan(text, places, dialect)?;
        let found = match found.has_place || !places.appends {
            true => found,
            false => scan(&[text, b" ", places.whole()].concat(), places, dialect)?,
        };
        // Still none: what was added ends a comment.
        Ok(ShellText::new(found, places))
    }

    fn new(found: Scan, written: &Places) -> ShellText {
        let several = written.several;
        ShellText {
            several: several.then(|| Several::new(found.puts, found.spans, &found.places)),
            for_few: found.both_streams.map(Fault::both_streams),
            text: found.text,
            places: found.places,
        }
    }

    /// What the shell at this path would misunderstand without a word, if anything; `None`
    /// is `sh`.
    pub(crate) fn misunderstood_by(&self, shell: Option<&[u8]>) -> Option<&Fault> {
        self.for_few.as_ref().filter(|_| !knows_more(shell))
    }

    /// What the shell reads as its program for an item of one field.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// How long the text is for an item with the values in its places, and how long what the shell
    /// gets: that text, and its parameters.
    pub(crate) fn lengths(&self, item: Item<'_>) -> (usize, Vec<usize>) {
        let (text, filled) = self.fill(item, u64::MAX);
        let typed = match &self.several {
            Some(several) => several.fill(&self.text, &self.places, item, u64::MAX).2,
            None => text.len(),
        };
        let words = filled.words.iter().map(Vec::len);
        (typed, std::iter::once(text.len()).chain(words).collect())
    }

    /// What the shell reads as its program for an item, and the values of `$1` and so on.
    pub(crate) fn fill(&self, item: Item<'_>, number: u64) -> (Cow<'_, [u8]>, Filled) {
        if let Some(several) = &self.several {
            let (text, filled, _) = several.fill(&self.text, &self.places, item, number);
            return (Cow::Owned(text), filled);
        }
        let mut filled = Filled::default();
        for place in &self.places {
            let mut value = Vec::new();
            place.fill(item, number, &mut value);
            if *place == Place::Slot {
                filled.slots.push(SlotPlace::new(filled.words.len(), 0));
            }
            filled.words.push(value);
        }
        (Cow::Borrowed(&self.text), filled)
    }
}

/// What the shell at this path would misunderstand without a word in a text that has no places.
pub(crate) fn misunderstood(text: &[u8], shell: Option<&[u8]>) -> Option<Fault> {
    if knows_more(shell) || memchr::memmem::find(text, b"&>").is_none() {
        return None;
    }
    let found = scan(text, &Places::none(), Dialect::default()).ok()?;
    found.both_streams.map(Fault::both_streams)
}

/// Whether it is a shell that knows `&>`.
fn knows_more(shell: Option<&[u8]>) -> bool {
    shell.is_some_and(|path| Dialect::of(path, path).knows_both_streams())
}

#[cfg(test)]
mod calculated;
#[cfg(test)]
mod tests;
