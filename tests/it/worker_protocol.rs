//! A worker process seen from the other end of its pipes: every promise of the
//! protocol that a worker has to keep, shown with a small client of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub(crate) mod client;
mod commands;
mod functions;
mod held;
mod limits;
mod links;
