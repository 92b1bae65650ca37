//! The way from the driver to a reader of many things: what comes of one turn
//! of the loop goes together, so that nothing is paid for each of them but its
//! own bytes.
//!
//! Some of them keep room in the pool until they have been taken, so that
//! whoever is slow to take them slows down admission instead of filling memory.

use std::sync::Arc;
use std::vec;

use tokio::sync::{Semaphore, mpsc};

/// What can be sent on this way.
pub(super) trait Item {
    /// Whether its job keeps room in the pool until it was taken.
    fn keeps_room(&self) -> bool;
}

/// What one turn has for several readers, by the ways that lead to them.
#[derive(Debug)]
pub(super) struct Ways<W, T> {
    ways: Vec<(W, Vec<T>)>,
    /// How many items a way had last time.
    last: usize,
}

impl<W, T> Default for Ways<W, T> {
    fn default() -> Ways<W, T> {
        Ways {
            ways: Vec::new(),
            last: 0,
        }
    }
}

impl<W: PartialEq, T> Ways<W, T> {
    /// One more on this way.
    pub(super) fn put(&mut self, way: W, item: T) {
        match self.ways.iter_mut().rfind(|(other, _)| *other == way) {
            Some((_, items)) => items.push(item),
            None => {
                // A list that grows is copied over and over.
                let mut items = Vec::with_capacity(self.last.max(4));
                items.push(item);
                self.ways.push((way, items));
            }
        }
    }

    /// All of them.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (W, Vec<T>)> {
        if !self.ways.is_empty() {
            let all: usize = self.ways.iter().map(|(_, items)| items.len()).sum();
            self.last = all / self.ways.len();
        }
        self.ways.drain(..)
    }
}

/// Room in the pool that is free again when this is dropped.
#[derive(Debug)]
struct Vacated {
    room: Arc<Semaphore>,
    permits: usize,
}

impl Drop for Vacated {
    fn drop(&mut self) {
        if self.permits > 0 {
            self.room.add_permits(self.permits);
        }
    }
}

/// All that one turn has for one reader, and the room that it keeps.
#[derive(Debug)]
pub(super) struct Together<T> {
    items: Vec<T>,
    room: Vacated,
}

pub(super) type Sender<T> = mpsc::UnboundedSender<Together<T>>;

/// Sends these; the reader may have lost interest.
pub(super) fn send<T: Item>(way: &Sender<T>, items: Vec<T>, room: &Arc<Semaphore>) {
    let permits = items.iter().filter(|item| item.keeps_room()).count();
    let room = Vacated {
        room: Arc::clone(room),
        permits,
    };
    way.send(Together { items, room }).ok();
}

/// The reader's end.
#[derive(Debug)]
pub(super) struct Reader<T> {
    turns: mpsc::UnboundedReceiver<Together<T>>,
    /// What is left of the turn that came last.
    here: vec::IntoIter<T>,
    /// The room of those.
    room: Option<Vacated>,
}

impl<T: Item> Reader<T> {
    /// The next item, `None` when there will be none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.take() {
                return Some(item);
            }
            let turn = self.turns.recv().await?;
            self.begin(turn);
        }
    }

    /// The next item if there is one already.
    pub(super) fn try_next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.take() {
                return Some(item);
            }
            let turn = self.turns.try_recv().ok()?;
            self.begin(turn);
        }
    }

    /// All that is left of a turn, or all of the next one. Cancel-safe.
    #[cfg(feature = "cli")]
    pub(super) async fn next_turn(&mut self) -> Option<vec::IntoIter<T>> {
        if self.here.len() == 0 {
            let turn = self.turns.recv().await?;
            self.begin(turn);
        }
        Some(self.rest())
    }

    /// The same if there is anything already.
    #[cfg(feature = "cli")]
    pub(super) fn try_next_turn(&mut self) -> Option<vec::IntoIter<T>> {
        if self.here.len() == 0 {
            let turn = self.turns.try_recv().ok()?;
            self.begin(turn);
        }
        Some(self.rest())
    }

    #[cfg(feature = "cli")]
    fn rest(&mut self) -> vec::IntoIter<T> {
        self.room = None;
        std::mem::take(&mut self.here)
    }

    fn begin(&mut self, turn: Together<T>) {
        self.here = turn.items.into_iter();
        self.room = Some(turn.room);
    }

    fn take(&mut self) -> Option<T> {
        let item = self.here.next()?;
        if item.keeps_room()
            && let Some(room) = &mut self.room
        {
            // Not with the last of its turn: whoever takes one and then waits for
            // room takes no other before there is some.
            room.permits -= 1;
            room.room.add_permits(1);
        }
        Some(item)
    }
}

pub(super) fn channel<T>() -> (Sender<T>, Reader<T>) {
    let (sender, turns) = mpsc::unbounded_channel();
    let reader = Reader {
        turns,
        here: Vec::new().into_iter(),
        room: None,
    };
    (sender, reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Item for u32 {
        fn keeps_room(&self) -> bool {
            self.is_multiple_of(2)
        }
    }

    #[test]
    fn room_is_given_back_as_what_keeps_it_is_taken() {
        let room = Arc::new(Semaphore::new(0));
        let (sender, mut reader) = channel();
        send(&sender, vec![2, 1, 4, 3], &room);
        send(&sender, vec![6, 7], &room);
        let mut free = |n| {
            assert_eq!(reader.try_next(), Some(n));
            room.available_permits()
        };
        assert_eq!([2, 1, 4, 3].map(&mut free), [1, 1, 2, 2]);
        assert_eq!(free(6), 3);
        assert_eq!((reader.try_next(), reader.try_next()), (Some(7), None));
    }

    #[test]
    fn room_is_given_back_when_nobody_takes_it() {
        let room = Arc::new(Semaphore::new(0));
        let (sender, mut reader) = channel();
        send(&sender, vec![2, 4], &room);
        send(&sender, vec![6], &room);
        assert_eq!(reader.try_next(), Some(2));
        assert_eq!(room.available_permits(), 1);
        drop(reader);
        assert_eq!(room.available_permits(), 3);
        send(&sender, vec![8], &room);
        assert_eq!(room.available_permits(), 4);
    }

    #[cfg(feature = "cli")]
    #[tokio::test]
    async fn a_turn_is_taken_whole_or_its_rest() {
        let room = Arc::new(Semaphore::new(0));
        let (sender, mut reader) = channel();
        send(&sender, vec![2, 4, 6], &room);
        send(&sender, vec![8], &room);
        assert_eq!(reader.next().await, Some(2));
        assert_eq!(
            reader.next_turn().await.unwrap().collect::<Vec<_>>(),
            [4, 6]
        );
        assert_eq!(room.available_permits(), 3);
        assert_eq!(reader.next_turn().await.unwrap().collect::<Vec<_>>(), [8]);
        drop(sender);
        assert!(reader.next_turn().await.is_none());
    }
}
