//! How lines for a person stand on a terminal, or in a log, where nothing is folded.

use super::Next;
use crate::run::width;

/// How many columns the heads take.
const HEADS: usize = 12;

/// What each line of a job's stderr begins with.
pub(super) const BAR: &str = "  | ";

/// In fewer columns, text is not worth being folded.
const LEAST: usize = 10;

/// What it came to, on a terminal that has so many columns.
pub(crate) fn headline(line: &str, columns: Option<usize>) -> String {
    let room = columns.map_or(usize::MAX, |columns| room(columns, 2));
    width::folded(line, room).join("\n  ") + "\n"
}

/// Rows with their heads, and what can be done.
pub(super) fn told(rows: &[(&str, String)], next: &[Next], columns: Option<usize>) -> String {
    let room = columns.map_or(usize::MAX, |columns| room(columns, HEADS));
    let mut told = String::new();
    for (head, row) in rows {
        let (before, row) = match row.strip_prefix(BAR) {
            Some(row) => (BAR, row),
            None => ("", row.as_str()),
        };
        tell(&mut told, head, before, row, room);
    }
    let fits = all_fit(next, room);
    let lengths = next.iter().filter_map(|next| next.command.as_deref());
    let longest = lengths.map(|c| c.chars().count()).max().unwrap_or(0);
    for (i, Next { command, what }) in next.iter().enumerate() {
        let head = if i == 0 { "next" } else { "" };
        match command {
            Some(command) if fits => {
                let line = format!("{command:<longest$}   # {what}");
                tell(&mut told, head, "", &line, usize::MAX);
            }
            Some(command) => {
                // It stays on one line, however long that is, to be taken from there.
                tell(&mut told, head, "", command, usize::MAX);
                tell(&mut told, "", "# ", what, room);
            }
            None => tell(&mut told, head, "", what, room),
        }
    }
    told
}

/// Whether what all command lines are for has room behind the longest of them.
fn all_fit(next: &[Next], room: usize) -> bool {
    let of = |text: Option<&str>| text.map_or(0, width::of);
    let commands = next.iter().map(|next| of(next.command.as_deref())).max();
    let with_command = next.iter().filter(|next| next.command.is_some());
    let whats = with_command.map(|next| of(Some(&next.what))).max();
    let all = commands.zip(whats);
    all.is_none_or(|(command, what)| command + "   # ".len() + what <= room)
}

/// A text behind its head, folded, with this before each line of it.
fn tell(told: &mut String, head: &str, before: &str, text: &str, room: usize) {
    let mut head = head;
    for part in width::folded(text, room.saturating_sub(before.len()).max(1)) {
        *told += &format!("  {head:<9} {before}{part}\n");
        head = "";
    }
}

/// How wide a text can be behind so many columns. In the last one some terminals begin a new
/// line; where there is next to nothing left, lines are as long as they are.
fn room(columns: usize, before: usize) -> usize {
    match columns.saturating_sub(before + 1) {
        0..LEAST => usize::MAX,
        room => room,
    }
}
