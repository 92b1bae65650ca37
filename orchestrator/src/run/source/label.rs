//! Text with places for an item: what stands in front of a job's lines, where its results go,
//! where it runs. Filled like a command's word.

use super::item::Item;
use super::place::Places;
use super::template::{Filled, Template, TemplateError};

/// What a text has before it, as a word.
const BEFORE: &[u8] = b"=";

/// Such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    template: Template,
    has_place: bool,
    has_slot: bool,
}

impl Label {
    /// Finds the places in a text.
    ///
    /// # Errors
    /// When it holds one that is not offered.
    pub(crate) fn parse(text: &[u8], places: &Places) -> Result<Label, TemplateError> {
        let places = Places {
            repeats: false,
            // By which a text without one is known, see below.
            appends: true,
            ..places.clone()
        };
        // With something before it, all fields together stay in one word.
        let text = [BEFORE, text].concat();
        // The first word would be a program; and where there is no place, one is added
        // as the last word.
        let template = Template::parse(&[&b"label"[..], &text], &places)?;
        let filled = template.fill(Item::value(b""), 1);
        Ok(Label {
            template,
            has_place: filled.words.len() < 3,
            has_slot: !filled.slots.is_empty(),
        })
    }

    /// Whether it has a place.
    pub(crate) fn has_place(&self) -> bool {
        self.has_place
    }

    /// Whether it names the slot, which is known when the job has one.
    pub(crate) fn has_slot(&self) -> bool {
        self.has_slot
    }

    /// The text for the job with this number, of this item, in this slot.
    pub(crate) fn fill(&self, item: Item<'_>, seq: u64, slot: Option<u32>) -> Vec<u8> {
        let Filled { mut words, slots } = self.template.fill(item, seq);
        let mut text = words.swap_remove(1);
        if let Some(slot) = slot {
            let mut places: Vec<usize> = slots.iter().map(|place| place.at as usize).collect();
            places.sort_unstable();
            for at in places.into_iter().rev() {
                text.splice(at..at, slot.to_string().bytes());
            }
        }
        text.split_off(BEFORE.len())
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
        assert_eq!(label.fill(item, 3, None), b"<b c 3>");
        let label = Label::parse(b"plain", &Places::default()).unwrap();
        assert!(!label.has_place());
        assert_eq!(label.fill(item, 3, None), b"plain");
        let several = Places {
            several: true,
            repeats: true,
            ..Places::default()
        };
        let item = Item::new(b"a/b.c\0d", Fields::Several);
        for (text, expected) in [("{}", "a/b.c d"), ("{2}-{1/.}", "d-b"), ("x{3}", "x")] {
            let label = Label::parse(text.as_bytes(), &several).unwrap();
            assert_eq!(label.fill(item, 3, None), expected.as_bytes());
        }
        let slot = Label::parse(b"a{%}-{}-{%}", &Places::default()).unwrap();
        assert!(slot.has_slot() && !label.has_slot());
        assert_eq!(slot.fill(Item::value(b"xyz"), 3, Some(12)), b"a12-xyz-12");
        assert_eq!(slot.fill(Item::value(b"x"), 3, None), b"a-x-");
    }
}
