//! A job's command as one line for a shell.

use std::borrow::Cow;

use bytes::Bytes;
use protocol::{CommandSpec, Program};
use serde_bytes::ByteBuf;

use crate::run::source::command;
use crate::run::text;

/// A command as it would be typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Typed {
    /// The line; empty for a task.
    pub(crate) line: Vec<u8>,
    /// How much it is given on stdin, in bytes.
    pub(crate) stdin: u64,
}

/// Where a command has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    /// In which slot, if that is known.
    pub(crate) slot: Option<u32>,
    /// By which shell its text was read, if it is not the workers' own.
    pub(crate) shell: Option<&'static [u8]>,
    /// How its program was typed, if that is how it is shown.
    pub(crate) typed: Option<&'static [u8]>,
}

/// The command of the job of this input: of shell text the text with the values in it where
/// that is the same for a shell, else the shell with its text and its parameters.
pub(crate) fn of(input: &Bytes, setting: Setting) -> Typed {
    let Some(mut spec) = command::spec(input) else {
        return Typed::default();
    };
    fill_slots(&mut spec, setting);
    let line = match spec.program {
        Program::Argv(words) => {
            let text = match &words[..] {
                [shell, option, text, _, args @ ..]
                    if setting.shell == Some(&shell[..]) && **option == *b"-c" =>
                {
                    filled(text, args)
                }
                _ => None,
            };
            let typed = setting.typed.into_iter();
            let others = words.iter().map(|word| &word[..]);
            let others = others.skip(typed.len());
            text.unwrap_or_else(|| joined(typed.chain(others)))
        }
        Program::Shell { text, args } => filled(&text, &args).unwrap_or_else(|| {
            let shell = [&b"sh"[..], b"-c", &text, b"sh"].into_iter();
            joined(shell.chain(args.iter().map(|word| &word[..])))
        }),
    };
    Typed {
        line,
        stdin: spec.stdin.map_or(0, |stdin| stdin.len() as u64),
    }
}

/// The command of the job of this input, whichever shell reads its text.
pub(crate) fn line(input: &Bytes, setting: Setting) -> Vec<u8> {
    let text = command::spec(input).and_then(|mut spec| {
        fill_slots(&mut spec, setting);
        // One that was typed as words is no text.
        composed(&spec.program).filter(|_| setting.typed.is_none())
    });
    text.unwrap_or_else(|| of(input, setting).line)
}

fn fill_slots(spec: &mut CommandSpec, setting: Setting) {
    if let Some(slot) = setting.slot.filter(|_| !spec.slots.is_empty()) {
        spec.fill_slots(slot.to_string().as_bytes()).ok();
    }
}

/// The command of the job of this input in a message: of shell text the text with the values in
/// it, of any other command its words, with its program as it was typed. A task's input is none.
pub(crate) fn name(input: &Bytes, typed: Option<&[u8]>) -> Option<String> {
    let program = command::program(input)?;
    let words = || {
        let argv = command::argv(input);
        let words = argv.iter().map(|word| &word[..]).skip(typed.iter().len());
        let mut line = Vec::new();
        for word in typed.into_iter().chain(words) {
            if !line.is_empty() {
                line.push(b' ');
            }
            show(word, &mut line);
        }
        line
    };
    let text = composed(&program).filter(|_| typed.is_none());
    Some(text::quoted(text.unwrap_or_else(words)))
}

/// A shell text with the values in it.
fn composed(program: &Program) -> Option<Vec<u8>> {
    let (text, args) = shell_text(program)?;
    filled(text, args)
}

