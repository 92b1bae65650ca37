//! What holds on every day, and on days made for one question.

use protocol::JobId;

use super::faults::{Faults, a_day};
use super::*;
use crate::scheduler::window::PATIENCE;

/// How many days a fault is played for: many where they are cheap.
const DAYS: u64 = if cfg!(debug_assertions) { 100 } else { 20_000 };

/// What all days together came to.
fn days(faults: Faults) -> HashMap<&'static str, usize> {
    let mut seen = HashMap::new();
    for seed in 0..DAYS {
        let world = a_day(seed, faults);
        for verdict in world.verdicts.values() {
            *seen.entry(verdict.word()).or_default() += 1;
        }
        *seen.entry("recycled").or_default() += world.scheduler.recycled as usize;
        *seen.entry("spawned").or_default() += world.spawned;
        *seen.entry("put back").or_default() += world.put_back;
    }
    seen
}

#[test]
fn every_job_gets_exactly_one_verdict_on_thousands_of_bad_days() {
    let seen = days(Faults::ALL);
    // The days are bad, not hopeless; if this changes, so did the world.
    for word in [
        "ok",
        "failed",
        "timeout",
        "crashed",
        "quarantined",
        "unkillable",
        "cancelled",
        "interrupted",
    ] {
        let share = seen.get(word).copied().unwrap_or(0) as u64;
        assert!(share > DAYS / 60, "{word}: {seen:?}");
    }
    assert!(seen["ok"] as u64 > DAYS * 8, "{seen:?}");
}

macro_rules! alone {
    ($($name:ident: |$f:ident| $set:expr, $word:literal;)*) => {$(
        #[test]
        fn $name() {
            let mut faults = Faults::default();
            let $f = &mut faults;
            $set;
            let seen = days(faults);
            // The fault has had the effect that it must have.
            assert!(seen.get($word).is_some_and(|&n| n as u64 > DAYS / 100), "{seen:?}");
        }
    )*};
}

// Each fault alone is survived.
alone! {
    alone_refused_starts: |f| f.refuse_start = 30, "ok";
    alone_deaths_at_start: |f| f.die_at_start = 30, "ok";
    alone_hangs_at_start: |f| f.hang_at_start = 30, "ok";
    alone_deaths_in_jobs: |f| f.die_in_job = 20, "crashed";
    alone_idle_deaths: |f| f.die_idle = 30, "ok";
    alone_wrong_jobs: |f| f.wrong_job = 20, "crashed";
    alone_double_answers: |f| f.answer_twice = 20, "ok";
    alone_garbage: |f| f.garbage = 20, "crashed";
    alone_closed_channels: |f| f.close_channel = 20, "crashed";
    alone_hangs_at_the_end: |f| f.hang_at_end = 100, "ok";
    alone_undead_workers: |f| (f.undead, f.garbage) = (50, 10), "unkillable";
    alone_lies_about_recalls: |f| f.recall_lies = 30, "crashed";
    alone_missing_status_pages: |f| f.no_status_page = 100, "ok";
    alone_black_holes: |f| f.black_hole = 20, "failed";
    alone_wear: |f| (f.wear, f.late_jobs) = (100, 50), "recycled";
    alone_swelling: |f| f.swell = 20, "recycled";
    alone_idle_ends: |f| (f.idle_ends, f.late_jobs) = (100, 80), "ok";
    alone_resizes: |f| (f.resizes, f.late_jobs) = (80, 50), "ok";
    alone_resizes_of_a_pool_that_sleeps_and_wears_out:
        |f| (f.resizes, f.late_jobs, f.idle_ends, f.wear, f.die_in_job) = (80, 50, 100, 100, 5), "recycled";
    alone_gates: |f| (f.gates, f.late_jobs, f.failing_jobs) = (100, 50, 30), "ok";
    alone_jobs_that_make_room: |f| (f.short_memory, f.retried_jobs) = (80, 50), "put back";
    alone_deaf_jobs_that_make_room:
        |f| (f.short_memory, f.deaf_jobs, f.hanging_jobs, f.cancels) = (80, 60, 10, 20), "put back";
    alone_jobs_that_make_room_behind_a_gate:
        |f| (f.short_memory, f.gates, f.withdraw, f.pause) = (80, 100, 30, 30), "put back";
    alone_poison_jobs: |f| (f.poison_jobs, f.retried_jobs) = (20, 70), "quarantined";
    alone_deaf_jobs: |f| (f.deaf_jobs, f.cancels) = (100, 50), "cancelled";
    alone_hanging_jobs: |f| f.hanging_jobs = 20, "timeout";
    alone_deaf_hanging_jobs: |f| (f.hanging_jobs, f.deaf_jobs, f.retried_jobs) = (20, 50, 50), "timeout";
    alone_failing_jobs: |f| (f.failing_jobs, f.retried_jobs) = (50, 50), "failed";
    alone_priorities: |f| (f.urgent_jobs, f.die_in_job, f.retried_jobs) = (80, 5, 50), "ok";
    alone_limits: |f| (f.limited_jobs, f.pause) = (100, 50), "timeout";
    alone_cancels: |f| f.cancels = 50, "cancelled";
    alone_pauses: |f| (f.pause, f.limited_jobs) = (100, 50), "ok";
    alone_withdrawals: |f| (f.withdraw, f.failing_jobs, f.retried_jobs) = (100, 30, 50), "interrupted";
    alone_interrupts: |f| (f.interrupt, f.deaf_jobs) = (100, 20), "interrupted";
    alone_stops: |f| f.stop = 100, "cancelled";
    alone_kills: |f| f.kill = 100, "interrupted";
}

