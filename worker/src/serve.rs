//! The computing thread: from the greeting to the end of the connection.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use protocol::{
    Answer, CommandSpec, DoneHeader, JobHeader, MAX_CHUNK, Outcome, Parts, Ready, Task, TaskError,
    TaskErrorKind, Usage,
};

use crate::clock::{self, Moment};
use crate::command::Commands;
use crate::context::{Host, JobContext, WorkerContext};
use crate::link::{Link, NO_JOB, TurnEnd};
use crate::meter::Meter;
use crate::os::{self, StatusPage};
use crate::outbox::{failure, not_run};
use crate::registry::{Call, Entry, Kind, Registry, Start, undecodable};
use crate::state::{End, Step};
use crate::stdio;
use crate::surroundings::{Spoiled, Surroundings};
use crate::{call, panics, tree, watch};

/// A bug in here.
pub(crate) const EX_SOFTWARE: i32 = 70;
/// The operating system refused what a worker needs.
const EX_OSERR: u8 = 71;
/// The orchestrator sent something that makes no sense.
const EX_PROTOCOL: i32 = 76;
/// The orchestrator is gone. Nobody is there to see this code.
const EX_GONE: i32 = 1;
/// The worker's own start failed.
const START_FAILED: u8 = 1;

/// Serves until there is no more work; gives the status to exit with.
pub(crate) fn serve(registry: Registry) -> u8 {
    if io::stdin().is_terminal() {
        complain("this program is a worker: start it with `orchestrator run --worker …`");
        return 2;
    }
    match Server::start(registry) {
        Ok((server, starts)) => server.run(starts),
        Err(e) => {
            complain(&format!("cannot start: {e}"));
            EX_OSERR
        }
    }
}

/// One line for whoever looks after this process.
fn complain(what: &str) {
    writeln!(io::stderr(), "worker: {what}").ok();
}

struct Server {
    link: Arc<Link>,
    tasks: Vec<Entry>,
    worker: WorkerContext,
    max_payload: u64,
    /// What functions must leave as it is.
    surroundings: Surroundings,
    /// What functions are given; there is one of them at a time.
    job: JobContext,
    meter: Meter,
    commands: Commands,
    /// Where results of functions are encoded.
    buffer: BytesMut,
    /// When the last function has ended, if nothing has happened since.
    ended: Option<Moment>,
}

impl Server {
    fn start(registry: Registry) -> io::Result<(Server, Vec<Start>)> {
        let Registry { tasks, starts } = registry;
        let stdio = stdio::take_over()?;
        let (status, held) = StatusPage::with_held()?;
        panics::install_hook();
        let ready = Ready {
            build: concat!("worker ", env!("CARGO_PKG_VERSION")).to_owned(),
            pid: std::process::id(),
            slots: 1,
            tasks: tasks.iter().map(|entry| entry.name.to_owned()).collect(),
            status_fd: Some(status.number()),
        };
        let link = Arc::new(Link::new(stdio, (status, held), ready)?);
        let host: Arc<dyn Host> = Arc::<Link>::clone(&link);
        let server = Server {
            worker: WorkerContext::new(Arc::clone(&host)),
            job: JobContext::new(host, Arc::clone(link.cancelled()), NO_JOB),
            link,
            tasks,
            max_payload: 0,
            surroundings: Surroundings::now(),
            meter: Meter::new(),
            commands: Commands::new(),
            buffer: BytesMut::new(),
            ended: None,
        };
        Ok((server, starts))
    }

    fn run(mut self, starts: Vec<Start>) -> u8 {
        // Before it is said that jobs may come: without it none can be run.
        let watcher = match watch::start(Arc::clone(&self.link)) {
            Ok(watcher) => watcher,
            Err(e) => {
                complain(&format!("cannot start: {e}"));
                return EX_OSERR;
            }
        };
        self.link.greet();
        self.link.receive();
        while !self.link.state().may_start() {
            let end = self.link.state().end.clone();
            if let Some(end) = end {
                return self.end(&end);
            }
            self.link.receive();
        }
        self.max_payload = self.link.state().hello().map_or(0, |h| h.max_payload);
        // A watcher that has ended has ended this process too.
        watcher.send(()).ok();
        if let Err(e) = self.start_work(starts) {
            complain(&format!("cannot start: {e}"));
            tree::kill_all_but(&[]);
            self.link.close(false);
            return START_FAILED;
        }
        self.serve_jobs()
    }

    /// What the program wants done before its first job. It may take long, so
    /// the watcher looks after the link meanwhile.
    fn start_work(&mut self, starts: Vec<Start>) -> Result<(), TaskError> {
        if !starts.is_empty() {
            self.link.begin_turn();
            let done = call::start(starts, &self.worker);
            io::stdout().flush().ok();
            self.link.end_turn(&mut self.link.state());
            done?;
            self.surroundings = Surroundings::now();
        }
        self.link.state().started();
        Ok(())
    }

    fn serve_jobs(mut self) -> u8 {
        let mut step = self.link.next();
        loop {
            step = match step {
                Step::Run(header, input) => match self.run_job(header, input) {
                    Some(next) => next,
                    None => {
                        let end = self.link.state().end.clone();
                        return match end {
                            Some(end) => self.end(&end),
                            None => self.end_in_order(true),
                        };
                    }
                },
                Step::Wait => {
                    self.meter.stop();
                    self.link.flush(&mut self.link.state());
                    self.link.receive();
                    self.link.next()
                }
                Step::Drained => return self.end_in_order(true),
                Step::End(end) => return self.end(&end),
            }
        }
    }

