//! Measuring in turns, so that a machine that drifts slows all of them down.

use std::fmt::Write;
use std::time::Duration;

/// How often everything is measured; figures are medians.
pub const ROUNDS: usize = 7;

/// The middle one.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// One of the things that are measured in turns.
pub struct Series<'a> {
    name: &'a str,
    run: Box<dyn FnMut() -> Duration + 'a>,
    seconds: Vec<f64>,
    /// Which share of the first one's speed it should have at least.
    bound: Option<f64>,
}

/// Things to be compared with the first of them.
pub struct Comparison<'a> {
    title: &'a str,
    /// What a figure is divided by: jobs, bytes.
    units: f64,
    unit: &'a str,
    series: Vec<Series<'a>>,
}

impl<'a> Comparison<'a> {
    /// Compares times for so many units.
    #[must_use]
    pub fn new(title: &'a str, units: f64, unit: &'a str) -> Comparison<'a> {
        Comparison {
            title,
            units,
            unit,
            series: Vec::new(),
        }
    }

    /// Adds one; `bound` is the share of the first one's speed that it should
    /// reach.
    #[must_use]
    pub fn with(
        mut self,
        name: &'a str,
        bound: Option<f64>,
        run: impl FnMut() -> Duration + 'a,
    ) -> Comparison<'a> {
        self.series.push(Series {
            name,
            run: Box::new(run),
            seconds: Vec::new(),
            bound,
        });
        self
    }

    /// Measures the first and those whose names contain one of `only` (none: all)
    /// in turns, after a round that does not count; prints a table, and gives it
    /// as lines of JSON.
    #[expect(clippy::print_stdout, reason = "what a benchmark is for")]
    pub fn run(mut self, only: &[String]) -> String {
        let mut first = true;
        self.series.retain(|series| {
            let wanted = only.is_empty() || only.iter().any(|o| series.name.contains(o));
            std::mem::take(&mut first) || wanted
        });
        for round in 0..=ROUNDS {
            for series in &mut self.series {
                let time = (series.run)().as_secs_f64();
                if round > 0 {
                    series.seconds.push(time);
                }
            }
        }
        println!("{}", self.title);
        let mut json = String::new();
        let first = self.series[0].seconds.clone();
        for series in &self.series {
            let bound = series.bound;
            let ratios: Vec<f64> = first
                .iter()
                .zip(&series.seconds)
                .map(|(a, b)| a / b)
                .collect();
            let ratio = median(&ratios);
            let each = median(&series.seconds) / self.units;
            let (shown, unit) = readable(each);
            let target = bound.map_or(String::new(), |bound| {
                let verdict = if ratio >= bound { "holds" } else { "MISSED" };
                format!("  at least {bound:.2}: {verdict}")
            });
            println!(
                "  {:<46} {shown:>8.2} {unit}/{:<5} {ratio:>7.3}{target}",
                series.name, self.unit
            );
            let record = serde_json::json!({
                "case": self.title,
                "name": series.name,
                "seconds": series.seconds,
                "seconds_per_unit": each,
                "unit": self.unit,
                "ratio": ratio,
                "bound": bound,
            });
            writeln!(json, "{record}").expect("a string takes everything");
        }
        json
    }
}

fn readable(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "us"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s "),
    }
}
