//! Many numbers in little text: a column of a table as one string.
//!
//! A number is written in digits of five bits, the lowest first, each a character of
//! base 64; the sixth bit says that another digit follows. What is written is one more
//! than the number, and 0 where there is none. Columns whose numbers resemble the ones before hold
//! differences, with the sign in the lowest bit. A column in which all are the same is that number,
//! and one of which most are what was expected holds only the others.

use serde::Serialize;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a page can count with: beyond it, its numbers have gaps.
const MOST: i64 = 1 << 52;

/// A column that is being written.
#[derive(Debug, Default)]
pub(super) struct Column {
    text: String,
    last: i64,
    differences: bool,
    /// The first one, while all are like it.
    same: Option<Option<i64>>,
    begun: bool,
    /// What most are, and which are not: their places, as another column.
    others: Option<Others>,
}

/// Those of a column that are not as most are.
#[derive(Debug)]
struct Others {
    usual: i64,
    at: Box<Column>,
    rows: i64,
    n: usize,
}

impl Column {
    /// One of numbers as they are.
    pub(super) fn plain() -> Column {
        Column::default()
    }

    /// One of numbers that resemble the ones before.
    pub(super) fn near() -> Column {
        Column {
            differences: true,
            ..Column::default()
        }
    }

    /// One of numbers most of which are this one.
    pub(super) fn mostly(usual: i64) -> Column {
        Column {
            others: Some(Others {
                usual,
                at: Box::new(Column::near()),
                rows: 0,
                n: 0,
            }),
            ..Column::default()
        }
    }

    /// Adds a number that is no less than 0, or none.
    pub(super) fn push(&mut self, number: Option<i64>) {
        let number = number.map(|number| number.clamp(0, MOST));
        if let Some(others) = &mut self.others {
            others.rows += 1;
            if number == Some(others.usual) {
                return;
            }
            others.at.push(Some(others.rows - 1));
            others.n += 1;
        }
        if !self.begun {
            self.begun = true;
            self.same = Some(number);
        } else if self.same.is_some_and(|same| same != number) {
            self.same = None;
        }
        let code = match number {
            None => 0,
            Some(number) if self.differences => {
                let difference = number - self.last;
                self.last = number;
                ((difference << 1) ^ (difference >> 63)) as u64 + 1
            }
            Some(number) => number.unsigned_abs() + 1,
        };
        digits(code, &mut self.text);
    }

    pub(super) fn finish(self) -> Written {
        if let Some(Others { usual, at, rows, n }) = self.others {
            return match n {
                0 if rows == 0 => Written::default(),
                0 => Written::Same(Some(usual)),
                n => Written::Mostly {
                    usual,
                    n,
                    at: at.text,
                    others: self.text,
                },
            };
        }
        match self.same {
            Some(same) => Written::Same(same),
            None => Written::Each(self.text),
        }
    }
}

fn digits(mut code: u64, text: &mut String) {
    loop {
        let more = usize::from(code > 31) << 5;
        text.push(char::from(DIGITS[(code & 31) as usize | more]));
        code >>= 5;
        if more == 0 {
            return;
        }
    }
}

/// A column as it stands in the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Written {
    Same(Option<i64>),
    Each(String),
    /// The usual one, but for so many others at these places.
    Mostly {
        usual: i64,
        n: usize,
        at: String,
        others: String,
    },
}

impl Default for Written {
    fn default() -> Written {
        Written::Same(None)
    }
}

/// Names, of which many begin and end as the one before: a digit that says how many UTF-16
/// units they have in common at the beginning, one for the end, then what is between and a line
/// feed. Names hold no line feed.
#[derive(Debug, Default)]
pub(super) struct Names {
    text: String,
    last: String,
}

