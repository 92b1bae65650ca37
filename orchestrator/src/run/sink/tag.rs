//! What stands in front of each line of a job: a tag, and a TAB.

use std::io::{self, Write};

use crate::run::source::item::Item;
use crate::run::source::label::Label;
use crate::run::source::place::Places;
use crate::run::source::template::TemplateError;

/// What the tag of a job is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The item: its fields with blanks between them.
    Item,
    /// A text.
    Text(Label),
}

impl Tag {
    /// A text, in which `\t` and `\n` are what they are called.
    ///
    /// # Errors
    /// When it holds a place that is not offered.
    pub(crate) fn text(text: &[u8], places: &Places) -> Result<Tag, TemplateError> {
        Ok(Tag::Text(Label::parse(&unescaped(text), places)?))
    }

    /// Whether it names the slot.
    pub(crate) fn has_slot(&self) -> bool {
        matches!(self, Tag::Text(label) if label.has_slot())
    }

    /// What stands in front of the lines of the job with this number in this slot, the TAB
    /// included.
    pub(crate) fn of(&self, item: Item<'_>, seq: u64, slot: Option<u32>) -> Vec<u8> {
        let mut tag = match self {
            Tag::Item => item.fields().collect::<Vec<_>>().join(&b' '),
            Tag::Text(label) => label.fill(item, seq, slot),
        };
        tag.push(b'\t');
        tag
    }
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let escape = match (first, behind.first()) {
            (b'\\', Some(b't')) => Some(b'\t'),
            (b'\\', Some(b'n')) => Some(b'\n'),
            _ => None,
        };
        plain.push(escape.unwrap_or(first));
        rest = match escape {
            Some(_) => &behind[1..],
            None => behind,
        };
    }
    plain
}

/// Writes a piece of a stream with a tag in front of each line; nothing but the piece when
/// the tag is empty. `at_start` is whether a line begins with the piece, and then whether one
/// begins behind it.
pub(crate) fn write(
    out: &mut impl Write,
    tag: &[u8],
    at_start: &mut bool,
    piece: &[u8],
) -> io::Result<()> {
    let Some(&last) = piece.last() else {
        return Ok(());
    };
    if tag.is_empty() {
        *at_start = last == b'\n';
        return out.write_all(piece);
    }
    let mut rest = piece;
    while !rest.is_empty() {
        if *at_start {
            out.write_all(tag)?;
        }
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        out.write_all(&rest[..end])?;
        *at_start = rest[end - 1] == b'\n';
        rest = &rest[end..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::run::source::item::Fields;

    fn tagged(tag: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
        let (mut out, mut at_start) = (Vec::new(), true);
        for piece in pieces {
            write(&mut out, tag, &mut at_start, piece).unwrap();
        }
        out
    }

    #[test]
    fn a_tag_is_the_item_or_a_text() {
        let several = Item::new(b"a b\0c", Fields::Several);
        assert_eq!(Tag::Item.of(several, 3, None), b"a b c\t");
        let item = Item::value(b"a\\tb");
        let tag = Tag::text(b"{#}\\t{}\\n\\x\\\\", &Places::default()).unwrap();
        assert_eq!(tag.of(item, 3, None), b"3\ta\\tb\n\\x\\\\\t");
    }

    #[test]
    fn every_line_has_the_tag_and_the_last_one_no_line_feed_that_was_not_there() {
        assert_eq!(
            tagged(b"x\t", &[b"a\nb", b"", b"c\n\n", b"d"]),
            b"x\ta\nx\tbc\nx\t\nx\td"
        );
        assert_eq!(tagged(b"x\t", &[]), b"");
        assert_eq!(tagged(b"", &[b"a\n", b"b"]), b"a\nb");
    }

    proptest! {
        #[test]
        fn how_a_stream_is_cut_makes_no_difference(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..100),
            cut in 0usize..100,
        ) {
            let cut = cut.min(bytes.len());
            let whole = tagged(b"t\t", &[&bytes]);
            prop_assert_eq!(&tagged(b"t\t", &[&bytes[..cut], &bytes[cut..]]), &whole);
            let lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
            let expected: Vec<u8> = lines.iter().flat_map(|l| [&b"t\t"[..], l].concat()).collect();
            prop_assert_eq!(whole, expected);
        }
    }
}
