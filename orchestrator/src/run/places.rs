//! How many of the other machines are of use, and how many may yet become so: agents wait in
//! queues of clusters, sometimes for hours, while the run goes on with those that are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::WorkerId;
use serde::Serialize;

use super::text;
use crate::pool::EventKind;

/// How it stands with one place where an agent is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// It was asked for, and nothing has come of it yet.
    #[default]
    Pending,
    Up,
    /// It was lost, or cannot be used.
    Down,
}

/// All places where agents are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    places: Vec<Place>,
    /// Who was up last in each of them, and how many jobs it runs at once.
    used: Vec<Option<(Arc<str>, usize)>>,
    /// Who is in which place.
    agents: BTreeMap<WorkerId, usize>,
}

/// The places, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Hosts {
    pub(crate) wanted: usize,
    pub(crate) up: usize,
    pub(crate) pending: usize,
}

impl Places {
    /// So many agents are wanted, in the first places of the pool.
    pub(crate) fn new(wanted: usize) -> Places {
        Places {
            places: vec![Place::Pending; wanted],
            used: vec![None; wanted],
            agents: BTreeMap::new(),
        }
    }

    /// Something has happened.
    pub(crate) fn note(&mut self, event: &EventKind) {
        match event {
            EventKind::WorkerSpawned {
                worker,
                slot,
                host: Some(_),
                ..
            } => {
                let at = slot.saturating_sub(1);
                if let Some(place) = self.places.get_mut(at) {
                    *place = Place::Pending;
                    self.agents.insert(*worker, at);
                }
            }
            EventKind::WorkerReady {
                worker,
                slots,
                host: Some(host),
            } => {
                if let Some(&at) = self.agents.get(worker) {
                    self.places[at] = Place::Up;
                    self.used[at] = Some((Arc::clone(host), *slots as usize));
                }
            }
            EventKind::WorkerEnded { worker, unexpected } => {
                let place = self.agents.remove(worker);
                // One that was told to end is as it was: the run is over.
                if let Some(at) = place.filter(|_| unexpected.is_some()) {
                    self.places[at] = Place::Down;
                }
            }
            _ => {}
        }
    }

    /// Whether this is an agent that was asked for, and of which nothing has come yet.
    pub(crate) fn waits(&self, worker: WorkerId) -> bool {
        let place = self.agents.get(&worker).map(|&at| self.places[at]);
        place == Some(Place::Pending)
    }

    /// How many there are; nothing where all is on this machine.
    pub(crate) fn hosts(&self) -> Option<Hosts> {
        let count = |what| self.places.iter().filter(|&&place| place == what).count();
        (!self.places.is_empty()).then(|| Hosts {
            wanted: self.places.len(),
            up: count(Place::Up),
            pending: count(Place::Pending),
        })
    }

    /// How many jobs run at once in all places that were ever up.
    pub(crate) fn slots(&self) -> usize {
        self.used.iter().flatten().map(|(_, slots)| slots).sum()
    }

    /// How many of them run at this host, where several agents may be, or in several
    /// containers that are called alike.
    pub(crate) fn slots_at(&self, host: &str) -> usize {
        let there = self.used.iter().flatten();
        let there = there.filter(|(name, _)| **name == *host);
        there.map(|(_, slots)| slots).sum()
    }

    /// At the end of a run: how many were of use, and how many still waited for their turn.
    pub(crate) fn told(&self) -> Option<String> {
        if self.places.is_empty() {
            return None;
        }
        let used = self.used.iter().flatten().count();
        let waits =
            |(place, used): (&Place, &Option<_>)| *place == Place::Pending && used.is_none();
        let pending = self.places.iter().zip(&self.used);
        let pending = pending.filter(|&pair| waits(pair)).count();
        let wanted = text::counted(self.places.len() as u64, "host");
        if used == self.places.len() {
            return Some(wanted);
        }
        let pending = match pending {
            0 => String::new(),
            pending => format!(", {} pending", text::count(pending as u64)),
        };
        let used = text::count(used as u64);
        Some(format!("{used} of {wanted}{pending}"))
    }
}