impl Names {
    pub(super) fn push(&mut self, name: &str) {
        let (units, bytes) = common(self.last.chars().zip(name.chars()));
        let (before, rest) = (&self.last[bytes..], &name[bytes..]);
        let (units_behind, behind) = common(before.chars().rev().zip(rest.chars().rev()));
        self.text.push(char::from(DIGITS[units]));
        self.text.push(char::from(DIGITS[units_behind]));
        self.text.push_str(&rest[..rest.len() - behind]);
        self.text.push('\n');
        self.last.clear();
        self.last.push_str(name);
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// How much is the same, as far as a digit can say: in UTF-16 units and in bytes.
fn common(pairs: impl Iterator<Item = (char, char)>) -> (usize, usize) {
    let (mut units, mut bytes) = (0, 0);
    for (a, b) in pairs {
        if a != b || units + a.len_utf16() >= DIGITS.len() {
            break;
        }
        units += a.len_utf16();
        bytes += a.len_utf8();
    }
    (units, bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the page does.
    pub(in super::super) fn read(written: &Written, near: bool, n: usize) -> Vec<Option<i64>> {
        let text = match written {
            Written::Same(same) => return vec![*same; n],
            Written::Each(text) => text,
            Written::Mostly {
                usual,
                n: others_n,
                at,
                others,
            } => {
                let mut all = vec![Some(*usual); n];
                let at = read(&Written::Each(at.clone()), true, *others_n);
                let others = read(&Written::Each(others.clone()), false, *others_n);
                for (at, other) in at.into_iter().zip(others) {
                    all[at.unwrap() as usize] = other;
                }
                return all;
            }
        };
        let (mut all, mut last, mut code, mut shift) = (Vec::new(), 0, 0_u64, 0);
        for byte in text.bytes() {
            let digit = DIGITS.iter().position(|&d| d == byte).unwrap() as u64;
            code |= (digit & 31) << shift;
            shift += 5;
            if digit & 32 != 0 {
                continue;
            }
            all.push(code.checked_sub(1).map(|code| {
                if near {
                    last += (code >> 1) as i64 ^ -((code & 1) as i64);
                    last
                } else {
                    code as i64
                }
            }));
            (code, shift) = (0, 0);
        }
        all
    }

    pub(in super::super) fn read_names(text: &str) -> Vec<String> {
        let mut last: Vec<u16> = Vec::new();
        let names = text.split_terminator('\n').map(|line| {
            let shared = |at: usize| {
                let digit = line.as_bytes()[at];
                DIGITS.iter().position(|&d| d == digit).unwrap()
            };
            let end = last.split_off(last.len() - shared(1));
            last.truncate(shared(0));
            last.extend(line[2..].encode_utf16());
            last.extend(end);
            String::from_utf16(&last).unwrap()
        });
        names.collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            numbers in prop::collection::vec(prop::option::of(0..=MOST), 0..50),
            names in prop::collection::vec("[a-c\u{1f980}\u{e9}]{0,80}", 0..20),
        ) {
            for near in [false, true] {
                let mut column = if near { Column::near() } else { Column::plain() };
                numbers.iter().for_each(|&number| column.push(number));
                prop_assert_eq!(read(&column.finish(), near, numbers.len()), numbers.clone());
            }
            let few: Vec<_> = numbers.iter().map(|n| n.map(|n| n % 3)).collect();
            let mut column = Column::mostly(1);
            few.iter().for_each(|&number| column.push(number));
            if !few.is_empty() {
                prop_assert_eq!(read(&column.finish(), false, few.len()), few);
            }
            let mut written = Names::default();
            names.iter().for_each(|name| written.push(name));
            prop_assert_eq!(read_names(&written.finish()), names);
        }
    }

    #[test]
    fn what_is_the_same_everywhere_takes_no_room() {
        let mut column = Column::plain();
        for _ in 0..1_000 {
            column.push(Some(1));
        }
        assert_eq!(column.finish(), Written::Same(Some(1)));
        let mut most = Column::mostly(1);
        for n in 0..1_000 {
            most.push(Some(1 + n / 999));
        }
        let json = serde_json::to_string(&most.finish()).unwrap();
        assert_eq!(json, r#"{"usual":1,"n":1,"at":"v-B","others":"D"}"#);
        let mut small = Column::near();
        for n in 0..1_000 {
            small.push(Some(n * 10));
        }
        assert!(matches!(small.finish(), Written::Each(text) if text.len() < 1_010));
    }
}
