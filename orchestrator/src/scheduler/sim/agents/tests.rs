//! What holds on such days.

use super::*;

/// Some agents, nothing that happens to them, nothing checked.
fn calm(agents: usize, slots: usize, jobs: u64) -> Day {
    Day {
        seed: 1,
        agents,
        slots,
        here: 2,
        jobs,
        checked: false,
        trouble: 0,
        poison: 0,
        odd: 0,
    }
}

#[test]
fn every_job_ends_once_and_never_runs_twice_at_once_whatever_happens_to_agents() {
    let days = if cfg!(debug_assertions) { 16 } else { 2_000 };
    let mut words = HashMap::new();
    let mut all = Counts::default();
    for seed in 0..days {
        let mut random = Random(seed);
        let day = Day {
            seed,
            here: random.below(3) as usize,
            checked: true,
            trouble: [0, 20, 100][random.below(3) as usize],
            poison: [0, 100][random.below(2) as usize],
            odd: 20,
            ..calm(
                1 + random.below(4) as usize,
                1 + random.below(9) as usize,
                100 + random.below(300),
            )
        };
        let (world, _) = play(day);
        for (word, count) in world.words {
            *words.entry(word).or_insert(0) += count;
        }
        all.lost += world.counts.lost;
        all.cut += world.counts.cut;
        all.goodbyes += world.counts.goodbyes;
        all.given_back += world.counts.given_back;
        all.kept += world.counts.kept;
        all.retries += world.counts.retries;
        all.works_on += world.counts.works_on;
    }
    // The days are bad.
    for word in ["ok", "cancelled", "interrupted", "quarantined", "crashed"] {
        assert!(
            words.get(word).is_some_and(|&n| n >= days / 8),
            "{word}: {words:?}"
        );
    }
    for count in [
        all.lost,
        all.cut,
        all.goodbyes,
        all.given_back,
        all.kept,
        all.retries,
        all.works_on,
    ] {
        assert!(count > days / 4, "{all:?}");
    }
}

#[test]
fn a_hundred_agents_end_what_they_were_given() {
    let day = Day {
        trouble: 10,
        poison: 5_000,
        odd: 100,
        ..calm(100, 16, 20_000)
    };
    let (world, _) = play(day);
    assert!(
        world.counts.lost > 0 && world.words["ok"] > 19_000,
        "{:?}",
        world.counts
    );
}

#[test]
#[cfg_attr(debug_assertions, ignore = "for optimised code: see .ci/run")]
fn a_decision_costs_the_same_among_a_thousand_agents_of_64_slots_and_ten_million_jobs() {
    let bad = |agents, jobs| Day {
        trouble: 20_000 / agents as u64,
        poison: 1_000_000,
        odd: 1_000,
        ..calm(agents, 64, jobs)
    };
    let (_, few) = play(bad(10, 300_000));
    let (world, many) = play(bad(1_000, 10_000_000));
    let (few, many) = (few * 1e9, many * 1e9);
    assert!(world.counts.lost > 100 && world.counts.cut > 100 && world.counts.goodbyes > 100);
    assert!(world.words["quarantined"] > 0);
    // Memory that is further away costs something; a look at every agent would cost a
    // hundred times as much.
    assert!(many < 6.0 * few, "{many:.0} ns instead of {few:.0} ns");
}
