//! What the options about control mean: how many workers, where and how they
//! run, when the run ends early, and what is watched meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use protocol::StopStep;

use super::super::args::control::{ControlArgs, HaltArg, JobsArg, TimeoutArg};
use super::super::errors::Message;
use super::super::program::Lookup;
use super::super::watch::{JobsFile, Watch};
use super::output;
use crate::pool::{PoolConfig, ThreadsPerJob, usable_cpus};
use crate::run::gate::Gate;
use crate::run::halt::Halt;
use crate::run::jobs::Jobs;
use crate::run::source::directory::Directory;
use crate::run::source::label::Label;
use crate::run::source::place::Places;
use crate::run::source::work::Work;
use crate::run::text;

/// So many workers, or one per CPU, are started without looking at how many jobs there are.
const AT_ONCE: usize = 16;

/// The variable that tells a run inside a job on how many CPUs it may count.
pub(crate) const CPUS: &str = "ORCHESTRATOR_CPUS";

/// What these options mean beside the pool's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Controlled {
    /// When the run ends before its input does.
    pub(crate) halt: Option<Halt>,
    /// What is looked at while it runs.
    pub(crate) watch: Watch,
    /// How commands are made to stop, if that was said.
    pub(crate) stop: Vec<StopStep>,
    /// Lines for stderr.
    pub(crate) warnings: Vec<String>,
}

/// Enters what these options mean in the pool's configuration.
///
/// # Errors
/// When they make no sense, or something that they name is not there.
pub(super) fn control(
    args: ControlArgs,
    lookup: &Lookup,
    pool: &mut PoolConfig,
) -> Result<Controlled, Message> {
    let ControlArgs {
        workers,
        threads_per_job,
        timeout,
        delay,
        load,
        memfree,
        retries,
        grace,
        termseq,
        process_slot_var,
        halt,
        nice,
        // Where commands are looked for depends on it: see `directory`.
        wd: _,
        env,
    } = args;
    let cpus = cpus(lookup.cpus.as_deref())?;
    let mut watch = Watch::default();
    pool.workers = match workers {
        Some(JobsArg::Number(jobs)) => {
            let (number, few) = (jobs.count(cpus), cpus.max(AT_ONCE));
            // There may be fewer jobs than anybody could have workers.
            pool.min_workers = match jobs {
                Jobs::Most => Some(1),
                _ => (number > few).then_some(few),
            };
            number
        }
        Some(JobsArg::File(path)) => {
            let path = lookup.cwd.join(path);
            let file = JobsFile::open(path, cpus).or_else(|message| match lookup.must_exist {
                true => Err(message),
                false => Ok(None),
            })?;
            let number = file.as_ref().map(JobsFile::number);
            watch.jobs = file;
            number.unwrap_or(cpus)
        }
        None => threads_per_job.map_or(cpus, |threads| (cpus / threads).max(1)),
    };
    let share = (cpus / pool.workers).max(1);
    let share = threads_per_job.map_or(share, |threads| threads.get());
    if share != cpus {
        // Else what this run was told is true for its jobs as well.
        let share = (CPUS.into(), share.to_string().into());
        pool.launch.env.push(share);
    }
    if let Some(threads) = threads_per_job {
        pool.threads_per_job = ThreadsPerJob::Exactly(threads.get());
    }
    match timeout {
        Some(TimeoutArg::Time(time)) => pool.timeout = Some(time),
        Some(TimeoutArg::Percent(percent)) => pool.timeout_percent = Some(percent),
        None => {}
    }
    if let Some(delay) = delay {
        pool.start_delay = delay.pause;
        pool.start_delay_adapts = delay.adapts;
    }
    watch.gate = Gate {
        // No process at all is fewer than one.
        load: load.map(|load| match load {
            Jobs::Most => 1,
            load => load.count(cpus) as u64,
        }),
        memory: memfree,
    };
    pool.starts_by_leave = watch.gate.is_there();
    pool.retries = retries.unwrap_or(pool.retries);
    pool.grace = grace.unwrap_or(pool.grace);
    let stop = termseq.map(|seq| seq.0).unwrap_or_default();
    if !stop.is_empty() {
        let all = stop.iter().map(|step| Duration::from_millis(step.wait_ms));
        pool.grace = all.fold(Duration::ZERO, Duration::saturating_add);
    }
    pool.slot_variable = process_slot_var;
    pool.nice = nice;
    Ok(Controlled {
        halt: match halt {
            Some(HaltArg::At(halt)) => Some(halt),
            Some(HaltArg::Never) | None => None,
        },
        watch,
        stop,
        warnings: env.iter().filter_map(missing).collect(),
    })
}

