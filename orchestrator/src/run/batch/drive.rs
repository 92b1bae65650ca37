//! The loop in which a batch's sources meet: the half that feeds the pool,
//! reports, lines that are no jobs, the pool's events, and the writer.
//!
//! All of them are futures of one task on one thread. The loop only turns
//! whatever comes first into a [`Turn`]; each of them may be dropped and asked
//! again without losing anything, but for the feeding half, which is dropped
//! only when nothing more shall be fed.

use std::pin::Pin;
use std::vec;

use tokio::sync::mpsc;

use super::doubting::Doubting;
use super::{Config, Failure};
use crate::pool::{Event, EventStream, JobReport, Pool, PrintedPart, Reports};
use crate::run::feed::{Notice, feed};
use crate::run::halt::When;
use crate::run::output::{Behind, Output};
use crate::run::reins::{Reins, Stop};
use crate::run::rest::Rest;
use crate::run::runfile::{Committed, Recorder};
use crate::run::source::reader::Read;

/// How many refused lines and warnings may wait to be shown.
const NOTICES: usize = 16;

/// Waits for what a running job has printed. Cancel-safe.
pub(super) async fn next_part(
    parts: &mut Option<mpsc::Receiver<PrintedPart>>,
) -> Option<PrintedPart> {
    match parts {
        Some(parts) => parts.recv().await,
        None => std::future::pending().await,
    }
}

/// What the pool says.
pub(super) struct News {
    pub(super) events: EventStream,
    pub(super) reports: Doubting,
    /// What running jobs print, if that is shown before they end.
    pub(super) parts: Option<mpsc::Receiver<PrintedPart>>,
}

/// What can happen next.
enum Turn {
    /// Nothing more is to be fed.
    Stop,
    /// The input has ended after so many jobs, or feeding has failed.
    Fed(Result<u64, Failure>),
    /// A job has printed something.
    Printed(PrintedPart),
    /// Jobs have ended.
    Reports(vec::IntoIter<JobReport>),
    /// There is something to tell about the input; nothing when there will be
    /// nothing any more.
    Notice(Option<Notice>),
    /// Something happened in the pool; nothing when it has ended.
    Event(Option<Event>),
    /// Results are recorded, or cannot be recorded or written.
    Behind(Behind),
    /// So many jobs still run, which is to be told.
    Running(usize),
    /// Nothing has happened for a while after much.
    Rest,
}

/// How `--halt` stops a run.
fn stop_for(when: When) -> Stop {
    match when {
        When::Now => Stop::Now,
        When::Soon => Stop::Soon,
    }
}

