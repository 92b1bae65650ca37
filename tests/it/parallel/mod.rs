//! What GNU parallel's users know, compared with GNU parallel itself: the same
//! command line goes through both programs, each in a directory of its own with the
//! same files, environment and standard input.
//!
//! Needs GNU parallel (Debian's package `parallel`). Where it is not installed, only
//! ours runs and a line says that nothing was compared, unless `REQUIRE_PARALLEL` is
//! set, as in `.ci/run`.

mod commands;
mod control;
mod different;
mod ends;
mod options;
mod oracle;
mod output;
mod pipe;
mod pipes;
mod places;
mod run;
mod shells;
mod sources;
mod templates;
mod warm;

pub(crate) use oracle::Line;
