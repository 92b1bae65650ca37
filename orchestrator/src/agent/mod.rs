//! Floor 3, beside `run`: a pool that is a worker. It speaks the worker protocol
//! upwards, on its stdin and stdout, and stands on the pool as a batch does.
//!
//! - `link`: the two descriptors, moved away from 0 and 1, and the start of the
//!   conversation.
//! - `pairs`: who was given what and what is owed for it: pairs and the pool's jobs,
//!   inputs that are still coming, recalls. No I/O, no pool.
//! - `outbox`: what is to be written, and results that wait for credit.
//! - `ending`: a job's report as an answer.
//! - `watch`: what a link needs that may die without a word.
//! - `serve`: the one loop, which brings them together; below it `meet`, how it begins, and
//!   `told`, what the client is told.
//!
//! The client is as untrusted as an orchestrator is to a worker: what makes no
//! sense ends the link. It may send as much ahead as it likes, but when it does not
//! read what it is told, nothing more is read from it either, or on a remote link not much.

mod ending;
mod link;
mod outbox;
mod pairs;
mod serve;
mod watch;

pub(crate) use link::Link;
pub(crate) use serve::{End, serve};
