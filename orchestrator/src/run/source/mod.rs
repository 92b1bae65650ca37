//! Where jobs come from: a thread reads the sources ([`inputs`], [`reader`]), whose bytes
//! become lines ([`lines`]), mostly one item each; with options, what a source says is divided into
//! [`columns`] ([`values`]) and values of several sources come together ([`combine`]), or several for one job ([`pack`]). An item becomes a job ([`work`]) by way of an argument template ([`template`]),
//! of text for a shell ([`shell`]) or as JSON ([`jsonl`]). How many there are is counted beside that ([`count`]).

pub(crate) mod columns;
mod combine;
pub(crate) mod command;
pub(crate) mod count;
pub(crate) mod directory;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod inputs;
pub(crate) mod item;
pub(crate) mod job;
pub(crate) mod jsonl;
pub(crate) mod label;
pub(crate) mod lines;
pub(crate) mod origin;
pub(crate) mod pack;
pub(crate) mod pipe;
pub(crate) mod place;
pub(crate) mod reader;
pub(crate) mod refusal;
pub(crate) mod shell;
mod spool;
pub(crate) mod template;
pub(crate) mod values;
pub(crate) mod weight;
pub(crate) mod work;
