//! A seat is a worker's place in the pool, and room for its jobs: when a worker
//! dies, its seat gets a new one, at once the first time, later and later when
//! that keeps happening.

use std::time::Duration;

use protocol::WorkerId;

use super::retry::doubled;

#[derive(Debug, Default)]
pub(super) struct Seat {
    /// Who sits here.
    pub(super) worker: Option<WorkerId>,
    /// Who sat here and still has jobs: whoever sits here now gets none yet.
    pub(super) before: Option<WorkerId>,
    /// Whether nobody is to sit here: the pool has become smaller.
    pub(super) closed: bool,
    /// How many sat here and died since a job was last finished here.
    deaths: u32,
}

impl Seat {
    /// Whether workers keep dying here: more often than that in a row.
    pub(super) fn is_failing(&self, limit: u32) -> bool {
        self.deaths > limit
    }

    /// Whether a worker has died here and nothing was done since.
    pub(super) fn has_lost(&self) -> bool {
        self.deaths > 0
    }

    /// A job was finished here, or a worker lived long: whatever was wrong is
    /// over.
    pub(super) fn thrive(&mut self) {
        self.deaths = 0;
    }

    /// A worker of this seat died.
    pub(super) fn lose(&mut self) {
        self.deaths = self.deaths.saturating_add(1);
    }

    /// The worker that sits here died. Gives the pause before the next one.
    pub(super) fn bury(&mut self, first: Duration, longest: Duration) -> Duration {
        self.worker = None;
        self.lose();
        match self.deaths {
            1 => Duration::ZERO,
            n => doubled(first, n - 2).min(longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_is_forgotten_after_a_finished_job() {
        let mut seat = Seat::default();
        let mut pauses = || {
            seat.bury(Duration::from_millis(50), Duration::from_millis(300))
                .as_millis()
        };
        assert_eq!(
            [pauses(), pauses(), pauses(), pauses(), pauses(), pauses()],
            [0, 50, 100, 200, 300, 300]
        );
        seat.deaths = u32::MAX;
        let longest = Duration::from_secs(10);
        assert_eq!(seat.bury(Duration::from_millis(50), longest), longest);
        seat.thrive();
        assert_eq!(
            seat.bury(Duration::from_millis(50), longest),
            Duration::ZERO
        );
    }
}
