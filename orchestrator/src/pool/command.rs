//! External commands as the library's users write them: [`Pool::command`], on
//! top of the built-in `command` task.

use std::ffi::{OsStr, OsString};
use std::future::{Future, IntoFuture};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use protocol::command::{Command as CommandTask, EnvChange};
use protocol::{CommandSpec, JobId, OutputLimit, Program, Usage};
use tokio::sync::mpsc;

use super::typed::Options;
use super::{JobError, Omitted, Pool, PoolError, Printed, PrintedPart, RawHandle};
use crate::scheduler::Verdict;

/// How many pieces of a stream may wait for its reader.
const WAITING: usize = 8;
/// How much of the end of stderr an error carries, in bytes.
const TAIL: usize = 2 * 1024;

impl Pool {
    /// A command to be run by a worker: a program and its arguments, without any
    /// shell. Nothing happens before it is awaited, or its stream is.
    ///
    /// A name without a slash is looked up in the command's `PATH`; empty
    /// elements of that, which would mean the working directory, are ignored.
    /// A relative path counts from the command's working directory.
    ///
    /// ```standalone_crate
    /// use orchestrator::{JobError, Pool, Registry, block_on};
    ///
    /// fn main() -> Result<(), JobError> {
    ///     orchestrator::init(Registry::new()); // with the task `command`
    ///     block_on(async {
    ///         let pool = Pool::builder().workers(1).start()?;
    ///         let output = pool.command(["tr", "a-z", "A-Z"]).stdin("loud").await?;
    ///         assert_eq!(output.stdout, "LOUD");
    ///
    ///         // Live, with the end to be waited for.
    ///         let mut running = pool.command(["seq"]).arg("3").stream().await?;
    ///         let mut printed = Vec::new();
    ///         while let Some(part) = running.next().await {
    ///             printed.extend_from_slice(&part.data);
    ///         }
    ///         running.wait().await?;
    ///         assert_eq!(printed, b"1\n2\n3\n");
    ///
    ///         let failed = pool.command(["ls", "/no/such/place"]).await;
    ///         assert!(matches!(failed, Err(JobError::Exited { status: 2, .. })));
    ///         Ok(pool.shutdown().await?)
    ///     })
    /// }
    /// ```
    pub fn command<A: Into<OsString>>(&self, argv: impl IntoIterator<Item = A>) -> Command<'_> {
        let argv = argv.into_iter().map(|word| bytes(word.into()).into());
        Command {
            pool: self,
            spec: CommandSpec::new(Program::Argv(argv.collect())),
            options: Options::default(),
        }
    }
}

/// A command that is being put together, see [`Pool::command`]. Awaiting it runs
/// it, waits for room in the pool before, and gives its output.
///
/// Dropping it, or its future before the job was accepted, runs nothing.
/// Dropping the future later lets the command run on.
#[derive(Clone, Debug)]
#[must_use = "a command runs when it is awaited"]
pub struct Command<'a> {
    pool: &'a Pool,
    spec: CommandSpec,
    options: Options,
}

