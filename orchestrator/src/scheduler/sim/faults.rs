//! How bad a day is, and days made of that.

use std::time::Duration;

use protocol::JobId;

use super::{Event, JobPlan, MS, Random, Terms, World};

/// Chances in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    // Workers.
    pub(super) refuse_start: u64,
    pub(super) die_at_start: u64,
    pub(super) hang_at_start: u64,
    pub(super) die_in_job: u64,
    pub(super) die_idle: u64,
    pub(super) wrong_job: u64,
    pub(super) answer_twice: u64,
    pub(super) garbage: u64,
    pub(super) close_channel: u64,
    pub(super) hang_at_end: u64,
    pub(super) undead: u64,
    pub(super) recall_lies: u64,
    pub(super) no_status_page: u64,
    pub(super) black_hole: u64,
    pub(super) swell: u64,
    // Rules of the pool.
    pub(super) wear: u64,
    pub(super) idle_ends: u64,
    pub(super) gates: u64,
    // Jobs.
    pub(super) poison_jobs: u64,
    pub(super) deaf_jobs: u64,
    pub(super) hanging_jobs: u64,
    pub(super) failing_jobs: u64,
    pub(super) limited_jobs: u64,
    pub(super) retried_jobs: u64,
    pub(super) urgent_jobs: u64,
    pub(super) late_jobs: u64,
    // Users.
    pub(super) resizes: u64,
    pub(super) short_memory: u64,
    pub(super) cancels: u64,
    pub(super) pause: u64,
    pub(super) withdraw: u64,
    pub(super) interrupt: u64,
    pub(super) stop: u64,
    pub(super) kill: u64,
}

impl Faults {
    pub(super) const ALL: Faults = Faults {
        refuse_start: 3,
        die_at_start: 10,
        hang_at_start: 5,
        die_in_job: 3,
        die_idle: 2,
        wrong_job: 2,
        answer_twice: 2,
        garbage: 2,
        close_channel: 1,
        hang_at_end: 10,
        undead: 5,
        recall_lies: 3,
        no_status_page: 30,
        black_hole: 3,
        swell: 3,
        wear: 30,
        idle_ends: 30,
        gates: 20,
        poison_jobs: 4,
        deaf_jobs: 5,
        hanging_jobs: 3,
        failing_jobs: 10,
        limited_jobs: 20,
        retried_jobs: 30,
        urgent_jobs: 30,
        late_jobs: 20,
        resizes: 30,
        short_memory: 40,
        cancels: 10,
        pause: 10,
        withdraw: 5,
        interrupt: 5,
        stop: 5,
        kill: 5,
    };
}

impl World {
    pub(super) fn submit_random(&mut self, id: u64) {
        let faults = self.faults;
        let random = &mut self.random;
        let takes = match random.below(10) {
            0..6 => Duration::from_micros(random.below(50)),
            6..9 => Duration::from_micros(random.below(5_000)),
            _ => Duration::from_millis(random.below(50)),
        };
        let hangs = random.percent(faults.hanging_jobs);
        let limited = hangs || random.percent(faults.limited_jobs);
        let retried = random.percent(faults.retried_jobs);
        let failing = random.percent(faults.failing_jobs);
        let urgent = random.percent(faults.urgent_jobs);
        let own_pause = retried && random.percent(30);
        let plan = JobPlan {
            takes,
            terms: Terms {
                timeout: limited.then(|| MS + Duration::from_micros(random.below(40_000))),
                retries: if retried { random.below(6) as u32 } else { 0 },
                retry_backoff: own_pause.then(|| MS * random.below(30) as u32),
                priority: if urgent {
                    random.below(5) as i32 - 2
                } else {
                    0
                },
                ..Terms::default()
            },
            poison: random.percent(faults.poison_jobs),
            deaf: random.percent(faults.deaf_jobs),
            hangs,
            failures: if failing { random.below(5) as u32 } else { 0 },
        };
        self.submit(id, plan);
        if self.random.percent(faults.cancels) {
            let after = Duration::from_micros(self.random.below(20_000));
            self.at(after, Event::Cancels(JobId(id)));
        }
    }
}

/// A day from the first job to the end of the pool.
pub(super) fn a_day(seed: u64, faults: Faults) -> World {
    let mut random = Random(seed ^ 0xABCD);
    let workers = 1 + random.below(5) as usize;
    let jobs = random.below(60);
    let mut world = World::new(seed, workers, faults);
    let end = random.below(100_000);
    let (late, punctual): (Vec<u64>, Vec<u64>) =
        (0..jobs).partition(|_| random.percent(faults.late_jobs));
    for (id, _) in (1..).zip(punctual) {
        world.submit_random(id);
    }
    for _ in late {
        let after = Duration::from_micros(random.below(end + 1));
        world.at(after, Event::Submits);
    }
    while random.percent(faults.resizes.min(80)) {
        let after = Duration::from_micros(random.below(100_000));
        let workers = 1 + random.below(6) as usize;
        world.at(after, Event::Resize(workers));
    }
    while random.percent(faults.short_memory.min(80)) {
        let after = Duration::from_micros(random.below(100_000));
        world.at(after, Event::Short);
    }
    for (chance, event) in [
        (faults.pause, Event::Pause),
        (faults.withdraw, Event::Withdraw),
        (faults.interrupt, Event::Interrupt),
        (faults.stop, Event::Stop),
        (faults.kill, Event::Kill),
    ] {
        let after = Duration::from_micros(random.below(100_000));
        if random.percent(chance) {
            world.at(after, event);
        }
    }
    world.at(Duration::from_micros(end), Event::Drain);
    world.run();
    world.all_have_verdicts();
    world
}
