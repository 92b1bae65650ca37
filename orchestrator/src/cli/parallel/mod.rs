//! `orchestrator parallel`: GNU parallel's command line as it is, for scripts that move
//! over by one word.
//!
//! The line is taken apart (`scan`) by a table of all options (`options`), and becomes a
//! command line of `orchestrator run` (`translate`), from which everything goes its
//! usual way; only the exit status is counted as there (`status`). Options may also come
//! from `$PARALLEL` and files (`profile`). What is not offered is refused by name.

mod options;
mod page;
mod profile;
mod scan;
mod start;
mod status;
mod translate;

pub(super) use options::in_run;
pub(super) use page::command;
pub(super) use start::parallel;
pub(super) use status::status;