impl<'a> Command<'a> {
    /// One more argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        if let Program::Argv(argv) = &mut self.spec.program {
            argv.push(bytes(arg.into()).into());
        }
        self
    }

    /// More arguments.
    pub fn args<A: Into<OsString>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Command::arg)
    }

    /// Its working directory; the worker's when not set.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into().into_os_string();
        self.spec.cwd = Some(bytes(directory).into());
        self
    }

    /// Sets a variable in its environment, which is the worker's otherwise.
    pub fn env(self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.change(name.into(), Some(value.into()))
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(self, name: impl Into<OsString>) -> Self {
        self.change(name.into(), None)
    }

    fn change(mut self, name: OsString, value: Option<OsString>) -> Self {
        self.spec.env.push(EnvChange {
            name: bytes(name).into(),
            value: value.map(|value| bytes(value).into()),
        });
        self
    }

    /// What it reads on stdin; nothing when not set. With everything else that
    /// is said here at most [`PoolConfig::max_payload`](super::PoolConfig::max_payload).
    pub fn stdin(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.spec.stdin = Some(data.into().into());
        self
    }

    /// How long one attempt may take; the pool's
    /// [`timeout`](super::PoolConfig::timeout) when not set. Then the command's
    /// process group gets SIGTERM, later SIGKILL.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How much CPU time each of its processes may use, rounded up to whole
    /// seconds; that of the worker when not set. Then the kernel ends it with
    /// SIGXCPU, and SIGKILL a second later.
    pub fn cpu_limit(mut self, time: Duration) -> Self {
        let seconds = time
            .as_secs()
            .saturating_add((time.subsec_nanos() > 0).into());
        self.spec.limits.cpu_s = Some(seconds.max(1));
        self
    }

    /// How many descriptors each of its processes may have open; as many as the
    /// worker when not set. With less than some ten, few programs start.
    pub fn open_files(mut self, number: u64) -> Self {
        self.spec.limits.open_files = Some(number);
        self
    }

    /// How much of what it writes is passed on, of stdout and stderr each: the
    /// head, and the tail, which is at most 64 KiB and comes when the command has
    /// ended. A line between them says how much was left out, and so does
    /// [`CommandOutput::omitted`]. Everything when not set.
    pub fn output_limit(mut self, bytes: u64) -> Self {
        self.spec.limits.output = Some(OutputLimit { bytes, kill: false });
        self
    }

    /// The same, and a command that writes more is ended as by a timeout: with
    /// [`JobError::OutputLimit`].
    pub fn output_limit_kill(mut self, bytes: u64) -> Self {
        self.spec.limits.output = Some(OutputLimit { bytes, kill: true });
        self
    }

    /// How many attempts may follow the first when it fails, is ended by a
    /// signal, times out or crashes its worker; the pool's
    /// [`retries`](super::PoolConfig::retries) when not set.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = Some(retries);
        self
    }

    /// Pause before the second attempt, doubled for each further one; the pool's
    /// [`retry_backoff`](super::PoolConfig::retry_backoff) when not set.
    pub fn retry_backoff(mut self, pause: Duration) -> Self {
        self.options.retry_backoff = Some(pause);
        self
    }

    /// Jobs of a higher priority are handed out first. Default: 0. See
    /// [`RawJob::priority`](super::RawJob::priority).
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// What a person calls it; comes back with
    /// [`Control::status`](super::Control::status).
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.options.label = Some(label.into());
        self
    }

    /// How long it may take to end when it was asked to; five seconds when not
    /// set.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.spec.grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Runs it, with its output live: waits for room in the pool, and gives a
    /// stream of what it prints. Dropping this future before it is ready runs
    /// nothing.
    ///
    /// # Errors
    /// When all that was said is too large, or the pool is over.
    pub async fn stream(self) -> Result<RunningCommand, PoolError> {
        let (printed, output) = mpsc::channel(WAITING);
        let handle = self.submit(Printed::Chunks(printed)).await?;
        Ok(RunningCommand {
            handle,
            output,
            stderr: Vec::new(),
        })
    }

    async fn submit(self, printed: Printed) -> Result<RawHandle, PoolError> {
        let mut job = self.options.apply::<CommandTask>(&self.spec)?;
        job.printed = Some(printed);
        self.pool.submit_raw(job).await
    }

    async fn output(self) -> Result<CommandOutput, JobError> {
        let handle = self.submit(Printed::Capture).await?;
        let over = handle.over();
        let report = handle.await?;
        let read = |capture: &super::Capture| {
            let all = capture.to_vec();
            all.map_err(|e| JobError::Pool(PoolError::Spill(Arc::new(e))))
        };
        let (stdout, stderr) = (read(&report.stdout)?, read(&report.stderr)?);
        match report.verdict {
            Verdict::Ok => Ok(CommandOutput {
                stdout: stdout.into(),
                stderr: stderr.into(),
                omitted: report.omitted,
                usage: report.usage,
            }),
            _ => Err(JobError::new(report, over)),
        }
    }
}

impl<'a> IntoFuture for Command<'a> {
    type Output = Result<CommandOutput, JobError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.output())
    }
}

/// What a command that ended with status 0 has left.
#[derive(Clone, Debug)]
pub struct CommandOutput {
    /// What it wrote to stdout, all of it, in memory.
    pub stdout: Bytes,
    /// What it wrote to stderr, likewise.
    pub stderr: Bytes,
    /// What it wrote beyond its [`output_limit`](Command::output_limit).
    pub omitted: Omitted,
    /// What it used.
    pub usage: Usage,
}

/// A command that was accepted: a stream of what it prints as it comes, in
/// pieces that end anywhere. The command waits when nobody takes them.
/// The stream ends with the command; when a failed attempt is followed by
/// another, with the last.
///
/// Dropping it lets the command run on, and discards its output.
#[derive(Debug)]
#[must_use = "a command whose output nobody takes does not end; dropping this discards it"]
pub struct RunningCommand {
    handle: RawHandle,
    output: mpsc::Receiver<PrintedPart>,
    /// The end of what has come from stderr.
    stderr: Vec<u8>,
}

impl RunningCommand {
    /// The job's number in its pool.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.handle.id()
    }

    /// Asks for the command's end, see [`RawHandle::cancel`].
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// The next piece of its output; `None` when there will be no more.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<PrintedPart> {
        std::future::poll_fn(|cx| self.poll_part(cx)).await
    }

    /// Waits for the command's end, and discards output that was not taken.
    /// Gives what it used. Cancel-safe, but discards meanwhile; not to be asked
    /// for again once it is ready.
    ///
    /// # Errors
    /// When it does not end with status 0, or the pool fails.
    pub async fn wait(&mut self) -> Result<Usage, JobError> {
        while self.next().await.is_some() {}
        let over = self.handle.over();
        let report = (&mut self.handle).await?;
        match report.verdict {
            Verdict::Ok => Ok(report.usage),
            // What was streamed is not in the report.
            _ => Err(JobError::new(report, over).with_stderr(&self.stderr)),
        }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<PrintedPart>> {
        let part = ready!(self.output.poll_recv(cx));
        if let Some(part) = part
            .as_ref()
            .filter(|p| p.stream == protocol::Stream::Stderr)
        {
            self.stderr.extend_from_slice(tail(&part.data));
            let excess = self.stderr.len().saturating_sub(TAIL);
            self.stderr.drain(..excess);
        }
        Poll::Ready(part)
    }
}

impl Stream for RunningCommand {
    type Item = PrintedPart;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PrintedPart>> {
        self.poll_part(cx)
    }
}

fn tail(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(TAIL)..]
}

fn bytes(text: impl AsRef<OsStr>) -> Vec<u8> {
    text.as_ref().to_owned().into_vec()
}
