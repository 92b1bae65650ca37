//! Which lines of an input are recorded jobs. Pure.
//!
//! Jobs that are alike are counted: when three lines are the same and two of them
//! are done, one of the three is run, and it does not matter which.

use super::key::Key;

/// What a line is to the run file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// There is a verdict.
    Done,
    /// It is recorded under this number, without a verdict.
    Open(i64),
    /// It was never seen.
    New,
}

/// A recorded job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) key: Key,
    pub(crate) job: i64,
    pub(crate) end: End,
}

/// What a recorded job has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Ok,
    Failed,
    /// It has no verdict.
    Open,
}

/// What a later input was found to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Lines whose jobs have their verdicts.
    pub(crate) done: u64,
    /// How many of these have failed.
    pub(crate) failed: u64,
    /// Recorded lines that have none: they are run.
    pub(crate) open: u64,
    /// Lines that were never seen: they are run.
    pub(crate) new: u64,
    /// Recorded jobs whose lines are gone.
    pub(crate) gone: u64,
}

const OK: i64 = 0;
const FAILED: i64 = -1;

/// All recorded jobs, by key. About 32 bytes for each.
#[derive(Debug, Default)]
pub(crate) struct Known {
    keys: Vec<Key>,
    /// Where the jobs of each key begin in `jobs`; one more at the end.
    starts: Vec<u32>,
    /// Where the next job of each key is, that no line was found for.
    next: Vec<u32>,
    /// Numbers of jobs without a verdict, behind [`OK`] and [`FAILED`] for those with
    /// one.
    jobs: Vec<i64>,
    pub(crate) counts: Counts,
}

impl Known {
    /// # Panics
    /// With more than four thousand million jobs.
    pub(crate) fn new(mut recorded: Vec<Recorded>) -> Known {
        recorded.sort_unstable_by_key(|r| (r.key, r.end, r.job));
        let mut known = Known::default();
        known.jobs.reserve_exact(recorded.len());
        for Recorded { key, job, end } in recorded {
            if known.keys.last() != Some(&key) {
                known.keys.push(key);
                known.starts.push(small(known.jobs.len()));
            }
            known.jobs.push(match end {
                End::Ok => OK,
                End::Failed => FAILED,
                End::Open => job,
            });
        }
        known.next = known.starts.clone();
        known.starts.push(small(known.jobs.len()));
        known
    }

    /// The next line has this key.
    pub(crate) fn place(&mut self, key: Key) -> Place {
        let Ok(at) = self.keys.binary_search(&key) else {
            self.counts.new += 1;
            return Place::New;
        };
        let next = self.next[at];
        if next == self.starts[at + 1] {
            self.counts.new += 1;
            return Place::New;
        }
        self.next[at] += 1;
        match self.jobs[next as usize] {
            end @ (OK | FAILED) => {
                self.counts.done += 1;
                self.counts.failed += u64::from(end == FAILED);
                Place::Done
            }
            job => {
                self.counts.open += 1;
                Place::Open(job)
            }
        }
    }

    /// The input has ended: the jobs without a verdict that no line was found for.
    pub(crate) fn finish(&mut self) -> Vec<i64> {
        let mut open = Vec::new();
        for (at, &next) in self.next.iter().enumerate() {
            let left = &self.jobs[next as usize..self.starts[at + 1] as usize];
            self.counts.gone += left.len() as u64;
            open.extend(left.iter().copied().filter(|&job| job > 0));
        }
        open
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("as many jobs fit into no run file")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn key(n: u8) -> Key {
        Key([n; 16])
    }

    fn recorded(jobs: &[(u8, bool)]) -> Known {
        let numbered = jobs.iter().zip(1..);
        Known::new(
            numbered
                .map(|(&(k, done), job)| Recorded {
                    key: key(k),
                    job,
                    end: if done { End::Ok } else { End::Open },
                })
                .collect(),
        )
    }

    #[test]
    fn f113_an_edited_input_runs_exactly_the_difference() {
        let mut known = recorded(&[(1, true), (2, true), (3, false), (4, false)]);
        let places: Vec<Place> = [4, 5, 2].map(|k| known.place(key(k))).into();
        assert_eq!(places, [Place::Open(4), Place::New, Place::Done]);
        assert_eq!(known.finish(), [3]);
        let counts = Counts {
            done: 1,
            failed: 0,
            open: 1,
            new: 1,
            gone: 2,
        };
        assert_eq!(known.counts, counts);
    }

    #[test]
    fn f114_lines_that_are_alike_are_counted() {
        let mut known = recorded(&[(1, false), (1, true), (1, true)]);
        let places: Vec<Place> = (0..4).map(|_| known.place(key(1))).collect();
        assert_eq!(
            places,
            [Place::Done, Place::Done, Place::Open(1), Place::New]
        );
        assert_eq!(known.finish(), [0; 0]);
    }

    #[test]
    fn failures_of_before_are_counted_while_their_lines_are_there() {
        let ends = [End::Failed, End::Failed, End::Ok];
        let recorded = ends.iter().zip(1..);
        let recorded = recorded.map(|(&end, job)| Recorded {
            key: key(job as u8),
            job,
            end,
        });
        let mut known = Known::new(recorded.collect());
        known.place(key(1));
        known.place(key(3));
        known.finish();
        assert_eq!(
            (known.counts.done, known.counts.failed, known.counts.gone),
            (2, 1, 1)
        );
    }

    proptest! {
        /// Whatever was recorded and however the input was changed: as many jobs of
        /// a kind are done, open, new and gone as counting says.
        #[test]
        fn f113_counting_says_what_is_run(
            jobs in prop::collection::vec((0_u8..6, any::<bool>()), 0..40),
            lines in prop::collection::vec(0_u8..6, 0..40),
        ) {
            let mut known = recorded(&jobs);
            let mut found: HashMap<u8, [usize; 3]> = HashMap::new();
            let mut used = Vec::new();
            for &line in &lines {
                let place = known.place(key(line));
                found.entry(line).or_default()[match place {
                    Place::Done => 0,
                    Place::Open(job) => {
                        prop_assert_eq!(jobs[job as usize - 1], (line, false));
                        used.push(job);
                        1
                    }
                    Place::New => 2,
                }] += 1;
            }
            let open = known.finish();
            used.extend(&open);
            used.sort_unstable();
            used.dedup();
            prop_assert_eq!(used.len(), jobs.iter().filter(|(_, done)| !done).count());
            for k in 0..6 {
                let lines = lines.iter().filter(|&&l| l == k).count();
                let of = |is: bool| jobs.iter().filter(|&&j| j == (k, is)).count();
                let done = lines.min(of(true));
                let again = (lines - done).min(of(false));
                let found = found.get(&k).copied().unwrap_or_default();
                prop_assert_eq!(found, [done, again, lines - done - again]);
            }
            let c = known.counts;
            prop_assert_eq!((c.done + c.open + c.new) as usize, lines.len());
            prop_assert_eq!((c.done + c.open + c.gone) as usize, jobs.len());
        }
    }
}
