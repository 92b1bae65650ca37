//! Agents: workers with workers of their own, which may be lost with all that they ran.

use super::*;

/// A pool of so many agents, and workers of this machine, none of them ready.
fn starting(agents: usize, workers: usize) -> Desk {
    let config = SchedulerConfig {
        agents,
        ..config(agents + workers)
    };
    Desk::of(config)
}

/// A pool of agents with so many workers each, and one worker of this machine.
fn agents(slots: &[u32]) -> Desk {
    let mut desk = starting(slots.len(), 1);
    for (&slots, worker) in slots.iter().zip(1..) {
        let worker = WorkerId(worker);
        desk.tell(Input::Ready { worker, slots });
    }
    desk
}

impl Desk {
    fn submit_all(&mut self, jobs: std::ops::RangeInclusive<u64>) -> Vec<(u64, u32, u32)> {
        let mut sent = Vec::new();
        for job in jobs {
            self.submit(job);
            sent.extend(self.sent());
        }
        sent
    }

    /// What was sent in this turn: job, attempt, to whom.
    fn sent(&self) -> Vec<(u64, u32, u32)> {
        let sent = |action: &Action| match action {
            Action::Send {
                worker,
                job,
                attempt,
            } => Some((job.0, attempt.0, worker.0)),
            _ => None,
        };
        self.wanted.iter().filter_map(sent).collect()
    }
}

#[test]
fn a_lost_agent_s_jobs_have_another_number_and_that_is_no_try() {
    let mut desk = agents(&[2]);
    let sent = desk.submit_all(1..=5);
    assert_eq!(sent.len(), 4, "two run, two wait there: {sent:?}");
    desk.gone(1, Blame::Running);
    assert!(desk.verdicts().is_empty(), "{:?}", desk.wanted);
    assert_eq!(desk.spawns(), 1, "its host is tried again at once");
    let (worker, slots) = (WorkerId(3), 5);
    desk.tell(Input::Ready { worker, slots });
    let mut again = desk.sent();
    again.sort_unstable();
    let numbers: Vec<_> = again
        .iter()
        .map(|&(job, attempt, _)| (job, attempt))
        .collect();
    assert_eq!(numbers, [(1, 2), (2, 2), (3, 2), (4, 2), (5, 1)]);
    // The old one's word does not count.
    desk.done(1, 1, 1, Outcome::Ok);
    assert!(desk.verdicts().is_empty());
    desk.done(3, 1, 2, Outcome::Failed(3));
    assert_eq!(desk.verdicts(), [(1, Verdict::Failed(3), 1)]);
}

#[test]
fn what_a_lost_agent_may_still_run_is_given_to_nobody_before() {
    let mut desk = agents(&[2]);
    desk.submit_all(1..=3);
    desk.gone(1, Blame::MayRun(200 * MS));
    assert_eq!(desk.spawns(), 1, "its host is tried again at once");
    desk.tell(Input::Ready {
        worker: WorkerId(3),
        slots: 2,
    });
    desk.submit(4);
    assert_eq!(desk.sent(), [(4, 1, 3)], "others go on");
    desk.wait(199 * MS);
    assert_eq!(desk.sent(), []);
    desk.wait(MS);
    let mut jobs: Vec<_> = desk
        .sent()
        .iter()
        .map(|&(job, attempt, _)| (job, attempt))
        .collect();
    jobs.sort_unstable();
    assert_eq!(jobs, [(1, 2), (2, 2), (3, 2)]);
    assert!(desk.verdicts().is_empty());
}

#[test]
fn a_job_that_waits_for_its_lost_agent_s_end_can_be_cancelled() {
    let mut desk = agents(&[1]);
    desk.submit(1);
    desk.gone(1, Blame::MayRun(200 * MS));
    desk.tell(Input::Cancel { job: JobId(1) });
    assert_eq!(desk.verdicts(), [(1, Verdict::Cancelled, 0)]);
}

