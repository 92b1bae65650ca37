//! The commands that are about a recorded run: `resume`, `retry`, `results`, `status`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use clap::Parser;

use super::args::{
    Changes, Cli, Command, OutputArgs, ResultsArgs, ResumeArgs, RetryArgs, RunArgs, StatusArgs,
};
use super::errors::{self, Message};
use super::exit::Exit;
use super::generated;
use super::main::{fail, lookup, records, refuse, say, start};
use super::plan::{self, Plan, Record};
use super::program::Lookup;
use super::summary;
use crate::pool::{Capture, Spill};
use crate::run::output;
use crate::run::runfile::{
    self, Access, Asked, Configuration, History, RunFileError, State, Which,
};
use crate::run::sink::render::{Columns, Page, Renderer};
use crate::run::text;

/// How much of the results is kept in memory while they are written, in bytes.
const MEMORY: usize = 16 << 20;

/// The word for the run that began last.
const LAST: &str = "last";

/// A recorded run, as it was named.
pub(super) struct Named {
    pub(super) path: PathBuf,
    /// What was given, as a shell reads it; fit for a terminal.
    pub(super) name: String,
}

impl Named {
    /// # Errors
    /// When it is the last run, and none is recorded.
    pub(super) fn find(given: &Path) -> Result<Named, Message> {
        let path = if given.as_os_str() == LAST {
            let records = records();
            let last = records.as_ref().and_then(History::last);
            last.ok_or_else(|| errors::no_record(records.as_ref().map(History::dir)))?
        } else {
            given.to_owned()
        };
        Ok(Named {
            path,
            name: summary::quoted(given),
        })
    }
}

pub(super) fn resume(args: ResumeArgs) -> Exit {
    let which = Which {
        open: true,
        failed: false,
    };
    again(&args.file, which, &args.changes)
}

pub(super) fn retry(args: RetryArgs) -> Exit {
    let which = Which {
        open: !args.failed,
        failed: true,
    };
    again(&args.file, which, &args.changes)
}

/// Runs jobs of a run file as it says they are run.
fn again(file: &Path, which: Which, changes: &Changes) -> Exit {
    let named = match Named::find(file) {
        Ok(named) => named,
        Err(message) => return fail(&message),
    };
    let file = named.path;
    let recorded = match Recorded::read(&file) {
        Ok(recorded) => recorded,
        Err(exit) => return exit,
    };
    if named.name == LAST && !changes.told.quiet {
        let Configuration {
            began_us, purpose, ..
        } = &recorded.configuration;
        let purpose = text::escaped(purpose.as_bytes());
        say(&format!("last run, of {}: {purpose}\n", time(*began_us)));
    }
    let mut args = recorded.args;
    args.control.workers = changes.workers.clone().or(args.control.workers);
    args.told = changes.told;
    // Those of the recorded run have what they saw.
    args.observe = changes.observe.clone();
    args.run_file = Some(file);
    let lookup = Lookup {
        cwd: recorded.configuration.cwd,
        ..lookup()
    };
    match plan::plan(args, &lookup) {
        Err(message) => refuse(&message),
        Ok(mut plan) => {
            if let Record::File(record) = &mut plan.record {
                record.access = Access::Again(which);
            }
            start(plan, recorded.configuration.arguments)
        }
    }
}

/// How a recorded run was called.
pub(super) struct Recorded {
    configuration: Configuration,
    pub(super) args: RunArgs,
}

impl Recorded {
    /// Where to look for programs that are only named, not started: they may be gone.
    pub(super) fn lookup_for_show(&self) -> Lookup {
        Lookup {
            cwd: self.configuration.cwd.clone(),
            must_exist: false,
            ..lookup()
        }
    }

