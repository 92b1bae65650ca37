//! Jobs that are handed over together: [`Batch`].

#[cfg(feature = "cli")]
use std::borrow::Cow;

#[cfg(feature = "cli")]
use bytes::Bytes;
#[cfg(feature = "cli")]
use protocol::Encoding;
use protocol::JobId;
use tokio::sync::OwnedSemaphorePermit;

use super::admission::Handles;
use super::entry::{Entry, Reply};
use super::job::Errand;
use super::obey::Command;
#[cfg(feature = "cli")]
use super::{PoolError, RawJob, Reports};

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

    /// The same with any wishes, and an input of any size.
    #[cfg(feature = "cli")]
    pub(crate) fn add_raw(&mut self, job: RawJob, reports: &Reports) -> JobId {
        let id = self.shared.next_id();
        let reply = Reply::Shared(reports.clone());
        self.entries.push(Entry::new(id, job, reply));
        id
    }

    /// The same with an input that is no larger than the pool takes.
    ///
    /// # Errors
    /// When it is.
    #[cfg(feature = "cli")]
    pub(crate) fn add_job(&mut self, job: RawJob, reports: &Reports) -> Result<JobId, PoolError> {
        self.shared.fits(job.input.len())?;
        Ok(self.add_raw(job, reports))
    }

    /// Takes room for so many jobs if there is any.
    #[cfg(feature = "cli")]
    pub(crate) fn take_room(&mut self, jobs: usize) {
        if let Some(room) = self.shared.room_for(jobs) {
            self.grant(room);
        }
    }

    /// The same as `add` with an input that is encoded already.
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

#[cfg(all(test, feature = "cli"))]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;

    fn add(batch: &mut Batch<'_>, input: &'static [u8]) -> Result<JobId, PoolError> {
        let kind = ("t", Encoding::Json);
        batch.add_to(kind, Bytes::from_static(input), &Reports::channel().0)
    }

    /// How many jobs were handed over together, each time.
    fn handed_over(commands: &mut UnboundedReceiver<Command>) -> Vec<usize> {
        let mut sizes = Vec::new();
        while let Ok(command) = commands.try_recv() {
            match command {
                Command::SubmitMany(entries) => sizes.push(entries.len()),
                _ => panic!("nothing else is sent"),
            }
        }
        sizes
    }

    #[tokio::test]
    async fn room_that_is_not_used_is_given_back_and_that_of_jobs_is_not() {
        for permits in [1, 2] {
            let (shared, mut commands) = Handles::alone(10, permits);
            let free = |shared: &Handles| shared.room.available_permits() / permits as usize;
            let mut batch = Batch::new(&shared);
            batch.wait_for_room(6).await.unwrap();
            assert_eq!((batch.room(), free(&shared)), (6, 4));
            for job in 1..=3 {
                assert_eq!(add(&mut batch, b"1").unwrap(), JobId(job));
            }
            assert_eq!((batch.len(), batch.room()), (3, 3));
            batch.hand_over();
            assert_eq!((batch.len(), batch.room(), free(&shared)), (0, 0, 7));
            // Nothing is not handed over.
            batch.hand_over();
            assert_eq!(handed_over(&mut commands), [3]);
        }
    }

    #[tokio::test]
    async fn as_much_room_is_taken_as_there_is() {
        let (shared, mut commands) = Handles::alone(10, 2);
        let mut batch = Batch::new(&shared);
        batch.wait_for_room(100).await.unwrap();
        assert_eq!(batch.room(), 10);
        for _ in 0..10 {
            add(&mut batch, b"1").unwrap();
        }
        // What is in it goes first: else nobody would make room.
        {
            let mut waiting = pin!(batch.wait_for_room(100));
            assert!(waiting.as_mut().now_or_never().is_none());
            assert_eq!(handed_over(&mut commands), [10]);
            shared.room.add_permits(2);
            assert!(waiting.await.is_ok());
        }
        assert_eq!(batch.room(), 1);
    }

    #[tokio::test]
    async fn a_batch_that_is_dropped_hands_over_what_it_has() {
        let (shared, mut commands) = Handles::alone(10, 1);
        let mut batch = Batch::new(&shared);
        batch.wait_for_room(5).await.unwrap();
        add(&mut batch, b"1").unwrap();
        add(&mut batch, b"2").unwrap();
        drop(batch);
        assert_eq!(handed_over(&mut commands), [2]);
        assert_eq!(shared.room.available_permits(), 8);
        // The same in the middle of a wait.
        let mut batch = Batch::new(&shared);
        batch.wait_for_room(8).await.unwrap();
        for _ in 0..8 {
            add(&mut batch, b"1").unwrap();
        }
        {
            let mut waiting = pin!(batch.wait_for_room(1));
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        shared.room.add_permits(1);
        assert_eq!(shared.room.available_permits(), 1);
        drop(batch);
        assert_eq!(handed_over(&mut commands), [8]);
    }

    #[tokio::test]
    async fn an_input_that_is_too_large_takes_no_room() {
        let (shared, mut commands) = Handles::alone(10, 1);
        let mut batch = Batch::new(&shared);
        batch.wait_for_room(1).await.unwrap();
        let refused = add(&mut batch, &[b'1'; 101]);
        assert!(matches!(
            refused,
            Err(PoolError::InputTooLarge {
                size: 101,
                limit: 100
            })
        ));
        add(&mut batch, &[b'1'; 100]).unwrap();
        drop(batch);
        assert_eq!(handed_over(&mut commands), [1]);
        assert_eq!(shared.room.available_permits(), 9);
    }
}
