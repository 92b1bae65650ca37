//! Workers are started, and given up when the kernel does not let them end.

use std::sync::Arc;

use protocol::WorkerId;
use tokio::sync::mpsc;

use super::delivery::Delivery;
use super::driver::Driver;
use super::event::EventKind;
use super::hired::{Crew, Hired};
use super::news::Order;
use super::{log, process, thread};

impl Driver {
    pub(super) fn hire(&mut self, worker: WorkerId, seat: usize) {
        let config = Arc::clone(&self.config);
        let news = self.news_sender.clone();
        match &self.crew {
            Crew::Processes => {
                let delivery = Delivery::new(worker, self.route.clone(), self.printing.lost());
                let dialling = Arc::clone(&self.dialling);
                let (orders, actor) =
                    process::hire((worker, seat), config, (news, dialling), delivery);
                self.employ((worker, seat), orders, actor);
            }
            Crew::Threads(factory) => {
                let factory = Arc::clone(factory);
                let (orders, actor) = thread::hire(worker, config, factory, news);
                self.employ((worker, seat), orders, actor);
            }
        }
    }

    fn employ(
        &mut self,
        (worker, seat): (WorkerId, usize),
        orders: mpsc::UnboundedSender<Order>,
        actor: impl Future<Output = ()> + Send + 'static,
    ) {
        let hired = Hired {
            orders,
            actor: self.actors.spawn(actor),
            pid: 0,
            host: self
                .config
                .agents
                .get(seat)
                .map(|agent| Arc::clone(&agent.host)),
            seat,
            tasks: None,
            files: None,
            timed_out: false,
            asked_to_end: false,
            violation: None,
        };
        self.counted.workers_started += 1;
        self.actor_ids.insert(hired.actor.id(), worker);
        self.workers.insert(worker, hired);
    }

    /// The kernel does not let a worker end; whoever reaps it will be the
    /// runtime, or nobody.
    pub(super) fn abandon(&mut self, worker: WorkerId) {
        if let Some(hired) = self.workers.remove(&worker) {
            hired.actor.abort();
            self.counted.workers_died += 1;
            let how = format!("was killed and does not end (pid {})", hired.pid);
            if log::is_on() {
                self.log_gone(worker, Some(&how));
            }
            self.emit(EventKind::WorkerEnded {
                worker,
                unexpected: Some(Arc::from(how.as_str())),
            });
            self.how = how;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::{Encoding, JobId};
    use tokio::sync::{Semaphore, watch};

    use super::super::driver::{Shared, State};
    use super::super::entry::{Entry, Reply};
    use super::super::obey::Command;
    use super::super::{Launch, PoolConfig, RawJob, Reports, Spill};
    use super::*;
    use crate::scheduler::{Action, Verdict};

    #[tokio::test]
    async fn f101_an_actor_that_panics_is_a_lost_worker_and_no_job_waits_for_it() {
        let config = PoolConfig {
            workers: 1,
            start_attempts: 1,
            ..PoolConfig::new(Launch::program("/bin/false"))
        };
        let (commands, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(8));
        let mut driver = Driver::new(Shared {
            config: Arc::new(config),
            crew: Crew::Processes,
            commands: receiver,
            events: None,
            state: watch::Sender::new(State::Starting),
            room: Arc::clone(&room),
            spill: Spill::new(0),
        });
        let Some(Action::Spawn { worker, .. }) = driver.scheduler.poll_action() else {
            panic!("a pool begins with a worker")
        };
        let (orders, _unheard) = mpsc::unbounded_channel();
        driver.employ((worker, 0), orders, async { panic!("a bug in an actor") });
        let (reports, mut reported) = Reports::channel();
        let entry = Entry::new(
            JobId(1),
            RawJob::encoded("t", Bytes::new(), Encoding::Raw),
            Reply::Shared(reports),
        );
        commands.send(Command::Submit(Box::new(entry))).unwrap();
        let end = driver.run().await.unwrap_err();
        assert!(end.to_string().contains("was lost: task"), "{end}");
        let report = reported.next().await.unwrap();
        assert_eq!(report.verdict, Verdict::Lost);
    }
}
