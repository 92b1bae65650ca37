//! The program `orchestrator`, as a binary of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestrator::cli::main()
}
