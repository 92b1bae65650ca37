//! Where results go; [`failed`]: and the lines whose jobs have failed. [`render`] turns a job's end into an [`Entry`], the bytes
//! for stdout and for stderr, in one of four formats ([`grouped`], [`result`],
//! [`jsonl`]); [`ordered`] puts entries into the order of the input; the
//! [`writer`] thread writes them.
//!
//! What a command prints may be shown in another [`manner`]: with a [`tag`] in front of its
//! lines, or not at all ([`shown`]): then the writer's [`store`] keeps it, in files at a
//! [`place`] that is made of the item, or in a [`table`]. The [`joblog`] has a line for each attempt, with
//! its [`command_line`] as it was run in its worker's slot ([`slots`]).

pub(crate) mod command_line;
pub(crate) mod facts;
pub(crate) mod failed;
pub(super) mod grouped;
pub(crate) mod joblog;
mod jsonl;
pub(crate) mod manner;
pub(crate) mod ordered;
mod place;
pub(crate) mod render;
mod result;
pub(crate) mod shown;
pub(crate) mod slots;
pub(crate) mod store;
mod table;
pub(crate) mod tag;
pub(crate) mod writer;