    pub(super) fn read(file: &Path) -> Result<Recorded, Exit> {
        let configuration = runfile::configuration(file).map_err(|e| failed(&e))?;
        if configuration.is_of_executor() {
            let name = text::escaped(file.as_os_str().as_encoded_bytes());
            let what = format!("run file {name}: its jobs are calls of a Python program");
            let tip = format!(
                "start that program again to go on; to look at it: orchestrator report {name}"
            );
            return Err(fail(&Message::new(what).tip(tip)));
        }
        let words = configuration.arguments.iter().cloned();
        let words = words.map(OsString::from_vec);
        let all = ["orchestrator".into(), "run".into()]
            .into_iter()
            .chain(words);
        let mut args = match Cli::try_parse_from(all) {
            Ok(Cli {
                command: Command::Run(args),
            }) => *args,
            _ => {
                let name = text::escaped(file.as_os_str().as_encoded_bytes());
                let what = format!("run file {name}: this version does not know its options");
                return Err(fail(&Message::new(what)));
            }
        };
        if args.sources.header_name.is_empty() {
            // There was nothing, and so no names.
            args.sources.header = None;
        }
        Ok(Recorded {
            configuration,
            args,
        })
    }
}

fn failed(e: &RunFileError) -> Exit {
    fail(&errors::run_file(e))
}

/// Why results were not shown.
enum NotShown {
    RunFile(RunFileError),
    /// What is in the run file cannot be kept in memory or rendered.
    Kept(io::Error),
    Written(io::Error),
}

impl From<RunFileError> for NotShown {
    fn from(e: RunFileError) -> NotShown {
        NotShown::RunFile(e)
    }
}

pub(super) fn results(args: ResultsArgs) -> Exit {
    let path = match Named::find(&args.file) {
        Ok(named) => named.path,
        Err(message) => return fail(&message),
    };
    let mut recorded = match Recorded::read(&path) {
        Ok(recorded) => recorded,
        Err(exit) => return exit,
    };
    if args.format.is_some() {
        // How the run has printed and kept its results is no matter of this format.
        recorded.args.output = OutputArgs::default();
        recorded.args.format = args.format;
    }
    let lookup = recorded.lookup_for_show();
    let plan = match plan::plan(recorded.args, &lookup) {
        Ok(plan) => plan,
        Err(message) => return refuse(&message),
    };
    let light = recorded.configuration.light;
    if light {
        say(
            "note: of this run, only jobs that did not succeed are recorded, without their stdout; \
             with --run-file all is\n",
        );
    }
    match show(&plan, &path, args.failed || light) {
        Ok(()) => Exit::OK,
        Err(NotShown::Written(e)) if e.kind() == io::ErrorKind::BrokenPipe => Exit::BROKEN_PIPE,
        Err(NotShown::RunFile(e)) => failed(&e),
        Err(NotShown::Kept(e)) => {
            let what = format!("recorded results cannot be shown: {}", text::reason(&e));
            fail(&Message::new(what))
        }
        Err(NotShown::Written(e)) => {
            let what = format!("results could not be written: {}", text::reason(&e));
            fail(&Message::new(what))
        }
    }
}

/// Renders what was recorded, whose times count from 1970.
pub(super) fn renderer(plan: &Plan, room: &Arc<Spill>) -> Renderer {
    Renderer {
        format: plan.batch.format,
        task: plan.batch.work.task(),
        origin: plan.batch.inputs.origin(),
        started: UNIX_EPOCH,
        room: Arc::clone(room),
        tip_given: true,
        terse: false,
        manner: plan.batch.manner.for_show(),
        fields: plan.batch.shown_fields(),
        names: plan.batch.manner.names.clone(),
        columns: Columns::default(),
        slots: None,
        shell: plan.batch.shell,
        typed: plan.batch.typed,
    }
}

fn show(plan: &Plan, path: &Path, failed: bool) -> Result<(), NotShown> {
    let room = Spill::new(MEMORY);
    let mut renderer = renderer(plan, &room);
    let recipe = plan.batch.recipe();
    let mut page = renderer.page();
    let mut out = io::stdout().lock();
    let asked = Asked {
        failed,
        by_seq: plan.batch.keep_order,
    };
    runfile::outcomes::<NotShown>(path, &plan.purpose, &room, asked, |shown| {
        let told = output::again(&mut renderer, &mut page, &recipe, shown);
        let told = told.map_err(NotShown::Kept)?;
        if page.is_full() || !told.printed.is_empty() || !told.err.is_empty() {
            write(&mut out, &take(&mut page)?)?;
            write(&mut out, &told.printed)?;
            // Nobody is left to be told when that fails.
            told.err
                .for_each(|piece| io::stderr().write_all(piece))
                .ok();
        }
        Ok(())
    })?;
    write(&mut out, &take(&mut page)?)?;
    out.flush().map_err(NotShown::Written)
}

