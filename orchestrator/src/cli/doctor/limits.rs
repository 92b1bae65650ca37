//! What this process may have.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::cgroup::Groups;
use super::check::Check;
use crate::pool::{allow_open_files, usable_cpus};
use crate::run::text;

/// So many processes and threads are soon used up by one user's desktop.
const FEW_PROCESSES: u64 = 256;

/// Open files: how many workers they are enough for.
pub(super) fn files() -> Check {
    let limits = getrlimit(Resource::RLIMIT_NOFILE).ok();
    let shown = limits.map_or("not known".to_owned(), |(soft, hard)| {
        format!("{}, at most {}", number(soft), number(hard))
    });
    let cpus = usable_cpus();
    let fit = allow_open_files(cpus);
    let check = Check::new("open files", shown)
        .fact("soft", limits.map(|(soft, _)| soft))
        .fact("hard", limits.map(|(_, hard)| hard));
    match fit {
        Ok(()) => check,
        Err(0) => check.fail("not enough for one worker; raise the limit: ulimit -n 1024"),
        Err(fit) => {
            let workers = text::counted(fit as u64, "worker");
            check.warn(format!(
                "enough for {workers}, fewer than CPUs; raise the limit: ulimit -n 1024"
            ))
        }
    }
}

/// Processes, which are those of all programs of this user.
pub(super) fn processes(groups: &Groups) -> Check {
    let limits = getrlimit(Resource::RLIMIT_NPROC).ok();
    let of_group = groups.process_limit();
    let mut shown = limits.map_or("not known".to_owned(), |(soft, _)| number(soft));
    if let Some(limit) = of_group {
        shown += &format!(", the cgroup's limit is {}", number(limit));
    }
    let check = Check::new("processes", shown)
        .fact("soft", limits.map(|(soft, _)| soft))
        .fact("cgroup_limit", of_group);
    let least = limits
        .map(|(soft, _)| soft)
        .into_iter()
        .chain(of_group)
        .min();
    match least {
        Some(least) if least < FEW_PROCESSES => {
            check.warn("threads of all programs of this user count; raise the limit: ulimit -u")
        }
        _ => check,
    }
}

/// Memory of each process.
pub(super) fn memory() -> Check {
    let limit = |resource| {
        let (soft, _) = getrlimit(resource).ok()?;
        (soft != RLIM_INFINITY).then_some(soft)
    };
    let all = [
        ("-v", limit(Resource::RLIMIT_AS)),
        ("-d", limit(Resource::RLIMIT_DATA)),
        ("-s", limit(Resource::RLIMIT_STACK)),
    ];
    let shown: Vec<String> = all
        .iter()
        .filter_map(|(name, limit)| Some(format!("ulimit {name}: {}", text::about((*limit)?))))
        .collect();
    let value = match shown.is_empty() {
        true => "unlimited".to_owned(),
        false => shown.join(", "),
    };
    let [(_, space), (_, data), (_, stack)] = all;
    let check = Check::new("process memory", value)
        .fact("address_space", space)
        .fact("data", data)
        .fact("stack", stack);
    match space {
        Some(space) if space < 1 << 30 => check.warn(
            "threads reserve address space that they never use; better a limit for each job: \
             --memory-limit",
        ),
        _ => check,
    }
}

fn number(limit: u64) -> String {
    match limit {
        RLIM_INFINITY => "unlimited".to_owned(),
        limit => text::count(limit),
    }
}
