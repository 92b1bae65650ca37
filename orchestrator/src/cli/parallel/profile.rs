//! Options that are not on the command line: of files and of `$PARALLEL`, as GNU parallel
//! reads them. Nothing is ever written there.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::errors::Message;
use super::super::words;
use super::options::{Kind, Means};
use super::scan::{self, Given};
use crate::run::text;

/// What all users of a machine have.
const GLOBAL: &str = "/etc/parallel/config";

/// What was asked for, wherever it was: options, those of the command line last, and the
/// words of the command.
type Asked = (Vec<Given>, Vec<Vec<u8>>);

/// Takes a command line apart, with the value of `PARALLEL` and the files of this directory.
///
/// # Errors
/// When an option is wrong, or a file that is named cannot be read.
pub(super) fn read(
    line: Vec<Vec<u8>>,
    variable: Option<&OsStr>,
    dir: Option<&Path>,
) -> Result<Asked, Message> {
    let line = scan::options(line)?;
    let is = |given: &Given, kind| given.option.means == Means::Own(kind);
    if line.0.iter().any(|given| is(given, Kind::Plain)) {
        return Ok(line);
    }
    let variable = match variable {
        Some(value) => part("$PARALLEL", value.as_bytes())?,
        None => Asked::default(),
    };
    let names = variable.0.iter().chain(&line.0);
    let names = names.filter(|given| is(given, Kind::Profile));
    let mut names = names.filter_map(|given| given.value.as_deref()).peekable();
    let mut parts = Vec::new();
    if names.peek().is_none() {
        let own = dir.map(|dir| dir.join("config"));
        for path in [Some(GLOBAL.into()), own].into_iter().flatten() {
            parts.extend(file(&path, false)?);
        }
    }
    for name in names {
        parts.extend(file(&place(name, dir), true)?);
    }
    parts.extend([variable, line]);
    let mut asked = Asked::default();
    for (given, command) in parts {
        asked.0.extend(given);
        asked.1.extend(command);
    }
    Ok(asked)
}

/// Where a profile of this name is.
fn place(name: &[u8], dir: Option<&Path>) -> PathBuf {
    let path = Path::new(OsStr::from_bytes(name));
    match dir {
        Some(dir) if !name.starts_with(b"/") && !name.starts_with(b"./") => dir.join(path),
        _ => path.to_owned(),
    }
}

fn file(path: &Path, must_exist: bool) -> Result<Option<Asked>, Message> {
    let shown = text::escaped(path.as_os_str().as_bytes());
    match std::fs::read(path) {
        Ok(bytes) => {
            let is_comment = |line: &&[u8]| line.trim_ascii_start().starts_with(b"#");
            let lines = bytes.split_inclusive(|&byte| byte == b'\n');
            let lines: Vec<&[u8]> = lines.filter(|line| !is_comment(line)).collect();
            part(&shown, &lines.concat()).map(Some)
        }
        Err(e) if e.kind() == ErrorKind::NotFound && !must_exist => Ok(None),
        Err(e) => {
            let why = text::reason(&e);
            Err(Message::new(format!(
                "options cannot be read from {shown}: {why}"
            )))
        }
    }
}

/// Options and words of a text, which is taken apart as a shell would.
fn part(name: &str, text: &[u8]) -> Result<Asked, Message> {
    let Some(words) = words::split(text) else {
        let what = "has a quote or a backslash without an end";
        return Err(Message::new(format!("{name} {what}")));
    };
    scan::options(words).map_err(|message| message.fact(format!("it stands in {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &[&str], variable: &str, dir: &Path) -> Result<(String, String), String> {
        let words = line.iter().map(|word| word.as_bytes().to_vec()).collect();
        let asked = read(words, Some(variable.as_ref()), Some(dir));
        let (given, command) = asked.map_err(|message| message.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let given: Vec<String> = given
            .iter()
            .map(|given| {
                format!(
                    "{}{}",
                    given.name,
                    text(given.value.as_deref().unwrap_or(b""))
                )
            })
            .collect();
        Ok((given.join(" "), text(&command.join(&b' '))))
    }

    #[test]
    fn files_come_first_and_the_command_line_last() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        std::fs::write(dir.join("config"), "# mine\n--tag\n-j 7\n").unwrap();
        std::fs::write(dir.join("two"), "-k nice").unwrap();
        let asked = |line: &[&str], variable| asked(line, variable, dir);
        let both = |given: &str, command: &str| Ok((given.into(), command.into()));
        assert_eq!(
            asked(&["-k", "x"], "-j2 echo"),
            both("--tag -j7 -j2 -k", "echo x")
        );
        assert_eq!(asked(&["-Jtwo", "x"], ""), both("-k -Jtwo", "nice x"));
        let path = dir.join("two").display().to_string();
        let (expected, variable) = (format!("-k -J{path}"), format!("-J {path}"));
        assert_eq!(asked(&["x"], &variable), both(&expected, "nice x"));
        assert_eq!(asked(&["--plain", "x"], "-j2"), both("--plain", "x"));
        let said = asked(&["-Jthree", "x"], "").unwrap_err();
        assert!(said.contains("three: no such file"), "{said}");
        let said = asked(&["x"], "-j 'x").unwrap_err();
        assert!(said.contains("$PARALLEL has a quote"), "{said}");
        let said = asked(&["x"], "--nosuch").unwrap_err();
        assert!(said.contains("it stands in $PARALLEL"), "{said}");
    }
}
