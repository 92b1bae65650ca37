//! Several values for one job: as many as were asked for, or as a command line holds.

use std::collections::VecDeque;
use std::num::NonZero;

use super::combine::{Combined, joined};
use super::inputs::Next;
use super::lines::{Content, Line, Unfit, Why};
use super::origin::Origin;
use super::values::Idle;
use crate::run::text;

/// Longest word that the kernel hands to a program, without the zero byte at its end.
const MAX_WORD: usize = (128 << 10) - 1;

/// How values are packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packing {
    /// Most values of a job.
    pub(crate) most: Option<NonZero<usize>>,
    /// Most bytes of a command line, each word with a byte at its end.
    pub(crate) bytes: Option<usize>,
    /// What the kernel takes for words and their addresses.
    pub(crate) kernel: usize,
    /// Whether values that do not fit together are refused, instead of being divided.
    pub(crate) exact: bool,
    /// Over how many jobs the last values are divided that fill no command line.
    pub(crate) spread: Option<NonZero<usize>>,
    /// What values make of a command line.
    pub(crate) weight: Weight,
}

/// What the fields of an item make of a command line, found out by trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weight {
    /// How many words.
    words: Grows,
    /// How many bytes, with one at the end of each word.
    bytes: Grows,
    /// The longest word.
    longest: Grows,
}

/// A number that grows with the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Grows {
    from: i64,
    /// With each field, each byte of any, and each byte of the longest.
    field: i64,
    byte: i64,
    longest: i64,
}

impl Grows {
    /// The one that has these values with so many fields of so many bytes each: `few` and
    /// `many` of them, `SHORT` and `LONG`.
    fn through(few: [i64; 2], many: [i64; 2]) -> Grows {
        let step = LONG - SHORT;
        let (of_few, of_many) = ((few[1] - few[0]) / step, (many[1] - many[0]) / step);
        let byte = (of_many - of_few) / (MANY - FEW);
        let longest = of_few - byte * FEW;
        let field = (many[0] - few[0]) / (MANY - FEW) - byte * SHORT;
        Grows {
            from: few[0] - FEW * (field + byte * SHORT) - longest * SHORT,
            field,
            byte,
            longest,
        }
    }

    fn at(self, size: Size) -> usize {
        let [fields, bytes, longest] =
            [size.fields, size.bytes, size.longest].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        let grown = [
            self.field.saturating_mul(fields),
            self.byte.saturating_mul(bytes),
            self.longest.saturating_mul(longest),
        ];
        let sum = grown.into_iter().fold(self.from, i64::saturating_add);
        usize::try_from(sum).unwrap_or(0)
    }
}

/// So many fields are tried, of so many bytes each.
const FEW: i64 = 1_000;
const MANY: i64 = 2_000;
const SHORT: i64 = 1;
const LONG: i64 = 65;

impl Weight {
    /// Of what makes words of such lengths of fields with a zero byte between each two.
    pub(crate) fn of(words: impl Fn(&[u8]) -> Vec<usize>) -> Weight {
        let measured = |fields: i64, length: i64| {
            // `{path}` puts more in where a dash is first.
            let mut field = vec![b'x'; usize::try_from(length).unwrap_or(1)];
            field[0] = b'-';
            let all = vec![&field[..]; usize::try_from(fields).unwrap_or(1)];
            let words = words(&all.join(&0));
            let bytes: usize = words.iter().map(|length| length + 1).sum();
            let longest = words.iter().max().copied().unwrap_or(0);
            [words.len(), bytes, longest].map(|n| i64::try_from(n).unwrap_or(i64::MAX))
        };
        let few = [measured(FEW, SHORT), measured(FEW, LONG)];
        let many = [measured(MANY, SHORT), measured(MANY, LONG)];
        let grows = |n: usize| Grows::through([few[0][n], few[1][n]], [many[0][n], many[1][n]]);
        Weight {
            words: grows(0),
            bytes: grows(1),
            longest: grows(2),
        }
    }

    /// How many words, and bytes with one at each end, and whether none is too long.
    fn at(&self, size: Size) -> (usize, usize, bool) {
        let longest = self.longest.at(size).max(size.longest);
        (
            self.words.at(size),
            self.bytes.at(size),
            longest <= MAX_WORD,
        )
    }
}

/// The size of some fields.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    fields: usize,
    bytes: usize,
    longest: usize,
}

impl Size {
    /// With these fields as well, which have a zero byte between each two.
    fn and(self, joined: &[u8]) -> Size {
        let parts = joined.split(|&byte| byte == 0);
        parts.fold(self, |size, part| Size {
            fields: size.fields + 1,
            bytes: size.bytes + part.len(),
            longest: size.longest.max(part.len()),
        })
    }
}

/// Packs what sources give.
#[derive(Debug)]
pub(super) struct Packer {
    values: Combined,
    packing: Packing,
    origin: Origin,
    pending: Vec<Line>,
    size: Size,
    /// What is complete.
    ready: VecDeque<Line>,
    ended: bool,
}

