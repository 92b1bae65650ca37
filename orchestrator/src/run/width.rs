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
