//! Lines go in: the half of the batch that hands jobs to the pool.
//!
//! It runs beside the half that takes results, in the same task: while it
//! waits for room, results are delivered, and while the input is silent too.
//! Three things make it wait: the pool's own admission, the size of the inputs
//! that are under way, and, when the order is kept, how far it is ahead of the
//! entry whose turn it is.

use std::cell::RefCell;
use std::collections::HashMap;

use protocol::JobId;
use tokio::sync::{Notify, mpsc};

use super::batch::{Config, Failure};
use super::sink::ordered::MAX_WAITING;
use super::source::lines::{Batch, Line};
use super::source::work::{self, Recipe, Refusal, Refused, Ticket};
use super::text;
use crate::pool::{Pool, PoolError, RawJob, Reports};

/// How many bytes of input may be under way, beside one job's that may be
/// larger by itself.
const MAX_BYTES: usize = 16 << 20;

/// What the other half is to tell about the input.
#[derive(Debug)]
pub(super) enum Notice {
    /// A line is no job.
    Refused(Refused),
    /// There are so many lines, read or not.
    Total(u64),
    /// These lines go to stderr.
    Warning(String),
}

/// The tickets of all jobs that are under way.
#[derive(Debug)]
pub(super) struct Desk {
    keep_order: bool,
    state: RefCell<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    under_way: HashMap<JobId, Ticket>,
    /// The job that is being handed over: the pool knows it, we do not know
    /// its id yet.
    entering: Option<Ticket>,
    /// Size of the inputs of both.
    bytes: usize,
    /// Whose turn it is in the output.
    next: u64,
}

impl Desk {
    pub(super) fn new(keep_order: bool) -> Desk {
        Desk {
            keep_order,
            state: RefCell::default(),
            changed: Notify::new(),
        }
    }

    /// Whether no job is under way.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state.borrow();
        state.under_way.is_empty() && state.entering.is_none()
    }

    /// The ticket of a job that has ended.
    pub(super) fn take(&self, job: JobId) -> Option<Ticket> {
        let mut state = self.state.borrow_mut();
        let ticket = state.under_way.remove(&job);
        let ticket = ticket.or_else(|| state.entering.take())?;
        state.bytes -= ticket.input.len();
        self.changed.notify_one();
        Some(ticket)
    }

    /// Says whose turn it is in the output.
    pub(super) fn turn(&self, next: u64) {
        self.state.borrow_mut().next = next;
        self.changed.notify_one();
    }

    /// Does something with the ticket of a job that is under way.
    pub(super) fn look_up<T>(&self, job: JobId, look: impl FnOnce(&Ticket) -> T) -> Option<T> {
        let state = self.state.borrow();
        let ticket = state.under_way.get(&job).or(state.entering.as_ref());
        ticket.map(look)
    }

    /// Nothing more is fed: the job that was being handed over never was.
    pub(super) fn abandon(&self) {
        let mut state = self.state.borrow_mut();
        if let Some(ticket) = state.entering.take() {
            state.bytes -= ticket.input.len();
        }
    }

    fn enter(&self, ticket: Ticket) {
        let mut state = self.state.borrow_mut();
        state.bytes += ticket.input.len();
        state.entering = Some(ticket);
    }

    /// The job that entered has this id. It may have ended already.
    fn settle(&self, job: JobId) {
        let mut state = self.state.borrow_mut();
        if let Some(ticket) = state.entering.take() {
            state.under_way.insert(job, ticket);
        }
    }

    fn has_room(&self, seq: u64, bytes: usize) -> bool {
        let state = self.state.borrow();
        let near = !self.keep_order || seq < state.next.max(1) + MAX_WAITING;
        near && (state.bytes == 0 || state.bytes + bytes <= MAX_BYTES)
    }

    async fn room(&self, seq: u64, bytes: usize) {
        // There is one waiter, and a change between the look and the wait is
        // kept for it.
        while !self.has_room(seq, bytes) {
            self.changed.notified().await;
        }
    }
}

