//! The greeting: one line of text with which a worker opens the conversation.
//!
//! It is text so that a wrong version can be told before any frame, and it is
//! scanned for, because a login shell may print its own greeting first. The
//! orchestrator sends nothing before it has seen the line: whatever program
//! was named by mistake gets no binary data on its stdin.

use crate::PROTOCOL_VERSION;

/// How much may come before the greeting, in bytes.
pub const MAX_PREAMBLE: usize = 64 * 1024;

const PREFIX: &[u8] = b"orchestrator-worker protocol ";
/// Digits of the version, and room for a carriage return.
const MAX_REST: usize = 12;

/// The greeting of this version, line feed included.
#[must_use]
pub fn greeting_line() -> Vec<u8> {
    let mut line = PREFIX.to_vec();
    line.extend_from_slice(PROTOCOL_VERSION.to_string().as_bytes());
    line.push(b'\n');
    line
}

/// A greeting that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The protocol version that the worker speaks.
    pub version: u32,
    /// Where the greeting begins: that many bytes were printed before it.
    pub start: usize,
    /// Where the first frame begins.
    pub end: usize,
}

/// What the bytes received so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreetingScan {
    /// Here it is.
    Found(Greeting),
    /// Not yet; it may still come.
    NeedMore,
    /// More than [`MAX_PREAMBLE`] bytes without it: this is not a worker.
    Absent,
}

/// Looks for the greeting in everything that a worker has printed so far.
#[must_use]
pub fn scan(received: &[u8]) -> GreetingScan {
    let mut from = 0;
    while let Some(found) = find(&received[from..], PREFIX) {
        let start = from + found;
        if start > MAX_PREAMBLE {
            return GreetingScan::Absent;
        }
        let rest = &received[start + PREFIX.len()..];
        match rest.iter().take(MAX_REST).position(|&b| b == b'\n') {
            Some(line_feed) => {
                if let Some(version) = parse_version(&rest[..line_feed]) {
                    let end = start + PREFIX.len() + line_feed + 1;
                    return GreetingScan::Found(Greeting {
                        version,
                        start,
                        end,
                    });
                }
            }
            None if rest.len() < MAX_REST => return GreetingScan::NeedMore,
            None => {}
        }
        from = start + PREFIX.len();
    }
    if received.len() > MAX_PREAMBLE && !begins_at_end(received) {
        GreetingScan::Absent
    } else {
        GreetingScan::NeedMore
    }
}

/// Whether the end may be the beginning of a greeting that is not too late.
fn begins_at_end(received: &[u8]) -> bool {
    let first = received.len().saturating_sub(PREFIX.len() - 1);
    (first..=MAX_PREAMBLE).any(|start| PREFIX.starts_with(&received[start..]))
}

fn parse_version(digits: &[u8]) -> Option<u32> {
    let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> (u32, usize) {
        match scan(bytes) {
            GreetingScan::Found(g) => (g.version, g.end),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn finds_its_own_line_at_every_split() {
        let line = greeting_line();
        for n in 0..line.len() {
            assert_eq!(scan(&line[..n]), GreetingScan::NeedMore, "at {n}");
        }
        assert_eq!(found(&line), (PROTOCOL_VERSION, line.len()));
    }

    #[test]
    fn passes_over_what_a_login_shell_printed() {
        let mut bytes = b"Welcome to n1!\r\norchestrator-worker protocol ???\n".to_vec();
        let before = bytes.len();
        bytes.extend_from_slice(b"orchestrator-worker protocol 7\r\nFRAMES");
        match scan(&bytes) {
            GreetingScan::Found(g) => {
                assert_eq!((g.version, g.start), (7, before));
                assert_eq!(&bytes[g.end..], b"FRAMES");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn gives_up_after_the_limit() {
        assert_eq!(scan(&vec![b'x'; MAX_PREAMBLE]), GreetingScan::NeedMore);
        assert_eq!(scan(&vec![b'x'; MAX_PREAMBLE + 1]), GreetingScan::Absent);
        // However the reads happened to fall.
        let mut late = vec![b'x'; MAX_PREAMBLE + 1];
        late.extend_from_slice(&greeting_line());
        assert_eq!(scan(&late), GreetingScan::Absent);
    }

    #[test]
    fn a_greeting_that_begins_at_the_limit_may_come_in_pieces() {
        // Found by fuzzing: a read that ended within it made it too late.
        let mut latest = vec![b'x'; MAX_PREAMBLE];
        latest.extend_from_slice(&greeting_line());
        for n in MAX_PREAMBLE..latest.len() {
            assert_eq!(scan(&latest[..n]), GreetingScan::NeedMore, "at {n}");
        }
        assert_eq!(found(&latest), (PROTOCOL_VERSION, latest.len()));
        latest.insert(0, b'x');
        for n in MAX_PREAMBLE + 1..=latest.len() {
            assert_eq!(scan(&latest[..n]), GreetingScan::Absent, "at {n}");
        }
    }

    #[test]
    fn an_overlong_number_is_not_a_version() {
        let bytes = b"orchestrator-worker protocol 99999999999999999999\n";
        assert_eq!(scan(bytes), GreetingScan::NeedMore);
    }
}
