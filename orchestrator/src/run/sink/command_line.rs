//! A job's command as one line for a shell.

use bytes::Bytes;
use protocol::Program;
use serde_bytes::ByteBuf;

use crate::run::source::command;

/// The command of the job of this input, as it would be typed: of shell text the text with the
/// values in it where that is simple, or the shell with its text and its parameters. Empty for
/// a task.
pub(crate) fn of(input: &Bytes) -> Vec<u8> {
    match command::program(input) {
        Some(Program::Argv(words)) => joined(words.iter().map(|word| &word[..])),
        Some(Program::Shell { text, args }) => filled(&text, &args).unwrap_or_else(|| {
            let shell = [&b"sh"[..], b"-c", &text, b"sh"].into_iter();
            joined(shell.chain(args.iter().map(|word| &word[..])))
        }),
        None => Vec::new(),
    }
}

/// Commands that change the shell that they are typed into.
const CHANGES_SHELL: [&[u8]; 21] = [
    b"cd",
    b"exit",
    b"exec",
    b"export",
    b"set",
    b"unset",
    b"shift",
    b"return",
    b"read",
    b"umask",
    b"ulimit",
    b"trap",
    b"alias",
    b"unalias",
    b"eval",
    b"source",
    b".",
    b"pushd",
    b"popd",
    b"readonly",
    b"hash",
];

/// The same of a text for a shell with these parameters, if it is a command, or a pipe of some, that
/// does the same when it is typed into a shell, line after line.
pub(crate) fn typed(text: &[u8], args: &[ByteBuf]) -> Option<Vec<u8>> {
    let line = filled(text, args)?;
    let first = text
        .split(u8::is_ascii_whitespace)
        .find(|word| !word.is_empty())?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+./".contains(byte);
    let is_plain = first.iter().all(is_name) && !CHANGES_SHELL.contains(&first);
    let is_one = !text.iter().any(|byte| b";&\n#()!`".contains(byte));
    (is_plain && is_one).then_some(line)
}

/// A text with its parameters replaced by quoted words, if all of them are words of their own or
/// stand between others, outside of quotes: `"${1}"`, `"$@"`.
fn filled(text: &[u8], args: &[ByteBuf]) -> Option<Vec<u8>> {
    if args.is_empty() {
        return Some(text.to_vec());
    }
    // There, what looks like a parameter need not be one.
    if text.contains(&b'\'') || memchr::memmem::find(text, b"<<").is_some() {
        return None;
    }
    let mut line = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut in_quotes = false;
    while let Some((&first, behind)) = rest.split_first() {
        if let (false, Some(behind)) = (in_quotes, rest.strip_prefix(b"\"$@\"")) {
            line.extend(joined(args.iter().map(|arg| &arg[..])));
            rest = behind;
            continue;
        }
        let parameter = (first == b'"' && !in_quotes)
            .then(|| parameter(rest))
            .flatten();
        if let Some((number, length)) = parameter {
            quote(args.get(number.checked_sub(1)?)?, &mut line);
            rest = &rest[length..];
            continue;
        }
        let length = match first {
            b'\\' => rest.len().min(2),
            b'$' if speaks_of_parameters(behind) => return None,
            _ => 1,
        };
        in_quotes ^= first == b'"';
        line.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
    }
    Some(line)
}

/// The number of the parameter that a text begins with, `"${7}"`, and how long that is.
fn parameter(text: &[u8]) -> Option<(usize, usize)> {
    let rest = text.strip_prefix(b"\"${")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    rest[digits..]
        .starts_with(b"}\"")
        .then_some((number, digits + 5))
}

/// Whether what stands behind a `$` is about parameters.
fn speaks_of_parameters(behind: &[u8]) -> bool {
    let name = behind.strip_prefix(b"{").unwrap_or(behind);
    // `${#1}` and the like.
    let name = name.strip_prefix(b"#").unwrap_or(name);
    name.first()
        .is_none_or(|byte| byte.is_ascii_digit() || b"@*#}".contains(byte))
}

/// Words as a shell reads them.
pub(crate) fn joined<'a>(words: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        quote(word, &mut line);
    }
    line
}

/// Adds a word as a shell reads it, whatever its bytes are; quoted as GNU parallel does.
pub(crate) fn quote(word: &[u8], line: &mut Vec<u8>) {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"+-./_".contains(b);
    if word.is_empty() {
        return line.extend_from_slice(b"''");
    }
    if word.iter().all(plain) {
        return line.extend_from_slice(word);
    }
    for run in word.chunk_by(|a, b| (*a == b'\'') == (*b == b'\'')) {
        let quote = if run[0] == b'\'' { b'"' } else { b'\'' };
        line.push(quote);
        line.extend_from_slice(run);
        line.push(quote);
    }
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
        assert_eq!(line, b"gzip -9 'a b' '' 'it'\"'\"'s' '$x' '#' 'a=b' '\xff'");
    }

    #[test]
    fn what_changes_nothing_is_shown_as_it_would_be_typed() {
        let shown = |text: &str, args: &[&str]| {
            let args: Vec<ByteBuf> = args.iter().map(|a| ByteBuf::from(a.as_bytes())).collect();
            typed(text.as_bytes(), &args).map(|line| String::from_utf8(line).unwrap())
        };
        let line = "gzip -9 \"${1}\" | wc -l > \"${2}\".n";
        assert_eq!(
            shown(line, &["a b", "c\nd"]).unwrap(),
            "gzip -9 'a b' | wc -l > 'c\nd'.n"
        );
        for other in [
            "",
            " ",
            "cd \"${1}\"",
            "exit \"${1}\"",
            "x=\"${1}\"",
            "\"${1}\" x",
            "echo; \"${1}\"",
            "echo # \"${1}\"",
            "echo \"${1}\" &",
            "echo `x` \"${1}\"",
            "echo \"a ${1}\"",
            "{ x",
            "! echo \"${1}\"",
            "echo\n\"${1}\"",
        ] {
            assert_eq!(shown(other, &["a\nb"]), None, "{other}");
        }
    }

    #[test]
    fn a_text_is_shown_with_its_values_where_that_is_simple() {
        let shown = |text: &str, args: &[&str]| {
            let args: Vec<ByteBuf> = args.iter().map(|a| ByteBuf::from(a.as_bytes())).collect();
            filled(text.as_bytes(), &args).map(|line| String::from_utf8(line).unwrap())
        };
        for (text, args, expected) in [
            ("true", &[][..], Some("true")),
            ("echo '$1'", &[], Some("echo '$1'")),
            (
                "echo \"${1}\" >\"${2}\".x; cd $HOME",
                &["a b", "c"],
                Some("echo 'a b' >c.x; cd $HOME"),
            ),
            (
                "echo a\"${1}\"\"${1}\"b \"c d\"",
                &["x"],
                Some("echo axxb \"c d\""),
            ),
            ("echo \\\"\"${1}\"", &["x"], Some("echo \\\"x")),
            ("echo \"a ${1}\"", &["x"], None),
            ("echo \"a\"${1}\"b\"", &["x"], None),
            ("echo '\"${1}\"'", &["x"], None),
            ("echo \"$@\" z", &["x", "a b"], Some("echo x 'a b' z")),
            ("echo \"a\"$@\"b\"", &["x"], None),
            ("echo $@", &["x"], None),
            ("echo ${#1}", &["x"], None),
            ("echo \"${2}\"", &["x"], None),
            ("cat <<E\n\"${1}\"\nE", &["x"], None),
        ] {
            assert_eq!(shown(text, args).as_deref(), expected, "{text}");
        }
    }
}
