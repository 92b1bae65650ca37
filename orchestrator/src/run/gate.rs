//! Whether the machine has room for another job. Pure: what was measured goes in,
//! how many jobs may start comes out.

use super::text;

/// What must be so for a job to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gate {
    /// Fewer processes than this run, or wait for a disk.
    pub(crate) load: Option<u64>,
    /// So much memory is available, in bytes.
    pub(crate) memory: Option<u64>,
}

/// What was measured; absent when it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// How many processes run, or wait for a disk.
    pub(crate) load: Option<u64>,
    /// How much memory is available, in bytes.
    pub(crate) memory: Option<u64>,
}

impl Gate {
    /// Whether anything must be so.
    pub(crate) fn is_there(&self) -> bool {
        self.load.is_some() || self.memory.is_some()
    }

    /// How many jobs may start until somebody measures again. Each of them is taken
    /// for a process that runs, and for as much memory as must be available: what
    /// it really is, is not known before it has been running for a while.
    pub(crate) fn starts(&self, measured: Measured) -> usize {
        // What cannot be measured forbids nothing.
        let by_load = match (self.load, measured.load) {
            (Some(most), Some(now)) => most.saturating_sub(now),
            _ => u64::MAX,
        };
        let by_memory = match (self.memory, measured.memory) {
            (Some(least), Some(now)) => now / least.max(1),
            _ => u64::MAX,
        };
        usize::try_from(by_load.min(by_memory)).unwrap_or(usize::MAX)
    }

    /// Why no job may start, when that is so.
    pub(crate) fn reason(&self, measured: Measured) -> String {
        let memory = match (self.memory, measured.memory) {
            (Some(least), Some(now)) if now < least => {
                let (now, least) = (text::about(now), text::size(least));
                Some(format!(
                    "{now} of memory are available, and --memfree wants {least}"
                ))
            }
            _ => None,
        };
        let load = || {
            let (now, most) = (
                measured.load.unwrap_or_default(),
                self.load.unwrap_or_default(),
            );
            let what = match now {
                1 => "process runs or waits",
                _ => "processes run or wait",
            };
            format!("{now} {what} for a disk on this machine, and --load wants fewer than {most}")
        };
        memory.unwrap_or_else(load)
    }

    /// Whether there is so little memory that a job is to make room.
    pub(crate) fn is_short(&self, measured: Measured) -> bool {
        match (self.memory, measured.memory) {
            (Some(least), Some(now)) => now < least / 2,
            _ => false,
        }
    }
}

/// The number of processes that run, this one excepted, or wait for a disk, by
/// the text of `/proc/stat`.
pub(crate) fn load(stat: &str) -> Option<u64> {
    let number = |name| value(stat, name)?.parse::<u64>().ok();
    let running = number("procs_running ")?.saturating_sub(1);
    Some(running + number("procs_blocked ")?)
}

/// How many bytes of memory are available, by the text of `/proc/meminfo`.
pub(crate) fn memory(meminfo: &str) -> Option<u64> {
    let kib = value(meminfo, "MemAvailable:")?.strip_suffix("kB")?;
    kib.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(load: u64, memory: u64) -> Measured {
        Measured {
            load: Some(load),
            memory: Some(memory),
        }
    }

    #[test]
    fn as_many_jobs_start_as_there_is_room_for() {
        let gate = |load, memory| Gate { load, memory };
        let idle = measured(0, 1000);
        assert_eq!(gate(None, None).starts(idle), usize::MAX);
        assert_eq!(gate(Some(4), None).starts(idle), 4);
        assert_eq!(gate(Some(4), None).starts(measured(3, 0)), 1);
        assert_eq!(gate(Some(4), None).starts(measured(4, 0)), 0);
        assert_eq!(gate(Some(4), None).starts(measured(400, 0)), 0);
        assert_eq!(gate(None, Some(300)).starts(idle), 3);
        assert_eq!(gate(None, Some(1001)).starts(idle), 0);
        assert_eq!(gate(Some(2), Some(300)).starts(idle), 2);
        assert_eq!(
            gate(Some(2), Some(300)).starts(Measured::default()),
            usize::MAX
        );
    }

    #[test]
    fn a_job_makes_room_below_half_of_what_must_be_available() {
        let gate = Gate {
            load: None,
            memory: Some(1000),
        };
        assert!(!gate.is_short(measured(0, 999)) && !gate.is_short(measured(0, 500)));
        assert!(gate.is_short(measured(0, 499)));
        assert!(!gate.is_short(Measured::default()) && !Gate::default().is_short(measured(0, 0)));
    }

    #[test]
    fn why_no_job_may_start_is_told() {
        let gate = Gate {
            load: Some(2),
            memory: Some(4096),
        };
        let said = gate.reason(measured(5, 4096));
        assert_eq!(
            said,
            "5 processes run or wait for a disk on this machine, and --load wants fewer than 2"
        );
        let said = gate.reason(measured(5, 1024));
        assert!(
            said.ends_with("of memory are available, and --memfree wants 4 KiB"),
            "{said}"
        );
        // Not 23,654,392 KiB.
        let gate = Gate {
            load: None,
            memory: Some(1 << 35),
        };
        assert_eq!(
            gate.reason(measured(0, 24_222_097_408)),
            "22.6 GiB of memory are available, and --memfree wants 32 GiB"
        );
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        let stat = "cpu  1 2 3\nprocs_running 5\nprocs_blocked 2\nsoftirq 1\n";
        assert_eq!(load(stat), Some(6));
        assert_eq!(load("procs_running 5\n"), None);
        let meminfo = "MemTotal:  8 kB\nMemFree: 1 kB\nMemAvailable:    1234 kB\n";
        assert_eq!(memory(meminfo), Some(1234 * 1024));
        assert_eq!(memory("MemAvailable: much kB\n"), None);
        let real = |path| std::fs::read_to_string(path).unwrap();
        assert!(load(&real("/proc/stat")).is_some());
        assert!(memory(&real("/proc/meminfo")).unwrap() > 0);
    }
}