impl Packer {
    pub(super) fn new(values: Combined, packing: Packing, origin: Origin) -> Packer {
        Packer {
            values,
            packing,
            origin,
            pending: Vec::new(),
            size: Size::default(),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// The next item: its number is that of its first value.
    pub(super) fn next(&mut self, idle: &mut Idle<'_>) -> Next<Line> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            if self.ended {
                return Ok(None);
            }
            match self.values.next(idle)? {
                Some(value) => self.take(value),
                None => self.end(),
            }
        }
    }

    fn take(&mut self, value: Line) {
        let Content::Whole(bytes) = &value.content else {
            self.flush();
            return self.ready.push_back(value);
        };
        let most = self.packing.most.map_or(usize::MAX, NonZero::get);
        if self.pending.len() >= most {
            self.flush();
        }
        let size = self.size.and(bytes);
        if self.fits(size) {
            self.size = size;
            self.pending.push(value);
        } else if self.pending.is_empty() {
            self.ready.push_back(self.too_long(&value, 1, size));
        } else if self.packing.exact {
            let first = self.pending[0].clone();
            let refused = self.too_long(&first, self.pending.len() + 1, size);
            self.pending.clear();
            self.size = Size::default();
            self.ready.push_back(refused);
        } else {
            self.flush();
            return self.take(value);
        }
        // The last values are divided even if they are as many as a job may have.
        if self.pending.len() >= most && self.packing.spread.is_none() {
            self.flush();
        }
    }

    fn fits(&self, size: Size) -> bool {
        let (words, bytes, short) = self.packing.weight.at(size);
        // The kernel counts an address for each word as well, and one at the end.
        let needed = bytes + (words + 1) * size_of::<usize>();
        short
            && needed <= self.packing.kernel
            && self.packing.bytes.is_none_or(|most| bytes <= most)
    }

    fn too_long(&self, first: &Line, values: usize, size: Size) -> Line {
        let (_, bytes, _) = self.packing.weight.at(size);
        let more = match values {
            1 => String::new(),
            more => format!(", with {} more,", text::count(more as u64 - 1)),
        };
        let what = format!(
            "{}{more} makes a command line of {}, more than fits",
            self.origin.item(first.number),
            text::counted(bytes as u64, "byte"),
        );
        Line {
            number: first.number,
            content: Content::Unfit(Box::new(Unfit {
                what,
                why: Why::NoRoom,
            })),
        }
    }

