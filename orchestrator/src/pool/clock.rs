//! The pool's clock: the one place where monotonic time enters.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// Counts from its start, and sleeps until a time counted from there.
pub(super) struct Clock {
    start: Instant,
    /// One timer, moved when the deadline moves.
    sleep: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock {
            start: instant(),
            sleep: None,
        }
    }

    pub(super) fn now(&self) -> Duration {
        instant().duration_since(self.start)
    }

    /// Sleeps until then; for ever when there is no deadline. Cancel-safe.
    pub(super) async fn sleep_until(&mut self, deadline: Option<Duration>) {
        let Some(deadline) = deadline else {
            return std::future::pending().await;
        };
        let until = tokio::time::Instant::from_std(self.start + deadline);
        match &mut self.sleep {
            Some((set, _)) if *set == deadline => {}
            Some((set, sleep)) => {
                *set = deadline;
                sleep.as_mut().reset(until);
            }
            None => {
                let sleep = tokio::time::sleep_until(until);
                self.sleep = Some((deadline, Box::pin(sleep)));
            }
        }
        if let Some((_, sleep)) = &mut self.sleep {
            sleep.as_mut().await;
        }
        // A timer that has fired is spent.
        self.sleep = None;
    }
}

/// This moment, for what is measured and not decided.
#[expect(clippy::disallowed_methods, reason = "the one home of monotonic time")]
pub(super) fn instant() -> Instant {
    Instant::now()
}
