//! A picture of the Mandelbrot set, row by row on all cores. Rows in the middle
//! take a hundred times as long as those at the edge: nobody chooses a chunk
//! size, and all cores are busy to the end.
//!
//! ```sh
//! cargo run --release --example mandelbrot -- mandelbrot.pgm 2000
//! ```
//!
//! The first argument is the file, a grey picture in the PGM format; the second
//! its width in pixels.

#![expect(clippy::print_stdout, reason = "it shows what it did")]

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};

use orchestrator::{Pool, Registry, Task, block_on};

/// One row of a picture of this width and height.
struct Row;

impl Task for Row {
    const NAME: &'static str = "row";
    type Input = (u32, u32, u32);
    type Output = Vec<u8>;
}

const DEPTH: u32 = 2000;

fn row((y, width, height): (u32, u32, u32)) -> Vec<u8> {
    let imaginary = 2.4 * (f64::from(y) / f64::from(height) - 0.5);
    let depth = |x: u32| {
        let real = 3.2 * (f64::from(x) / f64::from(width) - 0.7);
        let (mut a, mut b, mut n) = (0.0, 0.0, 0);
        while n < DEPTH && a * a + b * b <= 4.0 {
            (a, b) = (a * a - b * b + real, 2.0 * a * b + imaginary);
            n += 1;
        }
        n
    };
    // Black inside, and the darker outside the further away.
    let grey = |n: u32| {
        if n == DEPTH {
            0
        } else {
            (n * 9).min(255) as u8
        }
    };
    (0..width).map(|x| grey(depth(x))).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    orchestrator::init(Registry::new().task(Row, row));
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "mandelbrot.pgm".into());
    let width: u32 = args.next().map_or(Ok(1200), |arg| arg.parse())?;
    let height = width * 3 / 4;

    let mut picture = BufWriter::new(File::create(&path)?);
    write!(picture, "P5\n{width} {height}\n255\n")?;
    block_on(async {
        let pool = Pool::builder().start()?;
        let mut rows = pool.map(Row, (0..height).map(|y| (y, width, height)));
        while let Some(row) = rows.next().await {
            picture.write_all(&row?)?;
        }
        picture.flush()?;
        let stats = pool.stats().await;
        println!("{path}: {height} rows by {} workers", stats.workers_started);
        Ok(pool.shutdown().await?)
    })
}
