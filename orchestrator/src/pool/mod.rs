//! Floor 2: acts. Owns worker processes and moves frames; decides nothing that
//! the scheduler can decide. Installs no signal handler and prints nothing of
//! its own.
//!
//! - `front`: the door, [`Pool`]; `start`: how it is opened; `admission`: how jobs come in; `builder`:
//!   pools to be; `executor`: what pools have in common; `own`: pools and a runtime for those who
//!   make none. `handle`: submitted jobs; `typed`: jobs to be; `map`: many jobs from many inputs;
//!   `command`: external commands; `control`: what is asked of all jobs together; `stats`: the pool in numbers.
//! - `awaitable`, `gather`, `wait`: waiting for many things at once.
//! - `driver`: the one loop, which owns the scheduler, with jobs (`entry`) and workers (`hired`) as it
//!   keeps them; `obey`: what handles ask of it; `learn`: what it hears; `act`: what it does, `hire`
//!   about workers and `conclude` about the ends of jobs; `deaths`: why it gives up; `clock`: its
//!   times; `oom`: what the kernel has killed; `doubts`: what somebody may have killed who kills this program, too.
//! - `process`: one worker from spawn to reap; `news` is what it and the driver
//!   say to each other, `launch` starts it in its `surroundings`, `trouble` says what is wrong with a host, `pipes` and `outgoing` lead to it,
//!   `pace` is how quickly it answers, `orphans` what it may leave behind.
//! - `printed`: where goes what jobs print; `printing`: the ways there; `delivery`:
//!   one worker's lines on their way, cut by `lines`; `printer`: the thread that writes them.
//! - `thread_pool`: the door to a pool of threads, [`ThreadPool`]; `thread`: one
//!   worker that is a thread, `desk`: where its jobs lie; `unwanted`: functions that nobody runs.
//! - `spill`: where output is kept; `event`: the stream of all that happens; `log`: what of it
//!   whoever listens to `tracing` is told.

mod act;
mod admission;
mod awaitable;
mod batch;
mod builder;
mod clock;
mod command;
mod conclude;
mod config;
mod control;
mod deaths;
mod delivery;
mod desk;
#[cfg(feature = "cli")]
mod doubts;
mod driver;
mod entry;
mod error;
mod event;
mod executor;
mod frames;
mod front;
mod gather;
mod handle;
mod hire;
mod hired;
mod job;
mod launch;
mod learn;
mod lines;
mod log;
mod map;
mod news;
mod obey;
mod oom;
mod orphans;
mod os;
mod outgoing;
mod own;
mod pace;
mod pipes;
mod printed;
mod printer;
mod printing;
mod process;
mod reports;
mod spill;
mod start;
mod stats;
mod stderr;
mod surroundings;
mod thread;
mod thread_pool;
mod trouble;
mod turn;
mod typed;
mod unwanted;
mod wait;

pub use awaitable::{Awaitable, IntoAwaitable, Mixed, future};
#[cfg(feature = "cli")]
pub(crate) use batch::Batch;
pub use builder::PoolBuilder;
#[cfg(feature = "cli")]
pub(crate) use clock::instant;
pub use command::{Command, CommandOutput, RunningCommand};
pub use config::{Agent, Launch, PoolConfig, ThreadsPerJob, usable_cpus};
pub use control::{Control, RunningJob, Status};
#[cfg(feature = "cli")]
pub(crate) use doubts::{Doubts, is_doubtful};
#[cfg(feature = "cli")]
pub(crate) use driver::Note;
pub use error::{JobError, PoolError, TrySubmitError};
pub use event::{Event, EventKind, EventStream, MAX_PRINTED};
pub use executor::Executor;
#[cfg(feature = "cli")]
pub(crate) use frames::{Frames, SLICES};
pub use front::Pool;
pub use gather::{Gather, GatherAll, gather, gather_all};
pub use handle::{JobHandle, RawHandle};
pub use job::{JobReport, Omitted, RawJob, WorkerDeath};
pub use map::{Inputs, Map};
pub use orphans::{adopt_orphans, meet_strangers};
pub use os::allow_open_files;
#[cfg(feature = "cli")]
pub(crate) use os::{most_workers, temporary, unlinked_file, unread};
pub use own::{block_on, blocking, default_pool, default_threads, run};
#[cfg(feature = "cli")]
pub(crate) use pace::Pace;
#[cfg(feature = "cli")]
pub(crate) use pipes::until;
pub use printed::{Printed, PrintedPart};
#[cfg(feature = "cli")]
pub(crate) use process::ACK_DELAY;
pub use reports::{ReportStream, Reports};
pub use spill::{Capture, Payload, Spill};
pub use stats::Stats;
pub use thread_pool::{ThreadPool, ThreadPoolConfig};
pub use typed::{Job, JobFuture};
pub use wait::{AsCompleted, ReturnWhen, as_completed, wait};
