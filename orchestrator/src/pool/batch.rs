//! Jobs that are handed over together: [`Batch`].

#[cfg(feature = "cli")]
use std::borrow::Cow;

#[cfg(feature = "cli")]
use bytes::Bytes;
#[cfg(feature = "cli")]
use protocol::Encoding;
use protocol::JobId;
use tokio::sync::OwnedSemaphorePermit;

use super::driver::{Command, Entry, Reply};
use super::front::Handles;
use super::job::Errand;
#[cfg(feature = "cli")]
use super::{PoolError, Reports};

/// Jobs that are handed over together: when this is dropped, however that comes.
pub(crate) struct Batch<'a> {
    shared: &'a Handles,
    entries: Vec<Entry>,
    /// Room for them, and for more.
    room: Option<OwnedSemaphorePermit>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(shared: &'a Handles) -> Batch<'a> {
        Batch {
            shared,
            entries: Vec::new(),
            room: None,
        }
    }

    /// How many jobs there is room for.
    fn granted(&self) -> usize {
        let permits = self.room.as_ref();
        permits.map_or(0, OwnedSemaphorePermit::num_permits) / self.shared.permits as usize
    }

    /// How many more jobs there is room for.
    pub(crate) fn room(&self) -> usize {
        self.granted() - self.entries.len()
    }

    /// How many jobs wait in it.
    #[cfg(feature = "cli")]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// More room.
    pub(super) fn grant(&mut self, room: OwnedSemaphorePermit) {
        match &mut self.room {
            Some(before) => before.merge(room),
            None => self.room = Some(room),
        }
        self.entries.reserve(self.room());
    }

    /// Hands over what is in it, then waits until the pool has room for a job,
    /// and takes as much as there is, for up to so many. Dropping the future
    /// takes none.
    ///
    /// # Errors
    /// When the pool is over.
    #[cfg(feature = "cli")]
    pub(crate) async fn wait_for_room(&mut self, jobs: usize) -> Result<(), PoolError> {
        self.hand_over();
        let room = match self.shared.room_for(jobs) {
            Some(room) => room,
            None => self.shared.admit().await?,
        };
        self.grant(room);
        Ok(())
    }

    /// Adds a job for which there is room; its id.
    pub(super) fn add(&mut self, errand: Errand, reply: Reply) -> JobId {
        let id = self.shared.next_id();
        self.entries.push(Entry::plain(id, errand, reply));
        id
    }

    /// The same with an input that is encoded already.
    ///
    /// # Errors
    /// When it is too large.
    #[cfg(feature = "cli")]
    pub(crate) fn add_to(
        &mut self,
        (task, encoding): (&'static str, Encoding),
        input: Bytes,
        reports: &Reports,
    ) -> Result<JobId, PoolError> {
        self.shared.fits(input.len())?;
        let errand = Errand {
            task: Cow::Borrowed(task),
            input: input.into(),
            encoding,
        };
        Ok(self.add(errand, Reply::Shared(reports.clone())))
    }

    /// Hands over what is in it, and gives back room that was not used.
    pub(crate) fn hand_over(&mut self) {
        let used = self.entries.len() * self.shared.permits as usize;
        if let Some(used) = self.room.take().and_then(|mut room| room.split(used)) {
            used.forget();
        }
        let entries = std::mem::take(&mut self.entries);
        if !entries.is_empty() {
            // When the driver has just ended, the replies are dropped with the
            // command, which their receivers notice.
            let command = Command::SubmitMany(entries);
            self.shared.commands.send(command).ok();
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.hand_over();
    }
}