    /// Runs a job and gives what is to be done next, unless nothing may follow
    /// here.
    fn run_job(&mut self, header: JobHeader, input: Parts) -> Option<Step> {
        match self
            .tasks
            .get(header.task as usize)
            .map(|entry| &entry.kind)
        {
            Some(Kind::Function(_)) => self.run_function(header, input),
            Some(Kind::Command) => {
                let answer = match header.encoding.decode_parts::<CommandSpec>(input) {
                    Ok(spec) => self.commands.run(&self.link, &header, &spec),
                    Err(e) => {
                        let name = protocol::command::Command::NAME;
                        rejection(&header, &undecodable(name, &e))
                    }
                };
                Some(self.finish(answer))
            }
            None => {
                let text = format!("this worker has no task {}", header.task);
                let error = TaskError::new(text).of(TaskErrorKind::UnknownTask);
                Some(self.finish(rejection(&header, &error)))
            }
        }
    }

    fn run_function(&mut self, header: JobHeader, input: Parts) -> Option<Step> {
        let Some(Entry {
            kind: Kind::Function(function),
            name,
        }) = self.tasks.get_mut(header.task as usize)
        else {
            return None;
        };
        let link = &self.link;
        self.job.next((header.job, header.attempt));
        self.meter.start();
        link.status.start(header.job.0, header.attempt.0, 0);
        link.begin_turn();
        // What follows at once begins where the last one has ended: the steps in
        // between are ours, and a look at the clock takes as long as they do.
        let start = self.ended.take().unwrap_or_else(clock::now);
        // As if it had taken for ever, should it not come to its end.
        let ticks = Cell::new(u64::MAX);
        let call = Call {
            input,
            encoding: header.encoding,
            buffer: &mut self.buffer,
            job: &self.job,
            worker: &self.worker,
            ticks: &ticks,
            surroundings: Some(&mut self.surroundings),
        };
        let called = call::call(&mut **function, call);
        let before = os::ticks();
        // Not under the lock: when the pipe is full, the watcher has to empty it.
        io::stdout().flush().ok();
        let took = ticks.get().max(os::ticks().wrapping_sub(before));
        let now = clock::now();
        let wall = now - start;
        let did_nothing = self.surroundings.is_too_short_for_a_change(took, now);
        let mut goes_on = true;
        if !did_nothing && let Err(spoiled) = self.surroundings.restore(now) {
            told(name, spoiled);
            goes_on = false;
        }
        let (outcome, payload) = call::judge(called, link.is_cancelled());
        let (outcome, payload) = call::limited((outcome, payload), self.max_payload);
        let header = DoneHeader {
            job: header.job,
            attempt: header.attempt,
            outcome,
            usage: Usage::default(),
        };
        let next = if payload.len() > MAX_CHUNK {
            let mut state = link.state();
            link.end_turn(&mut state);
            let usage = self.meter.job(wall, true);
            drop(state);
            link.send_result(DoneHeader { usage, ..header }, payload);
            link.catch_up(now, wall)
        } else {
            let payload = payload.bytes;
            let answer = Answer { header, payload };
            let end = TurnEnd {
                may_have_printed: !did_nothing,
                now,
                wall,
            };
            let (next, is_next) = link.finish_turn(end, &mut self.meter, answer);
            self.ended = (is_next && matches!(next, Step::Run(..))).then_some(now);
            next
        };
        goes_on.then_some(next)
    }

    /// Hands the answer of a job that is no function over.
    fn finish(&mut self, answer: Answer) -> Step {
        self.ended = None;
        let took = Duration::from_micros(answer.header.usage.wall_us);
        self.link.finish(&answer);
        self.link.catch_up(clock::now(), took)
    }

    fn end(self, end: &End) -> u8 {
        match end {
            End::Bye => self.end_in_order(false),
            End::Gone | End::Violation(_) => end_from_aside(&self.link, end),
        }
    }

    /// Everything that jobs left behind goes before the goodbye.
    fn end_in_order(self, goodbye: bool) -> u8 {
        // What a task keeps may well do something when it is dropped.
        panics::catch(|| drop(self.tasks)).ok();
        tree::kill_all_but(&[]);
        io::stdout().flush().ok();
        self.link.close(goodbye);
        0
    }
}

/// Ends the process without the computing thread's help, which may be busy
/// for ever, and without running destructors.
pub(crate) fn end_from_aside(link: &Link, end: &End) -> ! {
    tree::kill_all_but(&[]);
    match end {
        End::Bye => {
            link.close(false);
            os::exit_now(0)
        }
        End::Gone => os::exit_now(EX_GONE),
        End::Violation(reason) => {
            complain(&format!("protocol error: {reason}"));
            os::exit_now(EX_PROTOCOL)
        }
    }
}

/// Says why no further job runs here after one of this task. Does not come back
/// when the link is gone: then the job has no answer, and the status page goes
/// on to name it.
fn told(task: &str, spoiled: Spoiled) {
    let what = match spoiled {
        Spoiled::Environment => "changed the environment".to_owned(),
        Spoiled::Directory(errno) => {
            format!("left the working directory for good ({})", errno.desc())
        }
        Spoiled::Descriptors => "closed the descriptors of its worker".to_owned(),
    };
    complain(&format!("task `{task}` {what}; this worker is replaced"));
    if spoiled == Spoiled::Descriptors {
        tree::kill_all_but(&[]);
        os::exit_now(EX_SOFTWARE);
    }
}

fn rejection(header: &JobHeader, error: &TaskError) -> Answer {
    failure(not_run(header, Outcome::Rejected), error)
}
