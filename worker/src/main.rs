//! The stock worker: it offers the built-in `command` task.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let answer = match std::env::args_os().nth(1) {
        None => return worker::Registry::new().serve(),
        Some(argument) if argument == "--version" => {
            concat!("worker ", env!("CARGO_PKG_VERSION")).to_owned()
        }
        Some(argument) if argument == "--help" => {
            "A worker of `orchestrator`, which starts it and speaks to it over stdin and stdout.\n\
             Usage: orchestrator run --worker worker …"
                .to_owned()
        }
        Some(argument) => {
            let argument = argument.display();
            writeln!(std::io::stderr(), "worker: unknown argument `{argument}`").ok();
            return ExitCode::from(2);
        }
    };
    match writeln!(std::io::stdout(), "{answer}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
