//! A job's command as one line for a shell.

use bytes::Bytes;
use protocol::Program;

use crate::run::source::work;

/// The command of the job of this input, as it would be typed. Empty for a task.
pub(crate) fn of(input: &Bytes) -> Vec<u8> {
    match work::program(input) {
        Some(Program::Argv(words)) => joined(words.iter().map(|word| &word[..])),
        Some(Program::Shell { text, args }) if args.is_empty() => text.into_vec(),
        Some(Program::Shell { text, args }) => {
            let shell = [&b"sh"[..], b"-c", &text, b"sh"].into_iter();
            joined(shell.chain(args.iter().map(|word| &word[..])))
        }
        None => Vec::new(),
    }
}

fn joined<'a>(words: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        quote(word, &mut line);
    }
    line
}

/// Adds a word as a shell reads it, whatever its bytes are.
fn quote(word: &[u8], line: &mut Vec<u8>) {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(b);
    if !word.is_empty() && word.iter().all(plain) {
        return line.extend_from_slice(word);
    }
    line.push(b'\'');
    for &byte in word {
        match byte {
            b'\'' => line.extend_from_slice(b"'\\''"),
            _ => line.push(byte),
        }
    }
    line.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::ticket;
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_than_their_bytes() {
        let ticket = ticket(&[
            b"gzip", b"-9", b"a b", b"", b"it's", b"$x", b"#", b"a=b", b"\xff",
        ]);
        let line = of(&ticket.command);
        assert_eq!(line, b"gzip -9 'a b' '' 'it'\\''s' '$x' '#' a=b '\xff'");
    }
}
