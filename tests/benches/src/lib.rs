//! What the benchmarks share: the floor that they compare with, how they
//! measure in turns, and the tasks of their worker.
//!
//! Nothing here judges a figure: a benchmark prints what it measured, beside
//! what it should be.

#![expect(
    clippy::disallowed_methods,
    reason = "benchmarks measure time and start bare processes"
)]

pub mod floor;
pub mod measure;
pub mod tasks;
