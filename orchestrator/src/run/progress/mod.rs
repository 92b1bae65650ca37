//! How far a batch is, for whoever looks on while it runs.
//!
//! Nothing here is told by jobs: the batch is looked at ([`sample`]) so many times a second,
//! however many jobs that has. From looks in a row comes how fast it is ([`pace`]), from the
//! system what CPU time its processes use ([`usage`]), and from both what is shown ([`view`]):
//! a line of any width, a line for a log, or a JSON object. [`name`] is what a job is called.

pub(crate) mod name;
pub(crate) mod pace;
pub(crate) mod sample;
pub(crate) mod usage;
pub(crate) mod view;