/// Whether all of the input was taken.
pub(super) async fn drive(
    config: &Config,
    reins: &Reins,
    source: mpsc::Receiver<Read>,
    pool: &Pool,
    sender: Reports,
    news: &mut News,
    output: &mut Output<'_>,
) -> Result<bool, Failure> {
    let desk = &reins.desk;
    let (notice_sender, mut notices) = mpsc::channel(NOTICES);
    let starter = output.recorder.as_ref().and_then(Recorder::starter);
    let feeding = feed(config, pool, desk, source, sender, notice_sender, starter);
    let mut feeding = Some(Box::pin(feeding));
    let mut stops = reins.stops();
    let (mut noticing, mut pool_lives) = (true, true);
    // Verdicts that the pool has not been told were counted.
    let mut seen = 0;
    let (mut whole, mut unread) = (false, None);
    let mut rest = Rest::default();
    // Asks the pool how many jobs still run.
    let mut asking = None;
    while feeding.is_some() || noticing || desk.len() > 0 || output.is_recording() {
        let next = async {
            tokio::select! {
                end = fed(&mut feeding), if feeding.is_some() => Turn::Fed(end),
                Some(part) = next_part(&mut news.parts) => Turn::Printed(part),
                // It does not end while there may be more.
                Some(reports) = news.reports.next_turn() => Turn::Reports(reports),
                notice = notices.recv(), if noticing => Turn::Notice(notice),
                event = news.events.next(), if pool_lives => Turn::Event(event),
                behind = output.behind() => Turn::Behind(behind),
                running = answer(&mut asking), if asking.is_some() => Turn::Running(running),
                () = rest.comes(), if desk.len() == 0 => Turn::Rest,
            }
        };
        // First of all: what is fed after the stop would be lost.
        let turn = tokio::select! {
            biased;
            Ok(()) = stops.changed() => Turn::Stop,
            turn = next => turn,
        };
        match turn {
            Turn::Stop => {
                feeding = None;
                // What a halt asks for is no signal, which may have met others before.
                if reins.stopped() > output.halted().map(stop_for) {
                    news.reports.interrupt();
                }
            }
            Turn::Fed(end) => {
                feeding = None;
                match end {
                    Ok(jobs) => {
                        whole = true;
                        output.total(jobs);
                    }
                    // What was read before the error is still finished.
                    Err(
                        failure @ (Failure::Read(_) | Failure::Changed(_) | Failure::TooLarge(_)),
                    ) => {
                        unread = Some(failure);
                    }
                    Err(failure) => return Err(failure),
                }
            }
            Turn::Printed(part) => {
                output.part(part).await?;
                output.parts(&mut news.parts).await?;
                output.flush().await?;
            }
            Turn::Reports(reports) => {
                // What they printed comes first.
                output.parts(&mut news.parts).await?;
                // Before their tickets are gone, and before it matters where workers sit.
                if (output.is_watched() || output.names_slots())
                    && let Some(event) = news.events.try_next()
                {
                    happened(event, news, output).await?;
                }
                rest.ended(reports.len());
                if output.recorder.is_none() {
                    seen += reports.len();
                }
                output.ended(desk, reports).await?;
            }
            Turn::Behind(Behind::Committed(committed)) => {
                if let Committed::Reports(reports) = &committed {
                    seen += reports.len();
                }
                output.committed(desk, committed).await?;
            }
            Turn::Notice(Some(notice)) => output.notice(desk, notice).await?,
            Turn::Notice(None) => noticing = false,
            Turn::Event(Some(event)) => {
                happened(event, news, output).await?;
                output.flush().await?;
            }
            Turn::Event(None) => {
                while let Some(reports) = news.reports.try_next_turn() {
                    output.ended(desk, reports).await?;
                }
                if reins.stopped() < Some(Stop::Now) || desk.len() > output.recording() {
                    return Err(Failure::PoolEnded);
                }
                pool_lives = false;
            }
            Turn::Running(jobs) => {
                asking = None;
                output.tell_running(jobs).await?;
            }
            // The feeding half may have gone on meanwhile.
            Turn::Rest if desk.len() > 0 => {}
            Turn::Rest => {
                rest.take();
                output.rest();
                desk.rest();
                // The last, since it gives what is free back to the system.
                reins.rest();
            }
            Turn::Behind(Behind::WriteFailed(e)) => return Err(Failure::Write(e)),
            Turn::Behind(Behind::RecordFailed(e)) => return Err(Failure::RunFile(e)),
        }
        if let Some(when) = output.halted() {
            reins.stop(stop_for(when));
        }
        if output.wants_running() {
            asking = Some(Box::pin(reins.running()));
        }
        // Behind the stop, if there is one.
        if config.halt.is_some() && seen > 0 {
            reins.seen(std::mem::take(&mut seen));
        }
    }
    match unread {
        Some(failure) => Err(failure),
        None => Ok(whole),
    }
}

/// This has happened in the pool, and what comes with it.
async fn happened(event: Event, news: &mut News, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut next = Some(event);
    while let Some(event) = next {
        // What was printed before it.
        output.parts(&mut news.parts).await?;
        output.event(event).await?;
        next = news.events.try_next();
    }
    Ok(())
}

/// Waits for the answer, if there was a question.
async fn answer<F: Future<Output = usize>>(asking: &mut Option<Pin<Box<F>>>) -> usize {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of what is there.
async fn fed<F: Future<Output = Result<u64, Failure>>>(
    feeding: &mut Option<Pin<Box<F>>>,
) -> Result<u64, Failure> {
    match feeding {
        Some(feeding) => feeding.await,
        None => std::future::pending().await,
    }
}
