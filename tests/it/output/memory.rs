//! How much memory outputs take, in all modes.

use std::io::{BufReader, Write};
use std::process::Stdio;

use orchestrator_tests::{TestEnv, eventually};

use crate::run::command;

/// How much memory a process has of its own, in KiB, at most so far, and how much it shares:
/// pages of its program's file.
fn own_and_shared(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |key: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let shared = kib("RssFile:")?;
    Some((kib("VmHWM:")?.saturating_sub(shared), shared))
}

/// How much memory this process and those right below it have taken at most, in MiB, and how
/// much was read from it. What they share counts once.
fn peak_while(mut child: std::process::Child) -> (u64, u64) {
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = BufReader::with_capacity(1 << 20, out);
        std::io::copy(&mut all, &mut std::io::sink()).unwrap()
    });
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let mut peaks = std::collections::HashMap::new();
    let mut shared = 0;
    let mut ended = false;
    eventually("it ends", || {
        let below = std::fs::read_to_string(&children).unwrap_or_default();
        let below = below
            .split_whitespace()
            .filter_map(|pid| pid.parse::<u32>().ok());
        for pid in below.chain([child.id()]) {
            if let Some((own, its_shared)) = own_and_shared(pid) {
                // A process that becomes another program begins anew.
                peaks.insert(pid, own);
                shared = its_shared.max(shared);
            }
        }
        ended |= child.try_wait().unwrap().is_some();
        ended
    });
    assert!(child.wait().unwrap().success());
    let own: u64 = peaks.values().sum();
    ((own + shared) / 1024, reader.join().unwrap())
}

fn megabytes_twice(megabytes: u64, args: &[&str]) -> (u64, u64) {
    let env = TestEnv::new();
    let script = format!("yes {{}} | head -c {megabytes}000000");
    let mut child = command(&env, &[args, &["-q", "-j2", "-c", &script]].concat())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"some-text\nother-text\n")
        .unwrap();
    peak_while(child)
}

#[test]
fn defect_11_two_jobs_with_100_mb_each_take_less_than_32_mib() {
    // Half of the limit more than once is enough to see what is kept in memory.
    for (megabytes, mode) in [
        (100, &["--tag"][..]),
        (40, &[]),
        (40, &["-k"]),
        (40, &["--lb"]),
        (40, &["--lb", "-k"]),
        (40, &["-u"]),
        (40, &["--lb", "--tag"]),
    ] {
        let (peak, bytes) = megabytes_twice(megabytes, mode);
        assert!(bytes >= 2 * megabytes * 1_000_000, "{mode:?}: {bytes}");
        assert!(peak < 32, "{mode:?}: {peak} MiB");
    }
}

#[test]
fn defect_11_outputs_that_are_kept_take_no_more_memory() {
    for mode in [
        &["--files", "--tmpdir", "/tmp"][..],
        &["--results", "d"],
        &["--results", "-.csv"],
        &["--results", "-.json"],
        &["--format", "jsonl"],
    ] {
        let (peak, _) = megabytes_twice(40, mode);
        assert!(peak < 32, "{mode:?}: {peak} MiB");
    }
}
