//! Foreign text in a page: it is text and nothing else, in HTML and in the model.

use std::io::{self, Write};

/// Text as it stands between tags, or in quotes in one.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Takes JSON, and gives it on so that nothing in it ends the element in which it
/// stands, or begins another: such characters are only in strings, where they may be
/// written as numbers.
pub(super) struct Json<W>(pub(super) W);

impl<W: Write> Write for Json<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        let ends = |byte: &u8| matches!(byte, b'<' | b'>' | b'&');
        match json.iter().position(ends) {
            Some(0) => write!(self.0, "\\u{:04x}", json[0]).map(|()| 1),
            Some(before) => self.0.write_all(&json[..before]).map(|()| before),
            None => self.0.write_all(json).map(|()| json.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(value: &str) -> String {
        let mut out = Vec::new();
        serde_json::to_writer(Json(&mut out), value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_ends_a_script_is_written_as_numbers() {
        let bad = "</script><!--<script>&\"'\u{2028}";
        let written = json(bad);
        assert!(!written.contains(['<', '>', '&']), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), bad);
        assert_eq!(html("<a b='\"&"), "&lt;a b=&#39;&quot;&amp;");
    }

    proptest! {
        #[test]
        fn nothing_in_a_string_is_markup(text in any::<String>()) {
            let written = json(&text);
            prop_assert!(!written.contains(['<', '>', '&']));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text.clone());
            let escaped = html(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
        }
    }
}
