//! Items of several sources: every combination of their values, the last source fastest,
//! or values of the same place in each.
//!
//! The first source goes by as it is read. Of the others, values are kept to be gone
//! through again, beyond a megabyte in a file without a name, unless nothing before them
//! can come twice. A source without values has one, which is empty, as in GNU parallel;
//! where all have none there are no items.

use std::fs::File;
use std::io;

use bytes::Bytes;

use super::inputs::{Form, Next};
use super::lines::{Content, Line, Splitter};
use super::origin::Origin;
use super::spool::Kept;
use super::values::{Idle, Stopped, Values};

/// See the module.
#[derive(Debug)]
pub(super) struct Combined {
    groups: Vec<Group>,
    /// What each of them gave last; none before the first item.
    current: Vec<Line>,
    /// How many items there were.
    number: u64,
    ended: bool,
}

impl Combined {
    /// Of these sources; those with the mark go forward with the one before them, and
    /// with `link` all do.
    pub(super) fn new(sources: Vec<(Values, bool)>, link: bool) -> Combined {
        let mut groups: Vec<Group> = Vec::new();
        for (values, linked) in sources {
            match groups.last_mut() {
                Some(group) if linked || link => group.members.push(Member::new(values)),
                _ => groups.push(Group::new(values, link)),
            }
        }
        // What comes only once need not be kept.
        let mut again = false;
        for group in &mut groups {
            group.keep = again;
            again |= !group.members.iter().any(|member| member.values.is_short());
        }
        Combined {
            groups,
            current: Vec::new(),
            number: 0,
            ended: false,
        }
    }

    /// Lines of a file, as they are.
    pub(super) fn lines(file: File, splitter: Splitter, origin: Origin) -> Combined {
        let values = Values::file(file, splitter, origin, Form::default(), false);
        Combined::new(vec![(values, false)], false)
    }

    /// The next item; its number is that of the value, if there is one source.
    pub(super) fn next(&mut self, idle: &mut Idle<'_>) -> Next<Line> {
        if self.ended {
            return Ok(None);
        }
        let more = match self.current.is_empty() {
            true => self.begin(idle)?,
            false => self.step(idle)?,
        };
        if !more {
            self.ended = true;
            return Ok(None);
        }
        self.number += 1;
        if let ([group], [only]) = (&self.groups[..], &self.current[..])
            && group.members.len() == 1
        {
            return Ok(Some(only.clone()));
        }
        Ok(Some(Line {
            number: self.number,
            content: joined(self.current.iter().map(|line| &line.content)),
        }))
    }

    fn begin(&mut self, idle: &mut Idle<'_>) -> Result<bool, Stopped> {
        let alone = self.groups.len() == 1 && self.groups[0].members.len() == 1;
        for group in &mut self.groups {
            let Some(row) = group.first(alone, idle)? else {
                return Ok(false);
            };
            self.current.push(row);
        }
        let mut members = self.groups.iter().flat_map(|group| &group.members);
        Ok(alone || members.any(|member| member.given > 0))
    }

