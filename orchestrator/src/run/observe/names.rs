//! What a job is called where people look at it.

use crate::run::sink::command_line::{self, Setting};
use crate::run::source::work::Ticket;
use crate::run::text;

/// How much of a name is looked at, in bytes; less of it is shown.
const LOOKED_AT: usize = 1024;

/// A job's label, or its item, or its command; fit for a line, and harmless.
pub(crate) fn name(ticket: &Ticket) -> String {
    let label = ticket.wishes.as_ref().and_then(|w| w.label.as_deref());
    let item = ticket.item.as_deref().filter(|item| !item.is_empty());
    if let Some(name) = label.map(str::as_bytes).or(item) {
        let name = &name[..name.len().min(LOOKED_AT)];
        // Between the fields of an item.
        let blank = |&byte: &u8| if byte == 0 { b' ' } else { byte };
        return text::clipped(&name.iter().map(blank).collect::<Vec<u8>>());
    }
    match command_line::of(&ticket.command, Setting::default()).line {
        line if line.is_empty() => format!("job {}", ticket.seq),
        line => text::clipped(&line),
    }
}
