//! A process pool you can pipe into.

#![warn(missing_docs)]

pub mod scheduler;

pub use scheduler::Verdict;
