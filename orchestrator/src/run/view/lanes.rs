//! The rows of the timeline: what overlaps stands in different ones, and a worker that
//! takes another's place stands in its row. And how full they were towards the end.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// So much may a successor seem to begin before its predecessor's end.
pub(super) const SLACK_US: i64 = 1_000;

/// Gives each of these intervals, which come by their start, the first row that is
/// free.
pub(super) fn pack(intervals: impl Iterator<Item = (i64, i64)>) -> Vec<u32> {
    pack_within(intervals, None)
}

/// The same with so many rows at most: where none is free, the one that will be so first.
pub(super) fn pack_within(
    intervals: impl Iterator<Item = (i64, i64)>,
    most: Option<u32>,
) -> Vec<u32> {
    let mut free = BTreeSet::new();
    let mut taken = BinaryHeap::new();
    let mut rows = 0;
    let mut found = Vec::new();
    for (start, end) in intervals {
        while let Some(&Reverse((until, row))) = taken.peek() {
            if until > start.saturating_add(SLACK_US) {
                break;
            }
            taken.pop();
            free.insert(row);
        }
        let is_full = free.is_empty() && most.is_some_and(|most| rows >= most);
        let first = if is_full { taken.pop() } else { None };
        let (until, row) = match (first, free.pop_first()) {
            (Some(Reverse(first)), _) => first,
            (None, Some(row)) => (end, row),
            (None, None) => {
                rows += 1;
                (end, rows - 1)
            }
        };
        taken.push(Reverse((end.max(until), row)));
        found.push(row);
    }
    found
}

/// From when to the end fewer than half of the rows had work, which is when the
/// median of them ended its last.
pub(super) fn tail_from(mut last_ends: Vec<i64>) -> Option<i64> {
    last_ends.sort_unstable();
    // With fewer rows, half of them says nothing.
    if last_ends.len() < 2 {
        return None;
    }
    Some(last_ends[last_ends.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_taken_again_when_it_is_free() {
        let ms = |a: i64, b: i64| (a * 1_000, b * 1_000);
        let rows = pack([ms(0, 10), ms(0, 20), ms(5, 6), ms(11, 30), ms(22, 25)].into_iter());
        assert_eq!(rows, [0, 1, 2, 0, 1]);
        let rows = pack_within(
            [ms(0, 10), ms(0, 20), ms(5, 6), ms(8, 9)].into_iter(),
            Some(2),
        );
        assert_eq!(rows, [0, 1, 0, 0], "the one that ends first");
    }

    #[test]
    fn the_tail_begins_when_half_of_the_rows_have_ended() {
        assert_eq!(tail_from(vec![]), None);
        assert_eq!(tail_from(vec![5]), None);
        assert_eq!(tail_from(vec![9, 1]), Some(9));
        assert_eq!(tail_from(vec![90, 10, 11, 12]), Some(12));
        assert_eq!(tail_from(vec![90, 10, 11]), Some(11));
    }
}
