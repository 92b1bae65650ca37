//! What begins with a dollar sign, and backticks.

use super::super::super::place::Found;
use super::super::fault;
use super::super::names::name_length;
use super::frame::Part;
use super::{Command, Frame, Opener, Scanner};

impl<'a> Scanner<'a> {
    pub(super) fn dollar(&mut self) {
        self.look_for_parameters();
        let from = self.at;
        let rest = &self.text[from + 1..];
        let in_command = matches!(self.top(), Frame::Command(_));
        match rest.first() {
            Some(b'(') => {
                self.word().expand();
                if rest.starts_with(b"((") {
                    self.arithmetic(from, 3);
                } else {
                    let opener = Opener::Substitution { from };
                    self.open(Frame::Command(Command::new(opener)), 2);
                }
            }
            Some(b'{') => self.braces(),
            Some(b'\'') if in_command => self.open(Frame::DollarSingle { from }, 2),
            Some(b'"') if in_command => self.open(Frame::Double { from, dollar: true }, 2),
            Some(b'[') => {
                if !self.dialect.knows_dollar_brackets() {
                    self.fault(from, 2, &fault::UNCLEAR);
                }
                if self.dialect.calculates() {
                    self.arithmetic(from, 2);
                } else {
                    self.take(b'$');
                }
            }
            Some(byte) if byte.is_ascii_alphanumeric() || b"_@*#?$!-".contains(byte) => {
                let length = name_length(rest).max(1);
                let text = self.text;
                // A number has nothing in it that a shell could take for anything else.
                let is_number = b"$!?#".contains(byte);
                let word = self.word();
                if !is_number {
                    word.expand();
                }
                word.value.extend_from_slice(&text[from..from + 1 + length]);
                self.mention(&text[from + 1..from + 1 + length], from, 1 + length);
                self.copy(1 + length);
                let behind = &text[self.at..];
                if behind.starts_with(b"[") && self.dialect.has_bare_elements() {
                    let end = memchr::memchr(b']', behind).unwrap_or(behind.len());
                    self.check_region(self.at, self.at + end, &fault::CALCULATED);
                }
            }
            _ => self.take(b'$'),
        }
    }

    /// Something to calculate begins here, with so many signs.
    pub(super) fn arithmetic(&mut self, from: usize, length: usize) {
        let brackets = self.text[from..].starts_with(b"$[");
        let frame = Frame::Arithmetic {
            from,
            depth: if brackets { 1 } else { 2 },
            brackets,
        };
        self.open(frame, length);
    }

    /// Whether the `$` here is about the positional parameters.
    pub(super) fn look_for_parameters(&mut self) {
        self.found.speaks_of_parameters |= is_parameter(&self.text[self.at + 1..]);
    }

    /// `${`, and the name behind it.
    fn braces(&mut self) {
        let from = self.at;
        self.word().expand();
        self.word().value.extend_from_slice(b"${");
        let frame = Frame::Parameter {
            from,
            name: Vec::new(),
            part: Part::Rest,
        };
        self.open(frame, 1);
        // `${}` and the like were meant as places.
        if self.place() {
            self.frames.pop();
            return;
        }
        self.copy(1);
        let text = self.text;
        let inner = &text[self.at..];
        let Expanded {
            before,
            name,
            evaluates,
            counts,
        } = Expanded::of(inner);
        // The frame is not looked at before it is complete.
        let top = self.frames.pop();
        let shown = 2 + before + name.len();
        let behind = &inner[before + name.len()..];
        let holds = self.dialect.calculates() && self.names.holds_data(name);
        let is_prompt = behind.starts_with(b"@P");
        if holds && (evaluates || is_prompt) {
            self.fault(from, shown, &fault::INDIRECT);
        } else if evaluates {
            // What it names is not known; it may be a parameter.
            self.data(from, shown, true);
        } else if !counts && !leaves_digits(behind) {
            self.mention(name, from, shown);
        }
        if let Some(Frame::Parameter { from, .. }) = top {
            let name = name.to_vec();
            let part = Part::Name;
            self.frames.push(Frame::Parameter { from, name, part });
        }
        for _ in 0..before + name.len() {
            self.take(text[self.at]);
        }
    }

