//! GNU parallel's words become words of `orchestrator run`. Pure.

use clap::CommandFactory;

use super::super::args::Cli;
use super::super::errors::Message;
use super::options::{self, Kind, Means};
use super::scan::Given;
use crate::run::text;

/// A command line of `orchestrator run`, in the making.
#[derive(Debug)]
struct Line {
    /// What `run` offers.
    cli: clap::Command,
    options: Vec<(&'static str, Option<Vec<u8>>)>,
    quote: bool,
    /// What begins lists of arguments and of files behind the command.
    lists: [Vec<u8>; 2],
    /// What stands for a whole item.
    place: Vec<u8>,
}

impl Line {
    fn new() -> Line {
        Line {
            cli: Cli::command(),
            options: Vec::new(),
            quote: false,
            lists: [b":::".into(), b"::::".into()],
            place: b"{}".into(),
        }
    }

    /// Adds an option, which this one of GNU parallel is.
    fn add(
        &mut self,
        given: &Given,
        option: &'static str,
        value: Option<Vec<u8>>,
    ) -> Result<(), Message> {
        let run = self.cli.find_subcommand("run");
        if run.and_then(|run| options::argument(run, option)).is_none() {
            let name = &given.name;
            return Err(Message::new(format!(
                "{name} is not offered: it is not built yet"
            )));
        }
        self.options.push((option, value));
        Ok(())
    }

    /// The same, when the last one holds.
    fn set(
        &mut self,
        given: &Given,
        option: &'static str,
        value: Option<Vec<u8>>,
    ) -> Result<(), Message> {
        self.remove(option);
        self.add(given, option, value)
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|(other, _)| *other == option)
    }

    fn remove(&mut self, option: &str) {
        self.options.retain(|(other, _)| *other != option);
    }

