//! Where jobs come from: a thread reads standard input ([`reader`]), whose bytes
//! become lines ([`lines`]); a line becomes a job ([`work`]) by way of an argument template ([`template`]),
//! of text for a shell ([`shell`]) or as JSON ([`jsonl`]).

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod item;
pub(crate) mod jsonl;
pub(crate) mod lines;
pub(crate) mod pipe;
pub(crate) mod place;
pub(crate) mod reader;
pub(crate) mod shell;
pub(crate) mod template;
pub(crate) mod work;