/// Hands every line of the input to the pool, or to `notices`; ends with the
/// input, and gives the number of jobs. When it is dropped, the job that it was
/// handing over was not accepted: see [`Desk::abandon`].
pub(super) async fn feed(
    config: &Config,
    pool: &Pool,
    desk: &Desk,
    mut source: mpsc::Receiver<Batch>,
    reports: Reports,
    notices: mpsc::Sender<Notice>,
) -> Result<u64, Failure> {
    let mut seq = 0;
    while let Some(batch) = source.recv().await {
        let lines = match batch {
            Batch::Lines(lines) => lines,
            Batch::Failed(e) => return Err(Failure::Read(e)),
            Batch::Total(lines) => {
                notices.send(Notice::Total(lines)).await.ok();
                continue;
            }
        };
        for line in lines {
            if let Some(warning) = work::warning(&config.work, config.delimiter, &line) {
                notices.send(Notice::Warning(warning)).await.ok();
            }
            if let Some(made) = prepare(config, seq + 1, &line) {
                seq += 1;
                let end = match made {
                    Ok((ticket, job)) => enter(config, pool, desk, &reports, (ticket, job)).await?,
                    Err(refusal) => Some(refusal),
                };
                if let Some(refusal) = end {
                    desk.room(seq, 0).await;
                    // The other half is gone only when the run is over.
                    notices.send(Notice::Refused(refusal)).await.ok();
                }
            }
        }
    }
    Ok(seq)
}

fn prepare(config: &Config, seq: u64, line: &Line) -> Option<Result<(Ticket, RawJob), Refused>> {
    let recipe = Recipe {
        work: &config.work,
        delimiter: config.delimiter,
        max_line: config.max_line,
        grace: config.pool.grace,
    };
    work::prepare(&recipe, seq, line).transpose()
}

/// Hands one job over; gives it back when the pool does not take such a job.
async fn enter(
    config: &Config,
    pool: &Pool,
    desk: &Desk,
    reports: &Reports,
    (ticket, job): (Ticket, RawJob),
) -> Result<Option<Refused>, Failure> {
    desk.room(ticket.seq, job.input.len()).await;
    desk.enter(ticket);
    match pool.submit_to(job, reports).await {
        Ok(id) => {
            desk.settle(id);
            Ok(None)
        }
        Err(PoolError::InputTooLarge { size, limit }) => {
            let ticket = desk.take(JobId::NONE);
            let ticket = ticket.ok_or(Failure::Bug("a job was refused and has ended"))?;
            let what = format!(
                "{} {} of standard input makes a job of {}, more than the limit of {}",
                config.delimiter.unit(),
                ticket.line,
                text::size(size),
                text::size(limit)
            );
            let refusal = Refusal {
                what,
                place: Vec::new(),
                tip: Some("pass a file name instead of the data"),
            };
            Ok(Some((ticket, Box::new(refusal))))
        }
        Err(e) => Err(Failure::Pool(e)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn ticket(seq: u64, bytes: usize) -> Ticket {
        Ticket {
            seq,
            line: seq,
            id: None,
            input: Bytes::from(vec![0; bytes]),
        }
    }

    #[test]
    fn a_job_may_end_before_its_id_is_known() {
        let desk = Desk::new(false);
        desk.enter(ticket(1, 10));
        assert!(!desk.is_empty());
        assert_eq!(desk.take(JobId(7)), Some(ticket(1, 10)));
        desk.settle(JobId(7));
        assert!(desk.is_empty());
        desk.enter(ticket(2, 10));
        desk.settle(JobId(8));
        assert_eq!(desk.take(JobId(9)), None);
        assert_eq!(desk.take(JobId(8)), Some(ticket(2, 10)));
    }

    #[test]
    fn large_inputs_wait_for_each_other_and_never_for_ever() {
        let desk = Desk::new(false);
        assert!(desk.has_room(1, 2 * MAX_BYTES));
        desk.enter(ticket(1, MAX_BYTES));
        desk.settle(JobId(1));
        assert!(!desk.has_room(2, 1));
        desk.take(JobId(1)).unwrap();
        assert!(desk.has_room(2, 1));
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
            }
        });
    }
}