#[test]
fn f067_only_poison_jobs_crash_when_only_they_kill() {
    let faults = Faults {
        poison_jobs: 10,
        no_status_page: 50,
        ..Faults::default()
    };
    for seed in 0..500 {
        let world = a_day(seed, faults);
        for (job, verdict) in &world.verdicts {
            let expected = if world.plans[job].poison {
                Verdict::Crashed
            } else {
                Verdict::Ok
            };
            assert_eq!(*verdict, expected, "seed {seed}, job {job}");
        }
    }
}

#[test]
fn f066_poison_jobs_with_retries_are_quarantined_and_their_neighbours_run_once() {
    let mut world = World::new(1, 3, Faults::default());
    for id in 1..=300 {
        let terms = Terms {
            timeout: None,
            retries: 5,
            ..Terms::default()
        };
        world.submit(
            id,
            JobPlan {
                takes: MS / 10,
                terms,
                poison: matches!(id, 50 | 51),
                ..JobPlan::default()
            },
        );
    }
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    for id in (1..=300).map(JobId) {
        let poison = world.plans[&id].poison;
        let (verdict, starts) = if poison {
            (Verdict::Quarantined, 3)
        } else {
            (Verdict::Ok, 1)
        };
        assert_eq!(world.verdicts[&id], verdict, "job {id}");
        assert_eq!(world.starts[&id], starts, "job {id}");
    }
}

#[test]
fn f029_workers_that_all_die_at_start_end_the_pool_and_never_loop() {
    let faults = Faults {
        die_at_start: 100,
        ..Faults::default()
    };
    for seed in 0..200 {
        let mut world = World::new(seed, 3, faults);
        world.submit_random(1);
        world.run();
        assert!(world.broken);
        assert_eq!(world.verdicts[&JobId(1)], Verdict::Lost);
        assert!(world.now < 50 * MS, "{:?}", world.now);
    }
}

#[test]
fn a_worker_that_takes_long_to_start_is_waited_for_while_others_die() {
    let mut world = World::new(1, 4, Faults::default());
    world.submit(1, JobPlan::default());
    world.faults.die_at_start = 100;
    // The fourth is fine and slow; the others die, again and again.
    world.calendar.clear();
    for id in 1..=3 {
        world.at(MS, Event::Died(WorkerId(id)));
    }
    world.at(60 * MS, Event::Ready(WorkerId(4)));
    world.at(70 * MS, Event::Drain);
    world.run();
    assert_eq!(world.verdicts[&JobId(1)], Verdict::Ok);
}