/// A shell text and its parameters, whichever shell reads it.
fn shell_text(program: &Program) -> Option<(&[u8], &[ByteBuf])> {
    match program {
        Program::Shell { text, args } => Some((text, args)),
        Program::Argv(words) => match &words[..] {
            // So begins what another shell than the workers' own is given.
            [shell, option, text, name, args @ ..]
                if **option == *b"-c"
                    && shell.rsplit(|byte| *byte == b'/').next() == Some(&name[..]) =>
            {
                Some((text, args))
            }
            _ => None,
        },
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

/// A shell text with the values in it, if it is a command, or a pipe of some, that does the same
/// when it is typed into a shell, line after line.
pub(crate) fn typed(program: &Program) -> Option<Vec<u8>> {
    let (text, args) = shell_text(program)?;
    let line = filled(text, args)?;
    let first = text
        .split(u8::is_ascii_whitespace)
        .find(|word| !word.is_empty())?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+./".contains(byte);
    let is_plain = first.iter().all(is_name) && !CHANGES_SHELL.contains(&first);
    let is_one = !text.iter().any(|byte| b";&\n#()!`".contains(byte));
    (is_plain && is_one).then_some(line)
}

/// What a shell's reading of a text is within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
}

/// A text with its parameters replaced by their values, quoted for where they stand; nothing
/// where it is not plain to see what that is.
fn filled(text: &[u8], args: &[ByteBuf]) -> Option<Vec<u8>> {
    if args.is_empty() {
        return Some(text.to_vec());
    }
    let mut line = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut quotes = Quotes::None;
    while !rest.is_empty() {
        if let (Quotes::None, Some(behind)) = (quotes, rest.strip_prefix(b"\"$@\"")) {
            line.extend(joined(args.iter().map(|arg| &arg[..])));
            rest = behind;
            continue;
        }
        if let Some((number, length)) = parameter(rest, quotes) {
            let value = args.get(number.checked_sub(1)?)?;
            match quotes {
                Quotes::None => quote(value, &mut line),
                Quotes::Single => line.extend_from_slice(&in_single_quotes(value)),
                Quotes::Double => line.extend_from_slice(&in_double_quotes(value)),
            }
            rest = &rest[length..];
            continue;
        }
        let Some(length) = piece(rest, line.last().copied(), &mut quotes) else {
            // It does not matter where nothing is put in any more.
            let mut dollars = memchr::memchr_iter(b'$', rest);
            if dollars.any(|at| speaks_of_parameters(&rest[at + 1..])) {
                return None;
            }
            line.extend_from_slice(rest);
            break;
        };
        line.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
    }
    Some(line)
}

/// The number of the parameter that a text begins with, as it is put there for a place in these
/// quotes, and how long that is.
fn parameter(text: &[u8], quotes: Quotes) -> Option<(usize, usize)> {
    let (before, behind): (&[u8], &[u8]) = match quotes {
        Quotes::None => (b"\"${", b"}\""),
        Quotes::Single => (b"'\"${", b"}\"'"),
        Quotes::Double => (b"${", b"}"),
    };
    let rest = text.strip_prefix(before)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let length = before.len() + digits + behind.len();
    rest[digits..]
        .starts_with(behind)
        .then_some((number, length))
}

/// How long the piece is that a text begins with and that stands for itself. `before` is what
/// stands in front of it.
fn piece(text: &[u8], before: Option<u8>, quotes: &mut Quotes) -> Option<usize> {
    let next = text.get(1).copied();
    match (*quotes, text[0]) {
        (Quotes::Single, b'\'') => *quotes = Quotes::None,
        (Quotes::Single, _) => {}
        (_, b'\\') => return Some(text.len().min(2)),
        (Quotes::None, b'\'') => *quotes = Quotes::Single,
        (Quotes::None, b'"') => *quotes = Quotes::Double,
        (Quotes::Double, b'"') => *quotes = Quotes::None,
        // Quotes in there are other ones.
        (_, b'`') => return None,
        (Quotes::None, b'<') if next == Some(b'<') => return None,
        (Quotes::None, b'#') if before.is_none_or(|byte| b" \t\n;&|()".contains(&byte)) => {
            return None;
        }
        (Quotes::None, b'$') if matches!(next, Some(b'\'' | b'"')) => return None,
        (Quotes::Double, b'$') if matches!(next, Some(b'(' | b'{')) => return None,
        (_, b'$') if next == Some(b'$') => return Some(2),
        (_, b'$') if speaks_of_parameters(&text[1..]) => return None,
        _ => {}
    }
    Some(1)
}

/// Whether what stands behind a `$` is about parameters.
fn speaks_of_parameters(behind: &[u8]) -> bool {
    let name = behind.strip_prefix(b"{").unwrap_or(behind);
    // `${#1}` and the like.
    let name = name.strip_prefix(b"#").unwrap_or(name);
    let is_about = |byte: &u8| byte.is_ascii_digit() || b"@*#}".contains(byte);
    name.first().is_some_and(is_about)
}

fn in_single_quotes(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\'') {
        return Cow::Borrowed(value);
    }
    let pieces: Vec<&[u8]> = value.split(|&byte| byte == b'\'').collect();
    Cow::Owned(pieces.join(&b"'\"'\"'"[..]))
}