    pub(super) fn in_parameter(&mut self, byte: u8) {
        let follows = self.text.get(self.at + 1).copied();
        let before = self.at.checked_sub(1).map(|at| self.text[at]);
        let at = self.at;
        let text = self.text;
        let Some(Frame::Parameter { part, .. }) = self.frames.last_mut() else {
            return self.take(byte);
        };
        let is_calculated = matches!(part, Part::Index(_) | Part::Offset);
        *part = match (*part, byte) {
            (Part::Name, b'[') => Part::Index(1),
            (Part::Index(1), b']') => Part::Name,
            (Part::Index(depth), b']') => Part::Index(depth - 1),
            (Part::Index(depth), b'[') => Part::Index(depth + 1),
            (Part::Name, b':') => match follows {
                Some(b'=') => Part::Value,
                Some(b'-' | b'?' | b'+' | b'}') | None => Part::Rest,
                Some(_) => Part::Offset,
            },
            (Part::Name, b'=') => Part::Value,
            (Part::Name, _) => Part::Rest,
            (other, _) => other,
        };
        if is_calculated {
            self.name_here(before, at);
        }
        if !b"'\"".contains(&byte) {
            return self.take(byte);
        }
        // In double quotes, shells disagree about quotes in braces.
        let inner = self.frames.iter().rev();
        let mut inner = inner.take_while(|frame| !matches!(frame, Frame::Command(_)));
        let in_quotes = inner.any(|frame| matches!(frame, Frame::Double { .. }));
        let from = self.at;
        if in_quotes {
            // An index is read in the same way by all that have any.
            let is_known = is_calculated && self.dialect.knows_brackets();
            if !is_known || byte == b'\'' {
                self.fault(from, 1, &fault::UNCLEAR);
            }
            self.copy(1);
        } else if byte == b'\'' {
            if is_calculated && let Some(end) = memchr::memchr(b'\'', &text[at + 1..]) {
                self.check_region(at + 1, at + 1 + end, &fault::CALCULATED);
            }
            self.open(Frame::Single { from }, 1);
        } else {
            let dollar = false;
            self.open(Frame::Double { from, dollar }, 1);
        }
    }

    /// Where the shell calculates: a name that may hold data, if one begins here.
    fn name_here(&mut self, before: Option<u8>, at: usize) {
        let is_within = before.is_some_and(|b| b.is_ascii_alphanumeric() || b"_$".contains(&b));
        let length = name_length(&self.text[at..]);
        let name = &self.text[at..at + length];
        let holds = self.dialect.calculates() && self.names.holds_data(name);
        if !is_within && length > 0 && holds {
            self.fault(at, length, &fault::CALCULATED);
        }
    }

    pub(super) fn in_arithmetic(&mut self, byte: u8) {
        let follows = self.text.get(self.at + 1).copied();
        let before = self.at.checked_sub(1).map(|at| self.text[at]);
        let at = self.at;
        let text = self.text;
        let Some(Frame::Arithmetic {
            depth,
            brackets,
            from,
        }) = self.frames.last_mut()
        else {
            return self.copy(1);
        };
        let is_command = text[*from] == b'(';
        match (byte, *brackets) {
            (b'(', false) | (b'[', true) => *depth += 1,
            (b')', false) if *depth > 2 => *depth -= 1,
            (b']', true) if *depth > 1 => *depth -= 1,
            (b']', true) => {
                self.frames.pop();
            }
            (b')', false) => {
                self.frames.pop();
                if is_command {
                    // It is no word.
                    self.command().word = None;
                }
                if follows == Some(b')') {
                    return self.copy(2);
                }
                // It was a `$(` with a parenthesis behind it.
                self.fault(self.at, 1, &fault::UNCLEAR);
            }
            (b';', _) if is_command => {}
            (b'\'' | b'"' | b'`' | b';', _) => self.fault(self.at, 1, &fault::UNCLEAR),
            _ => self.name_here(before, at),
        }
        self.copy(1);
    }

    pub(super) fn backticks(&mut self) {
        let from = self.at;
        self.word().expand();
        let Some(content) = self.plain_backticks() else {
            let rest = &self.text[from..];
            let mut ends = memchr::memchr_iter(b'`', rest).skip(1);
            let end = ends.find(|end| rest[end - 1] != b'\\');
            let end = from + end.unwrap_or(rest.len());
            self.check_region(from + 1, end, &fault::BACKTICKS_HOLD);
            return self.open(Frame::Backticks { from }, 1);
        };
        let is_place = |at: usize| {
            let before = (from + at).checked_sub(1).map(|at| self.text[at]);
            matches!(self.written.at(&content[at..], before), Found::Place(..))
        };
        let translated = (0..content.len()).any(is_place);
        let opener = Opener::Backticks { from, translated };
        if !translated {
            return self.open(Frame::Command(Command::new(opener)), 1);
        }
        let open: &[u8] = if content.starts_with(b"(") {
            b"$( "
        } else {
            b"$("
        };
        self.frames.push(Frame::Command(Command::new(opener)));
        self.found.text.extend_from_slice(open);
        self.at += 1;
    }

