//! How wide a text is on a terminal, and texts made to fit one.

/// How many columns a text takes at most.
pub(crate) fn of(text: &str) -> usize {
    text.chars().map(of_char).sum()
}

/// Terminals differ in what they make wide: none makes anything wider than this.
fn of_char(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

/// As much of a text as fits.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if of(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(of("…"));
    format!("{}…", beginning(text, room))
}

/// The characters that fit.
fn beginning(text: &str, mut room: usize) -> &str {
    let over = text.char_indices().find(|&(_, c)| {
        let fits = room >= of_char(c);
        room = room.saturating_sub(of_char(c));
        !fits
    });
    &text[..over.map_or(text.len(), |(at, _)| at)]
}

/// A text in lines of at most so many columns, parted at blanks, or within a word that is longer
/// than that. Each holds at least one character.
pub(crate) fn folded(text: &str, columns: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while of(rest) > columns {
        let fits = beginning(rest, columns);
        let one = rest.chars().next().map_or(0, char::len_utf8);
        // A blank behind what fits is as good as one within.
        let behind = rest[fits.len()..].starts_with(' ').then_some(fits.len());
        let blank = behind.or_else(|| fits.rfind(' '));
        let begun = rest.len() - rest.trim_start_matches(' ').len();
        let at = blank.filter(|&at| at > begun);
        let at = at.unwrap_or(fits.len().max(one));
        lines.push(rest[..at].trim_end_matches(' '));
        rest = rest[at..].trim_start_matches(' ');
        if rest.is_empty() {
            return lines;
        }
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_parted_at_blanks() {
        assert_eq!(folded("", 5), [""]);
        assert_eq!(folded("one two", 7), ["one two"]);
        assert_eq!(folded("one two", 6), ["one", "two"]);
        assert_eq!(folded("one two  three", 8), ["one two", "three"]);
        assert_eq!(folded("seventeen or so", 4), ["seve", "ntee", "n or", "so"]);
        assert_eq!(folded("  | in here", 8), ["  | in", "here"]);
        assert_eq!(folded("名前", 3), ["名", "前"]);
        assert_eq!(folded("名前", 0), ["名", "前"]);
        assert_eq!(cut("seventeen", 9), "seventeen");
        assert_eq!(cut("seventeen", 8), "sevent…");
    }

    proptest! {
        #[test]
        fn nothing_is_wider_and_nothing_is_lost(text in "[a-c名 ]{0,60}", columns in 2_usize..30) {
            let lines = folded(&text, columns);
            for line in &lines {
                prop_assert!(of(line) <= columns, "{line:?}");
            }
            let letters = |text: &str| text.replace(' ', "");
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
