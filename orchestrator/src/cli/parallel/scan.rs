//! Takes a command line apart as GNU parallel does, which is as Perl's Getopt::Long
//! does it: short options may be bundled (`-kj4`), long ones shortened while no other
//! is meant (`--keep`), and the first word that is no option ends them.

use std::collections::VecDeque;

use super::super::errors::Message;
use super::options::{self, Opt, Takes};
use crate::run::text;

/// An option that was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) option: &'static Opt,
    /// How it was written, without a value.
    pub(super) name: String,
    pub(super) value: Option<Vec<u8>>,
}

/// Takes the options off the beginning of these words.
///
/// # Errors
/// When there is no such option, or none that is meant alone, or when it has no value
/// and needs one, or the other way round.
pub(super) fn options(words: Vec<Vec<u8>>) -> Result<(Vec<Given>, Vec<Vec<u8>>), Message> {
    let mut words = VecDeque::from(words);
    let mut given = Vec::new();
    while let Some(word) = words.pop_front() {
        match &word[..] {
            b"--" => break,
            [b'-', b'-', long @ ..] => given.push(long_option(long, &mut words)?),
            [b'-', short, ..] if *short != b'-' => bundle(&word[1..], &mut words, &mut given)?,
            _ => {
                words.push_front(word);
                break;
            }
        }
    }
    Ok((given, words.into()))
}

fn long_option(word: &[u8], words: &mut VecDeque<Vec<u8>>) -> Result<Given, Message> {
    let equals = memchr::memchr(b'=', word);
    let (name, value) = match equals {
        Some(at) => (&word[..at], Some(word[at + 1..].to_vec())),
        None => (word, None),
    };
    let option = find_long(name)?;
    let name = format!("--{}", text::escaped(name));
    let value = match (option.takes, value) {
        (Takes::Nothing, Some(_)) => {
            return Err(Message::new(format!("{name} takes no value")));
        }
        (Takes::Nothing, None) => None,
        (_, Some(value)) => Some(value),
        (takes, None) => next_value(takes, &name, words)?,
    };
    Ok(Given {
        option,
        name,
        value,
    })
}

/// Options of one letter each, of which the last may have a value.
fn bundle(
    letters: &[u8],
    words: &mut VecDeque<Vec<u8>>,
    given: &mut Vec<Given>,
) -> Result<(), Message> {
    let mut rest = letters;
    while let Some((&letter, behind)) = rest.split_first() {
        let name = format!("-{}", text::escaped(&[letter]));
        let is_it = |name: &&str| name.as_bytes() == [letter];
        let Some(option) = find(is_it) else {
            return Err(unknown(&name, &name));
        };
        let digits = behind.iter().take_while(|b| b.is_ascii_digit()).count();
        let taken = match option.takes {
            Takes::Nothing => 0,
            Takes::MaybeNumber => digits,
            Takes::Value | Takes::Maybe => behind.len(),
        };
        let (value, behind) = behind.split_at(taken);
        let value = match (value, option.takes) {
            (_, Takes::Nothing) => None,
            // What follows are letters.
            ([], Takes::MaybeNumber) if !behind.is_empty() => None,
            ([], takes) => next_value(takes, &name, words)?,
            (value, _) => Some(value.to_vec()),
        };
        given.push(Given {
            option,
            name,
            value,
        });
        rest = behind;
    }
    Ok(())
}

/// The value that an option has in the next word.
fn next_value(
    takes: Takes,
    name: &str,
    words: &mut VecDeque<Vec<u8>>,
) -> Result<Option<Vec<u8>>, Message> {
    let fits = |word: &Vec<u8>| match takes {
        Takes::Nothing => false,
        Takes::Value => true,
        Takes::Maybe => word.len() < 2 || word[0] != b'-',
        Takes::MaybeNumber => !word.is_empty() && word.iter().all(u8::is_ascii_digit),
    };
    let value = match words.front() {
        Some(word) if fits(word) => words.pop_front(),
        _ => None,
    };
    match (value, takes) {
        (None, Takes::Value) => Err(Message::new(format!("{name} needs a value"))),
        (value, _) => Ok(value),
    }
}

fn find(is_it: impl Fn(&&str) -> bool) -> Option<&'static Opt> {
    let mut all = options::all();
    all.find(|option| option.names.iter().any(&is_it))
}

