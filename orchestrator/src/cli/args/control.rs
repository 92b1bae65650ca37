//! Options about how many jobs run at once, when they start, and when all ends.

use std::ffi::OsString;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use nix::sys::signal::Signal;
use protocol::StopStep;

use super::{grace, size, time};
use crate::run::halt::Halt;
use crate::run::jobs::Jobs;

/// How many jobs run at once, when they start, and when all ends.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Control")]
pub(crate) struct ControlArgs {
    /// How many jobs run at once, each in a worker process: N, N% of the CPUs, +N or -N of them,
    /// 0 for as many as the limits allow (at most 1,024), or a FILE that says so and is
    /// read again when it changes [default: the CPUs this process may use]
    #[arg(short = 'j', long, visible_alias = "jobs", visible_short_alias = 'P', value_name = "N",
          allow_negative_numbers = true, value_parser = jobs())]
    pub(crate) workers: Option<JobsArg>,

    /// How many threads a job uses: run fewer jobs at once, by default the CPUs divided by
    /// K, and tell libraries for computing (OMP_NUM_THREADS and the like, where unset)
    #[arg(long, value_name = "K")]
    pub(crate) threads_per_job: Option<NonZero<usize>>,

    /// End an attempt that takes longer, e.g. 90s, 5m; a bare number is seconds; N% of the
    /// median of the times of jobs that have succeeded
    #[arg(long, value_name = "TIME|N%", value_parser = timeout)]
    pub(crate) timeout: Option<TimeoutArg>,

    /// Start a job only so long after the one before, e.g. 0.5, 100ms; with `auto` behind it
    /// (0.5auto) longer after each failure, shorter after each success
    #[arg(long, value_name = "TIME[auto]", value_parser = delay)]
    pub(crate) delay: Option<DelayArg>,

    /// Start no job while so many processes run on this machine, or wait for a disk: N,
    /// N% of the CPUs, +N, -N, 0 for any at all
    #[arg(long, alias = "max-load", value_name = "N", allow_negative_numbers = true,
          value_parser = load)]
    pub(crate) load: Option<Jobs>,

    /// Start no job while less memory than this is available, e.g. 1G; while it is less than
    /// half, end the job that began last and run it again later
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memfree: Option<u64>,

    /// Try a job that failed, timed out or crashed N more times [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) retries: Option<u32>,

    /// How long a job that was told to end may take [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = grace)]
    pub(crate) grace: Option<Duration>,

    /// How commands are made to stop, signals and milliseconds between them, e.g.
    /// TERM,200,TERM,100,KILL,25; at last always KILL [default: TERM, and KILL after --grace]
    #[arg(long, visible_alias = "term-seq", value_name = "SIG,MS,…", value_parser = termseq,
          conflicts_with = "grace")]
    pub(crate) termseq: Option<TermSeq>,

    /// Tell jobs the number of their slot, from 0, in this variable
    #[arg(long, value_name = "NAME", value_parser = OsStringValueParser::new().try_map(name))]
    pub(crate) process_slot_var: Option<OsString>,

    /// Stop early: never, or now|soon,fail|success|done=N[%], e.g. now,fail=1
    #[arg(
        long,
        value_name = "WHEN,WHY",
        allow_negative_numbers = true,
        value_parser = halt
    )]
    pub(crate) halt: Option<HaltArg>,

    /// Run jobs at this niceness, 0 to 19, if it is more than this program's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=19))]
    pub(crate) nice: Option<i32>,

    /// Run jobs in this directory, which is made if it is not there; with places as in a
    /// command, each job in its own
    #[arg(long, visible_alias = "workdir", value_name = "DIR")]
    pub(crate) wd: Option<OsString>,

    /// Jobs need this variable (repeatable): warn when it is not exported, as all that is
    /// exported reaches them; `_` stands for those
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Vec<OsString>,
}

/// How many jobs run at once, or who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobsArg {
    /// So many.
    Number(Jobs),
    /// As many as this file says, or it is a slip of the keyboard.
    File(PathBuf),
}

/// Reads what is behind `-j`.
pub(super) fn jobs() -> impl TypedValueParser<Value = JobsArg> {
    OsStringValueParser::new().map(|word| {
        let number = std::str::from_utf8(word.as_bytes()).ok();
        match number.and_then(|text| text.parse().ok()) {
            Some(jobs) => JobsArg::Number(jobs),
            None => JobsArg::File(word.into()),
        }
    })
}

/// How long an attempt may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TimeoutArg {
    /// So long.
    Time(Duration),
    /// Such a percentage of what others took.
    Percent(f64),
}

fn timeout(text: &str) -> Result<TimeoutArg, String> {
    let Some(share) = text.strip_suffix('%') else {
        return time(text).map(TimeoutArg::Time);
    };
    match share.parse() {
        Ok(percent) if percent > 0.0 && percent <= 1e6 => Ok(TimeoutArg::Percent(percent)),
        _ => Err("a share of the median is more than 0%, e.g. 300%".into()),
    }
}

/// The time between two starts, and whether it adapts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DelayArg {
    pub(crate) pause: Duration,
    pub(crate) adapts: bool,
}

fn delay(text: &str) -> Result<DelayArg, String> {
    let bare = text.strip_suffix("auto");
    grace(bare.unwrap_or(text)).map(|pause| DelayArg {
        pause,
        adapts: bare.is_some(),
    })
}

