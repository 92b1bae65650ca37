//! Those who watch a batch from beside: they are told all that happens in its pool, each thing
//! once and in order, before its jobs' ends are shown. A watcher that is slow slows down
//! admission, as a slow reader of results does; none loses anything. When nobody watches, the
//! pool tells of exceptions only, and nothing here costs anything.
//!
//! - [`watchers`]: who is told, and what of each event.
//! - [`tally`]: how many jobs wait, run and have ended, by the events.
//! - [`trace`]: a file of Chrome's trace events.
//! - [`live`]: what a page is told that goes with the run; [`stand`]: how the run stands, for
//!   whoever looks at it from time to time.

pub(crate) mod live;
pub(crate) mod stand;
pub(crate) mod tally;
pub(crate) mod trace;
pub(crate) mod watchers;
