//! The tasks of a worker program, and the forms in which they may be written.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use bytes::BytesMut;
use protocol::{Encoded, Encoding, Parts, Task, TaskError, TaskErrorKind};

use crate::context::{JobContext, WorkerContext};
use crate::surroundings::Surroundings;
use crate::{os, serve};

/// The tasks that a worker offers. Made in `main`, which ends with
/// [`Registry::serve`].
pub struct Registry {
    pub(crate) tasks: Vec<Entry>,
    pub(crate) starts: Vec<Start>,
}

/// What a worker does once, before it takes jobs.
pub(crate) type Start = Box<dyn FnOnce(&WorkerContext) -> Result<(), TaskError>>;

pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    /// The built-in task that runs external commands.
    Command,
    Function(Box<dyn Function>),
}

impl Registry {
    /// A registry with the built-in `command` task.
    #[must_use]
    pub fn new() -> Registry {
        Registry {
            tasks: vec![Entry {
                name: protocol::command::Command::NAME,
                kind: Kind::Command,
            }],
            starts: Vec::new(),
        }
    }

    /// An empty registry: its worker runs no external commands.
    #[must_use]
    pub fn without_command() -> Registry {
        Registry {
            tasks: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// Adds something that each worker does once when it starts, before it is
    /// ready for jobs and with the pool's init data at hand. Several are done in
    /// the order in which they were added. When one fails, or panics, the worker
    /// says why on stderr and ends, and no job is charged for that; a pool
    /// whose workers all do gives up with that text. It may change the working
    /// directory, the umask and the environment for all jobs.
    #[must_use]
    pub fn on_start<E, F>(mut self, start: F) -> Registry
    where
        E: Into<Box<dyn Error + Send + Sync>>,
        F: FnOnce(&WorkerContext) -> Result<(), E> + 'static,
    {
        self.starts
            .push(Box::new(|worker| start(worker).map_err(described)));
        self
    }

    /// Adds a task that is a plain function of its input. It gives back its
    /// output, or a `Result` with any error.
    ///
    /// # Panics
    /// When there is a task of this name already.
    #[must_use]
    pub fn task<T, F, R>(self, task: T, run: F) -> Registry
    where
        T: Task + 'static,
        F: Fn(T::Input) -> R + 'static,
        R: IntoOutput<T::Output> + 'static,
    {
        self.task_ctx(task, move |input, _| run(input))
    }

    /// Adds a task that is also given its [`JobContext`], to notice when it is
    /// cancelled and to report progress.
    ///
    /// # Panics
    /// When there is a task of this name already.
    #[must_use]
    pub fn task_ctx<T, F, R>(self, task: T, run: F) -> Registry
    where
        T: Task + 'static,
        F: Fn(T::Input, &JobContext) -> R + 'static,
        R: IntoOutput<T::Output> + 'static,
    {
        let init = |_: &WorkerContext| Ok::<(), TaskError>(());
        self.task_with(task, init, move |(), input, job| run(input, job))
    }

    /// Adds a task with state of its own: a loaded model, an open connection.
    /// `init` makes it once per worker, when the first job of this task comes.
    /// After a panic it is dropped, and the next job gets a new one. When
    /// `init` fails the job fails, and the next one tries again. It may change
    /// the working directory, the umask and the environment, unlike `run`.
    ///
    /// # Panics
    /// When there is a task of this name already.
    #[must_use]
    pub fn task_with<T, S, E, I, F, R>(mut self, _task: T, init: I, run: F) -> Registry
    where
        T: Task + 'static,
        S: 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
        I: Fn(&WorkerContext) -> Result<S, E> + 'static,
        F: Fn(&mut S, T::Input, &JobContext) -> R + 'static,
        R: IntoOutput<T::Output> + 'static,
    {
        assert!(
            self.tasks.iter().all(|entry| entry.name != T::NAME),
            "there are two tasks with the name `{}`",
            T::NAME
        );
        let call = move |state: &mut Option<S>, call: Call<'_>| {
            let input = match call.encoding.decode_parts::<T::Input>(call.input) {
                Ok(input) => input,
                Err(e) => return Called::Rejected(undecodable(T::NAME, &e)),
            };
            let state = match state {
                Some(state) => state,
                None => {
                    let made = init(call.worker);
                    if let Some(surroundings) = call.surroundings {
                        *surroundings = Surroundings::now();
                    }
                    match made {
                        Ok(made) => state.insert(made),
                        Err(e) => return Called::Failed(described(e)),
                    }
                }
            };
            let before = os::ticks();
            let output = run(state, input, call.job);
            call.ticks.set(os::ticks().wrapping_sub(before));
            match output.into_output() {
                Ok(output) => match call.encoding.encode_owned(output, call.buffer) {
                    Ok(payload) => Called::Done(payload),
                    Err(e) => Called::Failed(unencodable(T::NAME, &e)),
                },
                Err(e) => Called::Failed(TaskError::from_error(&*e)),
            }
        };
        self.tasks.push(Entry {
            name: T::NAME,
            kind: Kind::Function(Box::new(Stateful { state: None, call })),
        });
        self
    }

    /// Serves the orchestrator that started this program, until that one has
    /// no more work. To be returned by `main`.
    #[must_use]
    pub fn serve(self) -> ExitCode {
        ExitCode::from(serve::serve(self))
    }
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.tasks.iter().map(|entry| entry.name))
            .finish()
    }
}

