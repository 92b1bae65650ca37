//! A text for items that may have several fields: what it says depends on how many there are, and
//! never on what they say.
//!
//! `$1`, `$2` and so on are the fields, and behind them comes what else is put in. A place outside
//! of quotes becomes a word for each field, as `"$@"` does; within quotes they have blanks between
//! them. Where places repeat, a word without blanks in it is there once for each field.

use std::collections::HashMap;

use protocol::SlotPlace;

use super::super::item::Item;
use super::super::place::{Part, Place, Which};
use super::super::template::Filled;

/// The quotes that a place stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    None,
    Single,
    Double,
}

/// A parameter in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Put {
    /// Where it begins.
    pub(super) at: usize,
    pub(super) length: usize,
    /// The number of its place.
    pub(super) place: usize,
    pub(super) quotes: Quotes,
    /// The number of the word that it stands in.
    pub(super) span: Option<usize>,
}

/// A word with parameters in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Whether it may become several words, or none.
    pub(super) splits: bool,
    /// Whether it is there once for each field.
    pub(super) repeats: bool,
    /// Whether it is one place and nothing else.
    pub(super) alone: bool,
}

impl Quotes {
    /// A parameter as it stands in the text, in quotes.
    pub(super) fn around(self, parameter: &str) -> String {
        match self {
            Quotes::Double => parameter.to_owned(),
            Quotes::Single => format!("'\"{parameter}\"'"),
            Quotes::None => format!("\"{parameter}\""),
        }
    }
}

/// The text and where what is to be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Several {
    pub(super) puts: Vec<Put>,
    /// In the order in which they begin, the longer ones first.
    spans: Vec<Span>,
    /// Whether nothing but whole fields is put in.
    only_fields: bool,
}

impl Several {
    pub(super) fn new(mut puts: Vec<Put>, spans: Vec<Span>, places: &[Place]) -> Several {
        let is_field = |place: &Place| matches!(place, Place::Value(_, Part::Whole));
        // They were numbered as they ended.
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|&n| (spans[n].from, std::cmp::Reverse(spans[n].to)));
        for put in &mut puts {
            put.span = put
                .span
                .and_then(|span| order.iter().position(|&n| n == span));
        }
        Several {
            puts,
            spans: order.into_iter().map(|n| spans[n].clone()).collect(),
            only_fields: places.iter().all(is_field),
        }
    }

    /// What the shell reads for an item, its parameters, and how long the text is with the values
    /// in it.
    pub(super) fn fill(
        &self,
        text: &[u8],
        places: &[Place],
        item: Item<'_>,
        number: u64,
    ) -> (Vec<u8>, Filled, usize) {
        let mut writer = Writer {
            text,
            places,
            several: self,
            item,
            number,
            count: item.count(),
            out: Vec::with_capacity(text.len()),
            typed: 0,
            filled: Filled {
                words: item.fields().map(<[u8]>::to_vec).collect(),
                slots: Vec::new(),
            },
            known: HashMap::new(),
        };
        writer.write(0, text.len(), None);
        (writer.out, writer.filled, writer.typed)
    }
}

struct Writer<'a> {
    text: &'a [u8],
    places: &'a [Place],
    several: &'a Several,
    item: Item<'a>,
    number: u64,
    count: usize,
    out: Vec<u8>,
    /// How long it would be with the values in it.
    typed: usize,
    filled: Filled,
    /// Parameters behind the fields, by place and field.
    known: HashMap<(usize, Option<usize>), usize>,
}

