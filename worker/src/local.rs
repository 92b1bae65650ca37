//! Jobs in a thread of any program, without a worker process.
//!
//! The same registry, the same functions, the same answers; what makes a
//! process a process is absent. Nothing is captured: a job prints where the
//! program prints. A panic is caught and becomes the job's failure, but the
//! program's panic hook is left alone and called as for any other panic, so
//! that the error itself does not know the place. Working directory, umask and
//! environment are the program's, and are not put back. A job that does not
//! listen to its cancellation cannot be stopped, and external commands are not
//! run at all.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::{Bytes, BytesMut};
use protocol::{
    Answer, Attempt, DoneHeader, Encoded, Encoding, JobId, Outcome, Task, TaskError, TaskErrorKind,
    Usage,
};

pub use crate::context::Host;
use crate::context::{JobContext, WorkerContext};
use crate::os::{self, Used};
use crate::registry::{Call, Called, Entry, Kind, Registry};
use crate::{call, clock};

/// The tasks of a registry, ready to be run on this thread: one job at a time,
/// and what makes a task's state stays here. Dropping it drops that state.
pub struct Local {
    tasks: Vec<Entry>,
    host: Arc<dyn Host>,
    worker: WorkerContext,
    /// Largest result in bytes.
    max_payload: u64,
    /// Where results are encoded.
    buffer: BytesMut,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tasks()).finish()
    }
}

impl Local {
    /// Does what [`Registry::on_start`] asks for. Results of more than
    /// `max_payload` bytes will fail their jobs.
    ///
    /// # Errors
    /// When that fails, or panics.
    pub fn start(
        registry: Registry,
        host: Arc<dyn Host>,
        max_payload: u64,
    ) -> Result<Local, TaskError> {
        let worker = WorkerContext::new(Arc::clone(&host));
        call::start(registry.starts, &worker)?;
        Ok(Local {
            tasks: registry.tasks,
            host,
            worker,
            max_payload,
            buffer: BytesMut::new(),
        })
    }

    /// Names of the tasks that can be run here: all but `command`.
    pub fn tasks(&self) -> impl Iterator<Item = &'static str> {
        let function = |entry: &&Entry| matches!(entry.kind, Kind::Function(_));
        self.tasks.iter().filter(function).map(|entry| entry.name)
    }

    /// What a job of this number is to be given. `cancelled` tells it to stop,
    /// from whatever thread, when it is set.
    #[must_use]
    pub fn context(&self, job: JobId, attempt: Attempt, cancelled: Arc<AtomicBool>) -> JobContext {
        JobContext::new(Arc::clone(&self.host), cancelled, (job, attempt))
    }

    /// Runs one job of a task and gives its answer, as a worker process would.
    /// Returns when the task does.
    pub fn run(
        &mut self,
        task: &str,
        encoding: Encoding,
        input: Bytes,
        job: &JobContext,
    ) -> Answer {
        let function = self
            .tasks
            .iter_mut()
            .find_map(|entry| match &mut entry.kind {
                Kind::Function(function) if entry.name == task => Some(function),
                Kind::Function(_) | Kind::Command => None,
            });
        let Some(function) = function else {
            let text = if task == protocol::command::Command::NAME {
                "external commands need a worker process, this worker is a thread".to_owned()
            } else {
                format!("this worker has no task `{task}`")
            };
            let error = TaskError::new(text).of(TaskErrorKind::UnknownTask);
            let end = call::judge(Called::Rejected(error), false);
            return answer(job, end, Usage::default());
        };
        let worker = &self.worker;
        let call = |job: &JobContext| {
            let call = Call {
                input: input.into(),
                encoding,
                buffer: &mut self.buffer,
                job,
                worker,
                ticks: &Cell::new(0),
                surroundings: None,
            };
            call::call(&mut **function, call)
        };
        let (end, usage) = measured(job, call);
        answer(job, call::limited(end, self.max_payload), usage)
    }

    /// Runs a function that is no task: what it gives, it gives by itself. Its
    /// answer is `Ok` without a payload, unless it panics.
    pub fn run_closure(run: impl FnOnce(&JobContext), job: &JobContext) -> Answer {
        let call = |job: &JobContext| match crate::panics::catch(|| run(job)) {
            Ok(()) => Called::Done(Bytes::new().into()),
            Err(panic) => Called::Failed(panic),
        };
        let (end, usage) = measured(job, call);
        answer(job, end, usage)
    }
}

fn measured(
    job: &JobContext,
    run: impl FnOnce(&JobContext) -> Called,
) -> ((Outcome, Encoded), Usage) {
    let before: Used = os::thread_usage();
    let start = clock::now();
    let called = run(job);
    let wall = start.elapsed();
    let usage = call::usage(&before, &os::thread_usage(), wall);
    (call::judge(called, job.is_cancelled()), usage)
}

