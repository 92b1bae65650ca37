//! The input, or what a run file holds of it, made into jobs.
//!
//! A thread of its own reads, because reading a file or a terminal blocks, and
//! makes jobs of the lines, which is work that nobody else need wait for. It
//! sends whatever is complete after each `read`, at once, so that a
//! script that writes one line gets its result before it writes the next; and
//! it sends it through a short channel, so that an input without end waits
//! in the pipe and not in memory.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::thread;

use bytes::Bytes;
use protocol::EnvChange;
use tokio::sync::{mpsc, oneshot};

use super::combine::Combined;
use super::inputs::{Input, Items, Opened};
use super::lines::{Line, Splitter};
use super::pipe::Pipe;
use super::pipe::lanes::{Lanes, Unread};
use super::place::Total;
use super::refusal;
use super::spool::{Shuffled, Spool, Store};
use super::values::{READ, ReadError, Stopped, read_some};
use super::work::{self, Recipe, Refused, Ticket};
use crate::run::runfile::{self, Counts, Ledger, Pages, RunFileError};
use crate::run::sink::command_line::Setting;

/// How many lines are sent together at most: one read may hold many thousands.
const GROUP: usize = 1024;

/// With inputs of so many bytes a group is full as well: a template may make
/// much of a short line.
const GROUP_BYTES: usize = 64 << 10;

/// How many groups may be ahead of the pool.
const AHEAD: usize = 4;

/// What the reading thread says.
#[derive(Debug)]
pub(crate) enum Read {
    /// How many lines there will be, when that was to be counted first.
    Total(u64),
    /// What was made of lines that became complete.
    Made(Vec<Made>),
    /// Reading failed; nothing follows.
    Failed(ReadError),
    /// This job was another one in the log that says it is done; nothing follows.
    Changed(u64),
    /// A record is larger than this many bytes; nothing follows.
    TooLarge(usize),
    /// To be kept for as long as anything is wanted.
    Hold(OwnedFd),
    /// Input that was given to a process, or was to be, and that nobody has read.
    Unread(Unread),
    /// The run file cannot be read; nothing follows.
    Unreadable(RunFileError),
    /// That was all, and this is what it was, compared to what was recorded. A
    /// channel that ends without it has lost its thread.
    End(Option<Counts>),
}

/// What was made of a line.
#[derive(Debug)]
pub(crate) enum Made {
    /// A job with this input.
    Job(Ticket, Bytes),
    /// It is no job.
    Refused(Refused),
    /// Something to be told about the line that follows, in lines for stderr.
    Warning(String),
}

impl Made {
    /// What is remembered of the line, if it is one.
    fn ticket(&mut self) -> Option<&mut Ticket> {
        match self {
            Made::Job(ticket, _) => Some(ticket),
            Made::Refused(refused) => Some(&mut refused.0),
            Made::Warning(_) => None,
        }
    }
}

impl From<Result<(Ticket, Bytes), Refused>> for Made {
    fn from(made: Result<(Ticket, Bytes), Refused>) -> Made {
        match made {
            Ok((ticket, input)) => Made::Job(ticket, input),
            Err(refused) => Made::Refused(refused),
        }
    }
}

/// Where jobs come from, of which none was made yet.
#[derive(Debug)]
pub(crate) struct Source {
    made: mpsc::Receiver<Read>,
    go: oneshot::Sender<Option<Ledger>>,
}

