//! How many jobs waited for a worker, over the time.

/// How many points in time.
const POINTS: usize = 600;

/// See the module.
#[derive(Debug)]
pub(super) struct Waiting {
    total: i64,
    /// How many more than at the point before.
    changes: Vec<i64>,
    any: bool,
}

impl Waiting {
    pub(super) fn new(total: i64) -> Waiting {
        Waiting {
            total,
            changes: vec![0; POINTS + 1],
            any: false,
        }
    }

    /// A job waited from one point in time to another.
    pub(super) fn add(&mut self, from: i64, to: i64) {
        let (from, to) = (self.point(from), self.point(to));
        self.any = true;
        if from < to {
            self.changes[from] += 1;
            self.changes[to] -= 1;
        }
    }

    /// The first point that is not before this time.
    fn point(&self, at: i64) -> usize {
        if self.total <= 0 {
            return 0;
        }
        let at = i128::from(at.clamp(0, self.total)) * POINTS as i128;
        let total = i128::from(self.total);
        ((at + total - 1) / total) as usize
    }

    /// How many waited at the beginning of each of equal parts of the time; nothing
    /// when it is not known when jobs came.
    pub(super) fn finish(mut self) -> Vec<i64> {
        if !self.any {
            return Vec::new();
        }
        self.changes.truncate(POINTS);
        let sums = self.changes.iter().scan(0, |sum, change| {
            *sum += change;
            Some(*sum)
        });
        sums.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_counted_as_long_as_that_takes() {
        let mut waiting = Waiting::new(6_000);
        waiting.add(0, 3_000);
        waiting.add(1_000, 9_000);
        // Between two points.
        waiting.add(1, 2);
        let all = waiting.finish();
        assert_eq!((all[0], all[99], all[100], all[299]), (1, 1, 2, 2));
        assert_eq!((all[300], all[599], all.len()), (1, 1, POINTS));
        assert!(Waiting::new(0).finish().is_empty());
    }
}