#[test]
fn a_job_that_ran_on_three_lost_agents_is_quarantined_and_no_other() {
    let mut desk = starting(1, 0);
    desk.submit(1);
    for number in 1..=3 {
        assert!(desk.verdicts().is_empty());
        desk.wait(Duration::from_secs(10));
        desk.ready(number);
        desk.gone(number, Blame::Running);
    }
    assert_eq!(desk.verdicts(), [(1, Verdict::Quarantined, 3)]);
    desk.submit(2);
    desk.wait(Duration::from_secs(10));
    desk.ready(4);
    assert_eq!(desk.sent(), [(2, 1, 4)]);
}

#[test]
fn a_goodbye_gives_back_what_had_not_begun() {
    let mut desk = agents(&[2]);
    desk.submit_all(1..=3);
    desk.gone(1, Blame::Nobody);
    desk.tell(Input::Ready {
        worker: WorkerId(3),
        slots: 3,
    });
    let attempts: Vec<_> = desk.sent().iter().map(|&(_, attempt, _)| attempt).collect();
    assert_eq!(attempts, [1, 1, 1]);
}

#[test]
fn hosts_that_cannot_be_used_end_nothing_while_another_may_become_ready() {
    let mut desk = starting(2, 0);
    desk.submit(1);
    // One of them dies again and again, the other waits in a queue for hours.
    for dies in [1].into_iter().chain(3..100) {
        desk.gone(dies, Blame::Running);
        desk.wait(Duration::from_secs(60));
        assert!(!desk.wanted.contains(&Action::Broken));
    }
    desk.tell(Input::Ready {
        worker: WorkerId(2),
        slots: 8,
    });
    assert_eq!(desk.sent(), [(1, 1, 2)]);
}

#[test]
fn when_all_hosts_fail_again_and_again_all_is_over() {
    let mut desk = starting(2, 0);
    desk.submit(1);
    for worker in 1..100 {
        desk.gone(worker, Blame::Running);
        if desk.wanted.contains(&Action::Broken) {
            assert_eq!(desk.verdicts(), [(1, Verdict::Lost, 0)]);
            assert!(worker >= 4, "each was tried again");
            return;
        }
        desk.wait(Duration::from_secs(60));
    }
    panic!("it never ends");
}

impl Desk {
    /// Who was asked for which jobs in this turn.
    fn asked_for(&self) -> Vec<(u32, Vec<u64>)> {
        let asked = |action: &Action| match action {
            Action::Recall { worker, jobs } => {
                Some((worker.0, jobs.iter().map(|(job, _)| job.0).collect()))
            }
            _ => None,
        };
        self.wanted.iter().filter_map(asked).collect()
    }

    fn agent_gives_back(&mut self, worker: u32, jobs: &[(u64, u32)]) {
        let jobs = jobs.iter();
        self.tell(Input::Recalled {
            worker: WorkerId(worker),
            jobs: jobs.map(|&(job, n)| (JobId(job), Attempt(n))).collect(),
        });
    }
}

/// Two agents with two slots, of which the first has four jobs, the second three, and
/// each of them a long one.
fn busy_agents() -> Desk {
    let mut desk = starting(2, 0);
    desk.submit_all(1..=7);
    for worker in [WorkerId(1), WorkerId(2)] {
        desk.tell(Input::Ready { worker, slots: 2 });
    }
    let at = |worker| {
        let worker = &desk.scheduler.workers[&WorkerId(worker)];
        worker.jobs.iter().map(|(job, _)| job.0).collect::<Vec<_>>()
    };
    assert_eq!((at(1), at(2)), (vec![1, 2, 3, 4], vec![5, 6, 7]));
    for (worker, job) in [(1, 1), (2, 5)] {
        desk.tell(Input::Started {
            worker: WorkerId(worker),
            job: JobId(job),
            attempt: Attempt(1),
        });
    }
    desk
}

