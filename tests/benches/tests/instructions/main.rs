//! What a job costs in instructions and allocations, counted by valgrind's
//! callgrind: unlike times these are the same on a busy machine, so that a few
//! per cent show.
//!
//! Each program runs with so many jobs and with twice as many, its worker
//! counted as well; the difference is what the jobs cost, without the start. All
//! of it runs on one CPU, where neither side looks for answers before it sleeps:
//! how often it would look depends on who else is there. What still varies is
//! how many jobs travel together, which depends on time.

#![expect(
    clippy::disallowed_methods,
    reason = "valgrind is started here, and nowhere else"
)]

mod callgrind;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use callgrind::Profile;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

const MAP: &str = env!("CARGO_BIN_EXE_bench-map");
const ORCHESTRATOR: &str = env!("CARGO_BIN_EXE_bench-orchestrator");
const WORKER: &str = env!("CARGO_BIN_EXE_bench-worker");

// What a job did cost when somebody last decided that it may. The test prints
// what it costs now. By rustc 1.95 with the workspace's release profile, and
// glibc 2.36.
const BOUNDS_OF_MAP: [Bound; 2] = [
    Bound::at("map: the pool", 3_040.0, 0.1),
    Bound::at("map: its worker", 1_950.0, 0.0),
];
const BOUNDS_OF_RUN: [Bound; 2] = [
    Bound::at("orchestrator run", 5_450.0, 0.2),
    Bound::at("orchestrator run: its worker", 2_250.0, 0.0),
];

/// By what factor instructions may be more: the noise of a few tries takes 0.03,
/// the rest is for other compilers and C libraries.
const FACTOR: f64 = 1.1;
/// How many allocations may be added. Less than one for each job.
const ADDED: f64 = 0.5;
/// Below this share nothing was counted, or the bound is out of date and watches
/// over nothing.
const LEAST: f64 = 0.5;

/// More than a pool holds at once, so that all that grows has grown.
const JOBS: u32 = 10_000;
/// How often it is counted at most, until all are within their bounds: that
/// leaves the noise behind, but not what the code does.
const TRIES: usize = 4;

#[cfg_attr(
    any(debug_assertions, not(target_arch = "x86_64"), not(target_env = "gnu")),
    ignore = "the bounds are for --release, x86_64 and glibc"
)]
#[test]
fn a_job_of_a_map_stays_within_its_bounds() {
    stay_on(usable_cpus().max());
    // It checks its results itself.
    holds(&BOUNDS_OF_MAP, "map", |dir, jobs| {
        let (profiles, _) = callgrind::run(dir, "", &[MAP, &jobs.to_string(), "1"])?;
        Some(profiles)
    });
}

#[cfg_attr(
    any(debug_assertions, not(target_arch = "x86_64"), not(target_env = "gnu")),
    ignore = "the bounds are for --release, x86_64 and glibc"
)]
#[test]
fn a_line_of_orchestrator_run_stays_within_its_bounds() {
    // Not where the other test is, if there is room.
    stay_on(usable_cpus().min());
    holds(&BOUNDS_OF_RUN, "run", |dir, jobs| {
        let lines: String = (0..jobs).map(|n| format!("{n}\n")).collect();
        let options = ["-q", "-j1", "--worker", WORKER, "--task", "number"];
        let argv = [&[ORCHESTRATOR, "run"], &options[..]].concat();
        let (profiles, printed) = callgrind::run(dir, &lines, &argv)?;
        assert_eq!(printed.lines().count(), jobs as usize, "results missing");
        Some(profiles)
    });
}

/// What a job costs.
#[derive(Clone, Copy)]
struct Cost {
    instructions: f64,
    allocations: f64,
}

struct Bound {
    what: &'static str,
    measured: Cost,
}

impl Bound {
    const fn at(what: &'static str, instructions: f64, allocations: f64) -> Bound {
        let measured = Cost {
            instructions,
            allocations,
        };
        Bound { what, measured }
    }

    fn most(&self) -> Cost {
        Cost {
            instructions: self.measured.instructions * FACTOR,
            allocations: self.measured.allocations + ADDED,
        }
    }

    fn least(&self) -> Cost {
        Cost {
            instructions: self.measured.instructions * LEAST,
            // They are next to none, and none would be as good.
            allocations: 0.0,
        }
    }

