//! The wire format between an orchestrator and its workers: bytes in, messages
//! out. No I/O and no clock; `docs/protocol.md` is the normative text.
//!
//! Map of the crate:
//! - [`agent`]: what only a worker with workers of its own is told and says.
//! - [`ids`]: `JobId`, `Attempt`, `WorkerId`.
//! - [`message`]: the two vocabularies, [`ToWorker`] and [`FromWorker`].
//! - [`codec`]: buffer to message and back; the only place that knows bincode.
//! - [`greeting`]: the line of text with which a worker says that it is one.
//! - [`task`]: [`Task`], what both sides agree on, and the payload encodings.
//! - [`command`]: the input and the failure of the built-in `command` task.

#![warn(missing_docs)]

pub mod agent;
pub mod codec;
pub mod command;
pub mod greeting;
pub mod ids;
pub mod message;
mod raw;
pub mod task;

pub use agent::{Death, JobOptions};
pub use codec::{Codec, Encoded, FrameError, MAX_CHUNK, MAX_FRAME, Parts};
pub use command::{CommandSpec, EnvChange, Limits, OutputLimit, Program, SlotPlace, StopStep};
pub use greeting::{Greeting, GreetingScan, MAX_PREAMBLE};
pub use ids::{Attempt, JobId, WorkerId};
pub use message::{
    Answer, Assignment, CREDIT, DoneHeader, FromWorker, Hello, JobHeader, LinkKind, Outcome, Ready,
    Stream, ToWorker, Usage,
};
pub use task::{Encoding, PayloadError, Task, TaskError, TaskErrorKind};

/// Version of the wire format. A worker and an orchestrator whose versions
/// differ refuse each other at the greeting, before any frame is exchanged.
pub const PROTOCOL_VERSION: u32 = 7;
