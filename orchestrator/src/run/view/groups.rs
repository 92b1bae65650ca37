//! Failures that are alike: of the same kind, and with the same message but for
//! numbers and names.

use std::collections::HashMap;

use super::model::{Example, Group};
use crate::run::runfile::Try;
use crate::run::text;

/// How many groups there are at most.
const MOST: usize = 100;

/// How many jobs of each are shown.
const EXAMPLES: usize = 10;

/// Lines of what each wrote to stderr.
const LINES: usize = 12;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    known: HashMap<(bool, String, String), usize>,
    all: Vec<Group>,
    pub(super) ungrouped: u64,
}

impl Groups {
    /// A job has ended like this, which was no success; `open` when that is no verdict, and it is
    /// run when the run goes on.
    pub(super) fn add(&mut self, label: &str, line: i64, end: &Try, open: bool) {
        let what = why(end);
        let key = (open, end.verdict.clone(), alike(&what));
        let at = match self.known.get(&key) {
            Some(&at) => at,
            None if self.all.len() == MOST => {
                self.ungrouped += 1;
                return;
            }
            None => {
                self.all.push(Group {
                    verdict: end.verdict.clone(),
                    what: what.clone(),
                    open,
                    ..Group::default()
                });
                self.known.insert(key, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        let group = &mut self.all[at];
        group.jobs += 1;
        group.varied |= group.what != what;
        if group.examples.len() < EXAMPLES {
            group.examples.push(Example {
                label: label.to_owned(),
                line,
                tries: end.attempt,
                what,
                stderr: last_lines(&end.stderr),
            });
        }
    }

    /// The largest first.
    pub(super) fn finish(mut self) -> (Vec<Group>, u64) {
        self.all.sort_by_key(|group| std::cmp::Reverse(group.jobs));
        (self.all, self.ungrouped)
    }
}

/// Why a try was no success, in words that are fit to be shown.
pub(super) fn why(end: &Try) -> String {
    let number = |number: Option<i64>| number.and_then(|n| i32::try_from(n).ok());
    let said = end.message.as_ref().filter(|said| !said.is_empty());
    let said = said.map(|said| text::clipped(said.as_bytes()));
    let kind = match (end.verdict.as_str(), number(end.signal), number(end.errno)) {
        ("ok", ..) => return "succeeded".into(),
        ("failed", ..) => match (end.exit, &said) {
            // A function that failed has said why.
            (Some(1 | 101), Some(_)) | (None, _) => None,
            (Some(exit), _) => Some(format!("exit status {exit}")),
        },
        ("signaled", Some(signal), _) => Some(format!("ended by {}", text::signal(signal))),
        ("spawn_error", _, Some(errno)) => {
            Some(format!("could not be started: {}", text::errno(errno)))
        }
        _ => None,
    };
    let said = said.or_else(|| last_line(&end.stderr));
    match (kind, said) {
        (Some(kind), Some(said)) => format!("{kind}: {said}"),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => plain(&end.verdict),
    }
}

/// A verdict as a person says it.
pub(super) fn plain(verdict: &str) -> String {
    let plain = match verdict {
        "ok" => "succeeded",
        "signaled" => "ended by a signal",
        "timeout" => "timed out",
        "crashed" => "its worker died",
        "oom" => "out of memory",
        "output_limit" => "wrote too much",
        "quarantined" => "has crashed several workers, and is not tried again",
        "unkillable" => "cannot be killed",
        "spawn_error" => "could not be started",
        "rejected" => "was rejected",
        "interrupted" => "the run was stopped",
        "cancelled" => "was cancelled",
        "lost" => "the run ended before it did",
        other => return text::clipped(other.as_bytes()),
    };
    plain.into()
}

/// The last line that says anything.
fn last_line(stderr: &[u8]) -> Option<String> {
    let mut lines = stderr.rsplit(|&byte| byte == b'\n');
    let line = lines.find(|line| !line.trim_ascii().is_empty())?;
    Some(text::clipped(line.trim_ascii()))
}

fn last_lines(stderr: &[u8]) -> String {
    let stderr = stderr.strip_suffix(b"\n").unwrap_or(stderr);
    let lines: Vec<&[u8]> = stderr.split(|&byte| byte == b'\n').collect();
    let lines = lines[lines.len().saturating_sub(LINES)..].iter();
    let lines: Vec<String> = lines.map(|line| text::clipped(line)).collect();
    lines.join("\n")
}

/// A message without its numbers, and without what stands in quotes or looks like a
/// path.
fn alike(what: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    for word in what.split_inclusive(' ') {
        if quote.is_none() && word.contains('/') {
            out.push('/');
            continue;
        }
        for c in word.chars() {
            match quote {
                Some(end) if c == end => quote = None,
                Some(_) => {}
                None if c.is_ascii_digit() => {
                    if !out.ends_with('0') {
                        out.push('0');
                    }
                }
                None => {
                    out.push(c);
                    quote = match c {
                        '`' | '"' => Some(c),
                        // Not the one in "can't".
                        '\'' if word.starts_with('\'') => Some(c),
                        _ => None,
                    };
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(verdict: &str, exit: Option<i64>, stderr: &str) -> Try {
        Try {
            verdict: verdict.into(),
            exit,
            attempt: 1,
            stderr: stderr.into(),
            ..Try::default()
        }
    }

    #[test]
    fn failures_that_differ_in_numbers_and_names_are_one_group() {
        let mut groups = Groups::default();
        for n in 0..30 {
            let stderr = format!("trying\ncannot read `file {n}` at {n}00 of /a/{n} now\n\n");
            groups.add("a", n, &failed("failed", Some(2), &stderr), false);
        }
        groups.add("b", 31, &failed("failed", Some(3), "cannot read"), false);
        groups.add("c", 32, &failed("timeout", None, ""), false);
        let (all, ungrouped) = groups.finish();
        let said: Vec<_> = all.iter().map(|g| (&*g.what, g.jobs, g.varied)).collect();
        assert_eq!(
            said,
            [
                (
                    "exit status 2: cannot read `file 0` at 000 of /a/0 now",
                    30,
                    true
                ),
                ("exit status 3: cannot read", 1, false),
                ("timed out", 1, false)
            ]
        );
        assert_eq!((all[0].examples.len(), ungrouped), (EXAMPLES, 0));
        assert!(all[0].examples[1].stderr.starts_with("trying\ncannot"));
    }

    #[test]
    fn there_are_only_so_many_groups() {
        let mut groups = Groups::default();
        for n in 0..u8::try_from(MOST + 20).unwrap() {
            let name = format!("{}{}", char::from(b'a' + n / 26), char::from(b'a' + n % 26));
            groups.add("", 1, &failed("failed", None, &name), false);
        }
        let (all, ungrouped) = groups.finish();
        assert_eq!((all.len(), ungrouped), (MOST, 20));
    }

    #[test]
    fn every_verdict_is_said_in_words() {
        let signaled = Try {
            signal: Some(11),
            ..failed("signaled", None, "")
        };
        assert_eq!(why(&signaled), "ended by SIGSEGV");
        let errno = Try {
            errno: Some(2),
            ..failed("spawn_error", None, "")
        };
        assert_eq!(
            why(&errno),
            "could not be started: no such file or directory"
        );
        let message = Try {
            message: Some("boom\x1b[31m".into()),
            ..failed("failed", Some(101), "")
        };
        assert_eq!(why(&message), "boom\\u{1b}[31m");
        assert_eq!(why(&failed("oom", None, "")), "out of memory");
        assert_eq!(why(&failed("new\n", None, "")), "new\\n");
    }
}
