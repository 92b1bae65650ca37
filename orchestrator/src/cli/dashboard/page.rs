//! The page of a run, from its door to its end: what the run tells the thread that serves it.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::board::Board;
use super::few::Few;
use super::server::{Desk, router};
use crate::cli::page::nonce;
use crate::run::observe::live::{Feed, ROOM};
use crate::run::observe::stand::Stand;
use crate::run::reins::Reins;
use crate::run::report::Summary;
use crate::run::view::live::{Base, Ended};

/// How often it is looked how the run stands.
const STAND: Duration = Duration::from_millis(500);

/// How often what has happened is taken, and how often when that is much.
const LOOK: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_millis(10);

/// How often those who follow are told.
const NEWS: Duration = Duration::from_secs(1);

/// For how long those who follow may take nothing of what is told at the end.
const LAST_WORD: Duration = Duration::from_millis(300);

/// How many looks the serving thread may be behind.
const STANDS: usize = 4;

/// An address that is ours, before there is a page.
#[derive(Debug)]
pub(in crate::cli) struct Door {
    listener: TcpListener,
    address: SocketAddr,
}

impl Door {
    /// # Errors
    /// When the address is taken, or not to be had.
    pub(in crate::cli) fn open(address: SocketAddr) -> io::Result<Door> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Door { listener, address })
    }

    /// Where it is.
    pub(in crate::cli) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// What the serving thread is told by the run.
#[derive(Debug)]
enum Look {
    /// It stands like this.
    Stands(Box<Stand>),
    /// It has come to this, and has ended so.
    Ends(Box<Summary>, Ended),
}

/// The page of a run. Without its end being told, it ends when it is dropped.
#[derive(Debug)]
pub(in crate::cli) struct Page {
    looks: Option<mpsc::Sender<Look>>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// Serves the page of a run that is about to begin.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(in crate::cli) fn start(door: Door, base: Base, feed: Feed) -> io::Result<Page> {
        let (looks, told) = mpsc::channel(STANDS);
        let board = Board::new(base, feed, nonce()?);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let serving = move || {
            // A run is a run without its page.
            runtime.block_on(serve(door, Desk::new(board), told)).ok();
        };
        let thread = std::thread::Builder::new().name("dashboard".into());
        Ok(Page {
            looks: Some(looks),
            thread: Some(thread.spawn(serving)?),
        })
    }

    /// Looks how the run stands, for as long as it is polled.
    pub(in crate::cli) async fn attend(&self, reins: &Reins) -> Infallible {
        let mut ticks = interval(STAND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(looks) = self.looks.as_ref().filter(|looks| looks.capacity() > 0) {
                let stand = reins.stand().await;
                // Nobody is there, or has no time.
                looks.try_send(Look::Stands(Box::new(stand))).ok();
            }
        }
    }

    /// Tells those who follow what the run has come to, and ends.
    pub(in crate::cli) fn end(mut self, summary: &Summary, ended: Ended) {
        if let Some(looks) = self.looks.take() {
            // When nobody serves any more, nobody is told.
            let last = Look::Ends(Box::new(summary.clone()), ended);
            looks.blocking_send(last).ok();
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.looks = None;
        if let Some(thread) = self.thread.take() {
            // It has said why, if it has panicked.
            thread.join().ok();
        }
    }
}

/// Serves until the run's side is gone.
async fn serve(door: Door, desk: Desk, mut told: mpsc::Receiver<Look>) -> io::Result<()> {
    let listener = Few::new(tokio::net::TcpListener::from_std(door.listener)?);
    let app = router(desk.clone(), door.address);
    let (end, mut ends) = mpsc::channel::<()>(1);
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        ends.recv().await;
    });
    let mut serving = std::pin::pin!(serving.into_future());
    let looking = look(&desk, &mut told);
    tokio::select! {
        served = &mut serving => return served,
        () = looking => {}
    }
    desk.news.send_replace(());
    if desk.news.receiver_count() == 0 {
        return Ok(());
    }
    drop(end);
    last_word(serving, || desk.told()).await
}

/// Waits until everybody has been told the end, or nobody takes anything any more; so much has
/// been `told`. There is an end to that, as nothing new happens.
async fn last_word(
    serving: impl Future<Output = io::Result<()>>,
    told: impl Fn() -> u64,
) -> io::Result<()> {
    let mut serving = std::pin::pin!(serving);
    let mut before = told();
    loop {
        if let Ok(served) = timeout(LAST_WORD, &mut serving).await {
            return served;
        }
        // On a busy machine it may be this thread that had no turn for so long: whoever is
        // ready to be told something has one before that is judged.
        yield_now().await;
        let now = told();
        if now == before {
            return Ok(());
        }
        before = now;
    }
}

/// Takes what happens, until the run is over.
async fn look(desk: &Desk, told: &mut mpsc::Receiver<Look>) {
    let mut news = interval(NEWS);
    news.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pause = LOOK;
    loop {
        tokio::select! {
            look = told.recv() => match look {
                Some(Look::Stands(stand)) => desk.board().stands(*stand),
                Some(Look::Ends(summary, ended)) => return desk.board().ends(&summary, ended),
                None => return,
            },
            _ = news.tick() => {
                desk.news.send_replace(());
            }
            () = sleep(pause) => {
                let taken = desk.board().look();
                pause = if taken > ROOM / 16 { SOON } else { LOOK };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Serves somebody who is told so much and needs all the time there is for each of it.
    fn served(events: u64, ends: bool) -> u64 {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let told = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&told);
        runtime.block_on(async {
            let follower = runtime.spawn(async move {
                for _ in 0..events {
                    // Nobody else has a turn.
                    std::thread::sleep(LAST_WORD + LAST_WORD / 2);
                    count.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
                if !ends {
                    std::future::pending::<()>().await;
                }
            });
            let serving = async { follower.await.map_err(io::Error::other) };
            let told = || told.load(Ordering::Relaxed);
            last_word(serving, told).await.unwrap();
        });
        told.load(Ordering::Relaxed)
    }

    #[test]
    fn who_takes_what_is_told_hears_the_end_however_long_that_takes() {
        assert_eq!(served(4, true), 4);
    }

    #[test]
    fn who_takes_nothing_any_more_is_not_waited_for() {
        assert_eq!(served(0, false), 0);
        assert_eq!(served(2, false), 2);
    }
}
