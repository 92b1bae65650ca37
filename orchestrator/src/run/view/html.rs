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
const SCRIPT: [&str; 6] = [
    include_str!("page/data.js"),
    include_str!("page/words.js"),
    include_str!("page/timeline.js"),
    include_str!("page/shapes.js"),
    include_str!("page/table.js"),
    include_str!("page/page.js"),
];

/// The last part of it: of a report, and of a page that is fed while the run goes on.
const BOOT: &str = include_str!("page/boot.js");
const LIVE: &str = include_str!("page/live.js");

/// Writes the page of a run; the nonce is a word that nobody could have guessed.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(out: &mut dyn Write, model: &Model, nonce: &str) -> io::Result<()> {
    page(out, model, nonce, ("", BOOT))
}

/// Writes the page of a run that goes on, as it stands now; the rest it asks for.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn live_page(out: &mut dyn Write, model: &Model, nonce: &str) -> io::Result<()> {
    page(out, model, nonce, ("; connect-src 'self'", LIVE))
}

/// All that such a page shows in words, by the names of its parts; and its title.
pub(crate) fn live_parts(model: &Model) -> (String, Vec<(&'static str, String)>) {
    let (above, below) = (above(model), below(model));
    (
        head::verdict(model),
        above.into_iter().chain(below).collect(),
    )
}

type Part = (&'static str, String);

/// What stands above the pictures.
fn above(model: &Model) -> [Part; 3] {
    [
        ("head", head::header(model)),
        ("tiles", head::tiles(model)),
        ("notes", head::notes(&model.about)),
    ]
}

/// What stands below them.
fn below(model: &Model) -> [Part; 8] {
    [
        ("at-work", tables::at_work(&model.about)),
        ("failed", tables::failures(model)),
        ("times", tables::times(model)),
        ("slow", tables::slowest(&model.about)),
        ("retried", tables::retried(model)),
        ("hosts", tables::hosts(model)),
        ("workers", tables::workers(model)),
        ("runs", tables::runs(model)),
    ]
}

fn parts(out: &mut dyn Write, parts: &[Part]) -> io::Result<()> {
    parts
        .iter()
        .try_for_each(|(name, html)| write!(out, "<div data-part=\"{name}\">\n{html}</div>\n"))
}

/// Writes a page that may also do this, and whose script ends so.
fn page(
    mut out: &mut dyn Write,
    model: &Model,
    nonce: &str,
    (may, boot): (&str, &str),
) -> io::Result<()> {
    let title = html(&head::verdict(model));
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'{may}; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style nonce=\"{nonce}\">\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )?;
    parts(out, &above(model))?;
    out.write_all(
        b"<div id=\"pictures\"></div>\n<noscript><p class=\"quiet\">Timeline, pictures and the table of all \
          jobs need JavaScript; everything else does not.</p></noscript>\n",
    )?;
    parts(out, &below(model))?;
    out.write_all(
        b"<div id=\"jobs\"></div>\n</main>\n<script id=\"model\" type=\"application/json\">",
    )?;
    serde_json::to_writer(Json(&mut out), model)?;
    write!(
        out,
        "</script>\n<script nonce=\"{nonce}\">\n\"use strict\";\n(() => {{\n"
    )?;
    for part in SCRIPT.into_iter().chain([boot]) {
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
    text::rate(figures.rate())
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
        for part in SCRIPT.into_iter().chain([BOOT, LIVE]) {
            assert!(!part.contains("</") && !part.contains("<!--"));
        }
    }

    #[test]
    fn an_empty_model_is_a_page() {
        let mut page = Vec::new();
        write(&mut page, &Model::default(), "n").unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert!(!page.contains("connect-src"));
        let mut page = Vec::new();
        live_page(&mut page, &Model::default(), "n").unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("script-src 'nonce-n'; connect-src 'self'; base-uri 'none'"));
    }
}
