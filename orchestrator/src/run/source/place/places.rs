//! How places are written.

use super::super::shell::Why;
use super::super::shell::fault::always;
use super::{Change, Part, Place, Total, Which};

/// How places are written in a run, and how many values an item has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// The plain ones, longest first; see [`Places::rename`].
    pub(crate) written: Vec<(Vec<u8>, Plain)>,
    /// Whether there are those of `--plus`.
    pub(crate) plus: bool,
    /// How many jobs there are, where a place may say that.
    pub(crate) total: Option<Total>,
    /// Whether there is `{path}`, and `\{}` is text: GNU parallel knows neither. A word for a field that
    /// is not there is left out, where GNU parallel leaves it empty.
    pub(crate) ours: bool,
    /// Whether items may have several fields, or none. Otherwise only `{1}` and `{-1}` are places,
    /// and `{}` by other names.
    pub(crate) several: bool,
    /// Whether a word with `{}` in it is repeated for each field, and not only `{}`.
    pub(crate) repeats: bool,
    /// Names of the fields, in order.
    pub(crate) names: Vec<Vec<u8>>,
    /// Whether `{}` is added to a command that has no place: not if it gets nothing of an item.
    pub(crate) appends: bool,
}

/// A place that has a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// `{}`
    Whole,
    /// `{.}`
    NoExtension,
    /// `{/}`
    Base,
    /// `{//}`
    Directory,
    /// `{/.}`
    BaseNoExtension,
    /// `{#}`
    Number,
    /// `{%}`
    Slot,
}

const PLAIN: [(&[u8], Plain); 7] = [
    (b"{//}", Plain::Directory),
    (b"{/.}", Plain::BaseNoExtension),
    (b"{.}", Plain::NoExtension),
    (b"{/}", Plain::Base),
    (b"{#}", Plain::Number),
    (b"{%}", Plain::Slot),
    (b"{}", Plain::Whole),
];

/// What `--plus` knows by a fixed name.
const PLUS: [(&[u8], Part); 9] = [
    (b"..", Part::NoExtension(2)),
    (b"...", Part::NoExtension(3)),
    (b"/..", Part::BaseNoExtension(2)),
    (b"/...", Part::BaseNoExtension(3)),
    (b"+/", Part::Before),
    (b"+.", Part::Extension(1)),
    (b"+..", Part::Extension(2)),
    (b"+...", Part::Extension(3)),
    (b"path", Part::Path),
];

/// What stands where a place may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No place.
    Nothing,
    /// A place of so many bytes.
    Place(usize, Place),
    /// Something of so many bytes that is a place elsewhere, and would silently be taken for text.
    Unoffered(usize, &'static Why),
}

static TOTAL: Why = always(
    "needs the number of all jobs, which is not known before the input is read",
    "`{#}` is the number of the job; `-k` keeps the order of the input",
);
static PADDED_SLOT: Why = always(
    "is not offered",
    "`{%}` is the number of the slot, without zeros before it",
);
static UNIQUE: Why = always(
    "leaves jobs out, which is not offered",
    "leave them out before: … | awk '$1 != $2' | …",
);
static HOST: Why = always(
    "names a machine, and all jobs run on this one",
    "leave it out",
);
static PERL: Why = always(
    "is Perl, which is not offered",
    "`--plus` has places that change a value: {/re/text}, {%re}, {^^re} and others",
);
static BAD_PATTERN: Why = always(
    "holds no regular expression",
    "put a backslash before a character that is meant as such",
);

/// What GNU parallel's `--plus` has and we do not.
const UNOFFERED: [(&[u8], &Why); 9] = [
    (b"##", &TOTAL),
    (b"0#", &TOTAL),
    (b"0%", &PADDED_SLOT),
    (b"uniq", &UNIQUE),
    (b"choose_k", &UNIQUE),
    (b"host", &HOST),
    (b"sshlogin", &HOST),
    (b"hgrp", &HOST),
    (b"agrp", &HOST),
];

impl Default for Places {
    fn default() -> Places {
        let written = PLAIN.map(|(written, plain)| (written.to_vec(), plain));
        Places {
            written: written.to_vec(),
            plus: false,
            total: None,
            ours: true,
            appends: true,
            several: false,
            repeats: false,
            names: Vec::new(),
        }
    }
}

impl Places {
    /// Without the plain ones, for a text that is looked at and not filled.
    pub(crate) fn none() -> Places {
        Places {
            written: Vec::new(),
            ..Places::default()
        }
    }

