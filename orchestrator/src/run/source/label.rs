//! Text with places for an item: what stands in front of a job's lines, where its results go,
//! where it runs. Filled like a command's word.

use super::item::Item;
use super::place::Places;
use super::template::{Filled, Template, TemplateError};

/// What a word has before it, so that all fields together stay in it, and it is no program.
const BEFORE: &[u8] = b"=";

/// Such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// Its words, each with what stands behind it; all of it is one where none is repeated.
    words: Vec<(Template, Vec<u8>)>,
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
            appends: false,
            ..places.clone()
        };
        let mut words = Vec::new();
        let mut rest = text;
        while !rest.is_empty() || words.is_empty() {
            let (word, behind) = first_word(rest, places.repeats);
            rest = &rest[word.len() + behind.len()..];
            let word = [BEFORE, word].concat();
            // The first word would be a program.
            let template = Template::parse(&[b"label", &word[..]], &places)?.unsplit();
            words.push((template, behind.to_vec()));
        }
        let slots = |(template, _): &(Template, _)| {
            let Filled { slots, .. } = template.fill(Item::value(b""), 1);
            !slots.is_empty()
        };
        Ok(Label {
            has_place: words.iter().any(|(template, _)| template.has_place()),
            has_slot: words.iter().any(slots),
            words,
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
        let mut text = Vec::new();
        for (template, behind) in &self.words {
            let Filled { mut words, slots } = template.fill(item, seq);
            if let Some(slot) = slot {
                // From the last to the first, which moves none of the others.
                for place in slots.iter().rev() {
                    let (word, at) = (&mut words[place.word as usize], place.at as usize);
                    word.splice(at..at, slot.to_string().bytes());
                }
            }
            for (n, word) in words[1..].iter().enumerate() {
                if n > 0 {
                    text.push(b' ');
                }
                text.extend_from_slice(&word[BEFORE.len()..]);
            }
            text.extend_from_slice(behind);
        }
        text
    }
}

/// The first word and the blanks behind it, if words are to be told apart.
fn first_word(text: &[u8], apart: bool) -> (&[u8], &[u8]) {
    if !apart {
        return (text, b"");
    }
    let end = text.iter().position(u8::is_ascii_whitespace);
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    let next = rest.iter().position(|byte| !byte.is_ascii_whitespace());
    (word, &rest[..next.unwrap_or(rest.len())])
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
        for (text, expected) in [
            ("{}", "a/b.c d"),
            ("{2}-{1/.}", "d-b"),
            ("x{3}", "x"),
            ("<{/}> {1}  {}x", "<b.c> <d> a/b.c  a/b.cx dx"),
            (" {#} ", " 3 "),
            ("", ""),
        ] {
            let label = Label::parse(text.as_bytes(), &several).unwrap();
            assert_eq!(label.fill(item, 3, None), expected.as_bytes());
        }
        let one = Places {
            repeats: false,
            ..several
        };
        let label = Label::parse(b"<{/}> {1}", &one).unwrap();
        assert_eq!(label.fill(item, 3, None), b"<b.c d> a/b.c");
        let slot = Label::parse(b"a{%}-{}-{%}", &Places::default()).unwrap();
        assert!(slot.has_slot() && !label.has_slot());
        assert_eq!(slot.fill(Item::value(b"xyz"), 3, Some(12)), b"a12-xyz-12");
        assert_eq!(slot.fill(Item::value(b"x"), 3, None), b"a-x-");
    }
}
