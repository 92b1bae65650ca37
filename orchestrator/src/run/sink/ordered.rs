//! Puts entries into the order of the input, whatever order they come in.
//!
//! Every sequence number gets exactly one entry, failed and refused jobs
//! included, so the next number to be written always comes some day.

use std::collections::VecDeque;

/// How many entries may wait for an earlier one. Beyond that no further job is
/// started until the earlier one has ended.
///
/// An entry that waits takes some 200 bytes here; what its job printed is in
/// memory only as far as the pool's budget for output allows.
pub(crate) const MAX_WAITING: u64 = 131_072;

/// Items that wait for their turn, by number.
#[derive(Debug)]
pub(crate) struct Ordered<T> {
    /// The number whose turn it is.
    next: u64,
    /// What is here of the numbers from `next` on.
    waiting: VecDeque<Option<T>>,
}

impl<T> Ordered<T> {
    /// Begins with number 1.
    pub(crate) fn new() -> Ordered<T> {
        Ordered {
            next: 1,
            waiting: VecDeque::new(),
        }
    }

    /// Puts an item in its place.
    ///
    /// # Panics
    /// When there was one already: every number is given to one job only.
    pub(crate) fn put(&mut self, number: u64, item: T) {
        let place = number.checked_sub(self.next).map(|ahead| ahead as usize);
        let place = place.expect("a number is used once, so its turn has not been yet");
        while self.waiting.len() <= place {
            self.waiting.push_back(None);
        }
        let before = self.waiting[place].replace(item);
        assert!(before.is_none(), "job {number} has ended twice");
    }

    /// The item whose turn it is, if it is here.
    pub(crate) fn take(&mut self) -> Option<T> {
        let item = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.next += 1;
        Some(item)
    }

    /// The item whose turn it is goes another way.
    pub(crate) fn skip(&mut self) {
        let here = self.waiting.pop_front();
        assert!(!matches!(here, Some(Some(_))), "it was put here as well");
        self.next += 1;
    }

    /// Gives up the memory that many waiting items have taken, if none waits now.
    pub(crate) fn rest(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    /// The number whose turn it is.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::render::Entry;
    use super::*;

    #[test]
    fn a_slow_first_holds_back_the_others() {
        let mut ordered = Ordered::new();
        for n in 2..=5 {
            ordered.put(n, n);
            assert_eq!(ordered.take(), None);
        }
        ordered.put(1, 1);
        let all: Vec<u64> = std::iter::from_fn(|| ordered.take()).collect();
        assert_eq!(all, [1, 2, 3, 4, 5]);
        assert_eq!(ordered.next(), 6);
    }

    #[test]
    fn a_waiting_entry_is_small() {
        assert!(size_of::<Option<Entry>>() <= 128);
    }

    #[test]
    #[should_panic(expected = "ended twice")]
    fn a_number_is_used_once() {
        let mut ordered = Ordered::new();
        ordered.put(2, ());
        ordered.put(2, ());
    }

    proptest! {
        #[test]
        fn any_order_becomes_the_order_of_the_input(
            order in Just((1..=60u64).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let mut ordered = Ordered::new();
            let mut out = Vec::new();
            for n in order {
                if ordered.next() == n && n % 2 == 0 {
                    ordered.skip();
                    out.push(n);
                } else {
                    ordered.put(n, n);
                }
                out.extend(std::iter::from_fn(|| ordered.take()));
            }
            prop_assert_eq!(out, (1..=60).collect::<Vec<_>>());
        }
    }
}
