//! The words of a command line that is given as one: quotes and backslashes as in a shell,
//! and nothing else. Nothing is put into quotes here, and nothing goes to a shell.

/// Takes it apart. Without any word the list is empty; nothing when a quote or a backslash
/// has no end.
pub(super) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    // A word may be empty, in quotes.
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte.is_ascii_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match byte {
            b'\\' => word.push(bytes.next()?),
            b'\'' => loop {
                match bytes.next()? {
                    b'\'' => break,
                    byte => word.push(byte),
                }
            },
            b'"' => loop {
                match bytes.next()? {
                    b'"' => break,
                    b'\\' => match bytes.next()? {
                        byte @ (b'"' | b'\\' | b'$' | b'`') => word.push(byte),
                        byte => word.extend([b'\\', byte]),
                    },
                    byte => word.push(byte),
                }
            },
            byte => word.push(byte),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split(line.as_bytes())?;
        let text = |word| String::from_utf8(word).unwrap();
        Some(words.into_iter().map(text).collect())
    }

    #[test]
    fn quotes_and_backslashes_are_those_of_a_shell() {
        for (line, expected) in [
            ("", &[][..]),
            ("  python3 -m  mytasks\n", &["python3", "-m", "mytasks"]),
            (r#"a 'b c' "d e" f\ g"#, &["a", "b c", "d e", "f g"]),
            (r#"'' "" a''b"#, &["", "", "ab"]),
            (r#""a\"b\n\\" 'c\d' "it's""#, &["a\"b\\n\\", "c\\d", "it's"]),
            ("$HOME *.py # no", &["$HOME", "*.py", "#", "no"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|&word| word.into()).collect();
            assert_eq!(words(line), Some(expected), "{line}");
        }
        for open in ["'a", "\"a", "a\\", "\"a\\"] {
            assert_eq!(words(open), None, "{open}");
        }
    }
}
