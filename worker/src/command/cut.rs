//! What is left of a stream that may be longer than is wanted: its head as it
//! comes, and its tail when it is over. No I/O here.

use std::collections::VecDeque;

/// How much of a tail is kept at most: it is in memory until the stream ends.
const TAIL: u64 = 64 * 1024;

/// One stream of a command with a limit.
#[derive(Debug)]
pub(super) struct Cut {
    limit: u64,
    /// How much of the head may still be passed on; none once the first byte
    /// was not.
    room: u64,
    /// How much was written, and how much of that was passed on.
    written: u64,
    passed: u64,
    /// Whether what was passed on ends within a line.
    in_line: bool,
    /// What was written behind the head, or its end; before that, the beginning
    /// of a character that may become whole yet.
    tail: VecDeque<u8>,
}

/// What is to be passed on when a stream is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) bytes: Vec<u8>,
    /// How much was left out before the tail.
    pub(super) omitted: u64,
}

impl Cut {
    pub(super) fn new(limit: u64) -> Cut {
        Cut {
            limit,
            room: limit - (limit / 2).min(TAIL),
            written: 0,
            passed: 0,
            in_line: false,
            tail: VecDeque::new(),
        }
    }

    /// Whether more was written than may be.
    pub(super) fn is_exceeded(&self) -> bool {
        self.written > self.limit
    }

    /// The command has written this. Gives what of it, and of what came before,
    /// is to be passed on now.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.written += piece.len() as u64;
        if self.room == 0 {
            self.keep(piece);
            return Vec::new();
        }
        // Here the tail is at most the beginning of a character.
        let mut head = Vec::from(std::mem::take(&mut self.tail));
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let more = piece.len().min(room.saturating_sub(head.len()));
        head.extend_from_slice(&piece[..more]);
        let whole = whole_characters(&head);
        let is_full = more < piece.len() || head.len() >= room;
        self.room = match is_full {
            true => 0,
            false => self.room - whole as u64,
        };
        self.passed += whole as u64;
        self.keep(&head[whole..]);
        self.keep(&piece[more..]);
        head.truncate(whole);
        self.in_line = head.last().map_or(self.in_line, |&byte| byte != b'\n');
        head
    }

    /// Keeps the end of what is not passed on now, as much as the head has left.
    fn keep(&mut self, piece: &[u8]) {
        let size = match self.room {
            0 => (self.limit - self.passed) as usize,
            // Not a tail yet, and never more than part of a character.
            _ => self.tail.len() + piece.len(),
        };
        let piece = &piece[piece.len().saturating_sub(size)..];
        let surplus = (self.tail.len() + piece.len()).saturating_sub(size);
        self.tail.drain(..surplus);
        self.tail.extend(piece);
    }

    /// The stream is over.
    pub(super) fn finish(self) -> Rest {
        let mut bytes = Vec::from(self.tail);
        let left_out = self.written - self.passed - bytes.len() as u64;
        if left_out == 0 {
            return Rest { bytes, omitted: 0 };
        }
        // What is left of a character whose beginning was left out.
        let is_inner = |&&byte: &&u8| is_continuation(byte);
        let inner = bytes.iter().take(3).take_while(is_inner).count();
        let omitted = left_out + inner as u64;
        let s = if omitted == 1 { "" } else { "s" };
        let line_feed = if self.in_line { "\n" } else { "" };
        let line = format!("{line_feed}[{omitted} byte{s} left out]\n");
        bytes.splice(..inner, line.into_bytes());
        Rest { bytes, omitted }
    }
}

