//! Floor 3: one batch, one way: source → pool → sink.
//!
//! - [`source`]: bytes of standard input become lines, lines become jobs.
//! - [`feed`]: hands jobs to the pool, as fast as it takes them.
//! - [`batch`]: the loop in which everything meets; [`output`]: what becomes of
//!   its results; [`reins`]: what it can be told from beside; [`halt`]: when it has
//!   seen enough; [`jobs`]: how many run at once; [`gate`]: when the machine has room for them.
//! - [`observe`]: those who watch it.
//! - [`dry`]: what would be run.
//! - [`sink`]: a job's end becomes bytes on stdout and stderr.
//! - [`done`]: what a job log says is done, for a run that goes on.
//! - [`runfile`]: a record of all of it on disk, with which it can go on.
//! - [`view`]: a recorded run as a page.
//! - [`report`]: what the run came to, folded from the pool's events, and what stands out
//!   ([`highlights`]), told in lines or as JSON ([`recap`]); [`places`]: which other machines are of use.
//! - [`progress`]: how far it is; [`screen`]: the terminal that results and that share.
//!
//! Nothing here looks at the command line or chooses an exit code.

pub(crate) mod batch;
pub(crate) mod done;
pub(crate) mod dry;
mod feed;
pub(crate) mod gate;
pub(crate) mod halt;
pub(crate) mod highlights;
pub(crate) mod jobs;
pub(crate) mod observe;
pub(crate) mod output;
pub(crate) mod places;
pub(crate) mod progress;
pub(crate) mod recap;
pub(crate) mod reins;
pub(crate) mod report;
mod rest;
pub(crate) mod runfile;
pub(crate) mod screen;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod text;
pub(crate) mod view;
pub(crate) mod width;