fn load(text: &str) -> Result<Jobs, String> {
    let jobs = text.parse();
    jobs.map_err(|()| "write a number of processes: N, N% of the CPUs, +N or -N".into())
}

/// How commands are made to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TermSeq(pub(crate) Vec<StopStep>);

fn termseq(text: &str) -> Result<TermSeq, String> {
    let words: Vec<&str> = text.split(',').collect();
    let steps = words.chunks(2).map(|step| {
        let name = step[0].strip_prefix("SIG").unwrap_or(step[0]);
        let number = match name.parse::<i32>() {
            Ok(number) => Signal::try_from(number),
            Err(_) => format!("SIG{name}").parse(),
        };
        let wait = step.get(1).map_or(Ok(0), |ms| ms.parse::<u64>());
        match (number, wait) {
            (Ok(signal), Ok(wait_ms)) => Ok(StopStep {
                signal: signal as i32,
                wait_ms,
            }),
            (Err(_), _) => Err(format!("`{name}` is no signal")),
            (Ok(_), Err(_)) => Err(format!(
                "behind {name} there must be a number of milliseconds: TERM,200,KILL,25"
            )),
        }
    });
    steps.collect::<Result<_, _>>().map(TermSeq)
}

/// The name of a variable.
fn name(word: OsString) -> Result<OsString, &'static str> {
    match word.as_bytes() {
        b"" => Err("a variable has a name"),
        name if name.contains(&b'=') => Err("a variable's name has no `=` in it"),
        _ => Ok(word),
    }
}

/// When a run ends before its input does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HaltArg {
    /// Not at all.
    Never,
    /// Then.
    At(Halt),
}

fn halt(text: &str) -> Result<HaltArg, String> {
    match text {
        "never" | "0" => Ok(HaltArg::Never),
        text if text.starts_with("never,") => Ok(HaltArg::Never),
        text => text.parse().map(HaltArg::At),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::run;
    use super::*;

    fn control(words: &[&str]) -> ControlArgs {
        run(words).unwrap().control
    }

    #[test]
    fn the_number_of_jobs_may_begin_with_a_sign_or_be_a_file() {
        for (word, jobs) in [
            ("-1", JobsArg::Number(Jobs::Fewer(1))),
            ("-100", JobsArg::Number(Jobs::Fewer(100))),
            ("+2", JobsArg::Number(Jobs::More(2))),
            ("0", JobsArg::Number(Jobs::Most)),
            ("150%", JobsArg::Number(Jobs::Percent(150.0))),
            ("abc", JobsArg::File("abc".into())),
        ] {
            assert_eq!(control(&["-j", word, "true"]).workers, Some(jobs.clone()));
            assert_eq!(control(&[&format!("-j{word}")]).workers, Some(jobs));
        }
    }

    #[test]
    fn a_halt_may_be_never() {
        for word in ["never", "never,fail=1", "0"] {
            assert_eq!(control(&["--halt", word]).halt, Some(HaltArg::Never));
        }
        let now: Halt = "now,success=1".parse().unwrap();
        assert_eq!(control(&["--halt", "-2"]).halt, Some(HaltArg::At(now)));
        assert!(run(&["--halt", "later,fail=1"]).is_err());
    }

    #[test]
    fn a_timeout_may_be_a_share_and_a_delay_may_adapt() {
        let seconds = Duration::from_secs;
        for (word, wanted) in [
            ("90", TimeoutArg::Time(seconds(90))),
            ("5m", TimeoutArg::Time(seconds(300))),
            ("250%", TimeoutArg::Percent(250.0)),
        ] {
            assert_eq!(control(&["--timeout", word]).timeout, Some(wanted));
        }
        for (word, pause, adapts) in [("2", 2, false), ("2sauto", 2, true), ("1mauto", 60, true)] {
            let pause = seconds(pause);
            assert_eq!(
                control(&["--delay", word]).delay,
                Some(DelayArg { pause, adapts })
            );
        }
        for bad in [
            "--timeout=0%",
            "--timeout=%",
            "--timeout=-5%",
            "--timeout=inf%",
            "--timeout=0",
            "--delay=x",
            "--delay=auto",
            "--delay=-1",
            "--delay=1x",
            "--load=x",
            "--memfree=1x",
        ] {
            assert!(run(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn signals_and_waits_take_turns() {
        let steps = |text| termseq(text).map(|seq| seq.0);
        let step = |signal, wait_ms| StopStep { signal, wait_ms };
        let gnus = steps("TERM,200,TERM,100,TERM,50,KILL,25").unwrap();
        assert_eq!(
            gnus,
            [step(15, 200), step(15, 100), step(15, 50), step(9, 25)]
        );
        assert_eq!(steps("SIGINT,5,9").unwrap(), [step(2, 5), step(9, 0)]);
        for bad in [
            "", "FOO", "TERM,x", "TERM,", "TERM,1,", "TERM,-1", "0", "99", "TERM,INT",
        ] {
            assert!(steps(bad).is_err(), "{bad}");
        }
        assert!(run(&["--termseq", "TERM", "--grace", "1", "true"]).is_err());
        for bad in ["", "A=B"] {
            assert!(run(&[&format!("--process-slot-var={bad}"), "true"]).is_err());
        }
    }

    #[test]
    fn niceness_is_what_a_process_can_have() {
        assert_eq!(control(&["--nice", "19"]).nice, Some(19));
        for bad in ["-1", "20", "x"] {
            assert!(run(&[&format!("--nice={bad}")]).is_err(), "{bad}");
        }
    }
}
