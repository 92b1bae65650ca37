//! Standard input, or what a run file holds of it, made into jobs.
//!
//! A thread of its own reads, because reading a file or a terminal blocks, and
//! makes jobs of the lines, which is work that nobody else need wait for. It
//! sends whatever is complete after each `read`, at once, so that a
//! script that writes one line gets its result before it writes the next; and
//! it sends it through a short channel, so that an input without end waits
//! in the pipe and not in memory.

use std::fs::File;
use std::io::{self, Read as _, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use protocol::EnvChange;
use tokio::sync::{mpsc, oneshot};

use super::lines::{Line, Splitter};
use super::pipe::Pipe;
use super::pipe::lanes::{Lanes, Unread};
use super::work::{self, Recipe, Refused, Ticket};
use crate::pool::unlinked_file;
use crate::run::runfile::{self, Counts, Ledger, Pages, RunFileError};

/// How much is read at once, in bytes.
const READ: usize = 64 << 10;

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
    Failed(io::Error),
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

/// Standard input, of which nothing was read yet.
#[derive(Debug)]
pub(crate) struct Source {
    made: mpsc::Receiver<Read>,
    go: oneshot::Sender<Option<Ledger>>,
}

impl Source {
    /// Starts the thread that reads standard input, once it is told to. It is
    /// never waited for: it may sit in a `read` that only the end of this
    /// process can end.
    ///
    /// With `count_first`, everything is read before the first line is given, into
    /// an unlinked file, and how much it is comes first.
    ///
    /// # Errors
    /// When there is no thread or no descriptor left for it.
    pub(crate) fn stdin(recipe: Recipe, count_first: bool) -> io::Result<Source> {
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (sender, made) = mpsc::channel(AHEAD);
        let (go, told) = oneshot::channel();
        thread::Builder::new()
            .name("read input".into())
            .spawn(move || {
                let Ok(ledger) = told.blocking_recv() else {
                    return;
                };
                match recipe.pipe.clone() {
                    None => {}
                    Some(Pipe {
                        rules,
                        lanes: Some(most),
                    }) => {
                        return Lanes::new(recipe, rules, most.get(), sender).run(&stdin);
                    }
                    Some(Pipe { rules, lanes: None }) => {
                        return Maker::new(recipe, sender, ledger).read_blocks(&stdin, rules);
                    }
                }
                if !count_first {
                    return Maker::new(recipe, sender, ledger).read_all(&stdin);
                }
                match count(&stdin, &recipe, &sender) {
                    Ok(Some(copy)) => Maker::new(recipe, sender, ledger).read_all(&copy),
                    // Nobody wants it any more.
                    Ok(None) => {}
                    Err(e) => drop(sender.blocking_send(Read::Failed(e))),
                }
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

/// Reads everything, and gives a copy of it to be read again; first of all says
/// how many lines there are.
fn count(input: &File, recipe: &Recipe, sender: &mpsc::Sender<Read>) -> io::Result<Option<File>> {
    let mut splitter = Splitter::new(recipe.delimiter, recipe.max_line);
    let mut copy = unlinked_file()?;
    let mut buffer = vec![0; READ];
    loop {
        let read = read_some(input, &mut buffer)?;
        if read == 0 {
            break;
        }
        copy.write_all(&buffer[..read])?;
        splitter.push(&Bytes::copy_from_slice(&buffer[..read]), drop);
    }
    drop(splitter.finish());
    copy.rewind()?;
    let total = sender.blocking_send(Read::Total(splitter.ended));
    Ok(total.is_ok().then_some(copy))
}

/// Reads what is there, or waits for it; nothing at the end.
pub(super) fn read_some(mut input: &File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Another program made the shared descriptor non-blocking.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::NONE).ok();
            }
            end => return end,
        }
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

    fn read_all(mut self, input: &File) {
        let mut splitter = Splitter::new(self.recipe.delimiter, self.recipe.max_line);
        let mut buffer = vec![0; READ];
        while !self.sender.is_closed() {
            let read = match read_some(input, &mut buffer) {
                Ok(read) => read,
                Err(e) => {
                    self.sender.blocking_send(Read::Failed(e)).ok();
                    return;
                }
            };
            if read == 0 {
                if let Some(last) = splitter.finish() {
                    self.take(&last);
                }
                return self.end();
            }
            let chunk = Bytes::copy_from_slice(&buffer[..read]);
            splitter.push(&chunk, |line| self.take(&line));
            self.send();
        }
    }

    fn take(&mut self, line: &Line) {
        if let Some(warning) = work::warning(&self.recipe, line) {
            self.made.push(Made::Warning(warning));
        }
        if work::is_blank(&self.recipe.work, line) {
            return;
        }
        self.seq += 1;
        if self.ledger.is_some() {
            return self.enter(line);
        }
        if let Some(made) = self.made_of(self.seq, line, Vec::new()) {
            self.push(made, 0);
        }
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
            // Whether anybody wants more is looked at before the next read.
            self.sender.blocking_send(Read::Made(made)).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::run::source::item::Fields;
    use crate::run::source::jsonl::Shape;
    use crate::run::source::lines::Delimiter;
    use crate::run::source::place::Places;
    use crate::run::source::template::Template;
    use crate::run::source::work::Work;

    fn maker(work: Work, sender: mpsc::Sender<Read>) -> Maker {
        let recipe = Recipe {
            work,
            fields: Fields::One,
            delimiter: Delimiter::Newline,
            max_line: 1 << 20,
            grace: Duration::ZERO,
            stop: Vec::new(),
            limits: protocol::Limits::default(),
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
        maker(work, sender).read_all(&file);
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
        maker(Work::Commands, sender).read_all(&File::open("/dev/zero").unwrap());
    }
}
