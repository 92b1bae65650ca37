//! `orchestrator doctor`: what this machine gives to a run, and what of it will not do.
//!
//! - [`check`]: one finding, and how all of them are shown.
//! - [`machine`]: kernel, CPUs, memory; [`cgroup`]: what the control group leaves of them;
//!   [`limits`]: what this process may have; [`places`]: directories and other programs;
//!   [`cleanup`]: what ends with a worker; [`handshake`]: whether a worker starts;
//!   [`hosts`]: the same of other machines.
//! - [`examine`]: all of it, in order.

mod cgroup;
mod check;
mod cleanup;
mod examine;
mod handshake;
mod hosts;
mod limits;
mod machine;
mod places;

pub(super) use examine::doctor;
