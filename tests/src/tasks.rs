//! Tasks of the test worker: what it offers, and what the tests ask for.

use protocol::Task;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

macro_rules! tasks {
    ($($(#[$doc:meta])* $type:ident: $name:literal, $input:ty => $output:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $type;
        impl Task for $type {
            const NAME: &'static str = $name;
            type Input = $input;
            type Output = $output;
        }
    )*};
}

tasks! {
    /// Its input.
    Echo: "echo", ByteBuf => ByteBuf;
    /// Its input, which is text.
    EchoText: "echo_text", String => String;
    /// Nothing.
    Noop: "noop", () => ();
    /// The n-th Fibonacci number.
    Fib: "fib", u64 => u64;
    /// How many primes are below n, the slow way.
    Primes: "primes", u64 => u64;
    /// A value with structure.
    Mirror: "mirror", Point => Point;
    /// Sleeps for so many milliseconds, unless cancelled.
    SleepMs: "sleep_ms", u64 => ();
    /// Sleeps, and notices nothing.
    SleepBlind: "sleep_blind", u64 => ();
    /// Panics with this text.
    Panic: "panic", String => ();
    /// Fails with an error that has a cause.
    Fail: "fail", () => ();
    /// Prints a text so many times.
    Print: "print", (String, u32) => ();
    /// Prints a text, then sleeps, then returns.
    PrintThenSleep: "print_then_sleep", (String, u64) => ();
    /// Counts its jobs; panics at 0. Output: count, how often the state was
    /// made, init data.
    Counter: "counter", u64 => (u64, u64, Vec<u8>);
    /// Ends its worker by a signal.
    Abort: "abort", () => ();
    /// A result of so many bytes.
    Big: "big", u64 => ByteBuf;
    /// Says so many times how far it has come.
    Progress: "progress", u64 => ();
    /// Length of a blob.
    BlobLength: "blob_length", u64 => Option<u64>;
    /// Prints the first from a thread of its own when there is a file of the second's name,
    /// which is to be after the job has ended.
    PrintLater: "print_later", (String, String) => ();
    /// Which attempt this is.
    Which: "which", () => (u64, u32);
    /// A helper process that the task keeps: its process id, and whether it
    /// lives.
    Helper: "helper", () => (u32, bool);
    /// Reads the first file to its end, which waits if it is a pipe, and makes
    /// the second.
    Gate: "gate", (Option<String>, Option<String>) => String;
    /// Appends a number to a file; ends its worker by a signal after every
    /// five-hundredth.
    Note: "note", (String, u64) => ();
    /// Runs until no more jobs are taken; whether it was told so.
    Endless: "endless", () => bool;
    /// How often its worker's start was done, and with which init data.
    Started: "started", () => (u32, String);
    /// The process id of its worker.
    Pid: "pid", () => u32;
    /// Takes so many bytes of memory for a moment; the process id of its worker.
    Swell: "swell", u64 => u32;
    /// Takes so many bytes of memory for so many milliseconds.
    Hoard: "hoard", (u64, u64) => ();
    /// Raises this signal until its worker dies of it.
    Die: "die", String => ();
    /// Calls itself without end.
    Overflow: "overflow", u64 => u64;
    /// Closes its worker's descriptors from the first to the second.
    CloseFds: "close_fds", (i32, i32) => ();
    /// Opens so many files and forgets them; how many its worker has open then.
    LeakFds: "leak_fds", u64 => u64;
    /// Changes `cwd`, `umask`, `env` or `env and back` of its worker to this.
    Change: "change", (String, String) => ();
    /// What `change` changes.
    Surroundings: "surroundings", () => (String, u32, Option<String>);
    /// Something that has no form in any encoding.
    Formless: "formless", () => NoForm;
    /// The same from a task whose state changed the working directory.
    Settled: "settled", () => (String, u32, Option<String>);
}

/// Something with fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// A number that is mirrored.
    pub x: i32,
    /// A text that is not.
    pub label: String,
}

/// A value that cannot be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct NoForm;

impl Serialize for NoForm {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no form"))
    }
}
