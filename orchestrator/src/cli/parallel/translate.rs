//! GNU parallel's words become words of `orchestrator run`. Pure.

use super::super::errors::Message;
use super::options::{Kind, Means};
use super::scan::Given;
use crate::run::text;

/// A command line of `orchestrator run`, in the making.
#[derive(Debug)]
struct Line {
    options: Vec<(&'static str, Option<Vec<u8>>)>,
    quote: bool,
    /// Values go together by lines, and no word is repeated.
    by_lines: bool,
    /// Whether results are to come in no order, whatever else was said.
    unordered: bool,
    /// What begins lists of arguments and of files behind the command.
    lists: [Vec<u8>; 2],
    /// What stands for a whole item.
    place: Vec<u8>,
}

impl Line {
    fn new() -> Line {
        Line {
            options: Vec::new(),
            quote: false,
            by_lines: false,
            unordered: false,
            lists: [b":::".into(), b"::::".into()],
            place: b"{}".into(),
        }
    }

    fn add(&mut self, option: &'static str, value: Option<Vec<u8>>) {
        self.options.push((option, value));
    }

    /// The same, when the last one holds.
    fn set(&mut self, option: &'static str, value: Option<Vec<u8>>) {
        self.remove(option);
        self.add(option, value);
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|(other, _)| *other == option)
    }

    fn remove(&mut self, option: &str) {
        self.options.retain(|(other, _)| *other != option);
    }

    /// One of these, and no other.
    fn choose(&mut self, all: &[&'static str], chosen: Option<(&'static str, &Given)>) {
        all.iter().for_each(|option| self.remove(option));
        if let Some((option, given)) = chosen {
            self.add(option, given.value.clone());
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
                if option == "--colsep" && value.as_deref().is_some_and(has_group) {
                    let how = "what stands in a group would be a column, too: write (?:…)";
                    return Err(wrong(given, how));
                }
                line.set(option, value);
            }
            Means::Each(option) => line.add(option, value),
            Means::Count(option) => {
                let value = Some(counted(given)?);
                line.set(option, value);
            }
            Means::Idle(_) => {}
            Means::Refused(instead) => {
                let name = &given.name;
                return Err(Message::new(format!("{name} is not offered: {instead}")));
            }
            Means::Own(kind) => own(&mut line, kind, given)?,
        }
    }
    if line.by_lines && !["-X", "-m"].iter().any(|option| line.has(option)) {
        // Of these the one that shares nothing out.
        line.set("--xargs", None);
    }
    if !line.has("--pipe") {
        // It is about nothing else.
        line.remove("--round-robin");
    }
    if line.unordered {
        // Wherever it stands.
        line.remove("--keep-order");
    }
    if line.has("--ungroup") {
        // As GNU parallel does it.
        ["--tag", "--tagstring", "--keep-order"]
            .iter()
            .for_each(|option| line.remove(option));
    }
    if line.has("--pipe") && line.has("--no-run-if-empty") {
        let what = "--no-run-if-empty is not offered with --pipe: no input is no job";
        let how = "leave blank lines out in front: grep -v '^[[:blank:]]*$'";
        return Err(Message::new(what).tip(how));
    }
    if line.has("--skip-logged") && !line.has("--joblog") {
        return Err(Message::new(
            "--resume and --resume-failed need --joblog FILE, which says what is done",
        ));
    }
    Ok(line.words(command, shell))
}

/// Options that change nothing without `--pipe`; they may stand in a profile.
const OF_PIPE: &[&str] = &[
    "--block",
    "--recend",
    "--recstart",
    "--regexp",
    "--remove-rec-sep",
];

/// Options that give a job several values.
const PACKS: &[&str] = &["--max-args", "-N", "-L", "-X", "-m", "--xargs"];