fn take(page: &mut Page) -> Result<Capture, NotShown> {
    page.take().map_err(NotShown::Kept)
}

fn write(out: &mut impl Write, capture: &Capture) -> Result<(), NotShown> {
    capture
        .for_each(|piece| out.write_all(piece))
        .and_then(|()| out.flush())
        .map_err(NotShown::Written)
}

pub(super) fn status(args: &StatusArgs) -> Exit {
    let named = match Named::find(&args.file) {
        Ok(named) => named,
        Err(message) => return fail(&message),
    };
    let state = match runfile::state(&named.path) {
        Ok(state) => state,
        Err(e) => return failed(&e),
    };
    generated::print("the status", lines(&state).as_bytes())
}

/// A recorded point in time.
fn time(us: i64) -> impl std::fmt::Display {
    let us = us.clamp(0, runfile::LAST_US).unsigned_abs();
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_micros(us))
}

/// How far a run has come, in lines for a person that a script can read as well.
pub(super) fn lines(state: &State) -> String {
    let count = |number: i64| text::count(number.unsigned_abs());
    let now = match (state.writer, state.ended_us) {
        (Some(Some(pid)), _) => format!("running (process {pid})"),
        (Some(None), _) => "running".to_owned(),
        (None, Some(us)) => match &state.failure {
            None => format!("ended {}", time(us)),
            Some(why) => format!("failed {}: {}", time(us), text::escaped(why.as_bytes())),
        },
        (None, None) => "ended without a word: killed, or the machine went down".to_owned(),
    };
    let input = match state.input_whole {
        true => "read to its end",
        false => "not read to its end",
    };
    let mut lines = format!(
        "run       {}\ndoes      {}\nbegan     {}\nstate     {now}\nruns      {}\ninput     {input}\n\
         {}{}\n",
        text::escaped(state.run_id.as_bytes()),
        text::escaped(state.purpose.as_bytes()),
        time(state.began_us),
        count(state.runs),
        // Those that were done are counted at the end.
        match state.light && state.ended_us.is_none() {
            true => "recorded  ",
            false => "jobs      ",
        },
        count(state.jobs),
    );
    for (verdict, number) in state.verdicts.iter().chain(&state.unfinished) {
        let verdict = text::escaped(verdict.as_bytes());
        lines += &format!("{verdict:<9} {}\n", count(*number));
    }
    let ended: i64 = state.unfinished.iter().map(|(_, number)| number).sum();
    if state.open() > ended {
        lines += &format!("no result {}\n", count(state.open() - ended));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_is_done_and_what_is_not() {
        let state = State {
            run_id: "0123".into(),
            purpose: "-- gzip {} in /a".into(),
            began_us: 1_000_000,
            ended_us: None,
            failure: None,
            runs: 2,
            writer: Some(Some(7)),
            input_whole: false,
            light: false,
            of_executor: false,
            dropped: 0,
            jobs: 2_000,
            verdicts: vec![("ok".into(), 1_500), ("failed".into(), 3)],
            unfinished: vec![("interrupted".into(), 7)],
        };
        let said = lines(&state);
        assert_eq!(
            said,
            "run       0123\ndoes      -- gzip {} in /a\nbegan     1970-01-01T00:00:01Z\n\
             state     running (process 7)\nruns      2\ninput     not read to its end\n\
             jobs      2,000\nok        1,500\nfailed    3\ninterrupted 7\nno result 490\n"
        );
        let ended = State {
            writer: None,
            ..state
        };
        assert!(lines(&ended).contains("ended without a word"));
    }
}
