//! Which worker sits in which slot, for commands that name theirs. Pure.

use std::collections::{HashMap, VecDeque};

use protocol::WorkerId;

/// How many workers are known behind their end: what their last jobs came to may follow.
const LATE: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    known: HashMap<WorkerId, u32>,
    ended: VecDeque<WorkerId>,
}

impl Slots {
    /// The slot of a worker, from 1.
    pub(crate) fn of(&self, worker: WorkerId) -> Option<u32> {
        self.known.get(&worker).copied()
    }

    /// A worker has begun in this slot.
    pub(crate) fn sits(&mut self, worker: WorkerId, slot: u32) {
        self.known.insert(worker, slot);
    }

    /// A worker has ended.
    pub(crate) fn stands_up(&mut self, worker: WorkerId) {
        self.ended.push_back(worker);
        if self.ended.len() > LATE
            && let Some(oldest) = self.ended.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_ended_long_ago_is_forgotten() {
        let mut slots = Slots::default();
        slots.sits(WorkerId(1), 7);
        for n in 2..5_000 {
            slots.sits(WorkerId(n), 3);
            assert_eq!(slots.of(WorkerId(n)), Some(3));
            slots.stands_up(WorkerId(n));
            assert_eq!(
                slots.of(WorkerId(n)),
                Some(3),
                "its last job's end may follow"
            );
        }
        assert_eq!(slots.of(WorkerId(1)), Some(7));
        assert_eq!(slots.of(WorkerId(2)), None);
        assert_eq!(slots.known.len(), 1 + LATE);
    }
}
