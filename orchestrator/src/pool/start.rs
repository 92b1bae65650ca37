//! How a pool starts: a configuration is checked, and the driver made and run.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::FutureExt;
use protocol::MAX_FRAME;
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, watch};

use super::admission::Handles;
use super::control::wrong_size;
use super::driver::{Driver, Shared, State};
use super::event::EventSender;
use super::front::Pool;
use super::hired::Crew;
use super::{PoolConfig, PoolError, Spill, ThreadsPerJob};

/// Longer times in a configuration mean the same as this: ten years.
pub(super) const FOREVER: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

impl Pool {
    /// A pool that does not run yet.
    pub(super) fn build(
        mut config: PoolConfig,
        crew: Crew,
        events: Option<EventSender>,
    ) -> Result<Built, PoolError> {
        check(&config)?;
        // Times are added to times; nobody waits for longer than this.
        for time in [
            &mut config.ahead,
            &mut config.start_timeout,
            &mut config.backoff,
            &mut config.backoff_max,
            &mut config.grace,
            &mut config.answer_timeout,
            &mut config.reap_timeout,
            &mut config.frame_timeout,
            &mut config.silence,
            &mut config.retry_backoff,
            &mut config.retry_backoff_max,
            &mut config.restart_window,
            &mut config.spawn_patience,
        ]
        .into_iter()
        .chain(&mut config.timeout)
        .chain(&mut config.idle_timeout)
        {
            *time = FOREVER.min(*time);
        }
        let (commands, receiver) = mpsc::unbounded_channel();
        let (state, watched) = watch::channel(State::Starting);
        let all = events.as_ref().is_some_and(EventSender::has_all);
        let permits = if all { 2 } else { 1 };
        let room = config.max_pending.saturating_mul(permits as usize);
        let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
        let spill = Spill::within(config.temp_dir.clone(), config.output_memory);
        let shared = Arc::new(Handles {
            commands,
            room: Arc::clone(&room),
            last_job: AtomicU64::new(0),
            state: watched,
            permits,
            max_payload: config.max_payload,
            max_pending: config.max_pending,
        });
        let driver = Driver::new(Shared {
            config: Arc::new(config),
            crew,
            commands: receiver,
            events,
            state,
            room,
            spill: Arc::clone(&spill),
        });
        Ok(Built {
            shared,
            driver,
            spill,
        })
    }
}

/// A pool whose driver does not run yet.
pub(super) struct Built {
    shared: Arc<Handles>,
    driver: Driver,
    spill: Arc<Spill>,
}

impl Built {
    /// Runs it on the current tokio runtime; panics outside of one.
    #[track_caller]
    pub(super) fn here(self) -> Pool {
        let (ended, end) = watch::channel(None);
        #[expect(
            clippy::disallowed_methods,
            reason = "the pool owns its driver: it ends when the pool is dropped, and shutdown awaits it"
        )]
        drop(tokio::spawn(drive(self.driver, ended)));
        Pool {
            shared: self.shared,
            end,
            spill: self.spill,
        }
    }

    /// Runs it on a thread of its own.
    pub(super) fn on_own_thread(self) -> Result<Pool, PoolError> {
        let failed = |e| PoolError::Spawn {
            program: "the pool's own thread".into(),
            source: Arc::new(e),
        };
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let (ended, end) = watch::channel(None);
        let driver = self.driver;
        let thread = std::thread::Builder::new().name("orchestrator-pool".into());
        // Nobody joins it: its last act is to say how the pool ended.
        thread
            .spawn(move || runtime.block_on(drive(driver, ended)))
            .map_err(failed)?;
        Ok(Pool {
            shared: self.shared,
            end,
            spill: self.spill,
        })
    }
}

/// Runs the driver to its end, which may be a panic, and says how that was.
async fn drive(driver: Driver, ended: watch::Sender<Option<Result<(), PoolError>>>) {
    let end = AssertUnwindSafe(driver.run()).catch_unwind().await;
    let end = end.unwrap_or_else(|panic| Err(PoolError::Panicked(said(&*panic))));
    ended.send_replace(Some(end));
}

/// What a panic says.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

fn check(config: &PoolConfig) -> Result<(), PoolError> {
    let init = config.init.as_ref().map_or(0, bytes::Bytes::len);
    let problem = if let Some(problem) = wrong_size(config.workers) {
        problem
    } else if config.max_pending == 0 {
        "a pool needs room for at least one job (`max_pending`)"
    } else if config.start_attempts == 0 {
        "a worker must be started at least once (`start_attempts`)"
    } else if config.quarantine == 0 || config.black_hole == 0 {
        "a limit of failures must be at least 1 (`quarantine`, `black_hole`)"
    } else if config.threads_per_job == ThreadsPerJob::Exactly(0) {
        "a job needs at least one thread (`threads_per_job`)"
    } else if config.max_jobs_per_worker == Some(0) {
        "a worker must be allowed at least one job (`max_jobs_per_worker`)"
    } else if config
        .timeout_percent
        .is_some_and(|percent| !(percent > 0.0 && percent <= 1e6))
    {
        "a share of the median must be more than 0% and at most 1,000,000% (`timeout_percent`)"
    } else if config.launch.is_unprepared() {
        "this program would start itself over and over: call `orchestrator::init(registry)` \
         first thing in `main`, and use `Launch::current_exe()`"
    } else if init > MAX_FRAME - 64 {
        "the workers' init data must be smaller than 1 MiB"
    } else {
        return Ok(());
    };
    Err(PoolError::Config(problem))
}
