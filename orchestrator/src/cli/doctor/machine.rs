//! Kernel, CPUs, memory and clock.

use std::fs;

use protocol::PROTOCOL_VERSION;

use super::cgroup::Groups;
use super::check::Check;
use crate::cli::plan;
use crate::pool::usable_cpus;
use crate::run::text;

/// The oldest kernel that is promised to do.
const KERNEL: (u32, u32) = (5, 4);

/// With less than this for each worker, commands of any size run out of memory.
const MEMORY_PER_WORKER: u64 = 64 << 20;

/// What this program is.
pub(super) fn version() -> Check {
    let version = env!("CARGO_PKG_VERSION");
    Check::new(
        "version",
        format!("{version}, worker protocol {PROTOCOL_VERSION}"),
    )
    .fact("version", version)
    .fact("protocol", PROTOCOL_VERSION)
}

pub(super) fn kernel() -> Check {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = text::escaped(release.trim().as_bytes());
    let check = Check::new("kernel", format!("Linux {release}")).fact("release", release.as_str());
    match version_of(&release) {
        Some(version) if version >= KERNEL => check,
        Some(_) => check.fail("Linux 5.4 or later is needed"),
        None => check.warn("its version is not known: is /proc mounted?"),
    }
}

fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

/// How many CPUs this process may use, and why not more.
pub(super) fn cpus(groups: &Groups) -> Check {
    let usable = usable_cpus();
    let online = fs::read_to_string("/sys/devices/system/cpu/online");
    let online = online.ok().and_then(|list| in_list(list.trim()));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let allowed = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let allowed = allowed.and_then(|list| in_list(list.trim()));
    let quota = groups.cpu_quota();
    let share = std::env::var_os(plan::control::CPUS);
    let share = share.and_then(|share| share.to_str()?.parse::<usize>().ok());
    let mut why = Vec::new();
    if let (Some(allowed), Some(online)) = (allowed, online)
        && allowed < online
    {
        why.push(format!("affinity allows {allowed} of {online}"));
    }
    if let Some(quota) = quota {
        why.push(format!("the cgroup's quota is {quota:.2}"));
    }
    if let Some(share) = share {
        why.push(format!(
            "a job's share is {share} ({})",
            plan::control::CPUS
        ));
    }
    if why.is_empty() {
        why.push("all of this machine".to_owned());
    }
    let value = format!("{usable} usable: {}", why.join(", "));
    let check = Check::new("CPUs", value)
        .fact("usable", usable)
        .fact("online", online)
        .fact("allowed", allowed)
        .fact("quota", quota);
    match quota {
        Some(quota) if quota < 1.0 => {
            check.warn("less than one CPU: jobs stand still for a part of the time")
        }
        _ => check,
    }
}

/// How many there are in a list like `0-3,8`.
fn in_list(list: &str) -> Option<usize> {
    let mut number = 0;
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        number += last.checked_sub(first)? + 1;
    }
    Some(number)
}

/// How much memory there is, and swap.
pub(super) fn memory(groups: &Groups) -> [Check; 2] {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |name: &str| {
        let mut lines = info.lines();
        let size = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = size.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib.saturating_mul(1024))
    };
    let (total, available, limit) = (of("MemTotal"), of("MemAvailable"), groups.memory_limit());
    let mut value = match (available, total) {
        (Some(available), Some(total)) => {
            format!(
                "{} of {} available",
                text::about(available),
                text::about(total)
            )
        }
        _ => "not known".to_owned(),
    };
    if let Some(limit) = limit {
        value += &format!(", the cgroup's limit is {}", text::about(limit));
    }
    let mut memory = Check::new("memory", value)
        .fact("total", total)
        .fact("available", available)
        .fact("cgroup_limit", limit);
    let least = available.into_iter().chain(limit).min();
    if least.is_some_and(|least| least < MEMORY_PER_WORKER * usable_cpus() as u64) {
        memory = memory.warn("little for so many CPUs: fewer workers (-j), or --memory-limit");
    }
    let (total, free) = (of("SwapTotal"), of("SwapFree"));
    let value = match total {
        Some(0) => "none".to_owned(),
        Some(total) => format!(
            "{} of {} free",
            text::about(free.unwrap_or(0)),
            text::about(total)
        ),
        None => "not known".to_owned(),
    };
    let swap = Check::new("swap", value)
        .fact("total", total)
        .fact("free", free);
    [memory, swap]
}

/// What the kernel reads time from, several times for each job.
pub(super) fn clock() -> Check {
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = fs::read_to_string(source).unwrap_or_else(|_| "not known".to_owned());
    let source = text::escaped(source.trim().as_bytes());
    let slow = ["hpet", "acpi_pm", "pit", "jiffies"].contains(&source.as_str());
    let check = Check::new("clock", source.as_str()).fact("source", source.as_str());
    match slow {
        true => check.warn("reading the time is slow here, and so are jobs of microseconds"),
        false => check,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_counted() {
        for (list, number) in [("0", Some(1)), ("0-3,8", Some(5)), ("1,3-3", Some(2))] {
            assert_eq!(in_list(list), number, "{list}");
        }
        for bad in ["", "a", "3-1", "1-"] {
            assert_eq!(in_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn releases_have_versions() {
        assert_eq!(version_of("5.15.0-91-generic"), Some((5, 15)));
        assert_eq!(version_of("6.1"), Some((6, 1)));
        assert_eq!(version_of(""), None);
    }
}