impl Source {
    /// Starts the thread that reads what was opened, once it is told to. It is
    /// never waited for: it may sit in a `read` that only the end of this
    /// process can end.
    ///
    /// With a total, everything is read before the first item is given, into
    /// an unlinked file, and how much it is comes first; so it is when the order is to
    /// be another one.
    ///
    /// # Errors
    /// When there is no thread left for it.
    pub(crate) fn input(
        recipe: Recipe,
        opened: Opened,
        shuffle: Option<u64>,
        total: Option<Total>,
    ) -> io::Result<Source> {
        let (sender, made) = mpsc::channel(AHEAD);
        let (go, told) = oneshot::channel();
        thread::Builder::new()
            .name("read input".into())
            .spawn(move || {
                let Ok(ledger) = told.blocking_recv() else {
                    return;
                };
                if let Some(Pipe {
                    rules,
                    header,
                    lanes,
                }) = recipe.pipe.clone()
                    && let Input::Plain(file) = &opened.input
                {
                    return match lanes {
                        Some(most) => {
                            Lanes::new(recipe, rules, most.get(), sender).run(file, header.as_ref())
                        }
                        None => Maker::new(recipe, sender, ledger).read_blocks(
                            file,
                            rules,
                            header.as_ref(),
                        ),
                    };
                }
                let mut maker = Maker::new(recipe, sender, ledger);
                let ended = match (opened.input, shuffle, &total) {
                    (Input::Plain(file), None, None) => maker.read_lines(&file),
                    (input, Some(seed), _) => {
                        let all = Shuffled::new(seed).map_err(Stopped::temporary);
                        all.and_then(|all| maker.read_twice(input, all, total.as_ref()))
                    }
                    (input, None, Some(total)) => {
                        let all = Spool::new().map_err(Stopped::temporary);
                        all.and_then(|all| maker.read_twice(input, all, Some(total)))
                    }
                    (Input::Items(items), None, None) => maker.read_items(items),
                };
                maker.conclude(ended);
            })?;
        Ok(Source { made, go })
    }

    /// Starts the thread that reads jobs from a run file, once it is told to.
    ///
    /// # Errors
    /// When there is no thread left for it.
    pub(crate) fn recorded(recipe: Recipe, pages: Pages) -> io::Result<Source> {
        let (sender, made) = mpsc::channel(AHEAD);
        let (go, told) = oneshot::channel();
        thread::Builder::new()
            .name("read run file".into())
            .spawn(move || {
                if told.blocking_recv().is_ok() {
                    Maker::new(recipe, sender, None).read_pages(pages);
                }
            })?;
        Ok(Source { made, go })
    }

    /// Begins to read. With a ledger, lines whose jobs have their verdicts are left
    /// out, and those that are new are recorded.
    pub(crate) fn read(self, ledger: Option<Ledger>) -> mpsc::Receiver<Read> {
        self.go.send(ledger).ok();
        self.made
    }
}

/// Makes jobs of lines.
pub(super) struct Maker {
    pub(super) recipe: Recipe,
    /// How many lines were jobs, or should have been.
    pub(super) seq: u64,
    /// How many of them were not left out.
    turn: u64,
    pub(super) ledger: Option<Ledger>,
    /// What was not sent yet.
    made: Vec<Made>,
    /// Size of the inputs in there.
    bytes: usize,
    pub(super) sender: mpsc::Sender<Read>,
    /// Whether nobody took what was sent, or nothing is to follow.
    unwanted: bool,
    /// A job that is done, and is another one now.
    changed: Option<u64>,
}

impl Maker {
    fn new(recipe: Recipe, sender: mpsc::Sender<Read>, ledger: Option<Ledger>) -> Maker {
        Maker {
            recipe,
            seq: 0,
            turn: 0,
            ledger,
            made: Vec::new(),
            bytes: 0,
            sender,
            unwanted: false,
            changed: None,
        }
    }

    fn read_pages(mut self, mut pages: Pages) {
        while !self.sender.is_closed() {
            match pages.next() {
                Err(e) => return drop(self.sender.blocking_send(Read::Unreadable(e))),
                Ok(jobs) if jobs.is_empty() => {
                    return drop(self.sender.blocking_send(Read::End(None)));
                }
                Ok(jobs) => {
                    for job in jobs {
                        let env = runfile::environment(job.job, job.key);
                        // It was a job when it was recorded.
                        if let Some(made) = self.made_of(job.seq, &job.line, env) {
                            self.push(made, job.job);
                        }
                    }
                    self.send();
                }
            }
        }
    }

    /// Reads lines that are items as they are.
    fn read_lines(&mut self, input: &File) -> Result<(), Stopped> {
        let mut splitter = Splitter::new(self.recipe.delimiter, self.recipe.max_line);
        let mut buffer = vec![0; READ];
        while !self.sender.is_closed() && !self.unwanted {
            let read = read_some(input, &mut buffer).map_err(|why| {
                let what = self.recipe.origin.place().to_owned();
                Stopped::Failed(ReadError { what, why })
            })?;
            if read == 0 {
                if let Some(last) = splitter.finish() {
                    self.take(&last);
                }
                return Ok(());
            }
            let chunk = Bytes::copy_from_slice(&buffer[..read]);
            splitter.push(&chunk, |line| self.take(&line));
            self.send();
        }
        Err(Stopped::Unwanted)
    }