/// How many CPUs this run may count on: all that it may use, unless it is part
/// of a job that has been told of its share.
fn cpus(share: Option<&OsStr>) -> Result<usize, Message> {
    let usable = usable_cpus();
    let Some(share) = share.filter(|share| !share.is_empty()) else {
        return Ok(usable);
    };
    let number = share.to_str().and_then(|share| share.parse::<usize>().ok());
    match number {
        Some(number @ 1..) => Ok(number.min(usable)),
        Some(0) | None => {
            let shown = text::quoted(share.as_bytes());
            Err(Message::new(format!("{CPUS} is {shown}, no number of CPUs"))
                .tip("it is set for the jobs of a run, so that a run inside one takes no more than its share")
                .tip(format!("to use all: unset {CPUS}")))
        }
    }
}

/// What to say about a variable that jobs need, if it will not reach them.
fn missing(name: &OsString) -> Option<String> {
    if name == "_" || std::env::var_os(name).is_some() {
        return None;
    }
    // How bash exports a function of that name.
    let mut function = OsString::from("BASH_FUNC_");
    function.push(name);
    function.push("%%");
    if std::env::var_os(function).is_some() {
        return None;
    }
    let shown = text::escaped(name.as_bytes());
    Some(format!(
        "warning: --env {shown}: there is no such variable in the environment\n  \
         tip: export {shown}, or export -f {shown} for a function of bash\n"
    ))
}

/// In which directory jobs run.
#[derive(Debug, Default)]
pub(super) struct Where {
    /// All in this one.
    pub(super) all: Option<PathBuf>,
    /// Each in its own.
    pub(super) each: Option<Directory>,
}

/// The directory in which jobs run, made if need be.
///
/// # Errors
/// When it cannot be made, or is no directory.
pub(super) fn directory(
    args: &ControlArgs,
    places: &Places,
    lookup: &Lookup,
) -> Result<Where, Message> {
    let Some(wanted) = args.wd.as_ref().filter(|wd| !wd.is_empty()) else {
        return Ok(Where::default());
    };
    if wanted == "..." {
        return Err(Message::new("--wd ... is not offered")
            .tip("to give each job a directory of its own: --wd 'DIR/{#}'"));
    }
    let name = Label::parse(wanted.as_bytes(), places);
    let name = name.map_err(|e| output::no_such_place("--wd", wanted, e))?;
    if name.has_slot() {
        let what = "--wd: `{%}`, the number of the slot, is not known before the job has one";
        return Err(Message::new(what).tip("`{#}` is the number of the job"));
    }
    if name.has_place() {
        return Ok(Where {
            all: None,
            each: Some(Directory {
                base: lookup.cwd.clone(),
                name,
                make: lookup.must_exist,
            }),
        });
    }
    let path = lookup.cwd.join(wanted);
    if lookup.must_exist {
        fs::create_dir_all(&path).map_err(|e| {
            let shown = text::quoted(wanted.as_bytes());
            Message::new(format!(
                "--wd {shown} cannot be the directory of jobs: {}",
                text::reason(&e)
            ))
        })?;
    }
    Ok(Where {
        all: Some(path),
        each: None,
    })
}

