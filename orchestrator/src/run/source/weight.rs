//! How long the command line of a job is that gets several values.

/// Longest word that the kernel hands to a program, without the zero byte at its end.
pub(super) const MAX_WORD: usize = (128 << 10) - 1;

/// How long a command line is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// As it would be typed, with one byte at the end of each word.
    pub(crate) typed: usize,
    /// The words that a program gets.
    pub(crate) words: Vec<usize>,
}

/// What the fields of an item make of a command line, found out by trying: for numbers of fields of
/// one digit, of two, and so on, since those numbers may stand in a text for a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weight([Fit; 5]);

/// The same for so many fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fit {
    /// How many words.
    words: Grows,
    /// How many bytes, with one at the end of each word.
    bytes: Grows,
    /// How many bytes as it would be typed.
    typed: Grows,
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
    fn through([few, many]: [i64; 2], of_few: [i64; 2], of_many: [i64; 2]) -> Grows {
        let step = LONG - SHORT;
        let slopes = (
            (of_few[1] - of_few[0]) / step,
            (of_many[1] - of_many[0]) / step,
        );
        let byte = (slopes.1 - slopes.0) / (many - few);
        let longest = slopes.0 - byte * few;
        // Rather too much: numbers behind those of the fields may be longer.
        let (grown, fields) = (of_many[0] - of_few[0], many - few);
        let field = (grown + fields - 1).div_euclid(fields) - byte * SHORT;
        Grows {
            from: of_few[0] - few * (field + byte * SHORT) - longest * SHORT,
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

/// So many fields are tried, with numbers of the same length; no text with longer ones is short enough.
const TRIED: [[i64; 2]; 5] = [
    [2, 9],
    [10, 99],
    [100, 999],
    [1_000, 9_999],
    [10_000, 11_000],
];

/// Of so many bytes each.
const SHORT: i64 = 1;
const LONG: i64 = 65;

impl Weight {
    /// Of what makes a command line of such a length of fields with a zero byte between each two.
    pub(crate) fn of(lengths: impl Fn(&[u8]) -> Lengths) -> Weight {
        let measured = |fields: i64, length: i64| {
            // `{path}` puts more in where a dash is first.
            let mut field = vec![b'x'; usize::try_from(length).unwrap_or(1)];
            field[0] = b'-';
            let all = vec![&field[..]; usize::try_from(fields).unwrap_or(1)];
            let Lengths { typed, words } = lengths(&all.join(&0));
            let bytes: usize = words.iter().map(|length| length + 1).sum();
            let longest = words.iter().max().copied().unwrap_or(0);
            [words.len(), bytes, typed, longest].map(|n| i64::try_from(n).unwrap_or(i64::MAX))
        };
        Weight(TRIED.map(|[few, many]| {
            let of_few = [measured(few, SHORT), measured(few, LONG)];
            let of_many = [measured(many, SHORT), measured(many, LONG)];
            let grows = |n: usize| {
                let of = |tried: [[i64; 4]; 2]| [tried[0][n], tried[1][n]];
                Grows::through([few, many], of(of_few), of(of_many))
            };
            Fit {
                words: grows(0),
                bytes: grows(1),
                typed: grows(2),
                longest: grows(3),
            }
        }))
    }

    /// How much memory the kernel needs for it, how long it is as it would be typed, and whether no
    /// word is too long.
    pub(super) fn at(&self, size: Size) -> (usize, usize, bool) {
        let digits = size.fields.max(1).ilog10() as usize;
        let fit = self.0[digits.min(self.0.len() - 1)];
        // With few fields a word that does not grow may be the longest of those that were tried.
        let longest = fit.longest.at(size).max(self.0[3].longest.at(size));
        let longest = longest.max(size.longest);
        // The kernel counts an address for each word as well, and one at the end.
        let addresses = (fit.words.at(size) + 1) * size_of::<usize>();
        (
            fit.bytes.at(size) + addresses,
            fit.typed.at(size),
            longest <= MAX_WORD,
        )
    }
}

/// The size of some fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) fields: usize,
    bytes: usize,
    pub(super) longest: usize,
}

impl Size {
    /// With these fields as well, which have a zero byte between each two.
    pub(super) fn and(self, joined: &[u8]) -> Size {
        let parts = joined.split(|&byte| byte == 0);
        parts.fold(self, |size, part| Size {
            fields: size.fields + 1,
            bytes: size.bytes + part.len(),
            longest: size.longest.max(part.len()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fields_weigh_is_found_by_trying() {
        // `{1} {} a{}{}b` with the last word for each, and a number of 20 digits.
        let words = |fields: &[u8]| {
            let fields: Vec<&[u8]> = fields.split(|&byte| byte == 0).collect();
            let each = fields.iter().map(|field| 2 * field.len() + 2);
            let mut words = vec![fields[0].len(), fields.join(&b' ').len(), 20];
            words.extend(each);
            Lengths {
                typed: words.iter().map(|length| length + 1).sum(),
                words,
            }
        };
        let weight = Weight::of(words);
        for fields in [&b"abc"[..], b"a\0b\0c", b"\0", b"abc\0de\0f\0\0g"] {
            let size = Size::default().and(fields);
            let lengths = words(fields);
            let addresses = 8 * (lengths.words.len() + 1);
            // For a single field the longest counts.
            let first = fields.split(|&byte| byte == 0).next().unwrap().len();
            let most = lengths.typed + size.longest - first;
            assert_eq!(weight.at(size), (most + addresses, most, true));
        }
    }
}
