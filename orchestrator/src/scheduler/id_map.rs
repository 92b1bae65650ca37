//! What is known of jobs, by their ids.
//!
//! Ids are given in sequence, and most jobs end in about the order in which they
//! came. So those that came lately stand in a row, where an id is a place: no
//! hashing, and neighbours lie side by side in memory. A job that stays while
//! thousands pass is moved to a hash table, so that the row stays as short as
//! its jobs are few.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::ops::Index;

use protocol::JobId;

use super::job::IdHasher;

/// A row may be this long, however few jobs are in it.
const SHORT: usize = 1024;
/// Beyond that it is at most so many times as long as there are jobs.
const SPARSE: usize = 4;

/// A map from the ids of jobs.
#[derive(Debug)]
pub(crate) struct IdMap<V> {
    /// The id of the first place in the row; it only grows.
    first: u64,
    row: VecDeque<Option<V>>,
    /// Those before the row.
    others: HashMap<JobId, V, BuildHasherDefault<IdHasher>>,
    len: usize,
}

impl<V> Default for IdMap<V> {
    fn default() -> IdMap<V> {
        IdMap {
            first: 0,
            row: VecDeque::new(),
            others: HashMap::default(),
            len: 0,
        }
    }
}

impl<V> IdMap<V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place of an id in the row, which may not be so long.
    fn place(&self, id: JobId) -> Option<usize> {
        usize::try_from(id.0.checked_sub(self.first)?).ok()
    }

    pub(crate) fn get(&self, id: &JobId) -> Option<&V> {
        match self.place(*id).and_then(|place| self.row.get(place)) {
            Some(here) => here.as_ref(),
            None if self.others.is_empty() => None,
            None => self.others.get(id),
        }
    }

    pub(crate) fn get_mut(&mut self, id: &JobId) -> Option<&mut V> {
        match self.place(*id).and_then(|place| self.row.get_mut(place)) {
            Some(here) => here.as_mut(),
            None if self.others.is_empty() => None,
            None => self.others.get_mut(id),
        }
    }

    /// Puts a value in; gives the one that was there.
    pub(crate) fn insert(&mut self, id: JobId, value: V) -> Option<V> {
        let before = match self.place(id) {
            None => self.others.insert(id, value),
            Some(place) if place < self.row.len() => self.row[place].replace(value),
            Some(place) => {
                if place > self.row.len() + SHORT {
                    // Far ahead: the row begins anew.
                    let row = (self.first..).zip(self.row.drain(..));
                    let row = row.filter_map(|(id, value)| Some((JobId(id), value?)));
                    self.others.extend(row);
                    self.first = id.0;
                }
                let place = (id.0 - self.first) as usize;
                self.row.resize_with(place, || None);
                self.row.push_back(Some(value));
                None
            }
        };
        self.len += usize::from(before.is_none());
        self.shorten();
        before
    }

    pub(crate) fn remove(&mut self, id: &JobId) -> Option<V> {
        let value = match self.place(*id).and_then(|place| self.row.get_mut(place)) {
            Some(here) => here.take()?,
            None => self.others.remove(id)?,
        };
        self.len -= 1;
        self.shorten();
        Some(value)
    }

    /// The row begins with somebody, and is not much longer than it has to be.
    fn shorten(&mut self) {
        while let Some(first) = self.row.front() {
            let too_long = || self.row.len() > SHORT.max(SPARSE * (self.len - self.others.len()));
            if first.is_some() && !too_long() {
                return;
            }
            if let Some(Some(value)) = self.row.pop_front() {
                self.others.insert(JobId(self.first), value);
            }
            self.first += 1;
        }
    }

    /// In no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (JobId, &V)> {
        let row = (self.first..).zip(&self.row);
        let row = row.filter_map(|(id, value)| Some((JobId(id), value.as_ref()?)));
        row.chain(self.others.iter().map(|(&id, value)| (id, value)))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = JobId> {
        self.iter().map(|(id, _)| id)
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<V> Index<&JobId> for IdMap<V> {
    type Output = V;

    fn index(&self, id: &JobId) -> &V {
        self.get(id).expect("there is a job of this id")
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
