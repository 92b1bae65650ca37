//! The tasks of the benchmark worker.

use std::hint::black_box;
use std::time::{Duration, Instant};

use protocol::Task;
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
    /// Nothing.
    Noop: "noop", () => ();
    /// The same number.
    Number: "number", u64 => u64;
    /// The same bytes.
    Echo: "echo", ByteBuf => ByteBuf;
    /// Is busy for so many microseconds, whoever else has the CPU meanwhile.
    Busy: "busy", u64 => ();
    /// Adds so many numbers, each found from the one before.
    Sum: "sum", u64 => u64;
    /// Sleeps for so many milliseconds.
    Sleep: "sleep", u64 => ();
}

/// Is busy until so many microseconds have passed.
pub fn busy(micros: u64) {
    let start = Instant::now();
    let time = Duration::from_micros(micros);
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Work for a CPU alone: `steps` rounds of a generator, summed up.
#[must_use]
pub fn sum(steps: u64) -> u64 {
    let mut x = black_box(0x9E37_79B9_7F4A_7C15_u64);
    let mut sum = 0_u64;
    for _ in 0..steps {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        sum = sum.wrapping_add(x);
    }
    sum
}