#[test]
fn a_free_slot_at_the_end_gets_one_job_of_another_agent_and_all_others_stay() {
    let mut desk = busy_agents();
    desk.done(2, 6, 1, Outcome::Ok);
    assert_eq!(desk.asked_for(), [], "7 has its turn");
    desk.done(2, 7, 1, Outcome::Ok);
    assert_eq!(desk.asked_for(), [(1, vec![4])]);
    // Nobody is asked twice for the same slot.
    desk.tell(Input::Tick);
    assert_eq!(desk.asked_for(), []);
    desk.agent_gives_back(1, &[(4, 1)]);
    assert_eq!(desk.sent(), [(4, 1, 2)]);
}

#[test]
fn an_agent_whose_jobs_all_run_is_not_asked_for_them() {
    let mut desk = busy_agents();
    desk.done(1, 2, 1, Outcome::Ok);
    desk.done(1, 3, 1, Outcome::Ok);
    for job in [5, 6, 7] {
        desk.done(2, job, 1, Outcome::Ok);
        assert_eq!(desk.asked_for(), [], "1 and 4 run");
    }
}

#[test]
fn who_gives_nothing_back_is_asked_again_when_one_of_its_jobs_has_ended() {
    let mut desk = busy_agents();
    desk.done(2, 6, 1, Outcome::Ok);
    desk.done(2, 7, 1, Outcome::Ok);
    assert_eq!(desk.asked_for(), [(1, vec![4])]);
    desk.agent_gives_back(1, &[]);
    assert_eq!(desk.asked_for(), [], "it would say the same");
    desk.done(2, 5, 1, Outcome::Ok);
    assert_eq!(desk.asked_for(), []);
    desk.done(1, 2, 1, Outcome::Ok);
    assert_eq!(desk.asked_for(), [(1, vec![4])]);
}

#[test]
fn what_an_agent_gives_up_is_given_to_others() {
    let mut desk = agents(&[1]);
    desk.submit(1);
    assert_eq!(desk.sent(), [(1, 1, 1)]);
    desk.ready(2);
    desk.done(1, 1, 1, Outcome::Lost);
    assert!(desk.verdicts().is_empty());
    assert_eq!(
        desk.sent()[0].1,
        2,
        "with another number: {:?}",
        desk.wanted
    );
}

#[test]
fn a_cancelled_job_costs_no_agent_as_long_as_that_may_see_to_it() {
    let mut desk = agents(&[4]);
    desk.submit_all(1..=3);
    desk.tell(Input::Cancel { job: JobId(2) });
    let patience = desk.scheduler.config.grace + desk.scheduler.config.answer_timeout;
    desk.wait(patience + Duration::from_secs(4));
    assert!(!desk.kills(1));
    desk.wait(Duration::from_secs(2));
    assert!(desk.kills(1), "it does not do its duty");
    // Those beside it were not at fault, and it was not there for a lost agent's sake.
    desk.gone(1, Blame::Running);
    assert_eq!(desk.verdicts(), [(2, Verdict::Cancelled, 1)]);
}

#[test]
fn an_agent_that_may_be_cut_off_is_not_killed_for_a_job_before_it_is_silent_for_too_long() {
    let minute = Duration::from_secs(60);
    let cut_off = || {
        let mut desk = agents(&[4]);
        desk.scheduler.config.silence = minute;
        desk.submit_all(1..=3);
        desk.tell(Input::Cancel { job: JobId(2) });
        desk
    };
    // The two others may still run there.
    let mut desk = cut_off();
    desk.wait(minute);
    assert!(!desk.kills(1));
    desk.wait(Duration::from_secs(1));
    assert!(desk.kills(1));
    // None of them will be run again, so that nothing is waited for.
    let mut desk = agents(&[4]);
    desk.scheduler.config.silence = minute;
    desk.submit_all(1..=3);
    desk.tell(Input::Interrupt);
    desk.wait(Duration::from_secs(6));
    assert!(desk.kills(1));
}
