//! What was counted by size: bins whose widths grow with what is in them, since times
//! and sizes spread over many powers of ten.

use std::collections::BTreeMap;

use serde::Serialize;

/// How many of a thing, and how many of them were no success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) all: u64,
    pub(super) bad: u64,
}

impl Count {
    fn add(&mut self, bad: bool) {
        self.all += 1;
        self.bad += u64::from(bad);
    }

    fn join(&mut self, other: Count) {
        self.all += other.all;
        self.bad += other.bad;
    }
}

/// The number of the bin of a value, with so many of them for each power of ten.
pub(super) fn log_bin(value: i64, per_decade: u32) -> u32 {
    let value = value.max(1) as f64;
    // Rounding must not put a power of ten into the bin below.
    (value.log10() * f64::from(per_decade) + 1e-9).floor() as u32
}

/// Values by size, and what they come to.
#[derive(Debug, Default)]
pub(super) struct Measure {
    values: Vec<i64>,
    bins: BTreeMap<u32, Count>,
}

/// The same in little memory, however many there are, and also while more come:
/// percentiles are right to a thousandth.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// How many there are of which size, in steps of 1/1024 of it.
    sizes: BTreeMap<i64, u64>,
    bins: BTreeMap<u32, Count>,
    count: u64,
    total: i64,
    min: i64,
    max: i64,
}

impl Sizes {
    pub(super) fn add(&mut self, value: i64, bad: bool) {
        let value = value.max(0);
        let digits = 64 - value.leading_zeros();
        let step = digits.saturating_sub(11);
        *self.sizes.entry((value >> step) << step).or_default() += 1;
        let bin = self.bins.entry(log_bin(value, PER_DECADE)).or_default();
        bin.add(bad);
        self.min = if self.count == 0 {
            value
        } else {
            self.min.min(value)
        };
        self.max = self.max.max(value);
        self.count += 1;
        self.total = self.total.saturating_add(value);
    }

    pub(super) fn measured(&self) -> Measured {
        let at = |percent: u64| {
            let rank = (self.count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let found = self.sizes.iter().find(|&(_, count)| {
                seen += count;
                seen >= rank
            });
            found.map_or(0, |(&size, _)| size.clamp(self.min, self.max))
        };
        Measured {
            count: self.count,
            total: self.total,
            min: self.min,
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: self.max,
            ..histogram(&self.bins)
        }
    }
}

/// Bins of a histogram for each power of ten.
pub(super) const PER_DECADE: u32 = 10;

impl Measure {
    pub(super) fn add(&mut self, value: i64, bad: bool) {
        self.values.push(value);
        let bin = self.bins.entry(log_bin(value, PER_DECADE)).or_default();
        bin.add(bad);
    }

    pub(super) fn finish(mut self) -> Measured {
        self.values.sort_unstable();
        let at = |percent| percentile(&self.values, percent);
        Measured {
            count: self.values.len() as u64,
            total: self.values.iter().fold(0, |a: i64, &b| a.saturating_add(b)),
            min: at(0),
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
            ..histogram(&self.bins)
        }
    }
}

/// Bins, without what else was measured.
fn histogram(bins: &BTreeMap<u32, Count>) -> Measured {
    let first = bins.first_key_value().map_or(0, |(&bin, _)| bin);
    let last = bins.last_key_value().map_or(0, |(&bin, _)| bin);
    let count = |bin| bins.get(&bin).copied().unwrap_or_default();
    let all = || (first..=last).filter(|_| !bins.is_empty());
    Measured {
        per_decade: PER_DECADE,
        first,
        all: all().map(|bin| count(bin).all).collect(),
        bad: all().map(|bin| count(bin).bad).collect(),
        ..Measured::default()
    }
}

/// The value that so many of a hundred do not exceed: the nearest rank.
fn percentile(sorted: &[i64], percent: usize) -> i64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

/// What measured values come to, with their histogram: the i-th bin begins at
/// 10 to the power of `(first + i) / per_decade`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Measured {
    pub(super) count: u64,
    pub(super) total: i64,
    pub(super) min: i64,
    pub(super) p50: i64,
    pub(super) p90: i64,
    pub(super) p99: i64,
    pub(super) max: i64,
    pub(super) per_decade: u32,
    pub(super) first: u32,
    pub(super) all: Vec<u64>,
    pub(super) bad: Vec<u64>,
}

/// Two values of each thing, counted by both.
#[derive(Debug, Default)]
pub(super) struct Grid(BTreeMap<(u32, u32), Count>);

impl Grid {
    pub(super) fn add(&mut self, x: u32, y: u32, bad: bool) {
        self.0.entry((x, y)).or_default().add(bad);
    }

    pub(super) fn finish(&self, x_per_decade: Option<u32>, y_per_decade: u32) -> Cells {
        let cells = self
            .0
            .iter()
            .flat_map(|(&(x, y), count)| [u64::from(x), u64::from(y), count.all, count.bad]);
        Cells {
            x_per_decade,
            y_per_decade,
            cells: cells.collect(),
        }
    }
}

