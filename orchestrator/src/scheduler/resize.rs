//! A pool that grows and shrinks while it runs.
//!
//! Seats are opened and closed, and never thrown away: a worker that is at its
//! last job on a closed seat keeps whoever sits there next waiting, so that a
//! pool that shrinks and grows again runs no more jobs at once than it may.

use std::cmp::Reverse;

use super::core::{Phase, Scheduler};
use super::seat::Seat;
use super::timer::Timer;
use super::turnover::Leaving;
use super::worker::Life;

impl Scheduler {
    /// The pool is to have so many workers from now on.
    pub(super) fn resize(&mut self, workers: usize) {
        match self.phase {
            Phase::Open | Phase::Draining => {}
            Phase::Stopping | Phase::Over => return,
        }
        self.config.workers = workers;
        let open = self.seats.iter().filter(|seat| !seat.closed).count();
        (open..workers).for_each(|_| self.open_seat());
        (workers..open).for_each(|_| self.close_seat());
    }

    fn open_seat(&mut self) {
        let closed = (0..self.seats.len()).filter(|&seat| self.seats[seat].closed);
        let soonest = closed.min_by_key(|&seat| (self.seats[seat].before.is_some(), seat));
        let seat = soonest.unwrap_or_else(|| {
            self.seats.push(Seat::default());
            self.seats.len() - 1
        });
        self.seats[seat].closed = false;
        // One that is just dying is replaced when it is gone.
        if self.seats[seat].worker.is_none() {
            self.occupy(seat);
        }
    }

    /// Closes the seat where that costs the least.
    fn close_seat(&mut self) {
        let open = (0..self.seats.len()).filter(|&seat| !self.seats[seat].closed);
        let cheapest = open.min_by_key(|&seat| (self.worth(seat), Reverse(seat)));
        let Some(seat) = cheapest else {
            return;
        };
        self.asleep.remove(&seat);
        self.timers.stop(Timer::Respawn(seat));
        self.seats[seat].closed = true;
        self.seats[seat].thrive();
        let Some(id) = self.seats[seat].worker else {
            return;
        };
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        match worker.life {
            Life::Starting => {
                worker.excused = true;
                self.vacate(id, seat);
                self.end_worker(id, Life::Dying);
            }
            Life::Ready => self.leave(id, Leaving::Surplus),
            // It goes anyway.
            Life::Ending | Life::Dying => {}
        }
    }

    /// What would be lost with a seat: jobs at work, then jobs in line, then a
    /// worker that is ready.
    fn worth(&self, seat: usize) -> (bool, usize, bool) {
        let seat = &self.seats[seat];
        let here = seat.worker.and_then(|id| self.workers.get(&id));
        let before = seat.before.and_then(|id| self.workers.get(&id));
        let jobs = [here, before].into_iter().flatten().map(|w| w.jobs.len());
        let long = here.is_some_and(|w| w.long.is_some());
        let ready = here.is_some_and(|w| w.life == Life::Ready);
        (long, jobs.sum(), ready)
    }
}
