//! The places for an item's values, in the words of a command and in shell text alike.
//!
//! Their meanings are GNU parallel's, but for `{path}`, which is ours;
//! extensions and directory names are cut by bytes, since file names need not be
//! UTF-8. How they are written is [`places`]' business, what they put in is this
//! file's, and what `--plus` adds is in [`plus`].

mod path;
mod places;
mod plus;
mod total;

pub(crate) use places::{Found, Places, Plain};
pub(crate) use plus::Change;
pub(crate) use total::Total;

use super::item::Item;

/// What is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Something of the item's values.
    Value(Which, Part),
    /// `{#}`: the job's number, from 1.
    Number,
    /// `{##}`: how many jobs there are.
    Total(Total),
    /// `{0#}`: the job's number, with zeros before it.
    Padded(Total),
    /// `{%}`: the number of the worker's seat, from 1, which the worker puts in.
    Slot,
}

/// Of which fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Of all of them.
    All,
    /// Of this one, from 1; from the end, if it is negative.
    Nth(i32),
    /// Of this one from the end, negative; where there are not so many, counting goes on from the
    /// end, once, as in GNU parallel.
    Round(i32),
}

impl Which {
    /// Where the one field that is meant stands among so many, from 0, if it is there.
    pub(super) fn position(self, count: usize) -> Option<usize> {
        let (n, all) = match self {
            Which::All => return None,
            Which::Nth(n) => (n, count),
            Which::Round(n) if n.unsigned_abs() as usize > count => (n, 2 * count),
            Which::Round(n) => (n, count),
        };
        let distance = n.unsigned_abs() as usize;
        match n {
            1.. => Some(distance - 1).filter(|&at| at < count),
            _ => all.checked_sub(distance).filter(|_| n != 0),
        }
    }

    /// The one field that is meant, if it is there.
    pub(super) fn field(self, item: Item<'_>) -> Option<&[u8]> {
        match self {
            Which::All => None,
            Which::Nth(n) => item.nth(n),
            Which::Round(n) => item.nth(n).or_else(|| {
                let at = self.position(item.count())?;
                item.fields().nth(at)
            }),
        }
    }
}

/// What of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `{}`: the value.
    Whole,
    /// `{.}`: without its last extension; a dot in a directory is none. With more dots, without
    /// so many.
    NoExtension(usize),
    /// `{/}`: what comes after the last slash.
    Base,
    /// `{//}`: the directory, `.` when there is none.
    Directory,
    /// `{/.}`: what comes after the last slash, without its last extension, or so many.
    BaseNoExtension(usize),
    /// `{path}`: the value as the name of a file, which no program takes for an
    /// option.
    Path,
    /// `{+/}`: what comes before the last slash.
    Before,
    /// `{+.}`: the last extension, or so many.
    Extension(usize),
    /// Some other change.
    Changed(Change),
}

impl Place {
    /// What all of the item puts there.
    pub(crate) const WHOLE: Place = Place::Value(Which::All, Part::Whole);

    /// Adds what an item puts there: of several fields each what it would put there alone, with blanks
    /// between them; nothing where a field is missing, and nothing for [`Place::Slot`].
    pub(super) fn fill(&self, item: Item<'_>, number: u64, word: &mut Vec<u8>) {
        match self {
            Place::Number => word.extend_from_slice(number.to_string().as_bytes()),
            Place::Total(total) => word.extend_from_slice(total.get().to_string().as_bytes()),
            Place::Padded(total) => word.extend_from_slice(total.padded(number).as_bytes()),
            Place::Slot => {}
            Place::Value(Which::All, part) => match item.only() {
                Some(field) => part.fill(field, word),
                None => {
                    for (i, field) in item.fields().enumerate() {
                        if i > 0 {
                            word.push(b' ');
                        }
                        part.fill(field, word);
                    }
                }
            },
            Place::Value(which, part) => {
                if let Some(field) = which.field(item) {
                    part.fill(field, word);
                }
            }
        }
    }
}

impl Part {
    /// Adds this part of a field.
    pub(super) fn fill(&self, field: &[u8], word: &mut Vec<u8>) {
        let bare = match self {
            Part::Whole => field,
            Part::NoExtension(n) => path::no_extension(field, *n),
            Part::Base => path::base(field),
            Part::Directory => path::directory(field),
            Part::BaseNoExtension(n) => path::no_extension(path::base(field), *n),
            Part::Before => path::before(field),
            Part::Extension(n) => path::extension(field, *n),
            Part::Path => {
                // A name that begins so is a relative one.
                if field.starts_with(b"-") {
                    word.extend_from_slice(b"./");
                }
                field
            }
            Part::Changed(change) => return change.apply(field, word),
        };
        word.extend_from_slice(bare);
    }
}

#[cfg(test)]
mod tests;
