//! What is known of jobs, or of workers, by their ids.
//!
//! Ids are given in sequence, and most jobs end in about the order in which they
//! came. So those that came lately stand in a row, where an id is a place: no
//! hashing, and neighbours lie side by side in memory. A job that stays while
//! thousands pass is moved to a hash table, so that the row stays as short as
//! its jobs are few.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Index;

use protocol::{JobId, WorkerId};

/// A row may be this long, however few jobs are in it.
const SHORT: usize = 1024;
/// Beyond that it is at most so many times as long as there are jobs.
const SPARSE: usize = 4;
/// So many places at the front of the row are given up together.
const SLACK: usize = 256;

/// A number in a sequence.
pub(crate) trait Id: Copy + Eq + Hash {
    fn number(self) -> u64;
    fn of(number: u64) -> Self;
}

impl Id for JobId {
    fn number(self) -> u64 {
        self.0
    }
    fn of(number: u64) -> JobId {
        JobId(number)
    }
}

impl Id for WorkerId {
    fn number(self) -> u64 {
        u64::from(self.0)
    }
    fn of(number: u64) -> WorkerId {
        // It was one before.
        WorkerId(number as u32)
    }
}

/// A map from ids.
#[derive(Debug)]
pub(crate) struct IdMap<K, V> {
    /// The number of the first place in the row; it only grows.
    first: u64,
    row: VecDeque<Option<V>>,
    /// How many places at the front of the row are empty and not wanted any
    /// more. Behind them is somebody, or nothing.
    passed: usize,
    /// Those before the row.
    others: HashMap<K, V, BuildHasherDefault<IdHasher>>,
    len: usize,
}

impl<K, V> Default for IdMap<K, V> {
    fn default() -> IdMap<K, V> {
        IdMap {
            first: 0,
            row: VecDeque::new(),
            passed: 0,
            others: HashMap::default(),
            len: 0,
        }
    }
}

impl<K: Id, V> IdMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives up the memory that many have taken, if none is here now.
    #[cfg(feature = "cli")]
    pub(crate) fn rest(&mut self) {
        if self.is_empty() && self.row.is_empty() {
            self.row = VecDeque::new();
            self.others = HashMap::default();
        }
    }

    /// The place of an id in the row, which may not be so long.
    fn place(&self, id: K) -> Option<usize> {
        usize::try_from(id.number().checked_sub(self.first)?).ok()
    }

    pub(crate) fn get(&self, id: &K) -> Option<&V> {
        match self.place(*id).and_then(|place| self.row.get(place)) {
            Some(Some(here)) => Some(here),
            _ if self.others.is_empty() => None,
            _ => self.others.get(id),
        }
    }

    pub(crate) fn get_mut(&mut self, id: &K) -> Option<&mut V> {
        match self.place(*id).and_then(|place| self.row.get_mut(place)) {
            Some(Some(here)) => Some(here),
            _ if self.others.is_empty() => None,
            _ => self.others.get_mut(id),
        }
    }

    pub(crate) fn contains_key(&self, id: &K) -> bool {
        self.get(id).is_some()
    }

    /// Puts a value in; gives the one that was there.
    pub(crate) fn insert(&mut self, id: K, value: V) -> Option<V> {
        match self.place(id) {
            // What comes most: the next one.
            Some(place) if place == self.row.len() => {
                self.row.push_back(Some(value));
                self.len += 1;
                if self.is_too_long() {
                    self.shorten();
                }
                None
            }
            place => self.insert_anywhere(place, id, value),
        }
    }

    fn insert_anywhere(&mut self, place: Option<usize>, id: K, value: V) -> Option<V> {
        let before = match place {
            None => self.others.insert(id, value),
            Some(place) if place < self.passed => self.others.insert(id, value),
            Some(place) if place < self.row.len() => self.row[place].replace(value),
            Some(place) => {
                if place > self.row.len() + SHORT {
                    // Far ahead: the row begins anew.
                    let row = (self.first..).zip(self.row.drain(..));
                    let row = row.filter_map(|(id, value)| Some((K::of(id), value?)));
                    self.others.extend(row);
                    self.first = id.number();
                    self.passed = 0;
                }
                let place = (id.number() - self.first) as usize;
                self.row.resize_with(place, || None);
                self.row.push_back(Some(value));
                None
            }
        };
        self.len += usize::from(before.is_none());
        self.shorten();
        before
    }

    pub(crate) fn remove(&mut self, id: &K) -> Option<V> {
        let place = self.place(*id);
        let Some(here) = place.and_then(|place| self.row.get_mut(place)) else {
            return self.remove_other(id);
        };
        // Straight from where it was to where it goes: values may be large.
        let value = here.take();
        if value.is_some() {
            self.len -= 1;
            if place == Some(self.passed) || self.is_too_long() {
                self.shorten();
            }
        } else if place < Some(self.passed) {
            return self.remove_other(id);
        }
        value
    }

    fn remove_other(&mut self, id: &K) -> Option<V> {
        let value = self.others.remove(id)?;
        self.len -= 1;
        if self.is_too_long() {
            self.shorten();
        }
        Some(value)
    }

    fn is_too_long(&self) -> bool {
        let long = self.row.len() - self.passed;
        long > SHORT && long > SPARSE.saturating_mul(self.len - self.others.len())
    }

    /// The row begins with somebody, but for what is passed, and is not much
    /// longer than it has to be.
    fn shorten(&mut self) {
        while let Some(first) = self.row.get_mut(self.passed) {
            if first.is_some() {
                if !self.is_too_long() {
                    break;
                }
                if let Some(value) = self.row[self.passed].take() {
                    let id = K::of(self.first + self.passed as u64);
                    self.others.insert(id, value);
                }
            }
            self.passed += 1;
        }
        if self.passed >= SLACK || self.passed == self.row.len() {
            drop(self.row.drain(..self.passed));
            self.first += self.passed as u64;
            self.passed = 0;
        }
    }

    /// In no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let row = (self.first..).zip(&self.row);
        let row = row.filter_map(|(id, value)| Some((K::of(id), value.as_ref()?)));
        row.chain(self.others.iter().map(|(&id, value)| (id, value)))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.iter().map(|(id, _)| id)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let row = self.row.iter_mut().filter_map(Option::as_mut);
        row.chain(self.others.values_mut())
    }
}

