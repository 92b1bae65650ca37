//! Ends that come together in one turn: what follows from them for a worker is
//! seen to once, and before anything else that comes in the same turn.

use super::*;

/// A worker that holds so many jobs, which are short.
fn busy(jobs: u64) -> (Desk, Vec<(u64, u32)>) {
    let mut desk = Desk::with(1);
    desk.took = Duration::from_micros(1);
    for job in 1000..1100 {
        desk.run(job, Outcome::Ok);
    }
    let mut held = Vec::new();
    for job in 1..=jobs {
        desk.submit(job);
        let attempt = |action: &Action| match action {
            Action::Send { job, attempt, .. } => Some((job.0, attempt.0)),
            _ => None,
        };
        held.extend(desk.wanted.iter().filter_map(attempt));
    }
    assert_eq!(held.len() as u64, jobs, "they are all sent ahead");
    (desk, held)
}

impl Desk {
    /// An end of which nothing is asked yet.
    fn ends(&mut self, (job, attempt): (u64, u32)) {
        let counts = self.scheduler.done_well(
            self.now,
            WorkerId(1),
            (JobId(job), Attempt(attempt)),
            self.took,
        );
        assert!(counts);
    }

    fn tell_at_once(&mut self, input: Input) {
        self.scheduler.handle(self.now, input);
    }
}

#[test]
fn a_job_whose_turn_has_come_by_them_is_known_to_run() {
    let (mut desk, held) = busy(4);
    desk.now += 5 * MS;
    desk.ends(held[0]);
    desk.ends(held[1]);
    desk.tell_at_once(Input::Cancel { job: JobId(3) });
    desk.poll();
    assert_eq!(
        desk.verdicts(),
        [(1, Verdict::Ok, 1), (2, Verdict::Ok, 1)],
        "{:?}",
        desk.wanted
    );
    // It runs, so it has to end in time, or its worker is killed.
    let patience = desk.scheduler.config.grace + desk.scheduler.config.answer_timeout;
    desk.wait(patience - MS);
    assert!(!desk.kills(1));
    desk.wait(2 * MS);
    assert!(desk.kills(1));
}

#[test]
fn the_next_one_has_its_time_from_then_on_also_in_a_pause() {
    let (mut desk, held) = busy(3);
    desk.tell(Input::Pause);
    desk.now += 7 * MS;
    desk.ends(held[0]);
    desk.poll();
    let running = desk.scheduler.running();
    assert_eq!((running[0].job.0, running[0].since), (2, desk.now));
}

#[test]
fn a_death_in_the_same_turn_is_charged_to_the_next_one() {
    let (mut desk, held) = busy(3);
    desk.ends(held[0]);
    desk.tell_at_once(Input::Gone {
        worker: WorkerId(1),
        blame: Blame::Oldest,
    });
    desk.poll();
    let verdicts = desk.verdicts();
    assert_eq!(verdicts[0], (1, Verdict::Ok, 1));
    assert!(
        verdicts[1..].iter().all(|(job, ..)| *job == 2),
        "{verdicts:?}"
    );
}

#[test]
fn the_last_ones_end_the_pool_in_good_order() {
    let (mut desk, held) = busy(3);
    desk.tell(Input::Drain);
    held.into_iter().for_each(|job| desk.ends(job));
    desk.poll();
    assert_eq!(desk.verdicts().len(), 3);
    desk.gone(1, Blame::Nobody);
    assert!(desk.wanted.contains(&Action::Ended), "{:?}", desk.wanted);
}

#[test]
fn the_same_end_twice_is_a_lie() {
    let (mut desk, held) = busy(3);
    desk.ends(held[0]);
    let (job, attempt) = held[0];
    let again = (JobId(job), Attempt(attempt));
    let counts = desk.scheduler.done_well(desk.now, WorkerId(1), again, MS);
    desk.poll();
    assert!(!counts && desk.kills(1));
}
