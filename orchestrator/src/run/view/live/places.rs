//! The rows of the timeline while a run goes on: one for each slot here, and for each host as
//! many as it needs for what runs there at once.

use std::collections::HashMap;

use super::super::columns::{Column, Written};
use super::super::lanes::SLACK_US;
use super::super::model::Worker;
use crate::run::runfile::Try;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// What each row has come to, and when the last try in it ended.
    pub(super) workers: Vec<Worker>,
    pub(super) last_ends: Vec<i64>,
    /// The number of each row's host.
    hosts: Vec<u16>,
    /// The rows of slots here, and those of hosts.
    slots: HashMap<usize, u32>,
    elsewhere: HashMap<u16, Vec<u32>>,
}

impl Places {
    /// A worker here has this slot now.
    pub(super) fn sits(&mut self, slot: usize) {
        let lane = self.of(slot);
        self.workers[lane as usize].lives += 1;
    }

    /// The row of a slot here, which there is from now on.
    pub(super) fn of(&mut self, slot: usize) -> u32 {
        let next = self.count();
        let lane = *self.slots.entry(slot).or_insert(next);
        if lane == next {
            self.add(0);
        }
        lane
    }

    /// The row of a try at a host with so many places, if that is known, where it began then:
    /// the one that was free for the shortest time; tries come by their ends.
    pub(super) fn at(&mut self, host: u16, start: i64, slots: i64) -> u32 {
        let next = self.count();
        let rows = self.elsewhere.entry(host).or_default();
        let ends = |row: &&u32| self.last_ends[**row as usize];
        let free = rows.iter().filter(|row| ends(row) <= start + SLACK_US);
        if let Some(&row) = free.max_by_key(ends) {
            return row;
        }
        let is_full = slots > 0 && rows.len() as i64 >= slots;
        if let Some(&row) = rows.iter().min_by_key(ends).filter(|_| is_full) {
            return row;
        }
        rows.push(next);
        self.add(host);
        next
    }

    fn add(&mut self, host: u16) {
        self.workers.push(Worker::default());
        self.last_ends.push(0);
        self.hosts.push(host);
    }

    /// A try was made in this row.
    pub(super) fn tried(&mut self, lane: u32, one: &Try, bad: bool) {
        let worker = &mut self.workers[lane as usize];
        let wall = one.wall_us.unwrap_or_default();
        worker.tries += 1;
        worker.bad += u64::from(bad);
        worker.busy_us = worker.busy_us.saturating_add(wall);
        worker.cpu_us = worker.cpu_us.saturating_add(one.cpu_us.unwrap_or_default());
        worker.rss_kib = worker.rss_kib.max(one.rss_kib.unwrap_or_default());
        let last = &mut self.last_ends[lane as usize];
        *last = (*last).max(one.started_us.unwrap_or_default().saturating_add(wall));
    }

    pub(super) fn count(&self) -> u32 {
        self.workers.len() as u32
    }

    /// The hosts of the rows.
    pub(super) fn hosts(&self) -> Written {
        let mut hosts = Column::plain();
        for &host in &self.hosts {
            hosts.push(Some(i64::from(host)));
        }
        hosts.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_at_once_at_a_host_has_rows_of_its_own() {
        let mut places = Places::default();
        places.sits(3);
        let mut put = |start: i64, wall: i64, slots| {
            let (start, wall) = (start * 10_000, wall * 10_000);
            let one = Try {
                started_us: Some(start),
                wall_us: Some(wall),
                ..Try::default()
            };
            let lane = places.at(1, start, slots);
            places.tried(lane, &one, false);
            lane
        };
        // As they end.
        assert_eq!(put(0, 10, 2), 1);
        assert_eq!(put(0, 20, 2), 2);
        assert_eq!(put(12, 10, 2), 1);
        assert_eq!(put(25, 10, 2), 1, "it was free for the shorter time");
        assert_eq!(put(30, 10, 2), 2);
        assert_eq!(put(31, 11, 2), 1, "there are no more places");
        assert_eq!(put(32, 11, 0), 3, "nobody knows how many there are");
        assert_eq!((places.of(3), places.count()), (0, 4));
    }
}
