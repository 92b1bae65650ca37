//! The words of a command with places for the line: `sha256sum {}`.
//!
//! The words become an argument vector, never text for a shell, so no byte of
//! a line is ever read as program text; words that name a shell and would make it
//! read a line so are refused. Replacement is a single pass over each
//! word: what a line puts in is not looked at again, even when it holds `{}`.

use super::item::Item;
use super::place::{Place, SLOT};
use super::shell::command::{Word, program_text};

/// A command with places for the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    words: Vec<Vec<Part>>,
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Place(Place),
}

/// Why words are no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// There is `{%}`.
    Slot,
    /// The word with this number is for a shell, which would read what a line
    /// puts in as program text.
    ShellText(usize),
}

impl Template {
    /// Finds the places in these words. When there is none, `{}` is added as
    /// the last word.
    ///
    /// # Errors
    /// When a word holds a place that is not offered, or one where the line
    /// would not stay data.
    pub(crate) fn parse<W: AsRef<[u8]>>(words: &[W]) -> Result<Template, TemplateError> {
        if words
            .iter()
            .any(|word| memchr::memmem::find(word.as_ref(), SLOT).is_some())
        {
            return Err(TemplateError::Slot);
        }
        let parsed: Vec<Vec<Part>> = words.iter().map(|w| parse_word(w.as_ref())).collect();
        let plain = |(number, parts): (usize, &Vec<Part>)| {
            let is_place = |part: &Part| matches!(part, Part::Place(_));
            let place = parts.iter().position(is_place);
            Word::plain(number, words[number].as_ref(), place)
        };
        let plain: Vec<Word> = parsed.iter().enumerate().map(plain).collect();
        if let Some(number) = program_text(&plain) {
            return Err(TemplateError::ShellText(number));
        }
        let mut words = parsed;
        let is_place = |part: &Part| matches!(part, Part::Place(_));
        if !words.iter().flatten().any(is_place) {
            words.push(vec![Part::Place(Place::Line)]);
        }
        Ok(Template { words })
    }

    /// The program, when it is the same for every line.
    pub(crate) fn program(&self) -> Option<&[u8]> {
        match self.words.first()?.as_slice() {
            [Part::Literal(name)] => Some(name),
            _ => None,
        }
    }

    /// The same with another program.
    pub(crate) fn with_program(mut self, program: Vec<u8>) -> Template {
        if let Some(first) = self.words.first_mut() {
            *first = vec![Part::Literal(program)];
        }
        self
    }

    /// The argument vector for an item.
    pub(crate) fn fill(&self, item: Item<'_>, number: u64) -> Vec<Vec<u8>> {
        let fill_word = |parts: &Vec<Part>| {
            let mut word = Vec::new();
            for part in parts {
                match part {
                    Part::Literal(bytes) => word.extend_from_slice(bytes),
                    Part::Place(place) => place.fill(item, number, &mut word),
                }
            }
            word
        };
        self.words.iter().map(fill_word).collect()
    }
}

fn parse_word(word: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let mut rest = word;
    while let Some(&first) = rest.first() {
        match Place::at(rest, literal.last().copied()) {
            Some((text, place)) => {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Place(place));
                rest = &rest[text.len()..];
            }
            None => {
                literal.push(first);
                rest = &rest[1..];
            }
        }
    }
    if !literal.is_empty() || parts.is_empty() {
        parts.push(Part::Literal(literal));
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::item::Fields;
    use super::*;

    fn fill(words: &[&str], line: &str) -> Vec<String> {
        let argv = Template::parse(words)
            .unwrap()
            .fill(Item::value(line.as_bytes()), 7);
        argv.into_iter()
            .map(|w| String::from_utf8(w).unwrap())
            .collect()
    }

    fn one(word: &str, line: &str) -> String {
        fill(&["x", word], line).remove(1)
    }

    #[test]
    fn the_line_goes_where_the_braces_are() {
        assert_eq!(
            fill(&["cp", "{}", "{}.bak"], "a b"),
            ["cp", "a b", "a b.bak"]
        );
        assert_eq!(fill(&["gzip", "-9"], "a"), ["gzip", "-9", "a"]);
        assert_eq!(fill(&["echo", "{#}"], "a"), ["echo", "7"]);
        assert_eq!(fill(&["{}"], "true"), ["true"]);
        assert_eq!(fill(&["echo", ""], "a"), ["echo", "", "a"]);
    }

    #[test]
    fn several_fields_have_blanks_between_them() {
        let template = Template::parse(&["x", "{}", "<{/.}> {#}"]).unwrap();
        let filled = |bytes: &[u8], fields| template.fill(Item::new(bytes, fields), 7);
        assert_eq!(
            filled(b"a/b.c\0d\0", Fields::Several),
            [&b"x"[..], b"a/b.c d ", b"<b d > 7"]
        );
        assert_eq!(filled(b"a", Fields::None), [&b"x"[..], b"", b"<> 7"]);
    }

    #[test]
    fn other_braces_are_text() {
        assert_eq!(one("{ }{a}{{}}{", "X"), "{ }{a}{X}{");
        assert_eq!(one("${}", "HOME"), "$HOME");
        assert_eq!(one("${path} ${#}", "X"), "${path} ${#}");
        assert_eq!(one("--file={path}", "-X"), "--file=./-X");
    }

    #[test]
    fn f122_text_for_a_shell_has_no_place() {
        for (words, number) in [
            (&["sh", "-c", "echo {}"][..], 2),
            (&["/bin/bash", "-o", "pipefail", "-ec", "a{.}"], 4),
            (&["env", "X=1", "dash", "-c", "{}"], 4),
            (&["sh", "{//}", "{/}"], 1),
            (&["sh", "-{}", "x"], 1),
        ] {
            let error = Template::parse(words).unwrap_err();
            assert_eq!(error, TemplateError::ShellText(number), "{words:?}");
        }
        for words in [
            &["sh", "-c", "echo \"$1\"", "sh", "{}"][..],
            &["sh", "-c", "echo ${path}", "sh", "{path}"],
            &["sh", "{}"],
            &["sh", "./{}", "{}"],
            &["sh", "--", "{}", "{}"],
            &["gzip", "-c", "{}"],
            &["sh"],
        ] {
            assert!(Template::parse(words).is_ok(), "{words:?}");
        }
    }

    #[test]
    fn the_slot_is_refused() {
        assert_eq!(Template::parse(&["x", "a{%}"]), Err(TemplateError::Slot));
    }

    #[test]
    fn a_program_without_places_can_be_replaced() {
        let template = Template::parse(&["ls", "{}"]).unwrap();
        assert_eq!(template.program(), Some(&b"ls"[..]));
        let template = template.with_program(b"/bin/ls".to_vec());
        assert_eq!(
            template.fill(Item::value(b"a"), 1),
            [b"/bin/ls".to_vec(), b"a".to_vec()]
        );
        assert_eq!(Template::parse(&["./{}"]).unwrap().program(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_arrive_as_they_are(line in prop::collection::vec(any::<u8>(), 0..100)) {
            let argv = Template::parse(&["x", "{}", "a{}b{}"]).unwrap().fill(Item::value(&line), 1);
            prop_assert_eq!(&argv[1], &line);
            let twice = [b"a", &line[..], b"b", &line[..]].concat();
            prop_assert_eq!(&argv[2], &twice);
        }

        #[test]
        fn what_was_put_in_is_not_looked_at_again(line in "[{}./#%a]{0,12}") {
            prop_assert_eq!(one("<{}>", &line), format!("<{line}>"));
        }
    }
}
