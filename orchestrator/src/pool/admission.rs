//! How jobs come in: what all doors to one pool share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::JobId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::driver::State;
use super::entry::{Entry, Reply};
use super::obey::Command;
use super::{PoolError, RawHandle, RawJob};

/// What the doors to one pool have in common.
pub(super) struct Handles {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) room: Arc<Semaphore>,
    pub(super) last_job: AtomicU64,
    pub(super) state: watch::Receiver<State>,
    /// How much of `room` a job takes: one permit that is given back with its
    /// report, and a second with its last event, if there are any.
    pub(super) permits: u32,
    pub(super) max_payload: u64,
    pub(super) max_pending: usize,
}

impl Handles {
    /// The doors to nothing: what goes in comes out at the other end.
    #[cfg(test)]
    pub(super) fn alone(
        max_pending: usize,
        permits: u32,
    ) -> (Handles, mpsc::UnboundedReceiver<Command>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (_, state) = watch::channel(State::Starting);
        let handles = Handles {
            commands,
            room: Arc::new(Semaphore::new(max_pending * permits as usize)),
            last_job: AtomicU64::new(0),
            state,
            permits,
            max_payload: 100,
            max_pending,
        };
        (handles, receiver)
    }

    /// Waits for the room of one job.
    pub(super) async fn admit(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        let room = Arc::clone(&self.room);
        match room.acquire_many_owned(self.permits).await {
            Ok(room) => Ok(room),
            Err(_) => Err(self.why_over()),
        }
    }

    pub(super) fn fits(&self, input_len: usize) -> Result<(), PoolError> {
        let size = input_len as u64;
        let limit = self.max_payload;
        if size > limit {
            return Err(PoolError::InputTooLarge { size, limit });
        }
        Ok(())
    }

    pub(super) fn next_id(&self) -> JobId {
        JobId(self.last_job.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn send(&self, job: RawJob, room: OwnedSemaphorePermit, reply: Reply) -> JobId {
        // The driver gives it back.
        room.forget();
        let id = self.next_id();
        // When the driver has just ended, the reply is dropped with the
        // command, which its receiver notices.
        let command = Command::Submit(Box::new(Entry::new(id, job, reply)));
        self.commands.send(command).ok();
        id
    }

    pub(super) fn send_one(&self, job: RawJob, room: OwnedSemaphorePermit) -> RawHandle {
        let (reply, report) = oneshot::channel();
        let id = self.send(job, room, Reply::One(reply));
        RawHandle::new(id, report, self.commands.downgrade(), self.state.clone())
    }

    /// Room for up to so many jobs, as much as there is without waiting.
    pub(super) fn room_for(&self, jobs: usize) -> Option<OwnedSemaphorePermit> {
        let here = self.room.available_permits() / self.permits as usize;
        let jobs = u32::try_from(jobs.min(here)).unwrap_or(u32::MAX);
        let permits = jobs.saturating_mul(self.permits).max(self.permits);
        Arc::clone(&self.room).try_acquire_many_owned(permits).ok()
    }

    pub(super) fn why_over(&self) -> PoolError {
        why_over(&self.state)
    }
}

pub(super) fn why_over(state: &watch::Receiver<State>) -> PoolError {
    match &*state.borrow() {
        State::Over(why) => why.clone(),
        State::Starting | State::Ready(_) => PoolError::Closed,
    }
}
