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
        let first = self.bins.first_key_value().map_or(0, |(&bin, _)| bin);
        let last = self.bins.last_key_value().map_or(0, |(&bin, _)| bin);
        let count = |bin| self.bins.get(&bin).copied().unwrap_or_default();
        let any = !self.values.is_empty();
        Measured {
            count: self.values.len() as u64,
            total: self.values.iter().fold(0, |a: i64, &b| a.saturating_add(b)),
            min: at(0),
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
            per_decade: PER_DECADE,
            first,
            all: (first..=last)
                .filter(|_| any)
                .map(|bin| count(bin).all)
                .collect(),
            bad: (first..=last)
                .filter(|_| any)
                .map(|bin| count(bin).bad)
                .collect(),
        }
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

    pub(super) fn finish(self, x_per_decade: Option<u32>, y_per_decade: u32) -> Cells {
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
