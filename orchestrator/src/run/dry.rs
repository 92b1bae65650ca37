//! What would be run, as lines for a shell that do the same.
//!
//! Nothing is run here, and nothing that is run goes through these lines: whatever an item holds
//! stands in them as the value of a quoted word.

use std::io::{self, Write};

use bytes::Bytes;
use protocol::Program;
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;

use super::batch::{Config, input};
use super::runfile::RunFileError;
use super::sink::command_line;
use super::source::command;
use super::source::inputs::Opened;
use super::source::reader::{Made, Read};
use super::source::values::ReadError;
use super::source::work::Refused;

/// Something to be told beside the lines.
#[derive(Debug)]
pub(crate) enum Told {
    /// A line of the input is no job.
    Refused(Refused),
    /// Lines for stderr.
    Warning(String),
}

/// Why it has ended too early.
#[derive(Debug)]
pub(crate) enum DryFailure {
    Read(ReadError),
    Changed(u64),
    Write(io::Error),
    RunFile(RunFileError),
    Resources(io::Error),
    Bug(&'static str),
}

/// Writes a line for each job of the input, as soon as it is read.
///
/// # Errors
/// When the input cannot be read, or the lines not be written.
pub(crate) fn dry_run(
    config: &Config,
    opened: Opened,
    mut out: impl Write,
    mut tell: impl FnMut(Told),
) -> Result<(), DryFailure> {
    let source = input(config, opened).map_err(DryFailure::Resources)?;
    let mut reads: mpsc::Receiver<Read> = source.read(None);
    let directory = config.pool.launch.current_dir.as_ref();
    let shown = Shown {
        directory: directory.map(|directory| directory.as_os_str().as_encoded_bytes()),
        plainly: config.terse,
        typed: config.typed,
    };
    let mut lines = Vec::new();
    while let Some(read) = reads.blocking_recv() {
        match read {
            Read::Made(made) => {
                for made in made {
                    match made {
                        Made::Job(ticket, _) => {
                            shown.line(&ticket.command, &mut lines);
                        }
                        Made::Refused(refused) => tell(Told::Refused(refused)),
                        Made::Warning(text) => tell(Told::Warning(text)),
                    }
                }
                out.write_all(&lines).map_err(DryFailure::Write)?;
                out.flush().map_err(DryFailure::Write)?;
                lines.clear();
            }
            // Of blocks, which are no part of a line: the plan has refused them.
            Read::TooLarge(_) | Read::Hold(_) | Read::Unread(_) | Read::Total(_) => {}
            Read::Failed(e) => return Err(DryFailure::Read(e)),
            Read::Changed(job) => return Err(DryFailure::Changed(job)),
            Read::Unreadable(e) => return Err(DryFailure::RunFile(e)),
            Read::End(_) => return Ok(()),
        }
    }
    Err(DryFailure::Bug("the thread that reads the input is gone"))
}

/// How lines are shown.
#[derive(Clone, Copy, Debug, Default)]
struct Shown<'a> {
    /// Where all of them run, if that is elsewhere.
    directory: Option<&'a [u8]>,
    /// Whether a text is shown with its values in it, where that is possible.
    plainly: bool,
    /// How the program of all of them was typed, if that is how it is shown.
    typed: Option<&'a [u8]>,
}

impl Shown<'_> {
    /// Adds the line of a job, as it would be run in the first slot.
    fn line(self, command: &Bytes, out: &mut Vec<u8>) {
        let Some(spec) = command::command_in(command, b"1") else {
            return;
        };
        let directory = spec.cwd.as_ref().map(|cwd| &cwd[..]).or(self.directory);
        if let Some(directory) = directory {
            out.extend_from_slice(b"(cd -- ");
            word(directory, out);
            out.extend_from_slice(b" && ");
        }
        // A text, whichever shell reads it; one that was typed as words is none.
        let plain = || command_line::typed(&spec.program).filter(|_| self.typed.is_none());
        match (self.plainly.then(plain).flatten(), &spec.program) {
            (Some(line), _) => out.extend_from_slice(&line),
            (None, Program::Argv(words)) => {
                for (i, text) in words.iter().enumerate() {
                    match (i, self.typed) {
                        (0, Some(typed)) => word(typed, out),
                        // The name of an alias or a word of the shell's grammar is none in quotes.
                        (0, None) if !text.contains(&b'/') => quoted(text, out),
                        (0, None) => word(text, out),
                        _ => {
                            out.push(b' ');
                            word(text, out);
                        }
                    }
                }
            }
            (None, Program::Shell { text, args }) => shell(text, args, out),
        }
        out.extend_from_slice(if directory.is_some() { b")\n" } else { b"\n" });
    }
}