    /// Reads what is made of sources.
    fn read_items(&mut self, mut items: Items) -> Result<(), Stopped> {
        loop {
            let next = items.next(&mut || {
                self.send();
                !self.sender.is_closed()
            })?;
            match next {
                None => return Ok(()),
                Some(item) => self.take(&item),
            }
            if self.unwanted {
                return Err(Stopped::Unwanted);
            }
        }
    }

    /// Reads everything into this, says how much it is, and makes jobs of what it gives.
    fn read_twice(
        &mut self,
        input: Input,
        mut all: impl Store,
        total: Option<&Total>,
    ) -> Result<(), Stopped> {
        let mut items = match input {
            Input::Items(items) => items,
            Input::Plain(file) => Items::Each(Box::new(Combined::lines(
                file,
                Splitter::new(self.recipe.delimiter, self.recipe.max_line),
                self.recipe.origin.clone(),
            ))),
        };
        while let Some(item) = items.next(&mut || !self.sender.is_closed())? {
            if !work::is_blank(&self.recipe.work, &item) {
                all.push(&item).map_err(Stopped::temporary)?;
            }
        }
        all.rewind().map_err(Stopped::temporary)?;
        if let Some(total) = total {
            total.set(all.count());
        }
        if self.sender.blocking_send(Read::Total(all.count())).is_err() {
            return Err(Stopped::Unwanted);
        }
        while let Some(item) = all.next().map_err(Stopped::temporary)? {
            self.take(&item);
            if self.unwanted {
                return Err(Stopped::Unwanted);
            }
        }
        Ok(())
    }

    /// Says what is left to be said.
    fn conclude(mut self, ended: Result<(), Stopped>) {
        if let Some(job) = self.changed {
            self.send();
            return drop(self.sender.blocking_send(Read::Changed(job)));
        }
        match ended {
            Err(Stopped::Unwanted) => {}
            Err(Stopped::Failed(e)) => {
                self.send();
                self.sender.blocking_send(Read::Failed(e)).ok();
            }
            Ok(()) => self.end(),
        }
    }

    fn take(&mut self, line: &Line) {
        if let Some(warning) = refusal::warning(&self.recipe, line) {
            self.made.push(Made::Warning(warning));
        }
        if work::is_blank(&self.recipe.work, line) {
            return;
        }
        self.seq += 1;
        if self.recipe.done.is_some() && self.is_done(line) {
            return;
        }
        if self.ledger.is_some() {
            return self.enter(line);
        }
        if let Some(made) = self.made_of(self.seq, line, Vec::new()) {
            self.push(made, 0);
        }
    }

    /// Whether the job log says that the job of this line is done, or nothing is to be done
    /// any more.
    fn is_done(&mut self, line: &Line) -> bool {
        if self.changed.is_some() {
            return true;
        }
        let Some(done) = self.recipe.done.as_ref().filter(|done| done.has(self.seq)) else {
            return false;
        };
        let setting = Setting {
            slot: None,
            shell: self.recipe.shell,
            typed: self.recipe.typed,
        };
        let made = self.made_of(self.seq, line, Vec::new());
        let is_same = match &made {
            Some(Made::Job(ticket, _)) => done.is_same(self.seq, &ticket.command, setting),
            _ => false,
        };
        if !is_same {
            self.changed = Some(self.seq);
            self.unwanted = true;
        }
        true
    }

    /// Looks a line up in the run file: it may be done, and is recorded if it is new.
    pub(super) fn enter(&mut self, line: &Line) {
        let found = self.ledger.as_mut().and_then(|ledger| ledger.find(line));
        let Some(entry) = found else {
            return;
        };
        let env = runfile::environment(entry.job, entry.key);
        let mut made = self.made_of(self.seq, line, env);
        if let (Some(ledger), Some(made)) = (&mut self.ledger, &mut made)
            && let Some(ticket) = made.ticket()
        {
            ledger.enter(entry, line, ticket);
        }
        if let Some(made) = made {
            self.push(made, entry.job);
        }
    }

    /// What a line is; nothing when it is blank and stands for nothing.
    fn made_of(&self, seq: u64, line: &Line, env: Vec<EnvChange>) -> Option<Made> {
        let made = work::prepare(&self.recipe, seq, line, env).transpose()?;
        Some(made.into())
    }

