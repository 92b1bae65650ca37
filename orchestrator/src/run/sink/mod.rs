//! Where results go; [`failed`]: and the lines whose jobs have failed. [`render`] turns a job's end into an [`Entry`], the bytes
//! for stdout and for stderr, in one of four formats ([`grouped`], [`result`],
//! [`jsonl`]); [`ordered`] puts entries into the order of the input; the
//! [`writer`] thread writes them.

pub(crate) mod failed;
pub(super) mod grouped;
mod jsonl;
pub(crate) mod ordered;
pub(crate) mod render;
mod result;
pub(crate) mod writer;