fn in_double_quotes(value: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(value.len());
    for &byte in value {
        if b"\\\"$`".contains(&byte) {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    escaped
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

/// Adds a word as a person would type it: in quotes where a shell would not leave it alone.
fn show(word: &[u8], line: &mut Vec<u8>) {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"+-./_:,@%=".contains(b);
    match !word.is_empty() && word.iter().all(plain) {
        true => line.extend_from_slice(word),
        false => quote(word, line),
    }
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
    use proptest::prelude::*;
    use protocol::{CommandSpec, Encoding, SlotPlace};

    use super::super::render::tests::ticket;
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_than_their_bytes() {
        let ticket = ticket(&[
            b"gzip", b"-9", b"a b", b"", b"it's", b"$x", b"#", b"a=b", b"\xff",
        ]);
        let line = of(&ticket.command, Setting::default()).line;
        assert_eq!(line, b"gzip -9 'a b' '' 'it'\"'\"'s' '$x' '#' 'a=b' '\xff'");
    }

    #[test]
    fn what_changes_nothing_is_shown_as_it_would_be_typed() {
        let shown = |text: &str, args: &[&str]| {
            let args: Vec<ByteBuf> = args.iter().map(|a| ByteBuf::from(a.as_bytes())).collect();
            let text = ByteBuf::from(text.as_bytes());
            typed(&Program::Shell { text, args }).map(|line| String::from_utf8(line).unwrap())
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
            "{ x",
            "! echo \"${1}\"",
            "echo\n\"${1}\"",
        ] {
            assert_eq!(shown(other, &["a\nb"]), None, "{other}");
        }
    }

    #[test]
    fn a_command_is_typed_with_its_slot_and_its_input_is_counted() {
        let mut spec = CommandSpec::new(Program::Argv(["echo", "a-"].map(ByteBuf::from).into()));
        spec.slots = vec![SlotPlace::new(1, 2)];
        spec.stdin = Some(ByteBuf::from("input"));
        let input = Encoding::Bincode.encode(&spec).unwrap();
        let third = Setting {
            slot: Some(3),
            shell: Some(b"/bin/bash"),
            typed: None,
        };
        let typed = of(&input, third);
        assert_eq!((&typed.line[..], typed.stdin), (&b"echo a-3"[..], 5));
        assert_eq!(of(&Bytes::new(), third), Typed::default());
        let words = ["/bin/bash", "-c", "echo <\"${1}\"", "bash", "a b"];
        let spec = CommandSpec::new(Program::Argv(words.map(ByteBuf::from).into()));
        let input = Encoding::Bincode.encode(&spec).unwrap();
        assert_eq!(of(&input, third).line, b"echo <'a b'");
        let line = of(&input, Setting::default()).line;
        assert!(line.starts_with(b"/bin/bash -c"), "it was typed so");
        let typed = Setting {
            typed: Some(b"bash"),
            ..Setting::default()
        };
        assert!(of(&input, typed).line.starts_with(b"bash -c"));
    }

    fn shown(text: &str, args: &[&str]) -> Option<String> {
        let args: Vec<ByteBuf> = args.iter().map(|a| ByteBuf::from(a.as_bytes())).collect();
        filled(text.as_bytes(), &args).map(|line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn a_text_is_shown_with_its_values_in_whatever_quotes() {
        for (text, args, expected) in [
            ("true", &[][..], "true"),
            ("echo '$1'", &[], "echo '$1'"),
            (
                "echo \"${1}\" >\"${2}\".x; cd $HOME",
                &["a b", "c"],
                "echo 'a b' >c.x; cd $HOME",
            ),
            (
                "echo a\"${1}\"\"${1}\"b \"c d\"",
                &["x"],
                "echo axxb \"c d\"",
            ),
            ("echo \\\"\"${1}\"", &["x"], "echo \\\"x"),
            ("echo \"a ${1}\"", &["x"], "echo \"a x\""),
            (
                "echo \"a ${1}\"",
                &["$x`\"\\"],
                "echo \"a \\$x\\`\\\"\\\\\"",
            ),
            ("echo ''\"${1}\"''", &["x y"], "echo 'x y'"),
            ("echo 'a '\"${1}\"'.b'", &["it's"], "echo 'a it'\"'\"'s.b'"),
            ("awk '{print $1}' \"${1}\"", &["f"], "awk '{print $1}' f"),
            ("kill -\"${1}\" $$ $", &["9"], "kill -9 $$ $"),
            ("echo \"$@\" z", &["x", "a b"], "echo x 'a b' z"),
            (
                "f \"${1}\" && echo \"$(date)\" `x` # it's",
                &["a b"],
                "f 'a b' && echo \"$(date)\" `x` # it's",
            ),
        ] {
            assert_eq!(shown(text, args).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn where_it_is_not_plain_the_text_is_shown_with_its_parameters() {
        for text in [
            "echo \"a\"${1}\"b\"",
            "echo $@",
            "echo \"a\"$@\"b\"",
            "echo ${#1}",
            "echo \"${2}\"",
            "echo \"$(echo \"${1}\")\"",
            "echo `date` \"${1}\"",
            "echo $'a\\'' \"${1}\"",
            "cat <<E\n\"${1}\"\nE",
            "echo # it's\necho \"${1}\"",
            "echo \"${x:-\"a\"}\" \"${1}\"",
        ] {
            assert_eq!(shown(text, &["x"]), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_shell_reads_the_value_whatever_it_is_and_wherever_it_stands(
            value in prop::collection::vec(1u8.., 0..20),
        ) {
            let args = [ByteBuf::from(value.clone())];
            let text = b"x\"${1}\" 'a '\"${1}\"' b' \"c ${1} d\"";
            let line = filled(text, &args).unwrap();
            let words = read(&line);
            prop_assert_eq!(words, [
                [b"x", &value[..]].concat(),
                [b"a ", &value[..], b" b"].concat(),
                [b"c ", &value[..], b" d"].concat(),
            ]);
        }
    }

    /// The words of a line, as POSIX says that a shell reads them.
    fn read(line: &[u8]) -> Vec<Vec<u8>> {
        let mut words = vec![Vec::new()];
        let mut quotes = Quotes::None;
        let mut bytes = line.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let word = words.last_mut().unwrap();
            match (quotes, byte) {
                (Quotes::None, b' ') => words.push(Vec::new()),
                (Quotes::None, b'\'') => quotes = Quotes::Single,
                (Quotes::None, b'"') => quotes = Quotes::Double,
                (Quotes::Single, b'\'') | (Quotes::Double, b'"') => quotes = Quotes::None,
                (Quotes::Double, b'\\')
                    if bytes.peek().is_some_and(|b| b"$`\"\\\n".contains(b)) =>
                {
                    word.extend(bytes.next());
                }
                (Quotes::Double, b'$' | b'`') => panic!("it is expanded"),
                (Quotes::None, byte) => {
                    assert!(byte.is_ascii_alphanumeric() || b"+-./_".contains(&byte));
                    word.push(byte);
                }
                (_, byte) => word.push(byte),
            }
        }
        words
    }
}
