//! `--pipe`: standard input, cut between records into blocks that jobs read.
//!
//! What separates records is found by [`separator`], where blocks end is decided by [`splitter`];
//! both are pure. [`window`] holds what was read and gives blocks away without a copy. [`blocks`] makes a
//! job of each block; [`lanes`] keeps processes fed that run for as long as there is input.

pub(crate) mod blocks;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod header;
pub(super) mod job;
pub(crate) mod lanes;
pub(crate) mod separator;
pub(crate) mod splitter;
pub(super) mod window;

use std::num::NonZero;

use header::Header;
use splitter::Rules;

/// How standard input becomes what jobs read.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    /// Where it is cut.
    pub(crate) rules: Rules,
    /// What stands at the beginning of the input and of each block.
    pub(crate) header: Option<Header>,
    /// How many processes are fed for as long as there is input; a job for each block when not given.
    pub(crate) lanes: Option<NonZero<usize>>,
}

impl Pipe {
    /// The same with no more processes than there are workers: there may be fewer than planned.
    pub(crate) fn for_workers(&self, workers: usize) -> Pipe {
        let workers = NonZero::new(workers).unwrap_or(NonZero::<usize>::MIN);
        Pipe {
            rules: self.rules.clone(),
            header: self.header.clone(),
            lanes: self.lanes.map(|lanes| lanes.min(workers)),
        }
    }
}
