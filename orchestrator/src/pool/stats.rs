//! What a pool has come to, in numbers: [`Stats`].

use crate::scheduler::{Census, Verdict};

/// A pool's counters, all of one moment: what is there now, and what has
/// happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Worker processes that have not been reaped: busy, idle, starting, and
    /// those that are about to end. More than the pool's size while one that
    /// gets no more jobs is at its last.
    pub workers: usize,
    /// Workers that have jobs.
    pub busy: usize,
    /// Workers that could have one and do not.
    pub idle: usize,
    /// Workers that are not ready yet.
    pub starting: usize,
    /// Jobs that wait: for a worker, at a worker, or for their next attempt.
    pub waiting: usize,
    /// Jobs whose turn has come at a worker.
    pub running: usize,
    /// Jobs that were accepted.
    pub submitted: u64,
    /// Jobs that have ended, by the word for their verdict
    /// ([`Verdict::word`]), in the order in which each was first seen; see
    /// [`Stats::ended`].
    pub verdicts: Vec<(&'static str, u64)>,
    /// Attempts that ended badly and were followed by another one.
    pub retries: u64,
    /// Workers that were started, also those that never became ready.
    pub workers_started: u64,
    /// Workers that ended without being asked to, or with a job: crashes,
    /// kills for a job's sake, and starts that failed.
    pub workers_died: u64,
    /// Workers that were told to go, in good order, because of
    /// [`PoolConfig::max_jobs_per_worker`](super::PoolConfig::max_jobs_per_worker),
    /// [`PoolConfig::max_rss_per_worker`](super::PoolConfig::max_rss_per_worker) or
    /// [`PoolConfig::max_files_per_worker`](super::PoolConfig::max_files_per_worker).
    pub workers_recycled: u64,
}

impl Stats {
    /// How many jobs have ended with a verdict of this word, such as "ok".
    #[must_use]
    pub fn ended(&self, word: &str) -> u64 {
        let found = self.verdicts.iter().find(|(seen, _)| *seen == word);
        found.map_or(0, |&(_, count)| count)
    }

    /// How many jobs have ended, whatever their verdict.
    #[must_use]
    pub fn ended_in_all(&self) -> u64 {
        self.verdicts.iter().map(|(_, count)| count).sum()
    }

    pub(super) fn count(&mut self, verdict: Verdict) {
        let word = verdict.word();
        // Mostly it is the very same text.
        let same = |seen: &str| std::ptr::eq(seen, word) || seen == word;
        match self.verdicts.iter_mut().find(|(seen, _)| same(seen)) {
            Some((_, count)) => *count += 1,
            None => self.verdicts.push((word, 1)),
        }
    }

    /// With what is there now: so many processes, so many jobs without a
    /// verdict, and the scheduler's count.
    pub(super) fn now(&self, workers: usize, unfinished: usize, census: Census) -> Stats {
        let Census {
            busy,
            idle,
            starting,
            running,
            recycled,
        } = census;
        Stats {
            workers,
            busy,
            idle,
            starting,
            waiting: unfinished - running,
            running,
            workers_recycled: recycled,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_counted_by_the_word_for_their_verdict() {
        let mut stats = Stats::default();
        for verdict in [Verdict::Ok, Verdict::Failed(1), Verdict::Failed(7)] {
            stats.count(verdict);
        }
        let ended = ["ok", "failed", "crashed"].map(|word| stats.ended(word));
        assert_eq!((ended, stats.ended_in_all()), ([1, 2, 0], 3));
    }
}
