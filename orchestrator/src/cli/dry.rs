//! `orchestrator run --dry-run`.

use std::io::{self, BufWriter};

use super::errors::{self, Message};
use super::exit::Exit;
use super::main::say;
use super::plan::Plan;
use crate::run::batch::Failure;
use crate::run::dry::{DryFailure, Told, dry_run};
use crate::run::sink::writer::WriteError;
use crate::run::source::inputs::Opened;

/// Shows what a plan would run.
pub(super) fn show(plan: &Plan, opened: Opened) -> Exit {
    let mut refused = false;
    let tell = |told| match told {
        Told::Warning(text) => say(&text),
        Told::Refused(job) => {
            refused = true;
            let refusal = job.1;
            let lines = refusal.place.into_iter();
            let message = lines.fold(Message::new(refusal.what), Message::fact);
            let message = match refusal.tip {
                Some(tip) => message.tip(tip),
                None => message,
            };
            say(&message.to_string());
        }
    };
    let ended = dry_run(
        &plan.batch,
        opened,
        BufWriter::new(io::stdout().lock()),
        tell,
    );
    let failure = match ended {
        Ok(()) if refused => return Exit::JOBS_FAILED,
        Ok(()) => return Exit::OK,
        Err(DryFailure::Write(e)) if e.kind() == io::ErrorKind::BrokenPipe => {
            return Exit::BROKEN_PIPE;
        }
        Err(DryFailure::Write(e)) => Failure::Write(WriteError::Failed(e)),
        Err(DryFailure::Read(e)) => Failure::Read(e),
        Err(DryFailure::Changed(job)) => Failure::Changed(job),
        Err(DryFailure::RunFile(e)) => Failure::RunFile(e),
        Err(DryFailure::Resources(e)) => Failure::Resources(e),
        Err(DryFailure::Bug(what)) => Failure::Bug(what),
    };
    match errors::failure(&failure, &plan.worker) {
        (Some(message), exit) => {
            say(&message.to_string());
            exit
        }
        (None, exit) => exit,
    }
}