/// How long the beginning of these bytes is that does not end within a character
/// of UTF-8. What cannot be the beginning of one is taken for whole.
fn whole_characters(bytes: &[u8]) -> usize {
    let last = bytes.len().saturating_sub(3)..bytes.len();
    let first = last.rev().find(|&at| !is_continuation(bytes[at]));
    let Some(at) = first else {
        return bytes.len();
    };
    let length = match bytes[at] {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    };
    if at + length > bytes.len() {
        at
    } else {
        bytes.len()
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of bytes that are written in such pieces: all that is passed
    /// on, how much of that before the end, and how much is left out.
    fn cut(limit: u64, bytes: &[u8], piece: usize) -> (Vec<u8>, usize, u64) {
        let mut cut = Cut::new(limit);
        let mut out = Vec::new();
        for piece in bytes.chunks(piece) {
            out.extend(cut.push(piece));
        }
        assert_eq!(cut.is_exceeded(), bytes.len() as u64 > limit);
        let live = out.len();
        let rest = cut.finish();
        out.extend(rest.bytes);
        (out, live, rest.omitted)
    }

    #[test]
    fn what_is_within_the_limit_is_not_touched() {
        for limit in 1..20 {
            let bytes: Vec<u8> = (0..limit as u8).collect();
            for piece in 1..=bytes.len() {
                let expected = (bytes.clone(), (limit - limit / 2) as usize, 0);
                assert_eq!(cut(limit, &bytes, piece), expected);
            }
        }
        assert_eq!(cut(5, b"", 1), (vec![], 0, 0));
    }

    #[test]
    fn head_and_tail_are_kept_and_a_line_between_them_says_what_is_not() {
        let lines: String = (10..40).map(|n| format!("{n}\n")).collect();
        for piece in 1..100 {
            let (out, live, omitted) = cut(12, lines.as_bytes(), piece);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, "10\n11\n[78 bytes left out]\n38\n39\n");
            assert_eq!((live, omitted), (6, 78));
            // Within a line.
            let (out, _, omitted) = cut(11, lines.as_bytes(), piece);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, "10\n11\n[79 bytes left out]\n8\n39\n");
            assert_eq!(omitted, 79);
            let (out, ..) = cut(8, lines.as_bytes(), piece);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, "10\n1\n[82 bytes left out]\n\n39\n");
        }
    }

    #[test]
    fn a_limit_of_one_byte_is_one() {
        assert_eq!(cut(1, b"a", 1).0, b"a");
        assert_eq!(cut(1, b"ab", 1).0, b"a\n[1 byte left out]\n");
    }

    #[test]
    fn no_character_is_cut() {
        let text = "aä€🙂".repeat(20);
        for limit in 1..=text.len() as u64 + 1 {
            for piece in [1, 2, 3, 5, 7, 1000] {
                let (out, _, omitted) = cut(limit, text.as_bytes(), piece);
                let out = String::from_utf8(out).expect("text");
                let kept: usize = match omitted {
                    0 => out.len(),
                    _ => {
                        let line = out.find('[').unwrap()..out.find(']').unwrap() + 2;
                        out.len() - line.len() - usize::from(out[..line.start].ends_with('\n'))
                    }
                };
                assert_eq!(kept as u64 + omitted, text.len() as u64);
                assert!(kept as u64 <= limit && (omitted == 0 || kept as u64 + 3 >= limit));
            }
        }
    }

    #[test]
    fn what_is_no_text_is_cut_anywhere_and_adds_up() {
        let mut seed = 1u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        let bytes: Vec<u8> = (0..500).map(|_| random()).collect();
        for limit in 1..500 {
            let (out, live, omitted) = cut(limit, &bytes, 13);
            assert_eq!(out[..live], bytes[..live]);
            let tail = bytes.len() - live - omitted as usize;
            assert_eq!(out[out.len() - tail..], bytes[bytes.len() - tail..]);
            assert!((live + tail) as u64 <= limit);
        }
    }

    #[test]
    fn f047_a_flood_takes_no_more_memory_than_a_tail() {
        let mut cut = Cut::new(10 << 20);
        let piece = [b'x'; 64 * 1024];
        let mut passed = 0;
        for _ in 0..1000 {
            passed += cut.push(&piece).len();
            assert!(cut.tail.len() <= TAIL as usize);
        }
        assert_eq!(passed as u64, (10 << 20) - TAIL);
        assert!(cut.tail.capacity() <= 2 * TAIL as usize);
        assert_eq!(cut.finish().omitted, 1000 * 64 * 1024 - (10 << 20));
    }
}