impl Hosts {
    /// In words: `3 of 5 hosts up, 2 pending`.
    pub(crate) fn words(&self) -> String {
        let up = text::count(self.up as u64);
        let wanted = text::counted(self.wanted as u64, "host");
        match self.pending {
            0 => format!("{up} of {wanted} up"),
            pending => format!(
                "{up} of {wanted} up, {} pending",
                text::count(pending as u64)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawned(worker: u32, slot: usize, host: Option<&str>) -> EventKind {
        EventKind::WorkerSpawned {
            worker: WorkerId(worker),
            pid: 7,
            slot,
            host: host.map(Arc::from),
        }
    }

    fn ready(worker: u32) -> EventKind {
        EventKind::WorkerReady {
            worker: WorkerId(worker),
            slots: 4,
            host: Some(Arc::from("n1")),
        }
    }

    fn ended(worker: u32, why: Option<&str>) -> EventKind {
        EventKind::WorkerEnded {
            worker: WorkerId(worker),
            unexpected: why.map(Arc::from),
        }
    }

    #[test]
    fn what_waits_is_neither_up_nor_down() {
        let mut places = Places::new(3);
        let told = |places: &Places| places.hosts().map(|hosts| hosts.words());
        assert_eq!(told(&places).unwrap(), "0 of 3 hosts up, 3 pending");
        for event in [
            spawned(1, 1, Some("slurm-1")),
            spawned(2, 2, Some("slurm-2")),
            spawned(3, 3, Some("slurm-3")),
            // One of this machine.
            spawned(4, 4, None),
            ready(4),
            ready(1),
            ended(2, Some("cannot be reached")),
        ] {
            places.note(&event);
        }
        assert_eq!(told(&places).unwrap(), "1 of 3 hosts up, 1 pending");
        places.note(&spawned(5, 2, Some("slurm-2")));
        assert_eq!(told(&places).unwrap(), "1 of 3 hosts up, 2 pending");
        assert_eq!(places.told().unwrap(), "1 of 3 hosts, 2 pending");
        let lost = [ready(5), ended(5, Some("was lost"))];
        lost.iter().for_each(|event| places.note(event));
        assert_eq!(told(&places).unwrap(), "1 of 3 hosts up, 1 pending");
        // All that is left ends with the run.
        [1, 3]
            .into_iter()
            .for_each(|worker| places.note(&ended(worker, None)));
        assert_eq!(places.told().unwrap(), "2 of 3 hosts, 1 pending");
    }

    #[test]
    fn where_all_were_of_use_only_their_number_is_told() {
        let mut places = Places::new(1);
        let all = [spawned(1, 1, Some("h")), ready(1), ended(1, None)];
        all.iter().for_each(|event| places.note(event));
        assert_eq!(places.told().unwrap(), "1 host");
        assert_eq!(Places::new(0).hosts(), None);
        assert_eq!(Places::new(0).told(), None);
    }

    #[test]
    fn agents_at_one_host_have_their_slots_together() {
        let mut places = Places::new(2);
        for event in [spawned(1, 1, Some("n1")), spawned(2, 2, Some("n1"))] {
            places.note(&event);
        }
        places.note(&ready(1));
        assert_eq!((places.slots(), places.slots_at("n1")), (4, 4));
        places.note(&ready(2));
        assert_eq!((places.slots(), places.slots_at("n1")), (8, 8));
        assert_eq!(places.told().unwrap(), "2 hosts");
        // One that is lost and comes back is no other.
        for event in [ended(2, Some("lost")), spawned(3, 2, Some("n1")), ready(3)] {
            places.note(&event);
        }
        assert_eq!((places.slots(), places.slots_at("n1")), (8, 8));
        assert_eq!(places.slots_at("n2"), 0);
    }
}
