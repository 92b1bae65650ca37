//! Lines go in: the half of the batch that hands jobs to the pool.
//!
//! It runs beside the half that takes results, in the same task: while it
//! waits for room, results are delivered, and while the input is silent too.
//! Three things make it wait: the pool's own admission, the size of the inputs
//! that are under way, and, when the order is kept, how far it is ahead of the
//! entry whose turn it is.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;

use bytes::Bytes;
use protocol::{Encoding, JobId};
use tokio::sync::{Notify, mpsc};

use super::batch::{Config, Failure};
use super::runfile::{Counts, Starter};
use super::sink::ordered::MAX_WAITING;
use super::source::pipe::lanes::Unread;
use super::source::reader::{Made, Read};
use super::source::refusal::Refusal;
use super::source::work::{Refused, Ticket};
use super::text;
use crate::pool::{Batch, Pool, PoolError, RawJob, Reports};
use crate::scheduler::IdMap;

/// How many jobs are handed over together at most.
const BATCH: usize = 256;

/// How many bytes of input may be under way, beside one job's that may be
/// larger by itself; more when blocks are that large that workers would have none.
const MAX_BYTES: usize = 16 << 20;

/// What the other half is to tell about the input.
#[derive(Debug)]
pub(super) enum Notice {
    /// A line is no job.
    Refused(Refused),
    /// There are so many lines, read or not.
    Total(u64),
    /// What the input was, compared to what is recorded.
    Resumed(Counts),
    /// These lines go to stderr.
    Warning(String),
    /// Input that no process has read.
    Unread(Unread),
}

/// The tickets of all jobs that are under way.
#[derive(Debug)]
pub(super) struct Desk {
    keep_order: bool,
    /// How many bytes may be under way.
    most: Cell<usize>,
    state: RefCell<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    under_way: IdMap<JobId, Ticket>,
    /// Size of their inputs.
    bytes: usize,
    /// Whose turn it is in the output.
    next: u64,
}

impl Desk {
    pub(super) fn new(keep_order: bool) -> Desk {
        Desk {
            keep_order,
            most: Cell::new(MAX_BYTES),
            state: RefCell::default(),
            changed: Notify::new(),
        }
    }

    /// How many jobs are under way.
    pub(super) fn len(&self) -> usize {
        self.state.borrow().under_way.len()
    }

    /// Gives up the memory that many jobs have taken.
    pub(super) fn rest(&self) {
        self.state.borrow_mut().under_way.rest();
    }

    /// The ticket of a job that has ended.
    pub(super) fn take(&self, job: JobId) -> Option<Ticket> {
        let mut state = self.state.borrow_mut();
        let ticket = state.under_way.remove(&job)?;
        state.bytes -= ticket.size;
        Some(ticket)
    }

    /// Says whose turn it is in the output.
    pub(super) fn turn(&self, next: u64) {
        self.state.borrow_mut().next = next;
    }

    /// Whoever waits for room is to look again.
    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Does something with the ticket of a job that is under way.
    pub(super) fn look_up<T>(&self, job: JobId, look: impl FnOnce(&Ticket) -> T) -> Option<T> {
        self.state.borrow().under_way.get(&job).map(look)
    }

    /// The same, also when its ticket is gone.
    pub(super) fn with<T>(&self, job: JobId, look: impl FnOnce(Option<&Ticket>) -> T) -> T {
        look(self.state.borrow().under_way.get(&job))
    }

    fn enter(&self, job: JobId, ticket: Ticket) {
        let mut state = self.state.borrow_mut();
        state.bytes += ticket.size;
        state.under_way.insert(job, ticket);
    }

    /// So many bytes may be under way, if that is more than usual.
    fn widen(&self, bytes: usize) {
        self.most.set(bytes.max(MAX_BYTES));
    }

    fn has_room(&self, seq: u64, bytes: usize) -> bool {
        let state = self.state.borrow();
        let near = !self.keep_order || seq < state.next.max(1) + MAX_WAITING;
        near && (state.bytes == 0 || state.bytes + bytes <= self.most.get())
    }

    async fn room(&self, seq: u64, bytes: usize) {
        // There is one waiter, and a change between the look and the wait is
        // kept for it.
        while !self.has_room(seq, bytes) {
            self.changed.notified().await;
        }
    }
}

/// Hands every job to the pool, and every line that is none to `notices`; ends
/// with the input, and gives the number of both. Whenever it waits, all jobs that have a
/// ticket were handed over, so it may be dropped then.
pub(super) async fn feed(
    config: &Config,
    pool: &Pool,
    desk: &Desk,
    mut source: mpsc::Receiver<Read>,
    reports: Reports,
    notices: mpsc::Sender<Notice>,
    starter: Option<Starter>,
) -> Result<u64, Failure> {
    let mut feeder = Feeder {
        config,
        desk,
        kind: config.work.kind(),
        reports,
        notices,
        batch: pool.batch(),
        starter,
        turn: 0,
        held: None,
    };
    if let Some(pipe) = &config.pipe {
        // Each worker has one, and one is next.
        desk.widen(pipe.rules.block.saturating_mul(config.pool.workers + 1));
    }
    while let Some(read) = source.recv().await {
        match read {
            Read::Made(made) => feeder.take(made).await?,
            Read::Failed(e) => return Err(Failure::Read(e)),
            Read::Changed(job) => return Err(Failure::Changed(job)),
            Read::TooLarge(limit) => return Err(Failure::TooLarge(limit)),
            Read::Hold(fd) => feeder.held = Some(fd),
            Read::Unread(unread) => feeder.notify(Notice::Unread(unread)).await,
            Read::Total(lines) => feeder.notify(Notice::Total(lines)).await,
            Read::Unreadable(e) => return Err(Failure::RunFile(e)),
            Read::End(resumed) => {
                if let Some(counts) = resumed {
                    feeder.notify(Notice::Resumed(counts)).await;
                }
                return Ok(feeder.turn);
            }
        }
    }
    Err(Failure::Bug("the thread that reads the input has died"))
}

