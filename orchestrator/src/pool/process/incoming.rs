//! What comes from a worker: bytes become messages, and those go to the driver,
//! or wait until what their jobs have printed is delivered.

use protocol::codec::{self, FrameError, excerpt};
use protocol::greeting::{self, GreetingScan};
use protocol::{
    Attempt, FromWorker, Hello, JobId, LinkKind, PROTOCOL_VERSION, Ready, Stream, ToWorker,
};
use tokio_util::codec::Decoder;

use super::{Process, READ_AHEAD, Stage};
use crate::pool::clock;
use crate::pool::news::{News, StartFailure};
use crate::pool::os::StatusPage;

/// Whom a message concerns.
enum Sorted {
    /// Only the link: dealt with.
    Link,
    Ready(Ready),
    /// A job.
    Message(FromWorker),
}

impl Process {
    /// Makes messages of the bytes that have arrived.
    pub(super) async fn take_in(&mut self) {
        if self.stage == Stage::Greeting && !self.meet() {
            return;
        }
        let mut broken = None;
        let violation = loop {
            let next = match broken.take() {
                Some(e) => Err(e),
                None => self.next_message(&mut broken),
            };
            match next {
                Ok(Some(message)) => match self.sort(message) {
                    Ok(Sorted::Link) => {}
                    Ok(Sorted::Message(message)) => self.keep(message),
                    Ok(Sorted::Ready(ready)) => self.tell(News::Ready(ready)).await,
                    Err(text) => break Some(text),
                },
                Ok(None) => break None,
                Err(e) => break Some(e.to_string()),
            }
        };
        self.frame_due = if self.inbox.is_empty() {
            None
        } else {
            clock::instant().checked_add(self.frame_timeout())
        };
        if !self.held.is_empty() {
            self.delivery.confirm();
        }
        self.wake_printer().await;
        if !self.passing.is_empty() {
            let messages = std::mem::take(&mut self.passing);
            self.tell(News::Messages(messages)).await;
        }
        // After the end of the link nothing is put off: it would come behind it.
        let goes_on = self.stdout.is_some() && violation.is_none() && !self.bye;
        if self.delivery.is_done() || !goes_on {
            self.go_on().await;
        } else if self.read_ahead >= self.may_read_ahead {
            self.announce().await;
        }
        if self.bye && !self.closing {
            self.closing = true;
            self.unheard().await;
        }
        if let Some(text) = violation {
            self.stage = Stage::Over;
            self.tell(News::Violation(text)).await;
        }
    }

    /// The next message. Answers in a row are one; what comes behind them that is
    /// no frame is an error for the next time.
    fn next_message(
        &mut self,
        broken: &mut Option<FrameError>,
    ) -> Result<Option<FromWorker>, FrameError> {
        let mut answers = Vec::new();
        let taken = codec::take_answers(&mut self.inbox, &mut answers);
        if answers.is_empty() {
            taken?;
            return self.codec.decode(&mut self.inbox);
        }
        *broken = taken.err();
        Ok(Some(FromWorker::DoneMany(answers)))
    }

    /// Looks for the greeting; whether frames may follow.
    fn meet(&mut self) -> bool {
        let greeting = match greeting::scan(&self.inbox) {
            GreetingScan::NeedMore => {
                self.bring();
                return false;
            }
            GreetingScan::Absent => {
                let printed = excerpt(&self.inbox);
                self.refuse(StartFailure::NotAWorker(printed));
                return false;
            }
            GreetingScan::Found(greeting) => greeting,
        };
        if greeting.version != PROTOCOL_VERSION {
            self.refuse(StartFailure::Version(greeting.version));
            return false;
        }
        drop(self.inbox.split_to(greeting.end));
        self.received = self.inbox.len() as u64;
        self.stage = Stage::Hello;
        self.has_greeted();
        self.outgoing.say(ToWorker::Hello(Hello {
            build: format!("orchestrator {}", env!("CARGO_PKG_VERSION")),
            worker: self.id,
            link: match self.remote {
                Some(_) => LinkKind::Remote,
                None => LinkKind::Local,
            },
            max_payload: self.config.max_payload,
            init: self.config.init.is_some(),
        }));
        if let Some(data) = self.config.init.clone() {
            self.outgoing.say(ToWorker::Init(data));
        }
        true
    }

    /// This is no worker for us. It holds no job, so it can be killed here.
    fn refuse(&mut self, why: StartFailure) {
        self.failure = Some(why);
        self.stage = Stage::Over;
        self.kill();
    }

