//! Where jobs ran, and what each place has come to.

use std::collections::{BTreeMap, HashMap};

use super::model::Host;
use crate::run::runfile::Try;
use crate::run::text;

/// How many hosts are told apart: more than any run has.
const MOST: usize = 4_096;

/// See the module. The first one is this machine.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    known: HashMap<String, u16>,
    all: Vec<Host>,
}

impl Default for Hosts {
    fn default() -> Hosts {
        Hosts {
            known: HashMap::new(),
            all: vec![Host::default()],
        }
    }
}

impl Hosts {
    /// The number of a host, or of this machine.
    pub(super) fn number(&mut self, name: Option<&str>) -> u16 {
        let Some(name) = name else {
            return 0;
        };
        if let Some(&number) = self.known.get(name) {
            return number;
        }
        let number = self.all.len().min(MOST);
        if number == self.all.len() {
            self.all.push(Host {
                name: text::clipped(name.as_bytes()),
                ..Host::default()
            });
            self.known.insert(name.to_owned(), number as u16);
        }
        number as u16
    }

    /// A host can run so many jobs at once.
    pub(super) fn slots(&mut self, name: &str, slots: i64) {
        let number = self.number(Some(name));
        let host = &mut self.all[usize::from(number)];
        host.slots = host.slots.max(slots);
    }

    pub(super) fn slots_of(&self, number: u16) -> i64 {
        self.all[usize::from(number)].slots
    }

    /// A try was made somewhere; the number of where.
    pub(super) fn tried(&mut self, one: &Try) -> u16 {
        let number = self.number(one.host.as_deref());
        let host = &mut self.all[usize::from(number)];
        host.tries += 1;
        host.busy_us = host.busy_us.saturating_add(one.wall_us.unwrap_or_default());
        host.cpu_us = host.cpu_us.saturating_add(one.cpu_us.unwrap_or_default());
        host.rss_kib = host.rss_kib.max(one.rss_kib.unwrap_or_default());
        number
    }

    /// A job has come to its end somewhere; the number of where.
    pub(super) fn ended(&mut self, one: &Try) -> u16 {
        let number = self.number(one.host.as_deref());
        if one.attempt > 0 {
            let host = &mut self.all[usize::from(number)];
            host.jobs += 1;
            host.bad += u64::from(one.verdict != "ok");
        }
        number
    }

    /// The rows of the timeline: in which order hosts have theirs.
    pub(super) fn order(&self) -> Vec<u16> {
        let by_name: BTreeMap<_, _> = self.known.iter().collect();
        let hosts = by_name.into_values().copied();
        [0].into_iter().chain(hosts).collect()
    }

    /// Their names by their numbers, and what each has come to, by name; nothing when there is
    /// only this machine, which has that name.
    pub(super) fn finish(&self, here: &str) -> (Vec<String>, Vec<Host>) {
        if self.all.len() == 1 {
            return Default::default();
        }
        let mut all = self.all.clone();
        all[0].name = text::clipped(here.as_bytes());
        all[0].is_here = true;
        let names = all.iter().map(|host| host.name.clone()).collect();
        let listed = self.order().into_iter();
        let listed = listed.map(|number| all[usize::from(number)].clone());
        let is_seen = |host: &Host| !host.is_here || host.tries > 0;
        (names, listed.filter(is_seen).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(host: Option<&str>, verdict: &str) -> Try {
        Try {
            host: host.map(str::to_owned),
            verdict: verdict.into(),
            attempt: 1,
            wall_us: Some(5),
            ..Try::default()
        }
    }

    #[test]
    fn each_host_is_counted_by_itself_and_listed_by_its_name() {
        let mut hosts = Hosts::default();
        for one in [
            one(Some("b"), "ok"),
            one(Some("a"), "failed"),
            one(Some("b\n"), "ok"),
        ] {
            hosts.tried(&one);
            hosts.ended(&one);
        }
        hosts.slots("a", 4);
        let (names, listed) = hosts.finish("me");
        assert_eq!(names, ["me", "b", "a", "b\\n"]);
        let listed: Vec<_> = listed
            .iter()
            .map(|host| (&host.name[..], host.jobs, host.bad, host.slots))
            .collect();
        assert_eq!(
            listed,
            [("a", 1, 1, 4), ("b", 1, 0, 0), ("b\\n", 1, 0, 0)],
            "nothing ran here"
        );
        hosts.tried(&one(None, "ok"));
        assert_eq!(hosts.finish("me").1[0].name, "me");
        assert!(Hosts::default().finish("me").1.is_empty());
    }

    #[test]
    fn there_are_only_so_many() {
        let mut hosts = Hosts::default();
        for n in 0..2 * MOST {
            hosts.ended(&one(Some(&n.to_string()), "ok"));
        }
        assert_eq!(hosts.finish("").0.len(), MOST + 1);
    }
}