/// What a task may give back: its output, or a `Result` with its output and
/// any error.
#[diagnostic::on_unimplemented(
    message = "a task with output `{O}` cannot give a `{Self}`",
    note = "a task is a plain blocking function that gives its output, or a `Result` with it"
)]
pub trait IntoOutput<O> {
    /// The output, or the error that is the job's failure.
    ///
    /// # Errors
    /// When the task returned one.
    fn into_output(self) -> Result<O, Box<dyn Error + Send + Sync>>;
}

impl<O> IntoOutput<O> for O {
    fn into_output(self) -> Result<O, Box<dyn Error + Send + Sync>> {
        Ok(self)
    }
}

impl<O, E: Into<Box<dyn Error + Send + Sync>>> IntoOutput<O> for Result<O, E> {
    fn into_output(self) -> Result<O, Box<dyn Error + Send + Sync>> {
        self.map_err(Into::into)
    }
}

/// A job on its way into a function.
pub(crate) struct Call<'a> {
    pub(crate) input: Parts,
    pub(crate) encoding: Encoding,
    /// Where small outputs are encoded, one after the other.
    pub(crate) buffer: &'a mut BytesMut,
    pub(crate) job: &'a JobContext,
    pub(crate) worker: &'a WorkerContext,
    /// How long the function itself took, if it came to its end: see
    /// [`os::ticks`].
    pub(crate) ticks: &'a Cell<u64>,
    /// What making the task's state may change; absent in a thread, where it is
    /// the program's.
    pub(crate) surroundings: Option<&'a mut Surroundings>,
}

/// How it came back.
pub(crate) enum Called {
    Done(Encoded),
    Failed(TaskError),
    Rejected(TaskError),
}

/// A registered function with its types hidden.
pub(crate) trait Function {
    fn call(&mut self, call: Call<'_>) -> Called;
    /// Drops the state, which a panic may have left half-changed.
    fn forget_state(&mut self);
}

struct Stateful<S, C> {
    state: Option<S>,
    call: C,
}

impl<S, C: FnMut(&mut Option<S>, Call<'_>) -> Called> Function for Stateful<S, C> {
    fn call(&mut self, call: Call<'_>) -> Called {
        (self.call)(&mut self.state, call)
    }

    fn forget_state(&mut self) {
        self.state = None;
    }
}

fn described(error: impl Into<Box<dyn Error + Send + Sync>>) -> TaskError {
    TaskError::from_error(&*error.into())
}

pub(crate) fn undecodable(task: &str, error: &protocol::PayloadError) -> TaskError {
    let text = format!("input of task `{task}` cannot be decoded: {error}");
    TaskError::new(text).of(TaskErrorKind::Undecodable)
}

fn unencodable(task: &str, error: &protocol::PayloadError) -> TaskError {
    let text = format!("result of task `{task}` cannot be encoded: {error}");
    TaskError::new(text).of(TaskErrorKind::Unencodable)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Length;

    impl Task for Length {
        const NAME: &'static str = "length";
        type Input = String;
        type Output = usize;
    }

    #[test]
    fn tasks_may_return_values_or_results() {
        let registry = Registry::without_command().task(Length, |text: String| text.len());
        assert_eq!(format!("{registry:?}"), r#"["length"]"#);
        let fallible = |text: String| text.parse::<usize>();
        let registry = Registry::new().task(Length, fallible);
        assert_eq!(format!("{registry:?}"), r#"["command", "length"]"#);
    }

    #[test]
    #[should_panic(expected = "there are two tasks with the name `length`")]
    fn two_tasks_of_one_name_are_refused() {
        let _registry = Registry::new()
            .task(Length, |text| text.len())
            .task(Length, |text| text.len());
    }
}
