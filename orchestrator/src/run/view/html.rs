//! The page: one file that needs nothing else. Figures, notes, failures and lists are
//! HTML, readable without a script; the script draws the pictures and the table of all
//! jobs from the model.
//!
//! Foreign text goes through [`super::safe`]; only the script and style that are ours
//! have the nonce without which a browser takes none, and nothing may be fetched.

mod head;
mod tables;

use std::io::{self, Write};

use super::model::{Figures, Kind, Model};
use super::safe::{Json, html};
use crate::run::text;

const STYLE: &str = include_str!("page/page.css");

/// The parts of the script, in their order; each is a part of one function.
const SCRIPT: [&str; 7] = [
    include_str!("page/data.js"),
    include_str!("page/words.js"),
    include_str!("page/timeline.js"),
    include_str!("page/shapes.js"),
    include_str!("page/table.js"),
    include_str!("page/page.js"),
    // Of a page that is fed while the run goes on, only this part is another.
    include_str!("page/boot.js"),
];

/// Writes the page of a run; the nonce is a word that nobody could have guessed.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(mut out: &mut dyn Write, model: &Model, nonce: &str) -> io::Result<()> {
    let title = html(&head::verdict(model));
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style nonce=\"{nonce}\">\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )?;
    for part in [
        head::header(model),
        head::tiles(model),
        head::notes(&model.about),
    ] {
        out.write_all(part.as_bytes())?;
    }
    out.write_all(
        b"<div id=\"pictures\"></div>\n<noscript><p class=\"quiet\">Timeline, pictures and the table of all \
          jobs need JavaScript; everything else does not.</p></noscript>\n",
    )?;
    for part in [
        tables::failures(model),
        tables::times(model),
        tables::slowest(&model.about),
        tables::retried(model),
        tables::workers(model),
        tables::runs(model),
    ] {
        out.write_all(part.as_bytes())?;
    }
    out.write_all(
        b"<div id=\"jobs\"></div>\n</main>\n<script id=\"model\" type=\"application/json\">",
    )?;
    serde_json::to_writer(Json(&mut out), model)?;
    write!(
        out,
        "</script>\n<script nonce=\"{nonce}\">\n\"use strict\";\n(() => {{\n"
    )?;
    for part in SCRIPT {
        out.write_all(part.as_bytes())?;
    }
    out.write_all(b"})();\n</script>\n</body>\n</html>\n")
}

/// A length of time, with as many digits as matter.
pub(super) fn time(us: i64) -> String {
    let ms = us as f64 / 1e3;
    if us < 1_000 {
        format!("{us} µs")
    } else if us < 10_000 {
        format!("{ms:.1} ms")
    } else if us < 1_000_000 {
        format!("{ms:.0} ms")
    } else if us < 60_000_000 {
        format!("{:.2} s", ms / 1e3)
    } else {
        text::duration(std::time::Duration::from_micros(us.unsigned_abs()))
    }
}

fn memory(kib: i64) -> String {
    let amount = kib as f64;
    if kib < 1 << 10 {
        format!("{kib} KiB")
    } else if kib < 1 << 20 {
        format!("{:.1} MiB", amount / 1024.0)
    } else {
        format!("{:.2} GiB", amount / 1_048_576.0)
    }
}

/// How many in each second.
fn rate(figures: &Figures) -> String {
    match figures.rate() {
        rate if rate < 10.0 => format!("{rate:.1}/s"),
        rate => format!("{}/s", text::count(rate.round() as u64)),
    }
}

/// Text with words in back-quotes, which are typed or named.
fn marked(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in text.split('`').enumerate() {
        let part = html(part);
        match i % 2 {
            0 => out += &part,
            _ => out += &format!("<code>{part}</code>"),
        }
    }
    out
}

/// A verdict as a word on its colour.
fn verdict(word: &str) -> String {
    let (kind, word) = (kind(word), html(&text::clipped(word.as_bytes())));
    format!("<span class=\"word {kind}\">{word}</span>")
}

/// What a verdict looks like.
fn kind(word: &str) -> &'static str {
    match word {
        "ok" => "ok",
        "timeout" | "output_limit" => "late",
        "crashed" | "oom" | "quarantined" | "unkillable" => "dead",
        "interrupted" | "cancelled" | "lost" => "gone",
        _ => "bad",
    }
}

fn is_light(model: &Model) -> bool {
    model.about.kind == Kind::Light
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        let times = [0, 999, 1_000, 9_140, 61_000, 1_463_000, 90_100_000];
        assert_eq!(
            times.map(time),
            [
                "0 µs", "999 µs", "1.0 ms", "9.1 ms", "61 ms", "1.46 s", "1m 30s"
            ]
        );
        assert_eq!(
            [1_000, 10_240, 3 << 20].map(memory),
            ["1000 KiB", "10.0 MiB", "3.00 GiB"]
        );
        assert_eq!(marked("a `b <c>` d"), "a <code>b &lt;c&gt;</code> d");
    }

    #[test]
    fn the_script_and_the_style_end_where_they_should() {
        assert!(!STYLE.contains('<'));
        for part in SCRIPT {
            assert!(!part.contains("</") && !part.contains("<!--"));
        }
    }

    #[test]
    fn an_empty_model_is_a_page() {
        let mut page = Vec::new();
        write(&mut page, &Model::default(), "n").unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    }
}