#[test]
fn f031_a_pool_that_cannot_start_any_worker_gives_up_after_its_patience() {
    let faults = Faults {
        refuse_start: 100,
        ..Faults::default()
    };
    let mut world = World::new(1, 3, faults);
    world.submit_random(1);
    world.run();
    assert_eq!(world.verdicts[&JobId(1)], Verdict::Lost);
    let patience = world.config.spawn_patience;
    assert!(world.now >= patience && world.now < patience + 10 * MS);
}

#[test]
fn f030_a_worker_that_fails_alone_is_replaced() {
    let mut world = World::new(1, 2, Faults::default());
    world.tell(Input::Tick);
    world.workers.get_mut(&WorkerId(1)).unwrap().broken = true;
    for id in 1..=2_000 {
        world.submit(
            id,
            JobPlan {
                takes: MS,
                ..JobPlan::default()
            },
        );
    }
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    let failed = world.verdicts.values().filter(|v| **v != Verdict::Ok);
    assert_eq!(world.retired, 1);
    // What it took before its first answers were in, and what it had then.
    assert!(failed.count() < 700);
}

#[test]
fn jobs_that_fail_everywhere_are_nobodys_fault() {
    let mut world = World::new(1, 2, Faults::default());
    for id in 1..=400 {
        world.submit(
            id,
            JobPlan {
                takes: MS,
                failures: if id % 3 == 0 { 0 } else { 1 },
                ..JobPlan::default()
            },
        );
    }
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    assert_eq!(world.retired, 0);
}

#[test]
fn f028_a_worker_that_cannot_be_killed_is_left_behind() {
    let mut world = World::new(1, 1, Faults::default());
    world.tell(Input::Tick);
    world.workers.get_mut(&WorkerId(1)).unwrap().undead = true;
    let hangs = JobPlan {
        terms: Terms {
            timeout: Some(10 * MS),
            retries: 3,
            ..Terms::default()
        },
        hangs: true,
        deaf: true,
        ..JobPlan::default()
    };
    world.submit(1, hangs);
    world.submit(2, JobPlan::default());
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    assert_eq!(world.verdicts[&JobId(1)], Verdict::Unkillable);
    assert_eq!(world.verdicts[&JobId(2)], Verdict::Ok);
    assert!(world.now < 300 * MS, "{:?}", world.now);
}

#[test]
fn f103_time_that_does_not_pass_times_nothing_out() {
    let mut world = World::new(1, 1, Faults::default());
    let terms = Terms {
        timeout: Some(20 * MS),
        retries: 0,
        ..Terms::default()
    };
    world.submit(
        1,
        JobPlan {
            takes: 15 * MS,
            terms,
            ..JobPlan::default()
        },
    );
    world.tell(Input::Tick);
    while world.starts.is_empty() {
        let Reverse((at, _, event)) = world.calendar.pop().unwrap();
        world.now = world.now.max(at);
        world.happen(event);
    }
    // An hour in which the machine slept: nobody saw it pass.
    world.later(Input::Pause);
    world.paused_at = Some(world.now);
    world.now += 3_600_000 * MS;
    world.resume();
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    assert_eq!(world.verdicts[&JobId(1)], Verdict::Ok);
}

#[test]
fn f049_a_slow_last_job_is_not_started_twice() {
    let mut world = World::new(1, 4, Faults::default());
    for id in 1..=40 {
        let takes = if id == 40 { 500 * MS } else { MS };
        world.submit(
            id,
            JobPlan {
                takes,
                ..JobPlan::default()
            },
        );
    }
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    assert!(world.starts.values().all(|&starts| starts == 1));
}

