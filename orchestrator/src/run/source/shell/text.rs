//! The text as it is given to the shell, and its parameters.

use super::super::item::Item;
use super::super::place::Place;
use super::fault::Fault;
use super::scan::{Scan, scan};

/// Text for a shell, with positional parameters where the places were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShellText {
    text: Vec<u8>,
    /// What `$1` and so on are made of. The first is always the line, for text
    /// that says `$1` itself.
    places: Vec<Place>,
}

impl ShellText {
    /// Finds the places in a text. When there is none and the text is a simple
    /// command that does not speak of its parameters, a place is added at its
    /// end.
    ///
    /// # Errors
    /// When the text is not complete, when there is no place for the line in
    /// it, or one where the line would not stay data.
    pub(crate) fn parse(text: &[u8]) -> Result<ShellText, Fault> {
        let found = scan(text)?;
        if found.has_place || found.speaks_of_parameters {
            return Ok(ShellText::new(found));
        }
        if !found.is_simple {
            return Err(Fault::no_place());
        }
        let found = scan(&[text, b" {}"].concat())?;
        Ok(ShellText::new(found))
    }

    fn new(found: Scan) -> ShellText {
        let Scan { text, places, .. } = found;
        ShellText { text, places }
    }

    /// What the shell reads as its program.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The values of `$1` and so on for an item.
    pub(crate) fn fill(&self, item: Item<'_>, number: u64) -> Vec<Vec<u8>> {
        let fill = |place: &Place| {
            let mut value = Vec::new();
            place.fill(item, number, &mut value);
            value
        };
        self.places.iter().map(fill).collect()
    }
}

#[cfg(test)]
mod tests;
