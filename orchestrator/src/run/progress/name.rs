//! What a job is called when a person is told of it.

use bytes::Bytes;

use crate::run::sink::command_line;
use crate::run::source::work::Ticket;
use crate::run::text;

/// What a job is called, on one line that is fit for a terminal: by what its input called
/// it, or by its item, or by its command.
pub(crate) fn of(ticket: &Ticket) -> String {
    let label = ticket.wishes.as_ref().and_then(|w| w.label.as_deref());
    if let Some(label) = label {
        return text::clipped(label.as_bytes());
    }
    if let Some(id) = ticket.id.as_deref() {
        let plain = serde_json::from_str::<String>(id);
        return text::clipped(plain.as_deref().unwrap_or(id).as_bytes());
    }
    let item = ticket.item.as_ref().filter(|item| !item.is_empty());
    let item = item.filter(|item| !is_whole_job(item, &ticket.command));
    match item {
        Some(item) => text::clipped(&fields(item)),
        None => command_line::name(&ticket.command, None)
            .unwrap_or_else(|| format!("line {}", ticket.line)),
    }
}

/// Whether an item is an object that says what is run: then its command says what a person wants
/// to know.
fn is_whole_job(item: &[u8], command: &[u8]) -> bool {
    let is_object = item.trim_ascii_start().starts_with(b"{");
    is_object && !command.is_empty() && memchr::memmem::find(command, item).is_none()
}

/// The fields of an item with blanks between them; of a long one as much as is shown.
fn fields(item: &Bytes) -> Vec<u8> {
    const MOST: usize = 4096;
    let mut shown = item[..item.len().min(MOST)].to_vec();
    shown
        .iter_mut()
        .filter(|byte| **byte == 0)
        .for_each(|byte| *byte = b' ');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::sink::render::tests::ticket;

    #[test]
    fn a_name_is_what_says_most_and_never_more_than_a_line() {
        let plain = ticket(&[b"gzip", b"a\nb"]);
        assert_eq!(of(&plain), "`gzip 'a\\nb'`");
        let item = Ticket {
            item: Some(Bytes::from_static(b"a\x1b[2J\0b")),
            ..plain
        };
        assert_eq!(of(&item), "a\\u{1b}[2J b");
        let object = Ticket {
            item: Some(Bytes::from_static(b" {\"argv\": [\"gzip\", \"a\\nb\"]}")),
            ..ticket(&[b"gzip", b"a\nb"])
        };
        assert_eq!(of(&object), "`gzip 'a\\nb'`");
        let braces = Ticket {
            item: Some(Bytes::from_static(b"{a}")),
            ..ticket(&[b"gzip", b"{a}.x"])
        };
        assert_eq!(of(&braces), "{a}");
        let named = Ticket {
            id: Some("\"\\u001b7\"".into()),
            ..item
        };
        assert_eq!(of(&named), "\\u{1b}7");
        let numbered = Ticket {
            id: Some("7".into()),
            ..named
        };
        assert_eq!(of(&numbered), "7");
        let task = Ticket {
            id: None,
            item: Some(Bytes::new()),
            command: Bytes::new(),
            ..numbered
        };
        assert_eq!(of(&task), "line 4");
    }
}