#[test]
fn jobs_queued_behind_a_long_one_move_to_an_idle_worker() {
    let plan = |takes| JobPlan {
        takes,
        ..JobPlan::default()
    };
    let mut world = World::new(1, 2, Faults::default());
    for id in 1..=200 {
        world.submit(id, plan(Duration::from_micros(5)));
    }
    world.submit(201, plan(5_000 * MS));
    for id in 202..=400 {
        world.submit(id, plan(Duration::from_micros(5)));
    }
    while world.verdicts.len() < 399 {
        let Reverse((at, _, event)) = world.calendar.pop().unwrap();
        world.now = world.now.max(at);
        world.happen(event);
    }
    assert!(world.now < 100 * MS, "{:?}", world.now);
    assert!(!world.verdicts.contains_key(&JobId(201)));
    world.at(Duration::ZERO, Event::Drain);
    world.run();
}

/// The order in which jobs of such lengths start at workers that come late and go, on one day.
fn order(seed: u64, least: Duration, most: Duration) -> Vec<JobId> {
    let mut random = Random(seed);
    let mut world = World::new(seed, 1 + random.below(5) as usize, Faults::default());
    let spread = (most - least).as_micros() as u64;
    for id in 1..=40 {
        let takes = least + Duration::from_micros(random.below(spread));
        let plan = JobPlan {
            takes,
            ..JobPlan::default()
        };
        world.submit(id, plan);
    }
    for _ in 0..random.below(4) {
        let after = Duration::from_micros(random.below(200_000));
        let workers = 1 + random.below(6) as usize;
        world.at(after, Event::Resize(workers));
    }
    if random.percent(30) {
        let after = Duration::from_micros(random.below(200_000));
        world.at(after, Event::Pause);
    }
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    world.all_have_verdicts();
    world.order
}

#[test]
fn long_jobs_start_in_the_order_in_which_they_came() {
    for seed in 0..DAYS {
        let order = order(seed, PATIENCE, 10 * PATIENCE);
        assert!(order.is_sorted(), "seed {seed}: {order:?}");
    }
}

#[test]
fn a_job_that_comes_back_from_behind_a_long_one_is_the_next_to_start() {
    let plan = |millis: u64| JobPlan {
        takes: MS * millis as u32,
        ..JobPlan::default()
    };
    // Each worker knows short jobs and is sent one ahead; then all of them are long.
    let mut world = World::new(1, 3, Faults::default());
    for id in 1..=60 {
        let takes = match id {
            ..=30 => 5,
            31 => 2_000,
            _ => 300 + id * 97 % 600,
        };
        world.submit(id, plan(takes));
    }
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    let order = std::mem::take(&mut world.order);
    // Those of five milliseconds may swap places with what was sent to others at that time.
    let (short, long) = order.split_at(36);
    assert!(long.is_sorted(), "{order:?}");
    for (at, job) in (1..).zip(short) {
        assert!(job.0.abs_diff(at) <= 3, "{order:?}");
    }
}

#[test]
fn workers_that_do_one_job_each_keep_a_pool_as_busy_as_others() {
    let mut world = World::new(1, 4, Faults::default());
    world.config.max_jobs_per_worker = Some(1);
    world.scheduler = Scheduler::new(world.config.clone(), Duration::ZERO);
    for id in 1..=400 {
        world.submit(
            id,
            JobPlan {
                takes: 10 * MS,
                ..JobPlan::default()
            },
        );
    }
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    // The last ones had a next one while there were jobs for it.
    assert!((400..=404).contains(&world.spawned), "{}", world.spawned);
    assert!(world.now < 1_020 * MS, "{:?}", world.now);
}

#[test]
fn equal_jobs_are_spread_evenly() {
    let mut world = World::new(1, 4, Faults::default());
    for id in 1..=400 {
        world.submit(
            id,
            JobPlan {
                takes: 10 * MS,
                ..JobPlan::default()
            },
        );
    }
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    // 100 rounds of 10 ms, plus start and end.
    assert!(world.now < 1_020 * MS, "{:?}", world.now);
}