    fn end(&mut self) {
        self.ended = true;
        if let Some(jobs) = self.packing.spread {
            let each = self.pending.len().div_ceil(jobs.get()).max(1);
            let all = std::mem::take(&mut self.pending);
            for part in all.chunks(each) {
                self.ready.push_back(packed(part));
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.ready.push_back(packed(&self.pending));
            self.pending.clear();
        }
        self.size = Size::default();
    }
}

/// Values as one item.
fn packed(values: &[Line]) -> Line {
    Line {
        number: values.first().map_or(0, |first| first.number),
        content: joined(values.iter().map(|value| &value.content)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::run::source::inputs::Form;
    use crate::run::source::values::Values;

    /// `echo {}`, or with so much more in the word.
    fn packing(repeated: bool, literal: usize) -> Packing {
        let words = move |fields: &[u8]| {
            let fields: Vec<&[u8]> = fields.split(|&byte| byte == 0).collect();
            let mut words = vec![4];
            match repeated {
                true => words.extend(fields.iter().map(|field| literal + field.len())),
                false => words.push(literal + fields.join(&b' ').len()),
            }
            words
        };
        Packing {
            most: None,
            bytes: None,
            kernel: 1 << 21,
            exact: false,
            spread: None,
            weight: Weight::of(words),
        }
    }

    fn packs(packing: &Packing, values: &[String]) -> Vec<String> {
        let words = values
            .iter()
            .map(|value| Bytes::copy_from_slice(value.as_bytes()));
        let origin = Origin::words(b":::");
        let values = Values::words(words.collect(), origin.clone(), Form::default(), true);
        let values = Combined::new(vec![(values, false)], false);
        let mut packer = Packer::new(values, packing.clone(), origin);
        let mut items = Vec::new();
        while let Some(item) = packer.next(&mut || true).unwrap() {
            items.push(match item.content {
                Content::Whole(bytes) => String::from_utf8_lossy(&bytes).replace('\0', " "),
                Content::Unfit(unfit) => unfit.what,
                other => panic!("{other:?}"),
            });
        }
        items
    }

    fn numbers(last: usize) -> Vec<String> {
        (1..=last).map(|n| n.to_string()).collect()
    }

    #[test]
    fn so_many_values_are_packed_and_the_rest() {
        let by = |most| Packing {
            most: NonZero::new(most),
            ..packing(true, 0)
        };
        assert_eq!(packs(&by(3), &numbers(7)), ["1 2 3", "4 5 6", "7"]);
        assert_eq!(packs(&by(3), &numbers(6)), ["1 2 3", "4 5 6"]);
        assert_eq!(packs(&by(1), &numbers(2)), ["1", "2"]);
        assert_eq!(packs(&by(2), &[]), [""; 0]);
    }

    #[test]
    fn a_command_line_has_so_many_bytes() {
        let by = |bytes, repeated, literal| Packing {
            bytes: Some(bytes),
            ..packing(repeated, literal)
        };
        // `echo 1 2` and the byte at its end.
        assert_eq!(packs(&by(10, true, 0), &numbers(5)), ["1 2", "3 4", "5"]);
        assert_eq!(packs(&by(9, true, 0), &numbers(3)), ["1 2", "3"]);
        // `echo a1b a2b`
        assert_eq!(packs(&by(14, true, 2), &numbers(3)), ["1 2", "3"]);
        // `echo a1 2 3 4b`
        assert_eq!(packs(&by(15, false, 2), &numbers(5)), ["1 2 3 4", "5"]);
        let long = vec!["x".repeat(20), "b".to_owned()];
        let said = packs(&by(20, true, 0), &long);
        assert_eq!(
            said,
            [
                "argument 1 of ::: makes a command line of 26 bytes, more than fits",
                "b"
            ]
        );
    }

    #[test]
    fn what_does_not_fit_together_is_refused_if_that_is_wanted() {
        let exact = Packing {
            most: NonZero::new(3),
            bytes: Some(10),
            exact: true,
            ..packing(true, 0)
        };
        let said = packs(&exact, &numbers(4));
        assert!(
            said[0].starts_with("argument 1 of :::, with 2 more, makes"),
            "{said:?}"
        );
        assert_eq!(said[1], "4");
    }

    #[test]
    fn no_word_is_longer_than_the_kernel_takes() {
        let values = vec!["x".repeat(1_000); 300];
        let sizes = |packing: &Packing| {
            let items = packs(packing, &values);
            items
                .iter()
                .map(|item| item.split(' ').count())
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(&packing(false, 0)), [130, 130, 40]);
        assert_eq!(sizes(&packing(true, 0)), [300]);
        let small = Packing {
            kernel: 100_000,
            ..packing(true, 0)
        };
        assert_eq!(sizes(&small), [99, 99, 99, 3]);
    }

    #[test]
    fn the_last_values_are_divided_among_workers() {
        let among = |jobs, most| Packing {
            spread: NonZero::new(jobs),
            most: NonZero::new(most),
            ..packing(true, 0)
        };
        assert_eq!(packs(&among(2, 0), &numbers(7)), ["1 2 3 4", "5 6 7"]);
        assert_eq!(packs(&among(8, 0), &numbers(3)), ["1", "2", "3"]);
        assert_eq!(packs(&among(2, 5), &numbers(8)), ["1 2 3 4 5", "6 7", "8"]);
        assert_eq!(packs(&among(2, 2), &numbers(4)), ["1 2", "3", "4"]);
    }

    #[test]
    fn what_fields_weigh_is_found_by_trying() {
        // `{1} {} a{}{}b` with the last word for each, and a number of 20 digits.
        let words = |fields: &[u8]| {
            let fields: Vec<&[u8]> = fields.split(|&byte| byte == 0).collect();
            let each = fields.iter().map(|field| 2 * field.len() + 2);
            let mut words = vec![fields[0].len(), fields.join(&b' ').len(), 20];
            words.extend(each);
            words
        };
        let weight = Weight::of(words);
        for fields in [&b"abc"[..], b"a\0b\0c", b"\0", b"abc\0de\0f\0\0g"] {
            let size = Size::default().and(fields);
            let lengths = words(fields);
            let bytes: usize = lengths.iter().map(|length| length + 1).sum();
            // For a single field the longest counts.
            let first = fields.split(|&byte| byte == 0).next().unwrap().len();
            let (count, most, fits) = weight.at(size);
            assert_eq!(
                (count, most, fits),
                (lengths.len(), bytes + size.longest - first, true)
            );
        }
    }

    proptest! {
        #[test]
        fn every_value_is_packed_once_in_order_and_within_the_limit(
            values in prop::collection::vec("[a-z]{0,8}", 0..40),
            most in 0usize..5,
            bytes in 16usize..40,
            repeated: bool,
            jobs in 0usize..4,
        ) {
            let packing = Packing {
                most: NonZero::new(most),
                bytes: Some(bytes),
                spread: NonZero::new(jobs),
                ..packing(repeated, 1)
            };
            let items = packs(&packing, &values);
            let each: Vec<&str> = items.iter().flat_map(|item| item.split(' ')).collect();
            prop_assert_eq!(each, values.iter().map(String::as_str).collect::<Vec<_>>());
            for item in &items {
                let fields: Vec<&str> = item.split(' ').collect();
                prop_assert!(most == 0 || fields.len() <= most);
                let line = match repeated {
                    true => fields.iter().map(|field| field.len() + 2).sum::<usize>(),
                    false => item.len() + 2,
                };
                prop_assert!(5 + line <= bytes);
            }
        }
    }
}
