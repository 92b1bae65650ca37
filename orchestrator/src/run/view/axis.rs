//! The time of a page: from 0 to its total, in microseconds. A run that went on later
//! follows the one before without the pause between them.

use crate::run::runfile::RunSeen;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Axis {
    parts: Vec<Part>,
    pub(super) total: i64,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    run: i64,
    began_us: i64,
    length: i64,
    offset: i64,
}

impl Axis {
    /// The time of these runs; with `now`, the last of them still goes on.
    pub(super) fn new(runs: &[RunSeen], now: Option<i64>) -> Axis {
        let mut axis = Axis::default();
        for (i, run) in runs.iter().enumerate() {
            let goes_on = now.filter(|_| i + 1 == runs.len());
            let end = goes_on.or(run.ended_us).or(run.last_us);
            let length = end.unwrap_or(run.began_us).saturating_sub(run.began_us);
            let length = length.max(0);
            axis.parts.push(Part {
                run: run.run,
                began_us: run.began_us,
                length,
                offset: axis.total,
            });
            axis.total = axis.total.saturating_add(length);
        }
        axis
    }

    fn part(&self, run: i64) -> Option<Part> {
        let found = self.parts.binary_search_by_key(&run, |part| part.run);
        found.ok().map(|i| self.parts[i])
    }

    /// Where a point in time of a run is.
    pub(super) fn at(&self, run: i64, us: i64) -> Option<i64> {
        let part = self.part(run)?;
        let within = us.saturating_sub(part.began_us).clamp(0, part.length);
        Some(part.offset.saturating_add(within).min(self.total))
    }

    /// When this run began, by the calendar.
    pub(super) fn began(&self, run: i64) -> Option<i64> {
        self.part(run).map(|part| part.began_us)
    }

    /// Where a run went on that had been begun.
    pub(super) fn marks(&self) -> Vec<i64> {
        let later = self.parts.iter().skip(1);
        later.map(|part| part.offset).collect()
    }

    /// How long each run took.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (i64, i64)> {
        self.parts.iter().map(|part| (part.run, part.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_goes_on_follows_without_a_pause() {
        let runs = [(1, 1_000, Some(1_500), None), (2, 9_000, None, Some(9_200))];
        let runs = runs.map(|(run, began_us, ended_us, last_us)| RunSeen {
            run,
            began_us,
            ended_us,
            last_us,
            ..RunSeen::default()
        });
        let axis = Axis::new(&runs, None);
        assert_eq!((axis.total, axis.marks()), (700, vec![500]));
        assert_eq!(axis.at(1, 1_100), Some(100));
        assert_eq!(axis.at(2, 9_100), Some(600));
        // What lies outside is put to the edge.
        assert_eq!(axis.at(1, 20_000), Some(500));
        assert_eq!(axis.at(2, 0), Some(500));
        assert_eq!(axis.at(3, 0), None);
        assert_eq!(Axis::new(&runs, Some(9_900)).total, 1_400);
        let odd = [RunSeen {
            began_us: i64::MAX,
            last_us: Some(i64::MIN),
            ..RunSeen::default()
        }];
        assert_eq!(Axis::new(&odd, None).total, 0);
        // More time than can be counted.
        let long = [1, 2].map(|run| RunSeen {
            run,
            ended_us: Some(i64::MAX - 7),
            ..RunSeen::default()
        });
        let axis = Axis::new(&long, None);
        assert_eq!(axis.at(2, i64::MAX), Some(axis.total));
    }
}
