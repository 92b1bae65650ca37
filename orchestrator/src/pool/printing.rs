//! The pool's ways for what jobs print: starts the printer when there is work
//! for it, and knows at the end what was not printed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::PoolError;
use super::delivery::Route;
use super::printed::Printed;
use super::printer::{self, Trouble, Work};

#[derive(Default)]
pub(super) struct Printing {
    queue: Option<mpsc::Sender<Work>>,
    printer: Option<Printer>,
    trouble: Trouble,
    /// What actors could not deliver.
    lost: Arc<AtomicU64>,
}

/// The thread, which is not started before there is work: a process with a
/// second thread pays for it with each system call.
enum Printer {
    Asleep(mpsc::Receiver<Work>),
    Awake(oneshot::Receiver<Trouble>),
}

impl Printing {
    /// The way to this place.
    pub(super) fn route(&mut self, printed: &Printed) -> Route {
        match printed {
            Printed::Inherit => Route::Write(self.queue()),
            Printed::Capture => Route::Capture,
            Printed::Call(take) => Route::Call(self.queue(), Arc::clone(take)),
            Printed::Lines(receiver) => Route::Lines(receiver.clone()),
            Printed::Chunks(receiver) => Route::Chunks(receiver.clone()),
        }
    }

    fn queue(&mut self) -> mpsc::Sender<Work> {
        let printer = &mut self.printer;
        let queue = self.queue.get_or_insert_with(|| {
            let (queue, work) = printer::queue();
            *printer = Some(Printer::Asleep(work));
            queue
        });
        queue.clone()
    }

    /// There is work. Without a thread for it, it is lost: actors find the queue
    /// closed, and count.
    pub(super) fn wake(&mut self) {
        self.printer = match self.printer.take() {
            Some(Printer::Asleep(work)) => match printer::start(work) {
                Ok(end) => Some(Printer::Awake(end)),
                Err(e) => {
                    self.trouble.note(1, || e);
                    None
                }
            },
            other => other,
        };
    }

    /// Where an actor counts what it could not deliver.
    pub(super) fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// All actors have ended, and with them all ways: waits until the printer has
    /// done everything, or for so long.
    ///
    /// # Errors
    /// When something was not printed.
    pub(super) async fn end(mut self, patience: Option<Duration>) -> Result<(), PoolError> {
        let waiting = self
            .queue
            .take()
            .map_or(0, |q| q.max_capacity() - q.capacity());
        if let Some(Printer::Awake(end)) = self.printer.take() {
            let trouble = match patience {
                None => end.await.ok(),
                Some(patience) => match tokio::time::timeout(patience, end).await {
                    Ok(trouble) => trouble.ok(),
                    Err(_) => Some(Trouble {
                        // At least: each may be a page of lines.
                        lost: waiting.max(1) as u64,
                        first: Some(io::ErrorKind::TimedOut.into()),
                    }),
                },
            };
            let died = || io::Error::other("the thread that prints has panicked");
            let trouble = trouble.unwrap_or_else(|| Trouble {
                lost: 0,
                first: Some(died()),
            });
            if let Some(first) = trouble.first {
                self.trouble.note(trouble.lost, || first);
            }
        }
        let given_up = self.lost.load(Ordering::Relaxed);
        if given_up > 0 {
            let nobody = || io::Error::new(io::ErrorKind::TimedOut, "nobody took them");
            self.trouble.note(given_up, nobody);
        }
        match self.trouble.first {
            None => Ok(()),
            Some(first) => Err(PoolError::NotPrinted {
                lines: self.trouble.lost,
                source: Arc::new(first),
            }),
        }
    }
}