impl Line {
    fn words(mut self, command: &[Vec<u8>], shell: Option<&[u8]>) -> Vec<Vec<u8>> {
        let lists = command.iter().position(|word| self.begins_list(word));
        let (command, lists) = command.split_at(lists.unwrap_or(command.len()));
        if self.has("--pipe") {
            // Values are records there.
            for (option, _) in &mut self.options {
                if *option == "--max-args" {
                    *option = "-N";
                }
            }
        } else {
            OF_PIPE.iter().for_each(|option| self.remove(option));
        }
        let packs = PACKS.iter().any(|option| self.has(option));
        if !packs || self.has("--pipe") {
            // One value is together with no other.
            self.remove("--exit");
        }
        if !packs && !self.has("--pipe") && self.has("--max-chars") {
            // And it is not to be longer than this.
            self.add("--max-args", Some(b"1".into()));
        }
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
        // Columns that have names are divided by something.
        let divides = ["--colsep", "--csv", "--pipe"];
        if self.has("--header") && !divides.iter().any(|option| self.has(option)) {
            words.push(b"--colsep=\\t".into());
        }
        let text = command.join(&b' ');
        // The line alone is no word of a command but all of it; not so behind a blank.
        let whole = command.is_empty() || text.trim_ascii_end() == &self.place[..];
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
            line.set("--retries", Some(attempts.to_string().into()));
        }
        Kind::Timeout if value.ends_with(b"%") => line.set("--timeout", Some(value.into())),
        Kind::Delay if value.ends_with(b"auto") => {
            let Some(seconds) = seconds(&value[..value.len() - 4]) else {
                return Err(wrong(given, "seconds are wanted in front of `auto`"));
            };
            line.set("--delay", Some(format!("{seconds}auto").into()));
        }
        Kind::Timeout => time(line, "--timeout", given)?,
        Kind::Delay => time(line, "--delay", given)?,
        Kind::Halt => line.set("--halt", Some(halt(value))),
        // In whatever order, as there.
        Kind::Null if line.has("--delimiter") => {}
        Kind::Null => line.choose(ENDS, Some(("--null", given))),
        Kind::Delimiter => line.choose(ENDS, Some(("--delimiter", given))),
        Kind::Group => line.choose(WAYS, None),
        Kind::Ungroup => line.choose(WAYS, Some(("--ungroup", given))),
        Kind::LineBuffer => line.choose(WAYS, Some(("--line-buffer", given))),
        Kind::Tag => line.choose(TAGS, Some(("--tag", given))),
        Kind::TagString => line.choose(TAGS, Some(("--tagstring", given))),
        Kind::NoKeepOrder => line.unordered = true,
        Kind::Silent => line.remove("-v"),
        Kind::Eof if given.value.is_none() => line.remove("-E"),
        Kind::Eof => line.set("-E", given.value.clone()),
        Kind::Lines => {
            let lines = match value {
                b"" | b"0" => b"1".to_vec(),
                _ => counted(given)?,
            };
            line.set("-L", Some(lines));
            line.by_lines = true;
        }
        Kind::Replace => {
            let written = given.value.clone().filter(|value| !value.is_empty());
            line.place = written.clone().unwrap_or_else(|| b"{}".into());
            match written {
                Some(_) => line.set("-I", written),
                None => line.remove("-I"),
            }
        }
        Kind::JobLog => {
            // Lines are always added.
            let path = value.strip_prefix(b"+").unwrap_or(value);
            line.set("--joblog", Some(path.into()));
        }
        Kind::Resume if line.has("--skip-logged") => {}
        Kind::Resume => line.set("--skip-logged", Some("ended".into())),
        Kind::ResumeFailed => line.set("--skip-logged", Some("succeeded".into())),
        Kind::RoundRobin => line.set("--round-robin", None),
        Kind::ArgSep => line.list(given, 0)?,
        Kind::ArgFileSep => line.list(given, 1)?,
        Kind::Quote => line.quote = true,
        // Whoever starts this has read them.
        Kind::Profile | Kind::Plain | Kind::Help | Kind::Version | Kind::MinVersion => {}
    }
    Ok(())
}

fn time(line: &mut Line, option: &'static str, given: &Given) -> Result<(), Message> {
    match seconds(given.value.as_deref().unwrap_or_default()) {
        Some(0.0) => line.remove(option),
        Some(seconds) => line.set(option, Some(seconds.to_string().into())),
        None => return Err(wrong(given, "seconds are wanted, or e.g. 90s, 1.5m, 1h30m")),
    }
    Ok(())
}

/// `now,fail,1` is `now,fail=1`.
fn halt(value: &[u8]) -> Vec<u8> {
    let mut parts = value.splitn(3, |&byte| byte == b',');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(when), Some(why), Some(many)) if !why.contains(&b'=') => {
            [when, b",", why, b"=", many].concat()
        }
        _ => value.to_vec(),
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

/// Whether this is a pattern with groups that are numbered.
fn has_group(pattern: &[u8]) -> bool {
    let pattern = std::str::from_utf8(pattern).ok();
    let pattern = pattern.and_then(|pattern| regex::bytes::Regex::new(pattern).ok());
    pattern.is_some_and(|pattern| pattern.captures_len() > 1)
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