    /// What stands in the backticks that begin here, if `$(…)` around it means the same.
    fn plain_backticks(&self) -> Option<&'a [u8]> {
        let text = self.text;
        let rest = &text[self.at + 1..];
        let content = &rest[..memchr::memchr(b'`', rest)?];
        let outside = self.frames.iter().rev();
        let mut outside = outside.take_while(|frame| !matches!(frame, Frame::Command(_)));
        let in_quotes = outside.any(|frame| matches!(frame, Frame::Double { .. }));
        let has = |text: &[u8]| memchr::memmem::find(content, text).is_some();
        let is_even = |quote: u8| {
            memchr::memchr_iter(quote, content)
                .count()
                .is_multiple_of(2)
        };
        let is_unclear = has(b"\\") || has(b"#") || has(b"<<") || has(b"case");
        // In quotes, not every shell takes quotes for new ones.
        let is_unclear = is_unclear || (in_quotes && has(b"\"") && !self.dialect.calculates());
        (!is_unclear && is_even(b'\'') && is_even(b'"')).then_some(content)
    }

    /// The backtick that ends commands.
    pub(super) fn end_backticks(&mut self, translated: bool) {
        self.end_command(false);
        self.leave();
        if translated {
            self.found.text.push(b')');
            self.at += 1;
        } else {
            self.copy(1);
        }
    }

    pub(super) fn in_backticks(&mut self) {
        if self.text[self.at] == b'$' {
            self.look_for_parameters();
        }
        self.copy(1);
    }
}

/// What stands behind `${`.
struct Expanded<'a> {
    /// How many signs stand in front of the name.
    before: usize,
    name: &'a [u8],
    /// Whether what the variable holds is a name, or program text.
    evaluates: bool,
    /// Whether only its length is wanted.
    counts: bool,
}

impl Expanded<'_> {
    fn of(inner: &[u8]) -> Expanded<'_> {
        // zsh has flags in parentheses.
        let flags = match inner.first() {
            Some(b'(') => memchr::memchr(b')', inner).map_or(0, |end| end + 1),
            _ => 0,
        };
        let flags = if inner[..flags].contains(&b'{') {
            0
        } else {
            flags
        };
        let rest = &inner[flags..];
        let signs = rest.iter().take_while(|b| b"!#=~^+".contains(b)).count();
        let length = |rest: &[u8]| {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let sign = usize::from(matches!(rest.first(), Some(b'@' | b'*')));
            name_length(rest).max(digits).max(sign)
        };
        let before = flags + signs;
        let name = &inner[before..before + length(&inner[before..])];
        let behind = &inner[before + name.len()..];
        let lists = [&b"[@]}"[..], b"[*]}", b"@}", b"*}"];
        let is_list = lists.iter().any(|list| behind.starts_with(list));
        let signs = &rest[..signs];
        let flags = &inner[..flags];
        Expanded {
            before: if name.is_empty() { 0 } else { before },
            name,
            evaluates: (signs.contains(&b'!') && !is_list)
                || signs.contains(&b'~')
                || flags.iter().any(|flag| b"eP%lr".contains(flag)),
            counts: signs.contains(&b'#') || (signs.contains(&b'!') && is_list),
        }
    }
}

/// Whether nothing but digits remains of a variable behind whose name this stands.
fn leaves_digits(behind: &[u8]) -> bool {
    let endings = ["//[!0-9]/}", "//[^0-9]/}", "//[!0-9]}", "//[^0-9]}"];
    endings.iter().any(|end| behind.starts_with(end.as_bytes()))
}

/// Whether what follows a `$` is about the positional parameters.
fn is_parameter(rest: &[u8]) -> bool {
    let is_one = |byte: Option<&u8>| byte.is_some_and(|b| b"123456789@*".contains(b));
    match rest.first() {
        Some(b'{') if rest.starts_with(b"{#}") => true,
        Some(b'{') => {
            let signs = rest[1..].iter().take_while(|b| b"#!".contains(b)).count();
            is_one(rest.get(1 + signs))
        }
        first => first == Some(&b'#') || is_one(first),
    }
}
