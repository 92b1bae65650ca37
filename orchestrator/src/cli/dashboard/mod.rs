//! The live page: how a run stands, in a browser on this machine, while it goes on. Nobody can
//! change anything through it, and the run waits for nobody who looks at it.
//!
//! - `open`: its beginning and its end; `page`: what goes on between the run and the thread that serves it.
//! - `board`: what that thread knows, and what it tells of that.
//! - `server`: what is answered; `guard`: who is let in; `few`: how many at once.

mod board;
mod few;
mod guard;
mod open;
mod page;
mod server;

pub(super) use open::{end, look, open};
pub(super) use page::{Door, Page};