/// Adds a text as the shell gets it.
fn shell(text: &[u8], args: &[ByteBuf], out: &mut Vec<u8>) {
    out.extend_from_slice(b"sh -c ");
    quoted(text, out);
    out.extend_from_slice(b" sh");
    for argument in args {
        out.push(b' ');
        word(argument, out);
    }
}

/// Adds a word that a shell reads as these bytes.
fn word(bytes: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:,+@%".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        out.extend_from_slice(bytes);
    } else {
        quoted(bytes, out);
    }
}

fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in bytes {
        match byte {
            b'\'' => out.extend_from_slice(br"'\''"),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use protocol::{CommandSpec, Encoding, SlotPlace};

    use super::*;

    fn shown(spec: &CommandSpec, directory: Option<&str>) -> String {
        let input = Encoding::Bincode.encode(spec).unwrap();
        let mut out = Vec::new();
        let shown = Shown {
            directory: directory.map(str::as_bytes),
            ..Shown::default()
        };
        shown.line(&input, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn argv(words: &[&str]) -> CommandSpec {
        CommandSpec::new(Program::Argv(
            words.iter().map(|word| ByteBuf::from(*word)).collect(),
        ))
    }

    #[test]
    fn a_line_is_words_in_quotes_where_they_need_some() {
        for (words, line) in [
            (&["/bin/ls", "-l", "a.b"][..], "/bin/ls -l a.b\n"),
            (&["if", "a b", "", "~", "x=1"], "'if' 'a b' '' '~' 'x=1'\n"),
            (&["/a b", "it's", "$x\n"], "'/a b' 'it'\\''s' '$x\n'\n"),
        ] {
            assert_eq!(shown(&argv(words), None), line);
        }
        let typed = Shown {
            typed: Some(b"x y"),
            ..Shown::default()
        };
        let mut out = Vec::new();
        let input = Encoding::Bincode.encode(&argv(&["/x", "z"])).unwrap();
        typed.line(&input, &mut out);
        assert_eq!(out, b"'x y' z\n");
        assert_eq!(shown(&argv(&["/x"]), Some("a b")), "(cd -- 'a b' && /x)\n");
        let own = CommandSpec {
            cwd: Some(ByteBuf::from("c")),
            ..argv(&["/x"])
        };
        assert_eq!(shown(&own, Some("a b")), "(cd -- c && /x)\n");
    }

    #[test]
    fn a_text_is_shown_as_it_is_run_in_the_first_slot() {
        let mut spec = CommandSpec::new(Program::Shell {
            text: ByteBuf::from("echo \"${1}\" '\"${2}\"'"),
            args: vec![ByteBuf::from("a;b"), ByteBuf::from("x")],
        });
        spec.slots = vec![SlotPlace::new(1, 1)];
        let mut plainly = Vec::new();
        let simple = CommandSpec::new(Program::Shell {
            text: ByteBuf::from("echo \"${1}\" x"),
            args: vec![ByteBuf::from("a b")],
        });
        let input = Encoding::Bincode.encode(&simple).unwrap();
        let plain = Shown {
            plainly: true,
            ..Shown::default()
        };
        plain.line(&input, &mut plainly);
        assert_eq!(plainly, b"echo 'a b' x\n");
        let line = "sh -c 'echo \"${1}\" '\\''\"${2}\"'\\''' sh 'a;b' x1\n";
        assert_eq!(shown(&spec, None), line);
    }
}
