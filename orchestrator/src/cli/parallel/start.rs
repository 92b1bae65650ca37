//! From the command line to the run.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::Parser;
use nix::unistd::{AccessFlags, access};

use super::super::args::{Cli, Command};
use super::super::errors::{self, Message, WorkerName};
use super::super::exit::Exit;
use super::super::main::{fail, lookup, refuse, start};
use super::super::plan;
use super::options::{Kind, Means};
use super::scan::Given;
use super::{page, profile, translate};
use crate::run::batch::{Config, Failure};
use crate::run::sink::writer::WriteError;

/// Whose command line this is.
const GNU: u32 = 20_221_122;

/// That version is older than was asked for: what GNU parallel says then.
const TOO_OLD: Exit = Exit::Status(255);

/// Runs a command line of GNU parallel: the words behind its name.
pub(in super::super) fn parallel(words: Vec<OsString>) -> Exit {
    let words = words.into_iter().map(OsStringExt::into_vec).collect();
    let variable = std::env::var_os("PARALLEL");
    let asked = profile::read(words, variable.as_deref(), profiles().as_deref());
    let (given, command) = match asked {
        Ok(asked) => asked,
        Err(message) => return refuse(&message),
    };
    if let Some(exit) = about(&given) {
        return exit;
    }
    let shell = shell();
    let words = match translate::translate(given, &command, shell.as_deref()) {
        Ok(words) => words,
        Err(message) => return refuse(&message),
    };
    let all = ["orchestrator".into(), "run".into()].into_iter();
    let all = all.chain(words.iter().cloned().map(OsString::from_vec));
    let mut args = match Cli::try_parse_from(all) {
        Ok(Cli {
            command: Command::Run(args),
        }) => *args,
        Ok(_) => return fail(&Message::new("internal error: that was no run")),
        Err(e) => return refuse(&Message::new(in_a_line(&e.to_string()))),
    };
    args.like_gnu = true;
    // Nothing is made that nobody has asked for.
    args.no_record = true;
    match plan::plan(args, &lookup()) {
        // Should it be recorded: what runs it again knows `run` only.
        Ok(mut plan) => {
            surround(&mut plan.batch);
            start(plan, words)
        }
        Err(message) => refuse(&message),
    }
}

/// What jobs find in their environment there.
fn surround(batch: &mut Config) {
    let pid = std::process::id().to_string();
    // `:` is this machine.
    for (name, value) in [
        ("PARALLEL_PID", &pid[..]),
        ("PARALLEL_SSHLOGIN", ":"),
        ("PARALLEL_SSHHOST", ":"),
    ] {
        batch.pool.launch.env.push((name.into(), value.into()));
    }
    batch.pool.slot_variable_from_1 = Some("PARALLEL_JOBSLOT".into());
    batch.number_variable = Some("PARALLEL_SEQ");
}

/// Where profiles are.
fn profiles() -> Option<PathBuf> {
    let own = std::env::var_os("PARALLEL_HOME").filter(|dir| !dir.is_empty());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".parallel"));
    own.map(PathBuf::from).or_else(home)
}

/// What is wrong, without what to do about options that have other names here.
fn in_a_line(said: &str) -> String {
    let what = said.strip_prefix("error: ").unwrap_or(said);
    let lines = what.lines().map(str::trim);
    let first: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    first.join(" ")
}

/// Shells that may be taken without being asked for: those that read a text as `sh` does, at least.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ksh", "ksh93", "mksh", "zsh", "ash"];

/// What reads shell text, if it is not sh: what the environment names; where it holds functions,
/// the only one that knows them; the shell that has started this program, whose script this is
/// part of; and that of the user.
fn shell() -> Option<Vec<u8>> {
    let named = std::env::var_os("PARALLEL_SHELL").filter(|shell| !shell.is_empty());
    if let Some(shell) = named {
        return Some(shell.into_vec());
    }
    let is_function = |name: &OsString| name.as_bytes().starts_with(b"BASH_FUNC_");
    if std::env::vars_os().any(|(name, _)| is_function(&name)) {
        return Some(b"bash".into());
    }
    let parent = nix::unistd::getppid();
    let parent = std::fs::read_link(format!("/proc/{parent}/exe")).ok();
    let own = std::env::var_os("SHELL").map(PathBuf::from);
    let known = [parent, own]
        .into_iter()
        .flatten()
        .find(|path| is_shell(path));
    known.map(|path| path.into_os_string().into_vec())
}

/// Whether this is a shell that may be taken, and is there.
fn is_shell(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| SHELLS.contains(&name))
        && path.is_absolute()
        && path.is_file()
        && access(path, AccessFlags::X_OK).is_ok()
}

/// Options that ask about the program and run nothing.
fn about(given: &[Given]) -> Option<Exit> {
    given.iter().find_map(|given| match given.option.means {
        Means::Own(Kind::Help) => Some(print(&page::command().render_help().to_string())),
        Means::Own(Kind::Version) => Some(print(&format!(
            "orchestrator {} (takes the command line of GNU parallel {GNU})\n",
            env!("CARGO_PKG_VERSION")
        ))),
        Means::Own(Kind::MinVersion) => {
            let wanted = given.value.as_deref().unwrap_or_default();
            let wanted: Option<u32> = std::str::from_utf8(wanted).ok()?.parse().ok();
            let exit = print(&format!("{GNU}\n"));
            let is_new = wanted.is_some_and(|wanted| wanted <= GNU);
            Some(if is_new { exit } else { TOO_OLD })
        }
        _ => None,
    })
}

fn print(text: &str) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Exit::OK,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::BROKEN_PIPE,
        Err(e) => {
            let failure = Failure::Write(WriteError::Failed(e));
            let (message, exit) = errors::failure(&failure, &WorkerName::Stock);
            message.map_or(exit, |message| fail(&message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_one_line() {
        for (said, line) in [
            ("error: a\n\nUsage: x\n", "a"),
            (
                "error: b\n  [possible values: c, d]\n\nFor more",
                "b [possible values: c, d]",
            ),
            ("e", "e"),
        ] {
            assert_eq!(in_a_line(said), line);
        }
    }
}
