//! This process's control group: where it is, and what it leaves of the machine.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::check::Check;
use crate::run::text;

/// Where the files of this process's control groups are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    /// Of version 2, from the own one up to what is mounted.
    unified: Vec<PathBuf>,
    /// Of version 1: for CPUs, and for memory.
    cpu: Vec<PathBuf>,
    memory: Vec<PathBuf>,
    pids: Vec<PathBuf>,
}

impl Groups {
    pub(super) fn of_this_process() -> Groups {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Groups::parse(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    fn parse(groups: &str, mounts: &str) -> Groups {
        let of = |controller: &str| dirs(groups, mounts, controller).unwrap_or_default();
        Groups {
            unified: of(""),
            cpu: of("cpu"),
            memory: of("memory"),
            pids: of("pids"),
        }
    }

    /// How many CPUs' time these groups may use.
    pub(super) fn cpu_quota(&self) -> Option<f64> {
        let unified = self.unified.iter().filter_map(|dir| {
            let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            ratio(quota, period)
        });
        let cpu = self.cpu.iter().filter_map(|dir| {
            let read = |name| fs::read_to_string(dir.join(name)).ok();
            ratio(
                read("cpu.cfs_quota_us")?.trim(),
                read("cpu.cfs_period_us")?.trim(),
            )
        });
        unified.chain(cpu).reduce(f64::min)
    }

    /// How much memory they may take, in bytes.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        // What is no limit is a very large number in version 1.
        least(&self.unified, "memory.max")
            .into_iter()
            .chain(least(&self.memory, "memory.limit_in_bytes"))
            .filter(|&bytes| bytes < 1 << 60)
            .min()
    }

    /// How many processes and threads they may have.
    pub(super) fn process_limit(&self) -> Option<u64> {
        let both = [&self.unified, &self.pids];
        both.into_iter()
            .filter_map(|dirs| least(dirs, "pids.max"))
            .min()
    }

    /// In which state they are.
    pub(super) fn check(&self) -> Check {
        let check = self.described();
        let counted = ["memory.events", "memory.oom_control"];
        let dirs = self.unified.first().into_iter().chain(self.memory.first());
        let mut files = dirs.flat_map(|dir| counted.map(|name| dir.join(name)));
        let counts =
            files.any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("oom_kill ")));
        check.fact("counts_oom_kills", counts)
    }

    fn described(&self) -> Check {
        const WHAT: &str = "cgroup";
        let Some(dir) = self.unified.first() else {
            return match self.memory.is_empty() && self.cpu.is_empty() {
                true => Check::new(WHAT, "none").fact("version", 0),
                false => Check::new(WHAT, "version 1").fact("version", 1),
            };
        };
        let controllers = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
        let controllers = controllers.trim();
        let may = |name: &str| access(&dir.join(name), AccessFlags::W_OK).is_ok();
        let delegated = may("") && may("cgroup.procs") && may("cgroup.subtree_control");
        let own = match delegated {
            true => "delegated to this user",
            false => "not delegated to this user",
        };
        let held = match (controllers.is_empty(), self.memory.is_empty()) {
            (true, false) => "without controllers: those are of version 1".to_owned(),
            (true, true) => "without controllers".to_owned(),
            (false, _) => format!("with {controllers}"),
        };
        let path = text::escaped(dir.as_os_str().as_encoded_bytes());
        Check::new(WHAT, format!("version 2, {own}, {held} ({path})"))
            .fact("version", 2)
            .fact("path", path)
            .fact("delegated", delegated)
            .fact(
                "controllers",
                controllers.split_whitespace().collect::<Vec<_>>(),
            )
    }
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    // -1 or `max` is no limit.
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn least(dirs: &[PathBuf], name: &str) -> Option<u64> {
    let read = |dir: &PathBuf| fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok();
    dirs.iter().filter_map(read).min()
}

/// The directory of the group with this controller (none: of version 2), and those above it
/// that can be seen.
fn dirs(groups: &str, mounts: &str, controller: &str) -> Option<Vec<PathBuf>> {
    let group = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let mut names = parts.next()?.split(',');
        names
            .any(|name| name == controller)
            .then_some(parts.next()?)
    })?;
    let kind = if controller.is_empty() {
        "cgroup2"
    } else {
        "cgroup"
    };
    let (root, place) = mounts.lines().find_map(|line| {
        let (place, what) = line.split_once(" - ")?;
        let mut what = what.split(' ');
        let is_kind = what.next() == Some(kind);
        let mut options = what.nth(1).unwrap_or_default().split(',');
        if !is_kind || !(controller.is_empty() || options.any(|option| option == controller)) {
            return None;
        }
        let mut place = place.split(' ').skip(3);
        Some((place.next()?, place.next()?))
    })?;
    // Only what lies below the mounted one can be seen.
    let below = Path::new(group).strip_prefix(root).ok();
    let place = Path::new(place);
    let own = below.map_or(place.to_owned(), |below| place.join(below));
    let above = own.ancestors().take_while(|dir| dir.starts_with(place));
    // Joining nothing leaves a slash behind.
    Some(above.map(|dir| dir.components().collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
31 24 0:27 /docker/x /cg/memory rw - cgroup cgroup rw,memory
32 24 0:28 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct
";

    #[test]
    fn a_group_is_found_with_those_above_it() {
        let groups = Groups::parse(
            "9:memory:/docker/x/y\n2:cpu,cpuacct:/\n0::/user.slice/a\n",
            MOUNTS,
        );
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            groups.unified,
            paths(&[
                "/sys/fs/cgroup/user.slice/a",
                "/sys/fs/cgroup/user.slice",
                "/sys/fs/cgroup"
            ])
        );
        assert_eq!(groups.memory, paths(&["/cg/memory/y", "/cg/memory"]));
        assert_eq!(groups.cpu, paths(&["/cg/cpu"]));
        assert_eq!(Groups::parse("", ""), Groups::default());
    }

    #[test]
    fn the_least_of_all_limits_counts() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::write(dir.path().join("cpu.max"), "150000 100000\n").unwrap();
        fs::write(below.join("cpu.max"), "max 100000\n").unwrap();
        fs::write(dir.path().join("memory.max"), "max\n").unwrap();
        fs::write(below.join("memory.max"), "1048576\n").unwrap();
        let groups = Groups {
            unified: vec![below, dir.path().to_owned()],
            ..Groups::default()
        };
        assert_eq!(groups.cpu_quota(), Some(1.5));
        assert_eq!(groups.memory_limit(), Some(1 << 20));
        assert_eq!(groups.process_limit(), None);
    }
}
