//! All that is looked at, in order.

use super::cgroup::Groups;
use super::check::{self, Check, State};
use super::{cleanup, handshake, hosts, limits, machine, places};
use crate::cli::args::DoctorArgs;
use crate::cli::exit::Exit;
use crate::cli::generated::print;
use crate::cli::main::{lookup, records, refuse};

/// `orchestrator doctor`.
pub(in crate::cli) fn doctor(args: DoctorArgs) -> Exit {
    let json = args.json;
    let checks = match args.hosts.is_any() {
        false => examine(),
        true => match hosts::examine(args.hosts, &lookup()) {
            Ok(checks) => checks,
            Err(message) => return refuse(&message),
        },
    };
    let text = match json {
        true => check::object(&checks),
        false => check::lines(&checks),
    };
    match print("the findings", text.as_bytes()) {
        Exit::OK if checks.iter().any(|check| check.state == State::Fail) => Exit::JOBS_FAILED,
        exit => exit,
    }
}

fn examine() -> Vec<Check> {
    let (groups, lookup, history) = (Groups::of_this_process(), lookup(), records());
    let mut checks = vec![
        machine::version(),
        machine::kernel(),
        machine::cpus(&groups),
    ];
    checks.extend(machine::memory(&groups));
    checks.extend([
        limits::memory(),
        limits::files(),
        limits::processes(&groups),
        groups.check(),
        cleanup::check(),
        places::temp(),
        places::state(history.as_ref()),
        handshake::check(&lookup),
        machine::clock(),
    ]);
    checks.extend(places::programs(&lookup));
    checks
}
