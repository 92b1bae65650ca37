//! What agents do, and what is done to them; and the workers of this machine beside them.

use std::collections::VecDeque;

use super::*;
use crate::scheduler::Blame;

type Held = (JobId, Attempt);

pub(super) struct Host {
    is_agent: bool,
    slots: usize,
    state: State,
    /// What runs here, in the order in which it began.
    running: Vec<Held>,
    queue: VecDeque<Held>,
    /// What it was sent and has not answered, where that is something else.
    unanswered: VecDeque<Held>,
    /// Whether it has said goodbye.
    bye: bool,
    /// When it ends all by itself, if it is cut off.
    until: u64,
    /// Whether the scheduler knows already that it is lost.
    is_given_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Well,
    /// It was told to do what it has, and end.
    Draining,
    /// Somebody there wants it to end: it finishes what runs.
    Terminated,
    /// It works and nobody hears it.
    Cut,
    /// It does nothing any more, and the scheduler is about to hear of that.
    Dead,
}

impl World {
    pub(super) fn spawn(&mut self, id: WorkerId, is_agent: bool) {
        let host = Host {
            is_agent,
            slots: if is_agent { self.day.slots } else { 1 },
            state: State::Starting,
            running: Vec::new(),
            queue: VecDeque::new(),
            unanswered: VecDeque::new(),
            bye: false,
            until: 0,
            is_given_up: false,
        };
        self.hosts.insert(id, host);
        let after = 5 + self.random.below(40);
        let refuses = is_agent && self.day.trouble > 0 && self.random.percent(5);
        self.at(
            after,
            match refuses {
                true => Event::NotStarted(id),
                false => Event::Ready(id),
            },
        );
    }