fn find_long(word: &[u8]) -> Result<&'static Opt, Message> {
    let wanted = String::from_utf8_lossy(word).to_ascii_lowercase();
    // One letter, as it is written.
    let is_it = |name: &&str| **name == wanted || name.as_bytes() == word;
    if let Some(option) = find(is_it) {
        return Ok(option);
    }
    let begins = |name: &&&str| name.len() > 1 && name.starts_with(&wanted);
    let mut meant = options::all()
        .filter(|option| !wanted.is_empty() && option.names.iter().any(|name| begins(&name)));
    let shown = format!("--{}", text::escaped(word));
    match (meant.next(), meant.next()) {
        (Some(option), None) => Ok(option),
        (None, _) => Err(unknown(&shown, &wanted)),
        (Some(first), Some(second)) => {
            let of = |option: &'static Opt| option.names.iter().filter(begins);
            let all = [first, second].into_iter().chain(meant).flat_map(of);
            let all: Vec<String> = all.map(|name| format!("--{name}")).collect();
            let what = format!("{shown} may be any of {}", all.join(", "));
            Err(Message::new(what))
        }
    }
}

fn unknown(shown: &str, wanted: &str) -> Message {
    let known = options::all().flat_map(|option| option.names).copied();
    let message = Message::new(format!(
        "GNU parallel has no option {}",
        text::quoted(shown)
    ));
    match text::similar(wanted, known.filter(|name| name.len() > 2)) {
        Some(name) => message.tip(format!("a similar option exists: `--{name}`")),
        None => message.tip("a command that begins with a dash goes behind `--`"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scanned(words: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let (given, rest) = options(words).map_err(|message| message.to_string())?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let given = given.into_iter().map(|given| {
            let value = given.value.map(|value| format!("={}", text(value)));
            format!("{}{}", given.option.names[0], value.unwrap_or_default())
        });
        Ok((given.collect(), rest.into_iter().map(text).collect()))
    }

    #[test]
    fn options_are_taken_apart_as_gnu_parallel_does_it() {
        for (words, given, rest) in [
            (
                &["-kj4", "echo", "-k"][..],
                &["k", "j=4"][..],
                &["echo", "-k"][..],
            ),
            (
                &["-j", "-1", "--jobs=2", "--jobs", "3"],
                &["j=-1", "j=2", "j=3"],
                &[],
            ),
            (&["--KEEP", "--max-proc=2"], &["k", "j=2"], &[]),
            (&["-j=2"], &["j==2"], &[]),
            (&["--r", "2", "echo"], &["r"], &["2", "echo"]),
            (&["-0", "--", "-k", "a"], &["0"], &["-k", "a"]),
            (&["-", "a"], &[], &["-", "a"]),
            (&["-k", "", "a"], &["k"], &["", "a"]),
            (&["-i", "x", "-i", "-k", "-i"], &["i=x", "i", "k", "i"], &[]),
            (
                &["-i%", "--replace=", "--replace=x"],
                &["i=%", "i=", "i=x"],
                &[],
            ),
            (
                &["-l", "2", "-l2k", "-lk", "-l", "x"],
                &["l=2", "l=2", "k", "l", "k", "l"],
                &["x"],
            ),
            (&["-eb", "-e", "b"], &["e=b", "e=b"], &[]),
            (&["--line"], &["lb"], &[]),
            (&["-k", ":::", "-j"], &["k"], &[":::", "-j"]),
        ] {
            let (seen, left) = scanned(words).unwrap();
            assert_eq!((seen, left), (strings(given), strings(rest)), "{words:?}");
        }
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.into()).collect()
    }

    #[test]
    fn what_is_no_option_is_told() {
        for (words, what) in [
            (&["--nosuch"][..], "GNU parallel has no option `--nosuch`"),
            (&["-Q"], "GNU parallel has no option `-Q`"),
            (&["-kZ"], "GNU parallel has no option `-Z`"),
            (&["-k\u{fc}"], "GNU parallel has no option `-"),
            (
                &["--keep-oder"],
                "GNU parallel has no option `--keep-oder`\n  tip: a similar option exists: `--keep-order`",
            ),
            (&["--jo", "2"], "--jo may be any of --jobs, --joblog\n"),
            (&["--nokeep-order"], "GNU parallel has no option"),
            (&["--keep-order=3"], "--keep-order takes no value"),
            (&["--jobs"], "--jobs needs a value"),
            (&["-kj"], "-j needs a value"),
            (&["--="], "GNU parallel has no option"),
        ] {
            let said = scanned(words).unwrap_err();
            assert!(
                said.starts_with(&format!("error: {what}")),
                "{words:?}: {said}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_words_are_taken_apart_or_refused(
            words in prop::collection::vec("-{0,2}[a-zA-Z0-9=-]{0,6}\\PC{0,2}", 0..6)
        ) {
            let all: Vec<Vec<u8>> = words.iter().map(|word| word.clone().into_bytes()).collect();
            if let Ok((_, rest)) = options(all.clone()) {
                prop_assert!(all.ends_with(&rest));
            }
        }
    }
}