    /// What is wrong with this cost, and what to do about it.
    fn complaint(&self, cost: Cost, profile: &Path) -> Option<String> {
        let (what, most, least) = (self.what, self.most(), self.least());
        if !cost.is_within(most) {
            return Some(format!(
                "{what}: {cost} for each job, but at most {most}.\n\
                `callgrind_annotate {}` shows where they are; compare with the commit before. If \
                they are worth it, the new figures go into {}, and the reason into the commit.",
                profile.display(),
                file!(),
            ));
        }
        (!least.is_within(cost)).then(|| {
            format!(
                "{what}: {cost} for each job, which is less than half of what was measured once. If \
                the jobs were done and counted, put the new figures into {}: the old ones watch \
                over nothing.",
                file!(),
            )
        })
    }
}

impl Cost {
    const ANY: Cost = Cost {
        instructions: f64::MAX,
        allocations: f64::MAX,
    };

    /// Of one job, by what a run costs more than one with `JOBS` less.
    fn of_each(fewer: &Profile, more: &Profile) -> Cost {
        let each = |fewer: u64, more: u64| (more as f64 - fewer as f64) / f64::from(JOBS);
        Cost {
            instructions: each(fewer.instructions, more.instructions),
            allocations: each(fewer.allocations, more.allocations),
        }
    }

    fn min(self, other: Cost) -> Cost {
        Cost {
            instructions: self.instructions.min(other.instructions),
            allocations: self.allocations.min(other.allocations),
        }
    }

    fn is_within(self, most: Cost) -> bool {
        self.instructions <= most.instructions && self.allocations <= most.allocations
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (instructions, allocations) = (self.instructions, self.allocations);
        write!(
            f,
            "{instructions:.0} instructions and {allocations:.2} allocations"
        )
    }
}

/// Counts what jobs cost in a program and in its worker, says so, and complains.
fn holds(bounds: &[Bound; 2], name: &str, run: impl Fn(&Path, u32) -> Option<Vec<Profile>>) {
    let count = |jobs| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{jobs}-jobs"));
        run(&dir, jobs).map(program_and_worker)
    };
    let mut costs = [Cost::ANY; 2];
    let mut files = <[PathBuf; 2]>::default();
    for _ in 0..TRIES {
        let (Some(fewer), Some(more)) = (count(JOBS), count(2 * JOBS)) else {
            return not_counted(name);
        };
        for (i, cost) in costs.iter_mut().enumerate() {
            *cost = cost.min(Cost::of_each(&fewer[i], &more[i]));
        }
        files = more.map(|profile| profile.file);
        if bounds
            .iter()
            .zip(costs)
            .all(|(bound, cost)| cost.is_within(bound.most()))
        {
            break;
        }
    }
    let mut complaints = Vec::new();
    for ((bound, cost), file) in bounds.iter().zip(costs).zip(files) {
        say(&format!("{}: {cost} for each job", bound.what));
        complaints.extend(bound.complaint(cost, &file));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn program_and_worker(profiles: Vec<Profile>) -> [Profile; 2] {
    let (workers, programs): (Vec<_>, Vec<_>) = profiles
        .into_iter()
        .partition(|profile| profile.command.ends_with("bench-worker"));
    let both: Result<[Profile; 2], _> = programs
        .into_iter()
        .chain(workers)
        .collect::<Vec<_>>()
        .try_into();
    both.unwrap_or_else(|all| panic!("not one program and one worker: {all:?}"))
}

/// Without valgrind there is nothing to judge, which must not go unseen.
fn not_counted(name: &str) {
    let message = format!("{name}: NOT COUNTED, since there is no valgrind in PATH");
    assert!(std::env::var_os("REQUIRE_VALGRIND").is_none(), "{message}");
    say(&message);
}

/// Past the test harness, which keeps what a test prints that holds.
fn say(line: &str) {
    std::io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .ok();
}

fn usable_cpus() -> impl Iterator<Item = usize> {
    let cpus = sched_getaffinity(Pid::from_raw(0)).expect("the CPUs of this thread");
    (0..CpuSet::count()).filter(move |cpu| cpus.is_set(*cpu) == Ok(true))
}

/// For this thread and the processes that it starts.
fn stay_on(cpu: Option<usize>) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu.expect("at least one")).expect("its number");
    sched_setaffinity(Pid::from_raw(0), &cpus).expect("a CPU that it had");
}
