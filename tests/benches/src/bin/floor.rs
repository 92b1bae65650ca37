//! The floor, one process of it: the other side of the pipes, or a measurement
//! from outside.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "bare processes are what it is for"
)]

use std::process::{Command, ExitCode};

use bytes::Bytes;
use orchestrator_benches::floor::{self, Floor, Frames};

const USAGE: &str = "\
usage: floor echo | echo-batches | copy
       floor jobs COUNT WINDOW PEERS       a frame for each batch; seconds on stdout
       floor spawn COUNT PROCESSES PROGRAM runs the program so often with a number, in so many processes";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args[1..].iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    match words[..] {
        ["echo"] => floor::echo(Frames::PerJob),
        ["echo-batches"] => floor::echo(Frames::PerBatch),
        ["copy"] => floor::copy(),
        ["jobs", count, window, peers] => {
            let peers = number(peers) as usize;
            let mut floor = Floor::start(&args[0], peers, Frames::PerBatch);
            let (count, window) = (number(count), number(window));
            floor.jobs(count / 10, window, &Bytes::new());
            let time = floor.jobs(count, window, &Bytes::new());
            println!("{}", time.as_secs_f64());
        }
        ["spawn", count, "1", program] => floor::spawn(program, number(count)),
        ["spawn", count, processes, program] => {
            let processes = number(processes);
            let share = (number(count) / processes).to_string();
            let start = |_| {
                let mut command = Command::new(&args[0]);
                command.args(["spawn", &share, "1", program]);
                command.spawn().expect("a process")
            };
            let children: Vec<_> = (0..processes).map(start).collect();
            for mut child in children {
                assert!(child.wait().expect("a status").success(), "it failed");
            }
        }
        _ => {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
