//! The program `orchestrator`, as a binary of this package: `CARGO_BIN_EXE_*`
//! exists only for those, and so the tests never count a stale one.

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestrator::cli::main()
}
