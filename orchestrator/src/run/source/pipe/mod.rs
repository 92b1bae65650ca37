//! `--pipe`: standard input, cut between records into blocks that jobs read.
//!
//! What separates records is found by [`separator`], where blocks end is decided by [`splitter`];
//! both are pure. [`window`] holds what was read and gives blocks away without a copy. [`blocks`] makes a
//! job of each block; [`lanes`] keeps processes fed that run for as long as there is input.

pub(crate) mod blocks;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(super) mod job;
pub(crate) mod lanes;
pub(crate) mod separator;
pub(crate) mod splitter;
pub(super) mod window;

use std::num::NonZero;

use splitter::Rules;

/// How standard input becomes what jobs read.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    /// Where it is cut.
    pub(crate) rules: Rules,
    /// How many lines at the beginning of the input stand at the beginning of each block.
    pub(crate) header: usize,
    /// How many processes are fed for as long as there is input; a job for each block when not given.
    pub(crate) lanes: Option<NonZero<usize>>,
}

impl Pipe {
    /// The same with no more processes than there are workers: there may be fewer than planned.
    pub(crate) fn for_workers(&self, workers: usize) -> Pipe {
        let workers = NonZero::new(workers).unwrap_or(NonZero::<usize>::MIN);
        Pipe {
            rules: self.rules.clone(),
            header: self.header,
            lanes: self.lanes.map(|lanes| lanes.min(workers)),
        }
    }
}
