//! Standard input: bytes into lines, lines of JSON into jobs.

use bytes::Bytes;
use orchestrator::fuzzing::{Line, Recipe, lines};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::cut::cut;

/// How much of a line that is too long is shown.
const SHOWN: usize = 100;

/// The first byte says how the input is cut, the second one what ends a line and how
/// long it may be.
pub fn jobs(data: &[u8]) {
    let [seed, options, input @ ..] = data else {
        return;
    };
    let nul = options % 2 == 1;
    let limit = usize::from(options / 2) * 2 + 1;
    let expected = as_they_stand(input, if nul { 0 } else { b'\n' });
    for pieces in [vec![input], cut(input, *seed).collect()] {
        let pieces = pieces.into_iter().map(Bytes::copy_from_slice);
        let found = lines(pieces, nul, limit as u64);
        assert_eq!(found.len(), expected.len());
        for ((number, line), expected) in (1..).zip(&found).zip(&expected) {
            assert_eq!(line.number(), number);
            assert_eq!(line.length(), expected.len() as u64);
            let is_whole = expected.len() <= limit;
            let held = if is_whole { expected.len() } else { SHOWN };
            assert_eq!(line.is_whole(), is_whole);
            assert_eq!(line.bytes(), &expected[..held.min(expected.len())]);
        }
        found.iter().for_each(job);
    }
}

/// All lines by the simplest rule that there is.
fn as_they_stand(input: &[u8], delimiter: u8) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = input.split(|&byte| byte == delimiter).collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
}

fn job(line: &Line) {
    let argument = is_fine(&Recipe::argument(), line);
    let record = is_fine(&Recipe::record(), line);
    is_fine(&Recipe::commands(), line);
    if !line.is_whole() {
        assert!(argument.is_none() && record.is_none());
        return;
    }
    let text = std::str::from_utf8(line.bytes()).unwrap_or("\u{0}");
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    assert_eq!(argument.is_some(), is_json);
    if let Some((_, argument)) = argument {
        let blanks = [' ', '\t', '\r', '\n'];
        assert_eq!(argument, text.trim_matches(blanks));
    }
    if let Some((id, argument)) = record {
        assert!(is_json, "part of what is no JSON");
        serde_json::from_slice::<&RawValue>(&argument).expect("an argument is JSON");
        let again = match &id {
            Some(id) => [br#"{"id":"#, id.as_bytes(), br#","args":"#, &argument, b"}"].concat(),
            None => [br#"{"args":"#, &argument[..], b"}"].concat(),
        };
        let again = is_fine(&Recipe::record(), &Line::whole(1, again.into()));
        assert_eq!(again, Some((id, argument)));
    }
}

/// The job of a line, if it is one. What is said of any other is fit for a terminal.
fn is_fine(recipe: &Recipe, line: &Line) -> Option<(Option<String>, Bytes)> {
    match recipe.prepare(1, line) {
        Ok(made) => made.map(|job| (job.id, job.input)),
        Err(refused) => {
            for said in refused.place.iter().chain([&refused.what]) {
                let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                assert!(
                    !said.contains(|c: char| c.is_control() || turns(c)),
                    "{said:?}"
                );
            }
            if let Some(id) = &refused.id {
                serde_json::from_str::<&RawValue>(id).expect("an id is JSON");
            }
            None
        }
    }
}
