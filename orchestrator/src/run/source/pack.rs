//! Several values for one job: as many as were asked for, or as a command line holds.

use std::collections::VecDeque;
use std::num::NonZero;

use super::combine::{Combined, joined};
use super::inputs::Next;
use super::lines::{Content, Line, Unfit, Why};
use super::origin::Origin;
use super::values::Idle;
use super::weight::{Size, Weight};
use crate::run::text;

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
        let (needed, typed, short) = self.packing.weight.at(size);
        short
            && needed <= self.packing.kernel
            && self.packing.bytes.is_none_or(|most| typed <= most)
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
    use std::sync::LazyLock;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::run::source::inputs::Form;
    use crate::run::source::place::Places;
    use crate::run::source::shell::{Dialect, ShellText};
    use crate::run::source::values::Values;
    use crate::run::source::weight::{Lengths, MAX_WORD};
    use crate::run::source::work::Work;

    /// `echo {}`, or with so much more in the word.
    fn packing(repeated: bool, literal: usize) -> Packing {
        let words = move |fields: &[u8]| {
            let fields: Vec<&[u8]> = fields.split(|&byte| byte == 0).collect();
            let mut words = vec![4];
            match repeated {
                true => words.extend(fields.iter().map(|field| literal + field.len())),
                false => words.push(literal + fields.join(&b' ').len()),
            }
            Lengths {
                typed: words.iter().map(|length| length + 1).sum(),
                words,
            }
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
    fn what_a_text_for_a_shell_weighs_grows_with_the_numbers_in_it() {
        let places = Places {
            several: true,
            repeats: true,
            ..Places::default()
        };
        for text in ["echo a{}b", "printf %s x{.}y{#} {}", "echo {} '{}'"] {
            let shell = ShellText::parse(text.as_bytes(), &places, Dialect::default()).unwrap();
            let work = Work::Shell(shell);
            let lengths = work.lengths().unwrap();
            let weight = Weight::of(&lengths);
            for count in [2, 9, 10, 57, 150, 1_234, 9_999, 10_000, 12_345] {
                let fields = vec!["ab"; count].join("\0");
                let Lengths { typed, words } = lengths(fields.as_bytes());
                let bytes: usize = words.iter().map(|length| length + 1).sum();
                let (needed, as_typed, _) = weight.at(Size::default().and(fields.as_bytes()));
                assert_eq!(as_typed, typed, "{text} {count}");
                let least = bytes + 8 * (words.len() + 1);
                assert!(
                    needed >= least && needed <= least + least / 8,
                    "{text} {count}"
                );
            }
            // One more, and the text is longer than a word may be.
            let values = vec!["1".to_owned(); 40_000];
            let packing = Packing {
                weight,
                ..packing(true, 0)
            };
            for item in packs(&packing, &values) {
                let longest = lengths(item.replace(' ', "\0").as_bytes()).words;
                let longest = longest.into_iter().max().unwrap();
                assert!(longest <= MAX_WORD, "{text}: {longest}");
            }
        }
    }

    /// With one more in the word: weighed once, which takes longer than packing.
    static PACKINGS: LazyLock<[Packing; 2]> =
        LazyLock::new(|| [false, true].map(|repeated| packing(repeated, 1)));

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
                ..PACKINGS[usize::from(repeated)].clone()
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
