//! The pool's ways for what jobs print: starts the printer when somebody needs
//! it, and knows at the end what was not printed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::PoolError;
use super::delivery::Route;
use super::printed::Printed;
use super::printer::{self, Trouble, Work};

#[derive(Debug, Default)]
pub(super) struct Printing {
    printer: Option<(mpsc::Sender<Work>, oneshot::Receiver<Trouble>)>,
    trouble: Trouble,
    /// What actors could not deliver.
    lost: Arc<AtomicU64>,
}

impl Printing {
    /// The way to this place. When there is no thread for it, lines are kept
    /// with their job, and the pool fails at its end.
    pub(super) fn route(&mut self, printed: &Printed) -> Route {
        match self.try_route(printed) {
            Ok(route) => route,
            Err(e) => {
                self.trouble.note(0, || e);
                Route::Capture
            }
        }
    }

    fn try_route(&mut self, printed: &Printed) -> io::Result<Route> {
        Ok(match printed {
            Printed::Inherit => Route::Write(self.printer()?),
            Printed::Capture => Route::Capture,
            Printed::Call(take) => Route::Call(self.printer()?, Arc::clone(take)),
            Printed::Lines(receiver) => Route::Lines(receiver.clone()),
            Printed::Chunks(receiver) => Route::Chunks(receiver.clone()),
        })
    }

    fn printer(&mut self) -> io::Result<mpsc::Sender<Work>> {
        if let Some((queue, _)) = &self.printer {
            return Ok(queue.clone());
        }
        let (queue, end) = printer::start()?;
        self.printer = Some((queue.clone(), end));
        Ok(queue)
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
        if let Some((queue, end)) = self.printer.take() {
            let waiting = queue.max_capacity() - queue.capacity();
            drop(queue);
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
