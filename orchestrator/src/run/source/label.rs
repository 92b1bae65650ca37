//! Text with places for an item: what stands in front of a job's lines, where its results go,
//! where it runs. Filled like a command's word.

use super::item::Item;
use super::place::Places;
use super::template::{Template, TemplateError};

/// What a text has before it, as a word.
const BEFORE: &[u8] = b"=";

/// Why a text is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LabelError {
    /// It holds the number of the worker, which is not known here.
    Slot,
    /// As for a command's word.
    Template(TemplateError),
}

/// Such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    template: Template,
    has_place: bool,
}

impl Label {
    /// Finds the places in a text.
    ///
    /// # Errors
    /// When it holds one that is not offered.
    pub(crate) fn parse(text: &[u8], places: &Places) -> Result<Label, LabelError> {
        let places = Places {
            repeats: false,
            ..places.clone()
        };
        // With something before it, all fields together stay in one word.
        let text = [BEFORE, text].concat();
        // The first word would be a program; and where there is no place, one is added
        // as the last word.
        let template = Template::parse(&[&b"label"[..], &text], &places);
        let template = template.map_err(LabelError::Template)?;
        let filled = template.fill(Item::value(b""), 1);
        // Where a job ran is known when it has run.
        if !filled.slots.is_empty() {
            return Err(LabelError::Slot);
        }
        let has_place = filled.words.len() < 3;
        Ok(Label {
            template,
            has_place,
        })
    }

    /// Whether it has a place.
    pub(crate) fn has_place(&self) -> bool {
        self.has_place
    }

    /// The text for the job with this number, of this item.
    pub(crate) fn fill(&self, item: Item<'_>, seq: u64) -> Vec<u8> {
        let mut words = self.template.fill(item, seq).words;
        words.swap_remove(1).split_off(BEFORE.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::source::item::Fields;

    #[test]
    fn a_label_is_filled_like_a_word() {
        let item = Item::value(b"a/b c.txt");
        let label = Label::parse(b"<{/.} {#}>", &Places::default()).unwrap();
        assert!(label.has_place());
        assert_eq!(label.fill(item, 3), b"<b c 3>");
        let label = Label::parse(b"plain", &Places::default()).unwrap();
        assert!(!label.has_place());
        assert_eq!(label.fill(item, 3), b"plain");
        let several = Places {
            several: true,
            repeats: true,
            ..Places::default()
        };
        let item = Item::new(b"a/b.c\0d", Fields::Several);
        for (text, expected) in [("{}", "a/b.c d"), ("{2}-{1/.}", "d-b"), ("x{3}", "x")] {
            let label = Label::parse(text.as_bytes(), &several).unwrap();
            assert_eq!(label.fill(item, 3), expected.as_bytes());
        }
        let slot = Label::parse(b"{%}", &Places::default());
        assert_eq!(slot, Err(LabelError::Slot));
    }
}