    /// Deals with what concerns only the link.
    fn sort(&mut self, message: FromWorker) -> Result<Sorted, String> {
        if self.stage == Stage::Hello {
            return match message {
                FromWorker::Ready(Ready { slots: 0, .. }) => Err("offers no slots".into()),
                FromWorker::Ready(ready) => {
                    self.stage = Stage::Open;
                    self.is_ready();
                    // The page has room for one running job, and is on this machine.
                    let has_page = ready.slots == 1 && self.remote.is_none();
                    let fd = ready.status_fd.filter(|_| has_page);
                    self.page = fd.and_then(|fd| StatusPage::open(self.pid, fd));
                    Ok(Sorted::Ready(ready))
                }
                // Printed by its start-up code.
                FromWorker::Output { .. } => Ok(Sorted::Message(message)),
                other => Err(format!("said {} before it was ready", name(&other))),
            };
        }
        self.pace.fewer_jobs(match &message {
            FromWorker::DoneMany(answers) => answers.len(),
            FromWorker::Recalled(jobs) => jobs.len(),
            _ => 0,
        });
        if let FromWorker::DoneMany(answers) = &message {
            if self.remote.is_some() {
                self.acknowledge_soon();
            } else if answers.iter().any(|a| a.header.outcome.is_of_agents()) {
                return Err("gave an answer that only an agent gives".into());
            }
        }
        match message {
            FromWorker::Ready(_) => return Err("said ready twice".into()),
            FromWorker::Credit {
                job,
                attempt,
                chunks,
            } => {
                self.outgoing.credit((job, attempt), chunks);
                return Ok(Sorted::Link);
            }
            FromWorker::Bye => {
                self.bye = true;
                return Ok(Sorted::Link);
            }
            FromWorker::Ack(_) => {
                // An answer may be waiting behind it for any word from here.
                self.acknowledge();
                return Ok(Sorted::Link);
            }
            FromWorker::Pong(_) => return Ok(Sorted::Link),
            FromWorker::ResultChunk { .. } => self.widen(),
            _ if self.outgoing.sent_whole() => {}
            // An input whose job is over is not sent on.
            FromWorker::DoneMany(ref answers) => {
                for answer in answers {
                    let key = (answer.header.job, answer.header.attempt);
                    self.outgoing.forget(key);
                }
            }
            FromWorker::Recalled(ref jobs) => jobs.iter().for_each(|key| {
                self.outgoing.forget(*key);
            }),
            FromWorker::Started { .. }
            | FromWorker::Output { .. }
            | FromWorker::Omitted { .. }
            | FromWorker::Progress { .. } => {}
        }
        Ok(Sorted::Message(message))
    }

    /// Keeps what concerns the driver; what was printed goes its own way.
    fn keep(&mut self, message: FromWorker) {
        match &message {
            FromWorker::Output {
                job,
                attempt,
                stream,
                data,
            } if !self.delivery.captures(*job) => {
                self.delivery.take((*job, *attempt), *stream, data);
                // What belongs to no job becomes an event as well.
                if *job != JobId::NONE {
                    return;
                }
            }
            FromWorker::Started { job, attempt } => {
                if self.announced.replace((*job, *attempt)) == Some((*job, *attempt)) {
                    return;
                }
            }
            FromWorker::DoneMany(answers) if answers.len() > 1 && self.delivery.may_hold_back() => {
                // Each may have to wait for something of its own.
                let FromWorker::DoneMany(answers) = message else {
                    return;
                };
                for answer in answers {
                    self.keep(FromWorker::DoneMany(vec![answer]));
                }
                return;
            }
            _ => self.delivery.note(&message),
        }
        if self.delivery.holds_back(&message) {
            self.held.push(message);
        } else {
            self.passing.push(message);
        }
    }

    /// A job that waits for somebody to take its lines may have had no time to
    /// say that it runs for long. When that is known, those behind it are given
    /// to others.
    async fn announce(&mut self) {
        if let Some((job, attempt)) = self.delivery.last_printed()
            && self.announced != Some((job, attempt))
        {
            self.announced = Some((job, attempt));
            let started = FromWorker::Started { job, attempt };
            self.tell(News::Messages(vec![started])).await;
        }
    }

    pub(super) async fn wake_printer(&mut self) {
        if self.delivery.wakes_printer() {
            self.tell(News::Prints).await;
        }
    }

    pub(super) async fn release(&mut self) {
        if !self.held.is_empty() {
            let messages = std::mem::take(&mut self.held);
            self.tell(News::Messages(messages)).await;
        }
    }

    /// Everything was taken: what was held may go, and more may come.
    pub(super) async fn go_on(&mut self) {
        self.delivery.settle();
        self.read_ahead = 0;
        self.may_read_ahead = READ_AHEAD;
        self.release().await;
    }

    pub(super) async fn pass_on_printed(&mut self, n: usize) {
        if self.remote.is_some() {
            return self.pass_on_launcher().await;
        }
        if !self.delivery.captures(JobId::NONE) {
            let newest = self.printed.newest(n);
            let nobody = (JobId::NONE, Attempt::default());
            self.delivery.take(nobody, Stream::Stderr, newest);
            self.wake_printer().await;
        }
        let lines = self.printed.lines();
        if !lines.is_empty() {
            self.tell(News::Printed(lines)).await;
        }
    }
}

fn name(message: &FromWorker) -> &'static str {
    match message {
        FromWorker::Ready(_) => "ready",
        FromWorker::Started { .. } => "started",
        FromWorker::Output { .. } => "output",
        FromWorker::ResultChunk { .. } => "result_chunk",
        FromWorker::DoneMany(_) => "done_many",
        FromWorker::Credit { .. } => "credit",
        FromWorker::Recalled(_) => "recalled",
        FromWorker::Progress { .. } => "progress",
        FromWorker::Omitted { .. } => "omitted",
        FromWorker::Pong(_) => "pong",
        FromWorker::Ack(_) => "ack",
        FromWorker::Bye => "bye",
    }
}