/// A directory for each item; nothing is made for jobs that are only shown.
///
/// # Errors
/// When there are no items that are part of a command.
pub(super) fn for_items(wd: Directory, work: &Work, dry_run: bool) -> Result<Directory, Message> {
    match work {
        Work::Command(_) | Work::Shell(_) | Work::Commands => Ok(Directory {
            make: wd.make && !dry_run,
            ..wd
        }),
        Work::Jobs { tasks: false } => Err(Message::new("--wd with places is for lines")
            .tip("a job that is an object may have its own directory: {\"cwd\": …}")),
        Work::Jobs { tasks: true } | Work::Task { .. } => Err(Message::new(
            "--wd with places is for commands: tasks run in the directory of their worker",
        )
        .tip("leave out the places")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lookup, planned, refused};
    use super::*;

    fn variable(words: &[&str], name: &str) -> Option<String> {
        let env = planned(words).batch.pool.launch.env;
        let value = env.into_iter().find(|(known, _)| known == name);
        value.map(|(_, value)| value.into_string().unwrap())
    }

    #[test]
    fn jobs_are_counted_by_the_cpus() {
        let cpus = usable_cpus();
        for (words, workers) in [
            (&["true"][..], cpus),
            (&["-j7", "true"], 7),
            (&["-j", "+3", "true"], cpus + 3),
            (&["-j", "-1000", "true"], 1),
            (&["-j", "300%", "true"], 3 * cpus),
            (&["--threads-per-job", "1000", "true"], 1),
            (&["--threads-per-job", "1", "true"], cpus),
            (&["--threads-per-job", "2", "-j5", "true"], 5),
        ] {
            assert_eq!(planned(words).batch.pool.workers, workers, "{words:?}");
        }
        let most = planned(&["-j0", "true"]).batch.pool;
        assert!(most.workers > 1 && most.min_workers == Some(1));
        // A story: three jobs and -j300 took two seconds.
        let many = planned(&["-j", "+300", "true"]).batch.pool;
        assert_eq!(many.min_workers, Some(cpus.max(AT_ONCE)));
        assert_eq!(planned(&["-j7", "true"]).batch.pool.min_workers, None);
    }

    #[test]
    fn peers_3_9_what_is_no_number_of_jobs_is_an_error() {
        let said = refused(&["-j", "abc", "true"]);
        assert!(
            said.starts_with("error: -j `abc` is no number of jobs, and there is no such file\n"),
            "{said}"
        );
        let said = refused(&["-j", "/", "true"]);
        assert!(said.starts_with("error: -j `/` is no number of jobs, and no file"));
        // Who only looks at a recorded run does not need it.
        let lookup = Lookup {
            must_exist: false,
            ..lookup()
        };
        let args = super::super::super::args::tests::run(&["-j", "abc", "true"]);
        assert!(super::super::plan(args.unwrap(), &lookup).is_ok());
    }

    #[test]
    fn a_job_is_told_its_share_of_the_cpus() {
        let cpus = usable_cpus();
        assert_eq!(variable(&["-j1", "true"], CPUS), None);
        let all = (cpus > 1).then(|| "1".to_owned());
        assert_eq!(variable(&["-j1000", "true"], CPUS), all);
        let words = ["--threads-per-job", "1003", "-j2", "true"];
        assert_eq!(variable(&words, CPUS), Some("1003".into()));
        let pool = planned(&words).batch.pool;
        assert_eq!(pool.threads_per_job, ThreadsPerJob::Exactly(1003));
    }

    #[test]
    fn a_run_inside_a_job_counts_on_its_share() {
        assert_eq!(cpus(Some("1".as_ref())).unwrap(), 1);
        assert_eq!(cpus(Some("100000".as_ref())).unwrap(), usable_cpus());
        assert_eq!(cpus(Some("".as_ref())).unwrap(), usable_cpus());
        for bad in ["0", "x", "-1"] {
            let said = cpus(Some(bad.as_ref())).unwrap_err().to_string();
            assert!(said.contains("no number of CPUs"), "{said}");
        }
    }

    #[test]
    fn commands_are_looked_for_in_the_directory_of_jobs() {
        let dir = tempfile::tempdir().unwrap();
        let wd = dir.path().join("a/b").display().to_string();
        assert!(refused(&["--wd", &wd, "./tool"]).contains("`./tool` not found"));
        let tool = dir.path().join("a/b/tool");
        fs::write(&tool, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let plan = planned(&["--wd", &wd, "./tool"]);
        assert_eq!(plan.batch.pool.launch.current_dir, Some(wd.into()));
        assert_eq!(plan.purpose.cwd, lookup().cwd);
        let said = refused(&["--wd", "/dev/null/x", "true"]);
        assert!(
            said.contains("`/dev/null/x` cannot be the directory"),
            "{said}"
        );
        assert!(refused(&["--wd", "...", "true"]).contains("not offered"));
    }

    #[test]
    fn a_directory_for_each_job_is_for_items() {
        let plan = planned(&["--wd", "/tmp/{}/{#}", "true"]);
        assert_eq!(plan.batch.pool.launch.current_dir, None);
        assert!(plan.batch.wd.is_some_and(|wd| wd.make));
        let plan = planned(&["--wd", "/tmp/{}", "--dry-run", "true"]);
        assert!(plan.batch.wd.is_some_and(|wd| !wd.make));
        for (words, what) in [
            (
                &["--wd", "d{%}", "true"][..],
                "--wd: `{%}`, the number of the slot",
            ),
            (
                &["--wd", "{}", "--task", "t"],
                "--wd with places is for commands",
            ),
            (
                &["--wd", "{}", "--input", "jsonl"],
                "--wd with places is for lines",
            ),
            (
                &["--wd", "{}", "--pipe", "cat"],
                "with --pipe there is nothing to put in for `{}`",
            ),
        ] {
            let said = refused(words);
            assert!(said.starts_with(&format!("error: {what}")), "{said}");
        }
    }

    #[test]
    fn a_variable_that_reaches_no_job_is_told() {
        let plan = planned(&["--env", "PATH", "--env", "_", "--env", "NO_SUCH", "true"]);
        let [warning] = &plan.warnings[..] else {
            panic!("{:?}", plan.warnings)
        };
        assert!(warning.starts_with("warning: --env NO_SUCH: "));
    }
}
