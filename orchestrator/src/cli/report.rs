//! `orchestrator report`: what a recorded run came to, for a person.

use std::path::Path;

use super::args::ReportArgs;
use super::errors;
use super::exit::Exit;
use super::main::{fail, refuse};
use super::page::{self, Target};
use super::plan;
use super::recorded::{self, Named, Recorded};
use crate::pool::Spill;
use crate::run::output::{self, FailedJob};
use crate::run::report::calendar;
use crate::run::runfile::{self, Asked, FailedCall, RunFileError, State};
use crate::run::text;
use crate::run::view::{self, Model};

/// How many failures are shown.
const SHOWN: usize = 10;

/// How many lines of what each wrote to stderr.
const STDERR_LINES: usize = 3;

/// How much of what was recorded is kept in memory, in bytes.
const MEMORY: usize = 16 << 20;

pub(super) fn report(args: &ReportArgs) -> Exit {
    let named = match Named::find(&args.file) {
        Ok(named) => named,
        Err(message) => return fail(&message),
    };
    let target = match page::target(args, &named.path) {
        Ok(target) => target,
        Err(message) => return refuse(&message),
    };
    let model = match view::gather(&named.path, &named.name, runfile::since_1970(calendar())) {
        Ok(model) => model,
        Err(e) => return fail(&errors::run_file(&e)),
    };
    if args.text || (args.output.is_none() && !args.open) {
        return as_text(&model, &named, &target);
    }
    let written = page::write(&target, |out| {
        let nonce = page::nonce()?;
        view::write(out, &model, &nonce)
    });
    match written {
        Err(exit) => exit,
        Ok(()) if args.open => page::show(&target),
        Ok(()) => Exit::OK,
    }
}

fn as_text(model: &Model, named: &Named, target: &Target) -> Exit {
    let failures = match failures(&named.path) {
        Ok(failures) => failures,
        Err(NotRead::Exit(exit)) => return exit,
        Err(NotRead::RunFile(e)) => return fail(&errors::run_file(&e)),
        Err(NotRead::Enough) => Vec::new(),
    };
    // Behind them: of a run that goes on there may be more by now, and never fewer.
    let state = match runfile::state(&named.path) {
        Ok(state) => state,
        Err(e) => return fail(&errors::run_file(&e)),
    };
    let said = said(&state, model, &failures, &named.name);
    let written = page::write(target, |out| out.write_all(said.as_bytes()));
    written.err().unwrap_or(Exit::OK)
}

/// Why failures are not read, or no more of them.
enum NotRead {
    RunFile(RunFileError),
    Exit(Exit),
    Enough,
}

impl From<RunFileError> for NotRead {
    fn from(e: RunFileError) -> NotRead {
        NotRead::RunFile(e)
    }
}

/// The first jobs that did not succeed.
fn failures(path: &Path) -> Result<Vec<FailedJob>, NotRead> {
    if runfile::configuration(path)?.is_of_executor() {
        let calls = runfile::failed_calls(path, SHOWN)?;
        return Ok(calls.into_iter().map(failed_call).collect());
    }
    let recorded = Recorded::read(path).map_err(NotRead::Exit)?;
    let lookup = recorded.lookup_for_show();
    let plan = plan::plan(recorded.args, &lookup);
    let plan = plan.map_err(|message| NotRead::Exit(refuse(&message)))?;
    let room = Spill::new(MEMORY);
    let renderer = recorded::renderer(&plan, &room);
    let recipe = plan.batch.recipe();
    let mut all = Vec::new();
    let asked = Asked {
        failed: true,
        by_seq: false,
    };
    let read = runfile::outcomes::<NotRead>(path, &plan.purpose, &room, asked, |shown| {
        all.extend(output::failed(&renderer, &recipe, &shown));
        if all.len() < SHOWN {
            Ok(())
        } else {
            Err(NotRead::Enough)
        }
    });
    match read {
        Ok(()) | Err(NotRead::Enough) => Ok(all),
        Err(e) => Err(e),
    }
}

/// A job of a Python program, in words.
fn failed_call(call: FailedCall) -> FailedJob {
    let error = call.error.as_deref().unwrap_or(&call.verdict);
    FailedJob {
        what: text::escaped(format!("{}: {error}", call.call).as_bytes()),
        stderr: call.stderr,
    }
}

fn said(state: &State, model: &Model, failures: &[FailedJob], name: &str) -> String {
    let mut said = recorded::lines(state) + &view::lines(model);
    let bad = |(verdict, _): &&(String, i64)| verdict != "ok";
    let failed: i64 = state.verdicts.iter().filter(bad).map(|(_, n)| n).sum();
    let failed = failed.unsigned_abs();
    if !failures.is_empty() {
        said.push('\n');
        if failures.len() as u64 == failed {
            said += &format!("{} did not succeed:\n", text::counted(failed, "job"));
        } else {
            let (shown, all) = (text::count(failures.len() as u64), text::count(failed));
            said += &format!("The first {shown} of {all} jobs that did not succeed:\n");
        }
    }
    for failure in failures {
        said += &format!("  {}\n", failure.what);
        let stderr = failure
            .stderr
            .strip_suffix(b"\n")
            .unwrap_or(&failure.stderr);
        if stderr.is_empty() {
            continue;
        }
        let lines: Vec<&[u8]> = stderr.split(|&byte| byte == b'\n').collect();
        for line in &lines[lines.len().saturating_sub(STDERR_LINES)..] {
            said += &format!("    | {}\n", text::clipped(line));
        }
    }
    if state.dropped > 0 {
        let jobs = text::counted(state.dropped.unsigned_abs(), "job");
        said += &format!("\n{jobs} of these are only counted: the record had no room for more\n");
    }
    said += &view::unfinished(model);
    let next = next(state, failed, name);
    if !next.is_empty() {
        said.push('\n');
    }
    said += &next;
    said
}

/// What can be done with a run of which so many jobs did not succeed.
fn next(state: &State, failed: u64, name: &str) -> String {
    let open = state.open() > 0;
    let mut next = String::new();
    let mut say = |what: &str, how: String| next += &format!("{what:<14} {how}\n");
    if failed > 0 && !state.of_executor {
        let how = format!("orchestrator results {name} --failed --format jsonl");
        say("all of them:", how);
    }
    // Nobody else may write to the file then.
    if state.writer.is_some() {
        return next;
    }
    if state.of_executor {
        if open || failed > 0 {
            say("once more:", "start the program again".into());
        }
        return next;
    }
    if state.light {
        if open || failed > 0 {
            say("once more:", format!("orchestrator retry {name}"));
        }
        return next;
    }
    if failed > 0 {
        let how = format!("orchestrator retry --failed {name}");
        say("once more:", how);
    }
    if !state.input_whole {
        let how = "the same command and input, with --resume";
        say("to go on:", how.into());
    } else if open {
        say("to go on:", format!("orchestrator resume {name}"));
    }
    next
}