fn answer(job: &JobContext, (outcome, payload): (Outcome, Encoded), usage: Usage) -> Answer {
    let header = DoneHeader {
        job: job.job(),
        attempt: job.attempt(),
        outcome,
        usage,
    };
    Answer {
        header,
        payload: payload.whole(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use protocol::WorkerId;

    use super::*;

    struct Alone;

    impl Host for Alone {
        fn worker(&self) -> WorkerId {
            WorkerId(7)
        }
        fn init(&self) -> Option<Bytes> {
            Some(Encoding::Bincode.encode(&40u32).unwrap())
        }
        fn blob(&self, _hash: u64) -> Option<Bytes> {
            None
        }
        fn is_draining(&self) -> bool {
            false
        }
        fn progress(&self, _job: JobId, _attempt: Attempt, _done: u64, _total: u64) {}
    }

    struct Sum;

    impl Task for Sum {
        const NAME: &'static str = "sum";
        type Input = u32;
        type Output = u32;
    }

    /// Its state is the init data; it panics at 0 and asks whether it is
    /// cancelled.
    fn registry() -> Registry {
        let init = |worker: &WorkerContext| worker.init_as::<u32>().map(Option::unwrap_or_default);
        Registry::new().task_with(Sum, init, |sum: &mut u32, n, job: &JobContext| {
            assert!(n > 0, "zero");
            job.checkpoint()?;
            *sum += n;
            Ok::<_, crate::Cancelled>(*sum)
        })
    }

    fn local() -> Local {
        Local::start(registry(), Arc::new(Alone), 4).unwrap()
    }

    fn run(local: &mut Local, n: u32, cancelled: bool) -> Answer {
        let cancelled = Arc::new(AtomicBool::new(cancelled));
        let job = local.context(JobId(3), Attempt::FIRST, cancelled);
        let input = Encoding::Bincode.encode(&n).unwrap();
        local.run("sum", Encoding::Bincode, input, &job)
    }

    fn error(answer: &Answer) -> TaskError {
        Encoding::Bincode.decode(&answer.payload).unwrap()
    }

    #[test]
    fn jobs_share_a_state_until_one_panics() {
        let mut local = local();
        let sum = |answer: Answer| Encoding::Bincode.decode::<u32>(&answer.payload).unwrap();
        assert_eq!(sum(run(&mut local, 1, false)), 41);
        assert_eq!(sum(run(&mut local, 1, false)), 42);
        let answer = run(&mut local, 0, false);
        assert_eq!(answer.header.outcome, Outcome::Failed(PANICKED));
        assert_eq!(error(&answer).kind, TaskErrorKind::Panic);
        assert_eq!(error(&answer).message, "zero");
        assert_eq!(sum(run(&mut local, 1, false)), 41);
        let answer = run(&mut local, 1, true);
        assert_eq!(answer.header.outcome, Outcome::Cancelled);
    }

    const PANICKED: i32 = 101;

    #[test]
    fn what_cannot_be_run_or_answered_is_told_apart() {
        let mut local = local();
        let job = local.context(JobId(1), Attempt::FIRST, Arc::default());
        let mut kind = |task: &str, encoding, input: &'static [u8]| {
            let answer = local.run(task, encoding, Bytes::from_static(input), &job);
            error(&answer).kind
        };
        let bincode = Encoding::Bincode;
        assert_eq!(kind("command", bincode, b""), TaskErrorKind::UnknownTask);
        assert_eq!(kind("nope", bincode, b""), TaskErrorKind::UnknownTask);
        assert_eq!(kind("sum", bincode, b"x"), TaskErrorKind::Undecodable);
        // A result of five digits is one byte too many.
        assert_eq!(
            kind("sum", Encoding::Json, b"10000"),
            TaskErrorKind::TooLarge
        );
        assert_eq!(local.tasks().collect::<Vec<_>>(), ["sum"]);
    }

    #[test]
    fn a_closure_answers_without_a_payload_and_its_panic_is_an_error() {
        let local = local();
        let cancelled = Arc::new(AtomicBool::new(false));
        let job = local.context(JobId(1), Attempt::FIRST, Arc::clone(&cancelled));
        let mut seen = None;
        let answer = Local::run_closure(|job| seen = Some(job.job()), &job);
        assert_eq!(answer.header.outcome, Outcome::Ok);
        assert_eq!(seen, Some(JobId(1)));
        let answer = Local::run_closure(|_| panic!("ouch"), &job);
        assert_eq!(error(&answer).message, "ouch");
        cancelled.store(true, Ordering::Relaxed);
        let answer = Local::run_closure(|_| panic!("ouch"), &job);
        assert_eq!(answer.header.outcome, Outcome::Cancelled);
    }

    #[test]
    fn a_start_that_fails_or_panics_is_an_error() {
        let start = |registry| Local::start(registry, Arc::new(Alone), 0).unwrap_err();
        let failing = registry().on_start(|_| Err("no model"));
        assert_eq!(start(failing).message, "no model");
        let panicking = registry().on_start(|_| -> Result<(), String> { panic!("no luck") });
        assert_eq!(start(panicking).kind, TaskErrorKind::Panic);
    }
}
