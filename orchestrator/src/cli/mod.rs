//! Floor 4: talks to a person.
//!
//! Typed arguments (`args`) become a checked plan (`plan`), the plan is run,
//! and what came of it becomes messages (`errors`) and an exit status (`exit`).
//! GNU parallel's command line becomes one of ours in `parallel`.
//! What a run file is asked for is in `recorded`, an agent is started by `agent`. What users of other tools would write is answered by `habits`, and signals are
//! heard by `signals`; `report` says what a recorded run came to, `page` for a browser; `dry` shows what would be run; `watch` looks at what may change a run meanwhile; `progress` shows how far it is, `summary` what it came to. Pages for `man` and completions are `generated`.
//! What is logged goes where `log` says; what this machine gives is told by `doctor`; `dashboard` is the page of a run that goes on.

mod agent;
mod args;
mod dashboard;
mod doctor;
mod dry;
mod errors;
mod exit;
mod generated;
mod habits;
mod log;
mod main;
mod page;
mod parallel;
mod plan;
mod program;
mod progress;
mod recorded;
mod report;
mod shell;
mod signals;
mod summary;
mod watch;
mod words;

pub use main::main;