impl Writer<'_> {
    /// Writes a part of the text. Within a word that repeats, `within` says for which field.
    fn write(&mut self, from: usize, to: usize, within: Option<Option<usize>>) {
        let several = self.several;
        let mut at = from;
        let mut puts = several.puts.partition_point(|put| put.at < from);
        let mut spans = several.spans.partition_point(|span| span.from < from);
        loop {
            while several.puts.get(puts).is_some_and(|put| put.at < at) {
                puts += 1;
            }
            let repeats = |span: &Span| span.repeats && span.from >= at && within.is_none();
            while several.spans.get(spans).is_some_and(|span| !repeats(span)) {
                spans += 1;
            }
            let put = several.puts.get(puts).filter(|put| put.at < to);
            let span = several.spans.get(spans).filter(|span| span.to <= to);
            match (put, span) {
                (put, Some(span)) if put.is_none_or(|put| span.from <= put.at) => {
                    self.copy(at, span.from);
                    self.repeat(span);
                    at = span.to;
                }
                (Some(put), _) => {
                    self.copy(at, put.at);
                    self.put(put, within.flatten());
                    at = put.at + put.length;
                }
                (None, _) => return self.copy(at, to),
            }
        }
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.out.extend_from_slice(&self.text[from..to]);
        self.typed += to - from;
    }

    fn repeat(&mut self, span: &Span) {
        if self.count == 0 {
            return self.write(span.from, span.to, Some(None));
        }
        for field in 0..self.count {
            if field > 0 {
                self.out.push(b' ');
                self.typed += 1;
            }
            self.write(span.from, span.to, Some(Some(field)));
        }
    }

    /// Writes the parameters of a place, of one field if it stands in a word for that one.
    fn put(&mut self, put: &Put, field: Option<usize>) {
        let span = put.span.map(|span| &self.several.spans[span]);
        let splits = span.is_some_and(|span| span.splits) && put.quotes == Quotes::None;
        let alone = span.is_some_and(|span| span.alone);
        let is_all = self.places[put.place] == Place::WHOLE && field.is_none();
        if is_all && splits && self.several.only_fields && self.count > 1 {
            self.type_in((0..self.count).map(|field| field + 1));
            return self.out.extend_from_slice(b"\"$@\"");
        }
        let numbers = self.parameters(put.place, field);
        self.type_in(numbers.iter().copied());
        let parameters: Vec<String> = numbers
            .into_iter()
            .map(|number| format!("${{{number}}}"))
            .collect();
        let text = match (parameters.is_empty(), put.quotes) {
            // A word that is not there; a part of a word must not go, lest the rest be
            // read in another way.
            (true, Quotes::None) if splits && alone => String::new(),
            (false, Quotes::None) if splits => {
                let words: Vec<String> = parameters.iter().map(|p| put.quotes.around(p)).collect();
                words.join(" ")
            }
            _ => put.quotes.around(&parameters.join(" ")),
        };
        self.out.extend_from_slice(text.as_bytes());
    }

    /// The values of these parameters stand in the text, with blanks between them.
    fn type_in(&mut self, numbers: impl ExactSizeIterator<Item = usize>) {
        self.typed += numbers.len().saturating_sub(1);
        let values = &self.filled.words;
        self.typed += numbers
            .map(|number| values[number - 1].len())
            .sum::<usize>();
    }

    /// The numbers of the parameters that a place stands for.
    fn parameters(&mut self, place: usize, field: Option<usize>) -> Vec<usize> {
        match &self.places[place] {
            Place::Number | Place::Total(_) | Place::Padded(_) | Place::Slot => {
                vec![self.parameter(place, None)]
            }
            Place::Value(Which::All, _) => {
                let fields = field.map_or(0..self.count, |field| field..field + 1);
                fields
                    .map(|field| self.parameter(place, Some(field)))
                    .collect()
            }
            Place::Value(which, _) => {
                let field = which.position(self.count);
                field
                    .map(|field| self.parameter(place, Some(field)))
                    .into_iter()
                    .collect()
            }
        }
    }

    fn parameter(&mut self, place: usize, field: Option<usize>) -> usize {
        let part = match (&self.places[place], field) {
            (Place::Value(_, Part::Whole), Some(field)) => return field + 1,
            (Place::Value(_, part), Some(field)) => Some((part, field)),
            _ => None,
        };
        if let Some(&known) = self.known.get(&(place, field)) {
            return known;
        }
        let mut value = Vec::new();
        match part {
            Some((part, field)) => part.fill(&self.filled.words[field], &mut value),
            None => self.places[place].fill(self.item, self.number, &mut value),
        }
        if self.places[place] == Place::Slot {
            self.filled
                .slots
                .push(SlotPlace::new(self.filled.words.len(), 0));
        }
        self.filled.words.push(value);
        let number = self.filled.words.len();
        self.known.insert((place, field), number);
        number
    }
}
