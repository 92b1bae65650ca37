//! A recorded run as a page, or as lines for a terminal: what it came to, what limited
//! it, and when what ran.
//!
//! - [`gather`]: folds a run file into a [`model`], which is all that a page knows.
//!   Parts of it: [`axis`], the time; [`spans`], the timeline, and [`lanes`], its rows; [`rows`], the table;  [`bins`],
//!   what was counted by size; [`columns`], many numbers in little text; [`groups`], failures that are
//!   alike; [`hosts`], where they ran; [`lists`], jobs that stand out; [`waiting`], how many jobs waited;
//!   [`notes`], what limited the run.
//! - [`html`]: the page: figures that are readable without a script, and the model
//!   for the one in `page/`; [`safe`]: foreign text in it.
//! - [`lines`]: the same figures for a terminal.
//! - [`live`]: the same model of a run that goes on, folded from what happens in it.
//!
//! Memory: some thirty bytes for each try, and at most [`rows::ROWS`] jobs as rows.

mod axis;
mod bins;
mod columns;
mod gather;
mod groups;
mod hosts;
mod html;
mod lanes;
mod lines;
mod lists;
pub(crate) mod live;
mod model;
mod notes;
mod rows;
mod safe;
mod spans;
mod waiting;

pub(crate) use gather::gather;
pub(crate) use html::{live_page, live_parts, write};
pub(crate) use lines::{lines, unfinished};
pub(crate) use model::Model;

#[cfg(test)]
mod tests;