    /// The next to be sent, and its number in the run file.
    pub(super) fn push(&mut self, mut made: Made, row: i64) {
        self.turn += 1;
        if let Some(ticket) = made.ticket() {
            ticket.turn = self.turn;
            ticket.row = row;
        }
        if let Made::Job(_, input) = &made {
            self.bytes += input.len();
        }
        self.made.push(made);
        if self.made.len() >= GROUP || self.bytes >= GROUP_BYTES {
            self.send();
        }
    }

    /// The input has ended.
    pub(super) fn end(mut self) {
        self.send();
        let resumed = self.ledger.take().and_then(Ledger::finish);
        self.sender.blocking_send(Read::End(resumed)).ok();
    }

    pub(super) fn send(&mut self) {
        if !self.made.is_empty() {
            self.bytes = 0;
            let next = Vec::with_capacity(self.made.len());
            let made = std::mem::replace(&mut self.made, next);
            if let Some(ledger) = &mut self.ledger {
                ledger.send();
            }
            let sent = self.sender.blocking_send(Read::Made(made));
            self.unwanted |= sent.is_err();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::time::Duration;

    use super::*;
    use crate::run::source::item::Fields;
    use crate::run::source::jsonl::Shape;
    use crate::run::source::lines::Delimiter;
    use crate::run::source::origin::Origin;
    use crate::run::source::place::Places;
    use crate::run::source::template::Template;
    use crate::run::source::work::Work;

    fn maker(work: Work, sender: mpsc::Sender<Read>) -> Maker {
        let recipe = Recipe {
            work,
            fields: Fields::One,
            delimiter: Delimiter::Newline,
            origin: Origin::stdin(Delimiter::Newline),
            max_line: 1 << 20,
            grace: Duration::ZERO,
            stop: Vec::new(),
            limits: protocol::Limits::default(),
            shell: None,
            number_variable: None,
            wd: None,
            typed: None,
            done: None,
            keep_items: false,
            pipe: None,
        };
        Maker::new(recipe, sender, None)
    }

    /// The groups that are made of an input.
    fn made(work: Work, input: &[u8]) -> Vec<Vec<Made>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input).unwrap();
        file.rewind().unwrap();
        let (sender, mut reads) = mpsc::channel(1000);
        let mut maker = maker(work, sender);
        let ended = maker.read_lines(&file);
        maker.conclude(ended);
        let mut groups = Vec::new();
        loop {
            match reads.try_recv().expect("it says when it ends") {
                Read::Made(group) => groups.push(group),
                Read::End(None) => return groups,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn every_line_that_is_not_blank_has_its_number_and_groups_are_small() {
        let mut input = b"1\n\n{\n".to_vec();
        input.extend(b"7\n".repeat(3 * GROUP));
        let mut numbers = Vec::new();
        let work = Work::Task {
            name: "t",
            shape: Shape::Argument,
        };
        for group in made(work, &input) {
            assert!(!group.is_empty() && group.len() <= GROUP);
            numbers.extend(group.into_iter().map(|made| match made {
                Made::Job(ticket, _) => (ticket.seq, ticket.line, true),
                Made::Refused(refused) => (refused.0.seq, refused.0.line, false),
                Made::Warning(text) => panic!("{text}"),
            }));
        }
        assert_eq!(numbers[..3], [(1, 1, true), (2, 3, false), (3, 4, true)]);
        let last = 2 + 3 * GROUP as u64;
        assert_eq!(numbers.len() as u64, last);
        assert_eq!(numbers.last(), Some(&(last, last + 1, true)));
    }

    #[test]
    fn what_a_template_makes_much_of_is_sent_by_its_size() {
        let text = "x".repeat(20_000);
        let work =
            Work::Command(Template::parse(&["echo", &text, "{}"], &Places::default()).unwrap());
        let groups = made(work, &b"1\n".repeat(100));
        assert!(
            groups.iter().all(|group| group.len() <= 4),
            "{}",
            groups.len()
        );
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 100);
    }

    #[test]
    fn nothing_is_read_for_nobody() {
        let (sender, reads) = mpsc::channel(1);
        drop(reads);
        // Without an end.
        let zeros = File::open("/dev/zero").unwrap();
        let ended = maker(Work::Commands, sender).read_lines(&zeros);
        assert!(matches!(ended, Err(Stopped::Unwanted)));
    }
}