impl<K: Id, V> Index<&K> for IdMap<K, V> {
    type Output = V;

    fn index(&self, id: &K) -> &V {
        self.get(id).expect("there is one of this id")
    }
}

/// Hashes sequence numbers. They are ours, so nobody can choose them to
/// collide; a multiplication spreads them well enough.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u64(&mut self, n: u64) {
        // The odd integer nearest to 2^64 divided by the golden ratio; the
        // table takes its index from both ends of the hash.
        let product = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_that_stays_does_not_make_the_row_long() {
        let mut map = IdMap::default();
        map.insert(JobId(1), 1);
        for id in 2..=1_000_000 {
            map.insert(JobId(id), id);
            assert_eq!(map.remove(&JobId(id)), Some(id));
            assert!(map.row.capacity() <= 4 * SHORT);
        }
        assert_eq!((map.len(), map.get(&JobId(1))), (1, Some(&1)));
        assert_eq!(map.others.len(), 1);
    }

    #[test]
    fn one_far_ahead_does_not_make_the_row_long() {
        let mut map = IdMap::default();
        map.insert(JobId(1), 1);
        map.insert(JobId(u64::MAX), 2);
        map.insert(JobId(2), 3);
        assert!(map.row.len() < SHORT);
        assert_eq!(map.get(&JobId(u64::MAX)), Some(&2));
        assert_eq!(map.len(), 3);
    }

    #[cfg(feature = "cli")]
    #[test]
    fn one_that_rests_is_small_and_goes_on() {
        let mut map = IdMap::default();
        for id in 1..=10_000 {
            map.insert(JobId(id), id);
        }
        map.rest();
        assert_eq!(map.len(), 10_000, "it is not empty");
        for id in (1..=10_000).rev() {
            assert_eq!(map.remove(&JobId(id)), Some(id));
        }
        map.rest();
        assert_eq!((map.row.capacity(), map.others.capacity()), (0, 0));
        map.insert(JobId(10_001), 7);
        assert_eq!(map.get(&JobId(10_001)), Some(&7));
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0..4u8, 0..6000u64), 1..2000)) {
            let mut map = IdMap::default();
            let mut model = BTreeMap::new();
            let mut next = 0;
            for (step, at) in steps {
                // Mostly in sequence, sometimes anywhere.
                let id = match step {
                    0 | 1 => {
                        next += 1 + at % 3;
                        next
                    }
                    _ => at,
                };
                let key = JobId(id);
                if map.is_empty() {
                    map.rest();
                }
                if step == 3 {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                } else {
                    prop_assert_eq!(map.insert(key, at), model.insert(key, at));
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.get_mut(&key), model.get_mut(&key));
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.is_empty(), model.is_empty());
            }
            let all: BTreeMap<_, _> = map.iter().map(|(id, &v)| (id, v)).collect();
            prop_assert_eq!(&all, &model);
            let keys: std::collections::BTreeSet<_> = map.keys().collect();
            prop_assert!(keys.iter().eq(model.keys()));
        }
    }
}