/// Values over a time that goes on: the longer it is, the longer are its parts.
#[derive(Debug)]
pub(super) struct Growing {
    /// How long a part is.
    width: i64,
    grid: Grid,
}

impl Default for Growing {
    fn default() -> Growing {
        Growing {
            width: 1_000,
            grid: Grid::default(),
        }
    }
}

impl Growing {
    pub(super) fn add(&mut self, at: i64, y: u32, bad: bool) {
        while at / self.width >= 4 * COLUMNS {
            self.width = self.width.saturating_mul(2);
            let halved = std::mem::take(&mut self.grid.0).into_iter();
            for ((x, y), count) in halved {
                self.grid.0.entry((x / 2, y)).or_default().join(count);
            }
        }
        self.grid.add((at.max(0) / self.width) as u32, y, bad);
    }

    /// By equal parts of the time until now.
    pub(super) fn finish(&self, total: i64, y_per_decade: u32) -> Cells {
        let mut grid = Grid::default();
        for (&(x, y), &count) in &self.grid.0 {
            let middle = i128::from(x) * i128::from(self.width) + i128::from(self.width / 2);
            let column = middle * i128::from(COLUMNS) / i128::from(total.max(1));
            let column = column.min(i128::from(COLUMNS) - 1) as u32;
            grid.0.entry((column, y)).or_default().join(count);
        }
        grid.finish(None, y_per_decade)
    }
}

/// A grid as it stands in the page: four numbers for each cell that is not empty, its
/// place, how many there are in it, and how many of them were no success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Cells {
    /// Absent where `x` is one of [`COLUMNS`] equal parts of the time.
    x_per_decade: Option<u32>,
    y_per_decade: u32,
    cells: Vec<u64>,
}

/// How many parts of the time a grid has.
pub(super) const COLUMNS: i64 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut measure = Measure::default();
        for value in (1..=100).rev() {
            measure.add(value * 1_000, value > 98);
        }
        let measured = measure.finish();
        let Measured { p50, p90, p99, .. } = measured;
        assert_eq!((p50, p90, p99), (50_000, 90_000, 99_000));
        assert_eq!((measured.min, measured.max), (1_000, 100_000));
        assert_eq!((measured.count, measured.total), (100, 5_050_000));
        assert_eq!((measured.first, measured.all.len()), (30, 21));
        assert_eq!(measured.all.iter().sum::<u64>(), 100);
        assert_eq!(measured.bad.iter().sum::<u64>(), 2);
        // Of 99 and 100, the one begins a bin.
        assert_eq!((measured.all[20], measured.bad[20]), (1, 1));
        assert_eq!(
            Measure::default().finish(),
            Measured {
                per_decade: PER_DECADE,
                ..Measured::default()
            }
        );
    }

    #[test]
    fn in_little_memory_percentiles_are_right_to_a_thousandth() {
        let (mut exact, mut running) = (Measure::default(), Sizes::default());
        for i in 0..20_000_i64 {
            let value = i * i % 1_000_003 * 7 + 3;
            exact.add(value, i % 9 == 0);
            running.add(value, i % 9 == 0);
        }
        let (exact, close) = (exact.finish(), running.measured());
        assert!(running.sizes.len() < 15_000);
        for (a, b) in [
            (exact.p50, close.p50),
            (exact.p90, close.p90),
            (exact.p99, close.p99),
        ] {
            assert!((a - b).abs() * 1_000 <= a, "{a} {b}");
        }
        let same = Measured {
            p50: exact.p50,
            p90: exact.p90,
            p99: exact.p99,
            ..close
        };
        assert_eq!(same, exact);
        assert_eq!(Sizes::default().measured(), Measure::default().finish());
    }

    #[test]
    fn a_time_that_goes_on_has_longer_parts() {
        let mut growing = Growing::default();
        for ms in 0..100_000 {
            growing.add(ms * 1_000, 3, ms % 10 == 0);
        }
        assert!(growing.grid.0.len() < 4 * COLUMNS as usize);
        let cells = growing.finish(100_000_000, 16).cells;
        let columns: Vec<_> = cells.chunks(4).collect();
        assert_eq!(columns.len() as i64, COLUMNS);
        assert_eq!(columns.iter().map(|cell| cell[2]).sum::<u64>(), 100_000);
        assert_eq!(columns.iter().map(|cell| cell[3]).sum::<u64>(), 10_000);
        assert!(columns.iter().all(|cell| cell[2] > 700), "{columns:?}");
    }

    #[test]
    fn each_power_of_ten_begins_a_bin() {
        for power in 0..15 {
            assert_eq!(log_bin(10_i64.pow(power), 10), power * 10);
        }
        assert_eq!(log_bin(0, 10), 0);
        assert_eq!(log_bin(-5, 10), 0);
        assert_eq!(log_bin(999, 10), 29);
        log_bin(i64::MAX, 10);
    }
}