    /// The last group that has a next value goes forward, and those behind it begin again.
    fn step(&mut self, idle: &mut Idle<'_>) -> Result<bool, Stopped> {
        for (at, group) in self.groups.iter_mut().enumerate().rev() {
            let Some(row) = group.next(idle)? else {
                continue;
            };
            self.current[at] = row;
            for behind in at + 1..self.groups.len() {
                let Some(row) = self.groups[behind].again()? else {
                    return Ok(false);
                };
                self.current[behind] = row;
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// Contents that make one, with a zero byte between each two; the first that makes no
/// item is all there is of it.
pub(super) fn joined<'a>(all: impl Iterator<Item = &'a Content>) -> Content {
    let mut bytes = Vec::new();
    for (i, content) in all.enumerate() {
        let Content::Whole(part) = content else {
            return content.clone();
        };
        if i > 0 {
            bytes.push(0);
        }
        bytes.extend_from_slice(part);
    }
    Content::Whole(bytes.into())
}

/// Sources that go forward together.
#[derive(Debug)]
struct Group {
    members: Vec<Member>,
    /// Members that have ended begin again, until all have.
    cycles: bool,
    keep: bool,
    kept: Kept,
    /// All was read, and comes again.
    replays: bool,
}

#[derive(Debug)]
struct Member {
    values: Values,
    /// How many values it gave.
    given: u64,
    ended: bool,
    /// In a group that cycles.
    kept: Kept,
    /// Whether what was kept comes again.
    cycles: bool,
}

impl Member {
    fn new(values: Values) -> Member {
        Member {
            values,
            given: 0,
            ended: false,
            kept: Kept::default(),
            cycles: false,
        }
    }

    fn next(&mut self, idle: &mut Idle<'_>) -> Next<Line> {
        if self.ended {
            return Ok(None);
        }
        let next = self.values.next(idle)?;
        self.ended = next.is_none();
        self.given += u64::from(next.is_some());
        Ok(next)
    }

    /// A value that comes again, since this has ended.
    fn cycle(&mut self) -> io::Result<Line> {
        if self.given == 0 {
            return Ok(empty());
        }
        let mut again = None;
        if self.cycles {
            again = self.kept.next()?;
        }
        if again.is_none() {
            self.cycles = true;
            self.kept.rewind()?;
            again = self.kept.next()?;
        }
        Ok(again.unwrap_or_else(empty))
    }
}

fn empty() -> Line {
    Line {
        number: 1,
        content: Content::Whole(Bytes::new()),
    }
}

impl Group {
    fn new(values: Values, cycles: bool) -> Group {
        Group {
            members: vec![Member::new(values)],
            cycles,
            keep: false,
            kept: Kept::default(),
            replays: false,
        }
    }

    /// The first row; a member without values has an empty one, unless it is alone.
    fn first(&mut self, alone: bool, idle: &mut Idle<'_>) -> Next<Line> {
        let mut rows = Vec::new();
        for member in &mut self.members {
            match member.next(idle)? {
                None if alone => return Ok(None),
                None => rows.push(empty()),
                Some(row) => rows.push(row),
            }
        }
        self.made(rows).map(Some)
    }

    fn next(&mut self, idle: &mut Idle<'_>) -> Next<Line> {
        if self.replays {
            return self.kept.next().map_err(Stopped::temporary);
        }
        let mut rows = Vec::with_capacity(self.members.len());
        if self.cycles {
            let mut fresh = false;
            for member in &mut self.members {
                let row = member.next(idle)?;
                fresh |= row.is_some();
                rows.push(row);
            }
            if !fresh {
                return Ok(None);
            }
            let members = self.members.iter_mut().zip(rows);
            let all: Result<Vec<Line>, Stopped> = members
                .map(|(member, row)| match row {
                    Some(row) => Ok(row),
                    None => member.cycle().map_err(Stopped::temporary),
                })
                .collect();
            rows = all?.into_iter().map(Some).collect();
        } else {
            for member in &mut self.members {
                let Some(row) = member.next(idle)? else {
                    return Ok(None);
                };
                rows.push(Some(row));
            }
        }
        self.made(rows.into_iter().flatten().collect()).map(Some)
    }

    /// Begins again when all has come.
    fn again(&mut self) -> Next<Line> {
        self.replays = true;
        self.kept.rewind().map_err(Stopped::temporary)?;
        self.kept.next().map_err(Stopped::temporary)
    }

    /// Keeps what has to be, and makes one row of those of all members.
    fn made(&mut self, mut rows: Vec<Line>) -> Result<Line, Stopped> {
        if self.cycles {
            // Whoever goes on alone does not begin again.
            let live = self.members.iter().filter(|member| !member.ended).count();
            for (member, row) in self.members.iter_mut().zip(&rows) {
                if !member.ended && live > 1 {
                    member.kept.push(row).map_err(Stopped::temporary)?;
                }
            }
        }
        let row = match rows.len() {
            1 => rows.swap_remove(0),
            _ => Line {
                number: rows.first().map_or(0, |row| row.number),
                content: joined(rows.iter().map(|row| &row.content)),
            },
        };
        if self.keep {
            self.kept.push(&row).map_err(Stopped::temporary)?;
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};
    use std::os::unix::net::UnixStream;

    use proptest::prelude::*;

    use super::*;
    use crate::run::source::columns::Columns;
    use crate::run::source::lines::Delimiter;

    fn words(words: &[&str]) -> Values {
        let words = words
            .iter()
            .map(|word| Bytes::copy_from_slice(word.as_bytes()));
        Values::words(
            words.collect(),
            Origin::words(b":::"),
            Form::default(),
            true,
        )
    }

    fn lines_of(text: &[u8], form: Form) -> Values {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.rewind().unwrap();
        let splitter = Splitter::new(Delimiter::Newline, 1 << 20);
        Values::file(
            file,
            splitter,
            Origin::stdin(Delimiter::Newline),
            form,
            true,
        )
    }

    fn all(mut combined: Combined) -> Vec<String> {
        let mut items = Vec::new();
        while let Some(item) = combined.next(&mut || true).unwrap() {
            let said = match item.content {
                Content::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                Content::Unfit(unfit) => unfit.what,
                other => panic!("{other:?}"),
            };
            items.push(said.replace('\0', " "));
        }
        // It stays at its end.
        assert!(combined.next(&mut || true).unwrap().is_none());
        items
    }

    fn combined(sources: Vec<(Values, bool)>) -> Vec<String> {
        all(Combined::new(sources, false))
    }

    fn linked(sources: Vec<Values>) -> Vec<String> {
        all(Combined::new(
            sources.into_iter().map(|s| (s, false)).collect(),
            true,
        ))
    }

    #[test]
    fn the_last_source_is_the_fastest() {
        let items = combined(vec![
            (words(&["a", "b"]), false),
            (words(&["1", "2", "3"]), false),
            (words(&["x", "y"]), false),
        ]);
        assert_eq!(items.len(), 12);
        assert_eq!(items[..4], ["a 1 x", "a 1 y", "a 2 x", "a 2 y"]);
        assert_eq!(items[11], "b 3 y");
    }

    #[test]
    fn marked_sources_end_with_the_shorter_and_linked_ones_begin_again() {
        let items = combined(vec![
            (words(&["a", "b", "c"]), false),
            (words(&["1", "2"]), true),
            (words(&["x", "y"]), false),
        ]);
        assert_eq!(items, ["a 1 x", "a 1 y", "b 2 x", "b 2 y"]);
        let items = combined(vec![
            (words(&["x", "y"]), false),
            (words(&["a", "b"]), false),
            (words(&["1", "2", "3"]), true),
        ]);
        assert_eq!(items, ["x a 1", "x b 2", "y a 1", "y b 2"]);
        let items = linked(vec![
            words(&["a", "b", "c", "d", "e"]),
            words(&["1", "2"]),
            words(&["x"]),
        ]);
        assert_eq!(items, ["a 1 x", "b 2 x", "c 1 x", "d 2 x", "e 1 x"]);
    }

    #[test]
    fn a_source_without_values_has_an_empty_one_unless_all_are_so() {
        let items = combined(vec![(words(&["a", "b"]), false), (words(&[]), false)]);
        assert_eq!(items, ["a ", "b "]);
        let items = combined(vec![
            (lines_of(b"", Form::default()), false),
            (words(&["1"]), false),
        ]);
        assert_eq!(items, [" 1"]);
        assert_eq!(linked(vec![words(&["a", "b"]), words(&[])]), ["a ", "b "]);
        assert_eq!(combined(vec![(words(&[]), false)]), [""; 0]);
        assert_eq!(
            combined(vec![(words(&[]), false), (words(&[]), false)]),
            [""; 0]
        );
    }

    #[test]
    fn a_value_that_is_none_spoils_its_combinations_only() {
        let (mut items, zero) = (Vec::new(), lines_of(b"x\na\0b\n", Form::default()));
        items.extend(combined(vec![(words(&["1", "2"]), false), (zero, false)]));
        let wrong = "line 2 of standard input holds a zero byte: `a\\u{0}b`";
        assert_eq!(items, ["1 x", wrong, "2 x", wrong]);
    }

    #[test]
    fn forms_are_applied_in_their_order() {
        let form = Form {
            end: Some(b"end".to_vec()),
            skip_blank: true,
            continued: true,
            columns: Columns::Csv(b','),
            ..Form::default()
        };
        let text = b"a,\"b\n\nc\"\n \t\nd, \ne\n\nend \nend\nend\nf\n";
        let items = combined(vec![(lines_of(text, form), false)]);
        assert_eq!(items, ["a b\n\nc", " \td  e", "end end"].map(str::to_owned));
    }

    #[test]
    fn a_quote_without_an_end_costs_a_look_at_each_line() {
        // Looked at again with each line, this would take hours.
        let text = [&b"a\n\""[..], &b"x\n".repeat(400_000)].concat();
        let form = Form {
            columns: Columns::Csv(b','),
            ..Form::default()
        };
        let items = combined(vec![(lines_of(&text, form), false)]);
        assert_eq!((items.len(), &items[0][..]), (2, "a"));
        assert!(items[1].starts_with("line 2 of standard input is not CSV"));
    }

    #[test]
    fn a_source_without_an_end_gives_items_before_it_is_waited_for() {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let file = || File::from(std::os::fd::OwnedFd::from(ours.try_clone().unwrap()));
        let splitter = || Splitter::new(Delimiter::Newline, 100);
        let origin = || Origin::stdin(Delimiter::Newline);
        let values = Values::file(file(), splitter(), origin(), Form::default(), true);
        let mut items = Combined::new(vec![(values, false), (words(&["x", "y"]), false)], false);
        theirs.write_all(b"1\n2\n").unwrap();
        let mut waits = 0;
        for expected in ["1\0x", "1\0y", "2\0x", "2\0y"] {
            let mut idle = || {
                waits += 1;
                true
            };
            let item = items.next(&mut idle).unwrap().unwrap();
            assert_eq!(item.content, Content::Whole(expected.as_bytes().into()));
        }
        assert_eq!(waits, 1);
        // Nobody wants more: nothing is read.
        let stopped = items.next(&mut || false).unwrap_err();
        assert!(matches!(stopped, Stopped::Unwanted));
    }

    #[test]
    fn what_comes_once_is_not_kept() {
        let endless = File::open("/dev/zero").unwrap();
        let splitter = Splitter::new(Delimiter::Text(b"\0\0"), 100);
        let origin = Origin::stdin(Delimiter::Nul);
        let values = Values::file(endless, splitter, origin, Form::default(), true);
        let mut items = Combined::new(vec![(words(&["x"]), false), (values, false)], false);
        for _ in 0..100_000 {
            items.next(&mut || true).unwrap().unwrap();
        }
        assert!(!items.groups[1].keep);
    }

    proptest! {
        #[test]
        fn combinations_are_what_nested_loops_give(
            sources in prop::collection::vec(prop::collection::vec("[a-c]{0,2}", 1..4), 1..4),
        ) {
            let mut expected = vec![String::new()];
            for (i, values) in sources.iter().enumerate() {
                let longer = |head: &String| {
                    let join = |value: &String| match i {
                        0 => value.clone(),
                        _ => format!("{head} {value}"),
                    };
                    values.iter().map(join).collect::<Vec<_>>()
                };
                expected = expected.iter().flat_map(longer).collect();
            }
            let given = sources.iter().enumerate().map(|(i, values)| {
                // Every other one from a file.
                let text: String = values.iter().map(|value| format!("{value}\n")).collect();
                let borrowed: Vec<&str> = values.iter().map(String::as_str).collect();
                match i % 2 {
                    0 => (words(&borrowed), false),
                    _ => (lines_of(text.as_bytes(), Form::default()), false),
                }
            });
            prop_assert_eq!(combined(given.collect()), expected);
        }
    }
}
