//! What this crate keeps to itself and fuzz targets call all the same. Nobody else
//! may: it changes without notice.

pub use crate::run::runfile::fuzzing::{APPLICATION_ID, SCHEMA, read_run_file};
pub use crate::run::source::fuzzing::{Fault, Job, Line, Recipe, Refused, lines};
pub use crate::run::source::pipe::fuzzing::Rules;