    /// Writes one of the plain places in another way.
    ///
    /// # Errors
    /// When it could not be told from other text: what is wrong, as the end of a sentence.
    pub(crate) fn rename(&mut self, plain: Plain, written: Vec<u8>) -> Result<(), &'static str> {
        if written.is_empty() {
            return Err("must not be empty");
        }
        if written
            .iter()
            .any(|byte| byte.is_ascii_whitespace() || b"'\"\\$`;&|<>()".contains(byte))
        {
            return Err(
                "must hold no blank, quote, or other character that means something to a shell",
            );
        }
        if self
            .written
            .iter()
            .any(|(other, of)| *of != plain && *other == written)
        {
            return Err("stands for something else already");
        }
        self.written.retain(|(_, other)| *other != plain);
        self.written.push((written, plain));
        // One may begin as another does.
        self.written
            .sort_by_key(|(written, _)| std::cmp::Reverse(written.len()));
        Ok(())
    }

    /// How the place for all of an item is written.
    pub(crate) fn whole(&self) -> &[u8] {
        let whole = self
            .written
            .iter()
            .find(|(_, plain)| *plain == Plain::Whole);
        whole.map_or(b"{}", |(written, _)| written)
    }

    /// What a text begins with; `before` is the byte in front of it.
    pub(crate) fn at(&self, text: &[u8], before: Option<u8>) -> Found {
        let is_variable = before == Some(b'$');
        let plain = self
            .written
            .iter()
            .find(|(written, _)| text.starts_with(written));
        if let Some((written, plain)) = plain {
            // `${#}` means something to every shell.
            if is_variable && *plain == Plain::Number {
                return Found::Nothing;
            }
            return Found::Place(written.len(), plain.place());
        }
        // And so does whatever else may stand there.
        if is_variable || text.first() != Some(&b'{') {
            return Found::Nothing;
        }
        if text.starts_with(b"{=") {
            let end = memchr::memmem::find(text, b"=}");
            return end.map_or(Found::Nothing, |end| Found::Unoffered(end + 2, &PERL));
        }
        let Some(end) = memchr::memchr(b'}', text) else {
            return Found::Nothing;
        };
        let (inner, length) = (&text[1..end], end + 1);
        for (which, rest) in self.selected(inner) {
            match self.part(rest) {
                Ok(Some(part)) => return Found::Place(length, Place::Value(which, part)),
                Ok(None) => {}
                Err(why) => return Found::Unoffered(length, why),
            }
        }
        if self.plus {
            if inner == b"slot" {
                return Found::Place(length, Place::Slot);
            }
            match (inner, &self.total) {
                (b"##", Some(total)) => return Found::Place(length, Place::Total(total.asked())),
                (b"0#", Some(total)) => return Found::Place(length, Place::Padded(total.asked())),
                _ => {}
            }
            if let Some((_, why)) = UNOFFERED.iter().find(|(written, _)| *written == inner) {
                return Found::Unoffered(length, why);
            }
        }
        if (inner == b"path" && self.ours) || self.plus {
            return match self.part(inner) {
                Ok(Some(part)) => Found::Place(length, Place::Value(Which::All, part)),
                Ok(None) => Found::Nothing,
                Err(why) => Found::Unoffered(length, why),
            };
        }
        Found::Nothing
    }

    /// Every way to read the beginning of what stands in braces as the name or the number of a field.
    fn selected<'a>(&self, inner: &'a [u8]) -> Vec<(Which, &'a [u8])> {
        let names = (1..).zip(&self.names).filter(|(_, name)| !name.is_empty());
        let named = names.filter_map(|(n, name)| {
            let rest = inner.strip_prefix(&name[..])?;
            Some((Which::Nth(n), rest))
        });
        let mut found: Vec<_> = named.collect();
        found.sort_by_key(|(_, rest)| rest.len());
        let sign = usize::from(inner.starts_with(b"-"));
        let digits = inner[sign..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (number, rest) = inner.split_at(sign + digits);
        let number = std::str::from_utf8(number)
            .ok()
            .and_then(|number| number.parse().ok());
        match number {
            None | Some(0) => {}
            Some(n) if self.several && n < 0 && !self.ours => found.push((Which::Round(n), rest)),
            Some(n) if self.several => found.push((Which::Nth(n), rest)),
            // There is one value, and it has no other number.
            Some(1 | -1) => found.push((Which::All, rest)),
            Some(_) => {}
        }
        found
    }

    /// What of a field is meant by what stands behind its number.
    fn part(&self, rest: &[u8]) -> Result<Option<Part>, &'static Why> {
        let plain = self.written.iter().find_map(|(written, plain)| {
            let inner = written.strip_prefix(b"{")?.strip_suffix(b"}")?;
            plain.part().filter(|_| inner == rest)
        });
        if plain.is_some() {
            return Ok(plain);
        }
        let plus = PLUS.iter().filter(|(written, _)| match *written {
            b"path" => self.ours,
            _ => self.plus,
        });
        if let Some((_, part)) = plus.into_iter().find(|(written, _)| *written == rest) {
            return Ok(Some(part.clone()));
        }
        if !self.plus {
            return Ok(None);
        }
        let change = Change::parse(rest).map_err(|_| &BAD_PATTERN)?;
        Ok(change.map(Part::Changed))
    }
}

impl Plain {
    fn part(self) -> Option<Part> {
        match self {
            Plain::Whole => Some(Part::Whole),
            Plain::NoExtension => Some(Part::NoExtension(1)),
            Plain::Base => Some(Part::Base),
            Plain::Directory => Some(Part::Directory),
            Plain::BaseNoExtension => Some(Part::BaseNoExtension(1)),
            Plain::Number | Plain::Slot => None,
        }
    }

    fn place(self) -> Place {
        match (self, self.part()) {
            (_, Some(part)) => Place::Value(Which::All, part),
            (Plain::Slot, None) => Place::Slot,
            (_, None) => Place::Number,
        }
    }
}
