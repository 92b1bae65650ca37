//! An item: the fields that fill a template.
//!
//! Mostly there is one, the line itself. When a run's items have several (columns, values of several
//! sources, lines that are packed together), an item's bytes are its fields with a zero byte between
//! them, which no argument can hold; everything else sees one string of bytes.

/// What the bytes of an item are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fields {
    /// One value.
    #[default]
    One,
    /// Values with a zero byte between each two; without any zero byte there is one.
    Several,
    /// Nothing that a template takes: the item only says that there is a job.
    None,
}

/// The fields of an item, as slices of its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    bytes: &'a [u8],
    fields: Fields,
}

impl<'a> Item<'a> {
    /// What these bytes are to a template.
    pub(crate) fn new(bytes: &'a [u8], fields: Fields) -> Item<'a> {
        Item { bytes, fields }
    }

    /// One value.
    pub(crate) fn value(bytes: &'a [u8]) -> Item<'a> {
        Item::new(bytes, Fields::One)
    }

    /// The only field, if there is one and no other.
    pub(crate) fn only(self) -> Option<&'a [u8]> {
        match self.fields {
            Fields::One => Some(self.bytes),
            Fields::None => None,
            Fields::Several => memchr::memchr(0, self.bytes)
                .is_none()
                .then_some(self.bytes),
        }
    }

    /// How many fields there are.
    pub(crate) fn count(self) -> usize {
        match self.fields {
            Fields::One => 1,
            Fields::None => 0,
            Fields::Several => 1 + memchr::memchr_iter(0, self.bytes).count(),
        }
    }

    /// The field with this number, from 1; from the end, if it is negative. The others, which may be
    /// many, are not looked at.
    pub(crate) fn nth(self, n: i32) -> Option<&'a [u8]> {
        let nth = usize::try_from(n.unsigned_abs()).ok()?.checked_sub(1)?;
        match self.fields {
            Fields::None => None,
            Fields::One => (nth == 0).then_some(self.bytes),
            Fields::Several if n > 0 => self.fields().nth(nth),
            Fields::Several => self.bytes.rsplit(|&byte| byte == 0).nth(nth),
        }
    }

    /// All of them, in order.
    pub(crate) fn fields(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let splits = self.fields == Fields::Several;
        let all = self.bytes.split(move |&byte| splits && byte == 0);
        all.take(if self.fields == Fields::None {
            0
        } else {
            usize::MAX
        })
    }

    /// The bytes, when they hold a zero byte that no argument can.
    pub(crate) fn is_no_argument(self) -> bool {
        self.fields == Fields::One && memchr::memchr(0, self.bytes).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8], how: Fields) -> Vec<&[u8]> {
        let item = Item::new(bytes, how);
        let fields: Vec<&[u8]> = item.fields().collect();
        assert_eq!(item.count(), fields.len());
        for (n, field) in (1..).zip(&fields) {
            assert_eq!(item.nth(n), Some(*field));
            assert_eq!(item.nth(n - 1 - fields.len() as i32), Some(*field));
        }
        let beyond = 1 + fields.len() as i32;
        assert_eq!([0, beyond, -beyond].map(|n| item.nth(n)), [None; 3]);
        assert_eq!(item.only().is_some(), fields.len() == 1);
        fields
    }

    #[test]
    fn the_recipe_says_what_a_zero_byte_is() {
        assert_eq!(fields(b"a\0b", Fields::One), [b"a\0b"]);
        assert_eq!(
            fields(b"a\0\0b\0", Fields::Several),
            [&b"a"[..], b"", b"b", b""]
        );
        assert_eq!(fields(b"a b", Fields::Several), [b"a b"]);
        assert_eq!(fields(b"", Fields::Several), [b""]);
        assert_eq!(fields(b"a", Fields::None), [b""; 0]);
        assert!(Item::value(b"a\0b").is_no_argument());
        assert!(!Item::new(b"a\0b", Fields::Several).is_no_argument());
    }
}
