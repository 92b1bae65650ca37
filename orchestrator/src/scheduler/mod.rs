//! Floor 1: decides. A value with four verbs: `Scheduler::handle` takes what
//! happened and when (`Scheduler::done_well`, what happens most), `Scheduler::poll_action` gives what to do about it,
//! `Scheduler::next_deadline` says when to call again at the latest, and
//! `Scheduler::check` asserts that all of it fits together.
//!
//! Pure: no tokio, no clock, no I/O, no process. Time is a `Duration`
//! since the pool's start, handed in. That is what makes retry, cancel, worker
//! loss and drain each one turn of the same loop, and lets a simulated world
//! play thousands of bad days in a second (`sim`), and single turns by hand (`turns`).

mod answers;
mod attempts;
#[cfg(any(test, debug_assertions))]
mod check;
mod core;
mod crew;
mod end;
mod gate;
mod hand_out;
mod id_map;
mod input;
mod job;
mod queue;
mod recall;
mod resize;
mod retry;
mod seat;
#[cfg(test)]
mod sim;
mod timer;
mod turnover;
#[cfg(test)]
mod turns;
mod verdict;
mod window;
mod worker;

pub(crate) use self::core::Scheduler;
pub(crate) use self::id_map::IdMap;
pub(crate) use self::input::{Action, Blame, Input, SchedulerConfig, Size, Terms};
pub(crate) use self::turnover::Census;
pub use self::verdict::Verdict;
