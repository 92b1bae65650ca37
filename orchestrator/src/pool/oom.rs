//! Whether the kernel has killed for want of memory: it counts, and says in no
//! other way that is open to everybody.
//!
//! The count is that of this process's control group, which workers and commands
//! are born into, or of the whole machine where there is none. It is looked at
//! when the pool starts and when a process of ours has died of a SIGKILL that was
//! not ours: no job costs anything. What has been counted in between is taken for
//! the cause, so two things are taken for each other: somebody's `kill -9` of one
//! process of the group (or the machine) while the kernel kills another one, and
//! the same long after the kernel has killed something of which nobody heard,
//! such as a helper of a command that went on without it.
//! (Of most of those a shell tells, by its status.)

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// When several processes die at once, that is heard of one after the other.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The machine's own count.
const MACHINE: &str = "/proc/vmstat";

/// How often the kernel has killed for want of memory.
#[derive(Debug)]
pub(super) struct OomKills {
    /// Where that can be read, if anywhere.
    file: Option<PathBuf>,
    /// As far as it has been looked at.
    seen: u64,
    /// Kills that have been seen at this time, and whose victims have not been
    /// heard of.
    victims: u64,
    at: Duration,
}

impl OomKills {
    /// Those that come from now on.
    pub(super) fn from_now() -> OomKills {
        let file = of_group().filter(|file| count(file).is_some());
        OomKills::in_file(file.or_else(|| Some(MACHINE.into())))
    }

    /// A pool without processes does not look.
    pub(super) fn nowhere() -> OomKills {
        OomKills::in_file(None)
    }

    fn in_file(file: Option<PathBuf>) -> OomKills {
        OomKills {
            seen: file.as_deref().and_then(count).unwrap_or_default(),
            file,
            victims: 0,
            at: Duration::ZERO,
        }
    }

    /// A process of ours has died of a SIGKILL that was not ours, as is heard now:
    /// whether the kernel has killed for want of memory meanwhile.
    pub(super) fn explain_death(&mut self, now: Duration) -> bool {
        self.look(now);
        let is_victim = self.victims > 0 && now.saturating_sub(self.at) <= AT_ONCE;
        self.victims = match is_victim {
            true => self.victims - 1,
            false => 0,
        };
        is_victim
    }

    fn look(&mut self, now: Duration) {
        let Some(count) = self.file.as_deref().and_then(count) else {
            return;
        };
        if count > self.seen {
            self.victims = count - self.seen;
            self.at = now;
        }
        self.seen = count;
    }
}

/// All files with that count have a line like this.
fn count(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let number = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    number?.trim().parse().ok()
}

/// The file of this process's control group.
fn of_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    file_of(&groups, &mounts)
}

/// The file of the group that `/proc/self/cgroup` names, by what is mounted where:
/// in version 1 the one for memory, else the one of version 2. In both the count
/// is of the group's own processes at least.
fn file_of(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = |controller: &str| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let mut names = parts.next()?.split(',');
            names
                .any(|name| name == controller)
                .then_some(parts.next()?)
        })
    };
    let mounted = |kind: &str, option: &str| {
        mounts.lines().find_map(|line| {
            let (place, what) = line.split_once(" - ")?;
            let mut what = what.split(' ');
            let is_kind = what.next() == Some(kind);
            let mut options = what.nth(1).unwrap_or_default().split(',');
            if !is_kind || !(option.is_empty() || options.any(|o| o == option)) {
                return None;
            }
            let mut place = place.split(' ').skip(3);
            Some((place.next()?, place.next()?))
        })
    };
    let first = group("memory").zip(mounted("cgroup", "memory"));
    let first = first.map(|(group, mount)| folder(group, mount).join("memory.oom_control"));
    let second = || group("").zip(mounted("cgroup2", ""));
    first.or_else(|| second().map(|(group, mount)| folder(group, mount).join("memory.events")))
}

/// Where a group is, of a hierarchy of which `root` is mounted at `point`. In a
/// container that may be the group itself, though it has a longer name outside.
fn folder(group: &str, (root, point): (&str, &str)) -> PathBuf {
    let below = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
    Path::new(point).join(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn the_file_is_that_of_the_group_in_both_versions() {
        let groups = "9:name=systemd:/\n4:cpu,memory:/a/b:c\n0::/d\n";
        let file = |groups, mounts| file_of(groups, mounts).unwrap();
        assert_eq!(
            file(groups, MOUNTS),
            Path::new("/sys/fs/cgroup/memory/a/b:c/memory.oom_control")
        );
        assert_eq!(
            file("0::/d\n", MOUNTS),
            Path::new("/sys/fs/cgroup/unified/d/memory.events")
        );
        // A container sees its own group as the root, by either name.
        let inside = "9 1 0:5 /docker/x /cg rw - cgroup2 cgroup rw,nsdelegate\n";
        for group in ["/docker/x", "/", "/../y"] {
            let found = file_of(&format!("0::{group}\n"), inside).unwrap();
            assert_eq!(found, Path::new("/cg/memory.events"));
        }
        assert_eq!(
            file("0::/docker/x/y\n", inside),
            Path::new("/cg/y/memory.events")
        );
        for (groups, mounts) in [("", MOUNTS), (groups, ""), ("garbage", "- - -\n")] {
            assert_eq!(file_of(groups, mounts), None);
        }
    }

    #[test]
    fn f044_f045_each_kill_that_was_counted_explains_one_death_and_none_later() {
        const SECOND: Duration = Duration::from_secs(1);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.oom_control");
        let killed = |n: u64| {
            let text = format!("oom_kill_disable 0\nunder_oom 0\noom_kill {n}\n");
            fs::write(&path, text).unwrap();
        };
        killed(7);
        let mut kills = OomKills::in_file(Some(path.clone()));
        assert!(!kills.explain_death(SECOND));
        killed(8);
        assert!(kills.explain_death(2 * SECOND));
        assert!(!kills.explain_death(2 * SECOND));
        // Two at once, of which one was nobody that we know.
        killed(10);
        assert!(kills.explain_death(3 * SECOND));
        assert!(!kills.explain_death(9 * SECOND));
        killed(12);
        assert!(kills.explain_death(10 * SECOND));
        assert!(kills.explain_death(10 * SECOND));
        assert!(!kills.explain_death(10 * SECOND));
        // It may become unreadable.
        fs::remove_file(&path).unwrap();
        assert!(!kills.explain_death(40 * SECOND));
        assert!(!OomKills::nowhere().explain_death(SECOND));
    }
}
