//! Text for a shell with places for the line: `grep ERROR {} | wc -l`.
//!
//! The line never becomes part of the text. The text is read once ([`scan`]),
//! as a POSIX shell would read it, and every place becomes a positional
//! parameter in quotes, whatever quotes it stands in; the line is that
//! parameter's value, which no shell reads as program text. What would read it
//! so all the same, or alter it, is a [`fault`]: a place within an arithmetic
//! expression, in the text of a second shell ([`command`]) and so on. Such a
//! text is refused, and when it cannot be told what a text means, it is too.
//! Which shell reads it matters ([`dialect`]): most of them calculate with what
//! variables hold, so that those are followed ([`names`]).

mod builtins;
pub(super) mod command;
mod dialect;
pub(super) mod fault;
mod names;
mod numbers;
mod scan;
mod several;
mod text;
mod word;

pub(crate) use dialect::Dialect;
pub(crate) use fault::{Fault, Why};
pub(crate) use text::ShellText;
pub(super) use text::misunderstood;
pub(super) use word::Word;