    /// One of these, and no other.
    fn choose(
        &mut self,
        given: &Given,
        all: &[&'static str],
        chosen: Option<&'static str>,
    ) -> Result<(), Message> {
        all.iter().for_each(|option| self.remove(option));
        match chosen {
            Some(option) => self.add(given, option, given.value.clone()),
            None => Ok(()),
        }
    }

    fn begins_list(&self, word: &[u8]) -> bool {
        let rest = |list: &Vec<u8>| {
            word.strip_prefix(&list[..])
                .is_some_and(|b| matches!(b, b"" | b"+"))
        };
        self.lists.iter().any(rest)
    }
}

/// The words behind `orchestrator run` that do the same, with this value of
/// `PARALLEL_SHELL` and bash's functions in the environment or not.
///
/// # Errors
/// When an option is not offered or its value makes no sense.
pub(super) fn translate(
    given: Vec<Given>,
    command: &[Vec<u8>],
    shell: Option<&[u8]>,
) -> Result<Vec<Vec<u8>>, Message> {
    let mut line = Line::new();
    for given in &given {
        let value = given.value.clone();
        match given.option.means {
            Means::Same(option) => {
                if option == "-I" {
                    line.place = value.clone().unwrap_or_default();
                }
                line.set(given, option, value)?;
            }
            Means::Each(option) => line.add(given, option, value)?,
            Means::Count(option) => {
                let value = Some(counted(given)?);
                line.set(given, option, value)?;
            }
            Means::Idle(_) => {}
            Means::Refused(instead) => {
                let name = &given.name;
                return Err(Message::new(format!("{name} is not offered: {instead}")));
            }
            Means::Own(kind) => own(&mut line, kind, given)?,
        }
    }
    Ok(line.words(command, shell))
}

impl Line {
    fn words(self, command: &[Vec<u8>], shell: Option<&[u8]>) -> Vec<Vec<u8>> {
        let lists = command.iter().position(|word| self.begins_list(word));
        let (command, lists) = command.split_at(lists.unwrap_or(command.len()));
        let mut words = Vec::new();
        for (option, value) in &self.options {
            // In one word: a value may begin with a dash.
            words.push(match value {
                Some(value) => [option.as_bytes(), b"=", value].concat(),
                None => option.as_bytes().to_vec(),
            });
        }
        for (option, list) in ["--arg-sep", "--arg-file-sep"].iter().zip(&self.lists) {
            if list != b":::" && list != b"::::" {
                words.push([option.as_bytes(), b"=", list].concat());
            }
        }
        // Columns are cut off at both sides unless that is said to be otherwise.
        if self.has("--colsep") && !self.has("--trim") {
            words.push(b"--trim=lr".into());
        }
        let text = command.join(&b' ');
        // The line alone is no word of a command but all of it.
        let whole = command.is_empty() || text.trim_ascii() == &self.place[..];
        if let (false, Some(shell)) = (self.quote, shell) {
            words.push([b"--shell=", shell].concat());
        }
        match (self.quote, whole) {
            (true, _) => {
                words.push(b"--".into());
                words.extend_from_slice(command);
                if command.is_empty() {
                    words.push(self.place);
                }
                words.extend_from_slice(lists);
                return words;
            }
            (false, true) => {}
            (false, false) => words.push([b"--shell-command=", &text[..]].concat()),
        }
        if !lists.is_empty() {
            words.push(b"--".into());
            words.extend_from_slice(lists);
        }
        words
    }
}

fn own(line: &mut Line, kind: Kind, given: &Given) -> Result<(), Message> {
    const ENDS: &[&str] = &["--null", "--delimiter"];
    const WAYS: &[&str] = &["--line-buffer", "--ungroup"];
    const TAGS: &[&str] = &["--tag", "--tagstring"];
    let value = given.value.as_deref().unwrap_or_default();
    match kind {
        Kind::Retries => {
            let attempts = match number(value) {
                // As many as it takes.
                Some(0) => u64::from(u32::MAX),
                Some(attempts) => attempts - 1,
                None => return Err(wrong(given, "a number of attempts is wanted")),
            };
            line.set(given, "--retries", Some(attempts.to_string().into()))
        }
        Kind::Timeout if value.ends_with(b"%") => line.set(given, "--timeout", Some(value.into())),
        Kind::Delay if value.ends_with(b"auto") => {
            let Some(seconds) = seconds(&value[..value.len() - 4]) else {
                return Err(wrong(given, "seconds are wanted in front of `auto`"));
            };
            line.set(given, "--delay", Some(format!("{seconds}auto").into()))
        }
        Kind::Timeout | Kind::Delay => {
            let option = if kind == Kind::Delay {
                "--delay"
            } else {
                "--timeout"
            };
            match seconds(value) {
                Some(0.0) => {
                    line.remove(option);
                    Ok(())
                }
                Some(seconds) => line.set(given, option, Some(seconds.to_string().into())),
                None => Err(wrong(given, "seconds are wanted, or e.g. 90s, 1.5m, 1h30m")),
            }
        }
        Kind::Halt => {
            // `now,fail,1` is `now,fail=1`.
            let mut parts = value.splitn(3, |&byte| byte == b',');
            let value = match (parts.next(), parts.next(), parts.next()) {
                (Some(when), Some(why), Some(many)) if !why.contains(&b'=') => {
                    [when, b",", why, b"=", many].concat()
                }
                _ => value.to_vec(),
            };
            line.set(given, "--halt", Some(value))
        }
        // In whatever order, as there.
        Kind::Null if line.has("--delimiter") => Ok(()),
        Kind::Null => line.choose(given, ENDS, Some("--null")),
        Kind::Delimiter => line.choose(given, ENDS, Some("--delimiter")),
        Kind::Group => line.choose(given, WAYS, None),
        Kind::Ungroup => line.choose(given, WAYS, Some("--ungroup")),
        Kind::LineBuffer => line.choose(given, WAYS, Some("--line-buffer")),
        Kind::Tag => line.choose(given, TAGS, Some("--tag")),
        Kind::TagString => line.choose(given, TAGS, Some("--tagstring")),
        Kind::NoKeepOrder => line.choose(given, &["--keep-order"], None),
        Kind::Silent => line.choose(given, &["-v"], None),
        Kind::Eof if given.value.is_none() => line.choose(given, &["-E"], None),
        Kind::Eof => line.set(given, "-E", given.value.clone()),
        Kind::Lines => {
            let lines = number(value).unwrap_or(1).max(1);
            line.set(given, "-L", Some(lines.to_string().into()))
        }
        Kind::Replace => {
            let written = given.value.clone().filter(|value| !value.is_empty());
            line.place = written.clone().unwrap_or_else(|| b"{}".into());
            match written {
                Some(_) => line.set(given, "-I", written),
                None => line.choose(given, &["-I"], None),
            }
        }
        Kind::JobLog => {
            // Lines are always added.
            let path = value.strip_prefix(b"+").unwrap_or(value);
            line.set(given, "--joblog", Some(path.into()))
        }
        Kind::RoundRobin => {
            line.set(given, "--pipe", None)?;
            line.set(given, "--round-robin", None)
        }
        Kind::ArgSep => line.list(given, 0),
        Kind::ArgFileSep => line.list(given, 1),
        Kind::Quote => {
            line.quote = true;
            Ok(())
        }
        // Whoever starts this has read them.
        Kind::Profile | Kind::Plain | Kind::Help | Kind::Version | Kind::MinVersion => Ok(()),
    }
}

impl Line {
    /// What begins lists of this kind is written so.
    fn list(&mut self, given: &Given, which: usize) -> Result<(), Message> {
        let written = given.value.clone().unwrap_or_default();
        if written.is_empty() || self.lists[1 - which] == written {
            return Err(wrong(given, "a text that begins no other list is wanted"));
        }
        self.lists[which] = written;
        Ok(())
    }
}

fn wrong(given: &Given, how: &str) -> Message {
    let shown = text::quoted(given.value.as_deref().unwrap_or_default());
    Message::new(format!("{} {shown}: {how}", given.name))
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A number, which may have a suffix: k is a thousand, K 1024, and so on.
fn counted(given: &Given) -> Result<Vec<u8>, Message> {
    let value = given.value.as_deref().unwrap_or_default();
    let of = |value: &[u8]| {
        let (last, digits) = value.split_last()?;
        let power = b"kmgtp"
            .iter()
            .position(|unit| *unit == last.to_ascii_lowercase());
        let Some(power) = power else {
            return number(value);
        };
        let base: u64 = if last.is_ascii_uppercase() {
            1024
        } else {
            1000
        };
        number(digits)?.checked_mul(base.checked_pow(power as u32 + 1)?)
    };
    match of(value) {
        Some(number) => Ok(number.to_string().into()),
        None => Err(wrong(given, "a number is wanted, e.g. 100 or 2k")),
    }
}

/// Seconds, or a sum of numbers with a unit: `1h30m`, `2.5m`.
fn seconds(value: &[u8]) -> Option<f64> {
    let mut rest = std::str::from_utf8(value).ok()?;
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (digits, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let factor = match behind.chars().next().map(|unit| unit.to_ascii_lowercase()) {
            None | Some('s') => 1.0,
            Some('m') => 60.0,
            Some('h') => 3600.0,
            Some('d') => 86400.0,
            Some(_) => return None,
        };
        sum += digits.parse::<f64>().ok()? * factor;
        rest = behind.get(1..).unwrap_or_default();
    }
    Some(sum)
}

#[cfg(test)]
mod tests;