struct Feeder<'a> {
    config: &'a Config,
    desk: &'a Desk,
    /// What task all jobs are of, and how their inputs are encoded.
    kind: (&'static str, Encoding),
    reports: Reports,
    notices: mpsc::Sender<Notice>,
    /// Jobs that have a ticket and were not handed over.
    batch: Batch<'a>,
    /// Who is told before jobs start.
    starter: Option<Starter>,
    /// The last place in the output that was given to a line.
    turn: u64,
    /// What tells the thread that reads that nothing more is wanted, when it is gone.
    held: Option<OwnedFd>,
}

impl Feeder<'_> {
    /// What was made of lines that came together.
    async fn take(&mut self, made: Vec<Made>) -> Result<(), Failure> {
        let mut left = made.len();
        for made in made {
            let refused = match made {
                Made::Job(ticket, input) => {
                    self.turn = ticket.turn;
                    self.enter(ticket, input, left).await?
                }
                Made::Refused(refused) => {
                    self.turn = refused.0.turn;
                    Some(refused)
                }
                Made::Warning(text) => {
                    self.notify(Notice::Warning(text)).await;
                    None
                }
            };
            if let Some(refused) = refused {
                self.batch.hand_over();
                self.desk.room(self.turn, 0).await;
                self.notify(Notice::Refused(refused)).await;
            }
            left -= 1;
        }
        self.batch.hand_over();
        Ok(())
    }

    async fn notify(&mut self, notice: Notice) {
        self.batch.hand_over();
        // The other half is gone only when the run is over.
        self.notices.send(notice).await.ok();
    }

    /// Makes this job the next of so many; gives it back when the pool does not
    /// take such a job.
    async fn enter(
        &mut self,
        ticket: Ticket,
        input: Bytes,
        left: usize,
    ) -> Result<Option<Refused>, Failure> {
        if !self.desk.has_room(ticket.turn, ticket.size) {
            self.batch.hand_over();
            self.desk.room(ticket.turn, ticket.size).await;
        }
        if self.batch.len() == BATCH {
            self.batch.hand_over();
            // It is somebody else's turn, and first of all the pool's.
            tokio::task::yield_now().await;
        }
        if self.batch.room() == 0 || self.starter.is_some() {
            let wanted = left.min(BATCH);
            let room = self.batch.wait_for_room(wanted).await;
            room.map_err(Failure::Pool)?;
        }
        let start = match &self.starter {
            None => None,
            Some(starter) => Some(starter.starting(ticket.row).await),
        };
        let (task, encoding) = self.kind;
        let added = match &ticket.wishes {
            None => self.batch.add_to(self.kind, input, &self.reports),
            Some(wishes) => {
                let mut job = match &wishes.task {
                    Some(task) => RawJob::encoded(task.to_string(), input, encoding),
                    None => RawJob::encoded(task, input, encoding),
                };
                job.timeout = wishes.timeout;
                job.retries = wishes.retries;
                job.label.clone_from(&wishes.label);
                self.batch.add_job(job, &self.reports)
            }
        };
        match added {
            Ok(id) => {
                if let Some(start) = start {
                    start.started();
                }
                self.desk.enter(id, ticket);
                Ok(None)
            }
            Err(PoolError::InputTooLarge { size, limit }) => {
                let what = format!(
                    "{} makes a job of {}, more than the limit of {}",
                    self.config.inputs.origin().item(ticket.line),
                    text::size(size),
                    text::size(limit)
                );
                let refusal = Refusal {
                    what,
                    place: Vec::new(),
                    tip: Some("pass a file name instead of the data"),
                };
                Ok(Some(Box::new((ticket, refusal))))
            }
            Err(e) => Err(Failure::Pool(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(seq: u64, size: usize) -> Ticket {
        Ticket {
            seq,
            turn: seq,
            row: 0,
            item: None,
            line: seq,
            id: None,
            wishes: None,
            size,
            command: Bytes::new(),
        }
    }

    #[test]
    fn large_inputs_wait_for_each_other_and_never_for_ever() {
        let desk = Desk::new(false);
        assert!(desk.has_room(1, 2 * MAX_BYTES));
        desk.enter(JobId(1), ticket(1, MAX_BYTES));
        assert!(!desk.has_room(2, 1));
        assert_eq!(desk.take(JobId(1)), Some(ticket(1, MAX_BYTES)));
        assert!(desk.has_room(2, 1) && desk.len() == 0);
        assert_eq!(desk.take(JobId(1)), None);
    }

    #[test]
    fn feeding_pauses_when_too_many_entries_wait() {
        let desk = Desk::new(true);
        assert!(desk.has_room(MAX_WAITING, 1));
        assert!(!desk.has_room(MAX_WAITING + 1, 1));
        desk.turn(2);
        assert!(desk.has_room(MAX_WAITING + 1, 1));
        assert!(Desk::new(false).has_room(u64::MAX, 1));
    }

    #[tokio::test]
    async fn a_change_wakes_whoever_waits_for_room() {
        let desk = Desk::new(true);
        tokio::join!(desk.room(MAX_WAITING + 5, 1), async {
            for next in 2..=6 {
                tokio::task::yield_now().await;
                desk.turn(next);
                desk.look_again();
            }
        });
    }
}