    pub(super) fn ready(&mut self, id: WorkerId) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        if host.state == State::Starting {
            host.state = State::Well;
            let slots = host.slots as u32;
            self.turn(Input::Ready { worker: id, slots });
        }
    }

    pub(super) fn send(&mut self, id: WorkerId, job: JobId, attempt: Attempt) {
        self.counts.sent += 1;
        if let Some(losses) = self.losses.get(&job) {
            assert!(losses.running < 3, "job {job} is sent to a fourth agent");
            let anew = attempt.0 > losses.attempt;
            assert!(
                anew,
                "job {job}, attempt {attempt}: somebody else may have it"
            );
        }
        let host = self.hosts.get_mut(&id).expect("a job for nobody");
        match host.state {
            State::Starting | State::Draining => {
                panic!("a job for a host that is {:?}", host.state)
            }
            State::Well => host.queue.push_back((job, attempt)),
            // It may get there or not.
            State::Cut | State::Dead | State::Terminated => {
                return host.unanswered.push_back((job, attempt));
            }
        }
        self.begin(id);
    }

    /// What waits begins where a slot is free.
    fn begin(&mut self, id: WorkerId) {
        loop {
            let Some(host) = self.hosts.get_mut(&id) else {
                return;
            };
            if host.state == State::Dead || host.running.len() >= host.slots {
                return;
            }
            let Some((job, attempt)) = host.queue.pop_front() else {
                return;
            };
            host.running.push((job, attempt));
            let elsewhere = self.runs.insert(job, id);
            assert_eq!(elsewhere, None, "job {job} runs twice, here at {id}");
            let takes = self.takes(job);
            if self.is_one_in(job, self.day.poison, 4) {
                self.at(1, Event::Kills(id, job, attempt));
                continue;
            }
            if takes > LONG {
                self.at(LONG, Event::Runs(id, job, attempt));
            }
            self.at(takes, Event::Ends(id, job, attempt));
        }
    }

    /// Whether it runs there, in this attempt.
    fn runs_here(&self, id: WorkerId, held: Held) -> bool {
        let host = self.hosts.get(&id).filter(|host| host.state != State::Dead);
        host.is_some_and(|host| host.running.contains(&held))
    }

    fn is_heard(&self, id: WorkerId) -> bool {
        let host = self.hosts.get(&id);
        host.is_some_and(|host| !matches!(host.state, State::Cut | State::Dead))
    }

    pub(super) fn says_it_runs(&mut self, id: WorkerId, (job, attempt): Held) {
        if self.is_heard(id) && self.runs_here(id, (job, attempt)) {
            self.turn(Input::Started {
                worker: id,
                job,
                attempt,
            });
        }
    }

    pub(super) fn ends(&mut self, id: WorkerId, held: Held) {
        if !self.runs_here(id, held) {
            return;
        }
        let (job, _) = held;
        self.stop_one(id, held);
        if self.is_heard(id) {
            let agent = self.hosts.get(&id).is_some_and(|host| host.is_agent);
            let outcome =
                if agent && self.is_one_in(job, self.day.odd, 5) && self.failed.insert(job) {
                    self.note_loss(held);
                    self.counts.homeless += 1;
                    Outcome::Lost
                } else if self.is_one_in(job, self.day.odd, 1) && self.failed.insert(job) {
                    Outcome::Failed(1)
                } else {
                    Outcome::Ok
                };
            self.answer(id, held, outcome);
        }
        self.begin(id);
        self.leave_when_done(id);
    }

    fn answer(&mut self, id: WorkerId, (job, attempt): Held, outcome: Outcome) {
        let took = Duration::from_millis(self.takes(job));
        self.turn(Input::Done {
            worker: id,
            job,
            attempt,
            outcome,
            took,
            size: Size::default(),
        });
    }

    fn stop_one(&mut self, id: WorkerId, held: Held) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.running.retain(|&other| other != held);
        }
        let here = self.runs.remove(&held.0);
        assert_eq!(here, Some(id), "job {} was elsewhere", held.0);
    }

    pub(super) fn recall(&mut self, id: WorkerId, jobs: Vec<Held>) {
        self.counts.recalls += 1;
        if !self.is_heard(id) {
            return;
        }
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let mut given = jobs;
        // Most are at the end.
        given.retain(|held| {
            let place = host.queue.iter().rposition(|other| other == held);
            place.is_some_and(|at| host.queue.remove(at).is_some())
        });
        self.counts.given_back += given.len() as u64;
        self.tell(Input::Recalled {
            worker: id,
            jobs: given,
        });
        self.leave_when_done(id);
    }

    pub(super) fn cancel(&mut self, id: WorkerId, held: Held) {
        if !self.is_heard(id) {
            return;
        }
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        if let Some(at) = host.queue.iter().position(|&other| other == held) {
            host.queue.remove(at);
        } else if host.running.contains(&held) {
            self.stop_one(id, held);
        } else {
            return;
        }
        // Its end is told with what comes next: we may be in the middle of a turn.
        let (job, attempt) = held;
        self.tell(Input::Done {
            worker: id,
            job,
            attempt,
            outcome: Outcome::Cancelled,
            took: Duration::ZERO,
            size: Size::default(),
        });
        self.begin(id);
        self.leave_when_done(id);
    }

    // ---- Ends
    pub(super) fn drain(&mut self, id: WorkerId) {
        if let Some(host) = self.hosts.get_mut(&id) {
            match host.state {
                State::Starting => {
                    host.state = State::Dead;
                    self.at(1, Event::Gone(id));
                }
                State::Well => host.state = State::Draining,
                State::Draining | State::Terminated | State::Cut | State::Dead => {}
            }
        }
        self.leave_when_done(id);
    }

    fn leave_when_done(&mut self, id: WorkerId) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let leaves = matches!(host.state, State::Draining | State::Terminated);
        if leaves && host.running.is_empty() && host.queue.is_empty() {
            self.counts.goodbyes += u64::from(host.state == State::Terminated);
            host.state = State::Dead;
            host.bye = true;
            self.at(1, Event::Gone(id));
        }
    }

    /// Of a host that is cut off, only what leads there is killed.
    pub(super) fn kill(&mut self, id: WorkerId) {
        match self.hosts.get(&id).map(|host| host.state) {
            Some(State::Cut) => self.at(0, Event::Gone(id)),
            _ => self.lose(id),
        }
    }

    /// It dies with all that it has, and that is noticed.
    fn lose(&mut self, id: WorkerId) {
        self.stops_all(id);
        self.at(0, Event::Gone(id));
    }

    /// All that it ran ends; what was left is what it was sent and has not answered.
    pub(super) fn stops_all(&mut self, id: WorkerId) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let was = std::mem::replace(&mut host.state, State::Dead);
        let running = std::mem::take(&mut host.running);
        if was != State::Cut {
            let later = std::mem::take(&mut host.unanswered);
            let held = running
                .iter()
                .copied()
                .chain(host.queue.drain(..))
                .chain(later);
            host.unanswered = held.collect();
        }
        host.queue.clear();
        for (job, _) in running {
            assert_eq!(self.runs.remove(&job), Some(id));
        }
    }

    /// Nobody hears of it any more, but it works on for a while. If its launcher was killed, that
    /// is noticed earlier than when it is silent for too long.
    fn cut(&mut self, id: WorkerId, after: u64) {
        let until = self.now + DEAD_MAN;
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        host.state = State::Cut;
        host.until = until;
        host.unanswered = host.running.iter().chain(&host.queue).copied().collect();
        self.at(DEAD_MAN, Event::DeadMan(id));
        self.at(after, Event::Gone(id));
    }

    /// A host that was cut off ends all.
    pub(super) fn ends_by_itself(&mut self, id: WorkerId) {
        self.stops_all(id);
        if self.hosts.get(&id).is_some_and(|host| host.is_given_up) {
            self.hosts.remove(&id);
        }
    }

    /// The pool has ended. What runs on where nobody hears of it has its verdict.
    pub(super) fn forget_given_up(&mut self) {
        let given_up = |(_, host): &(WorkerId, &Host)| host.is_given_up;
        let all: Vec<WorkerId> = self
            .hosts
            .iter()
            .filter(given_up)
            .map(|(id, _)| id)
            .collect();
        for id in all {
            self.ends_by_itself(id);
        }
    }

    /// A job takes what it runs on down.
    pub(super) fn dies_of(&mut self, id: WorkerId, held: Held) {
        if !self.runs_here(id, held) {
            return;
        }
        match self.hosts.get(&id).map(|host| (host.is_agent, host.state)) {
            // Whoever is heard dies audibly.
            Some((true, State::Cut)) => self.stops_all(id),
            Some((true, _)) => {
                self.counts.lost += 1;
                self.lose(id);
            }
            Some((false, _)) => {
                *self.crashed.entry(held.0).or_default() += 1;
                self.lose(id);
            }
            None => {}
        }
    }

    fn note_loss(&mut self, (job, attempt): Held) {
        let losses = self.losses.entry(job).or_default();
        losses.running += 1;
        losses.attempt = attempt.0;
    }

    /// The scheduler hears that a host is gone.
    pub(super) fn gone(&mut self, id: WorkerId) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&id).filter(|host| !host.is_given_up) else {
            return;
        };
        let works_on = host.state == State::Cut && host.until >= now;
        assert!(
            works_on || host.running.is_empty(),
            "it is given up too early"
        );
        host.is_given_up = true;
        let unanswered = std::mem::take(&mut host.unanswered);
        let (is_agent, bye, slots) = (host.is_agent, host.bye, host.slots);
        // What ends at this very time has ended in the next.
        let rest = Duration::from_millis(host.until.saturating_sub(now) + 1);
        if !works_on {
            self.hosts.remove(&id);
        }
        self.counts.homeless += unanswered.len() as u64;
        let blame = if !is_agent {
            let own = unanswered.front();
            own.map_or(Blame::Nobody, |&(job, attempt)| Blame::Job(job, attempt))
        } else if bye {
            Blame::Nobody
        } else if works_on {
            self.counts.works_on += 1;
            Blame::MayRun(rest)
        } else {
            Blame::Running
        };
        if matches!(blame, Blame::Running | Blame::MayRun(_)) {
            for (at, &held) in unanswered.iter().enumerate() {
                if at < slots {
                    self.note_loss(held);
                } else {
                    self.losses.entry(held.0).or_default().attempt = held.1.0;
                }
            }
        }
        self.turn(Input::Gone { worker: id, blame });
        // What it had to say comes too late.
        if bye {
            return;
        }
        if let Some(&held) = unanswered.front() {
            self.answer(id, held, Outcome::Ok);
        }
    }

    /// Now and then one of the agents is lost, cut off or terminated.
    pub(super) fn some_host_has_trouble(&mut self) {
        if self.day.trouble == 0 || self.random.below(self.day.trouble) > 0 {
            return;
        }
        let well = |(_, host): &(WorkerId, &Host)| host.is_agent && host.state == State::Well;
        let well: Vec<WorkerId> = self.hosts.iter().filter(well).map(|(id, _)| id).collect();
        if well.is_empty() {
            return;
        }
        let id = well[self.random.below(well.len() as u64) as usize];
        match self.random.below(3) {
            0 => {
                self.counts.lost += 1;
                self.lose(id);
            }
            1 => {
                self.counts.cut += 1;
                // The large day is as it was, and as long.
                let early = self.day.checked && self.random.percent(50);
                let after = match early {
                    true => self.random.below(DEAD_MAN),
                    false => SILENCE,
                };
                self.cut(id, after);
            }
            _ => {
                let host = self.hosts.get_mut(&id).expect("it is well");
                host.state = State::Terminated;
                host.unanswered = host.queue.drain(..).collect();
                self.leave_when_done(id);
            }
        }
    }
}
