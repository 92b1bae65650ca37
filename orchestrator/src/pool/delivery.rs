//! One worker's prints on their way to where they belong: cut into lines, kept
//! while nobody takes them.
//!
//! The actor reads only a little further from its worker while something is to be
//! delivered, which bounds what is kept here, and makes a worker wait whose lines
//! nobody takes. In a pool that captures, nothing comes here; a job
//! that prints nothing costs a look at two empty lists.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use protocol::{Answer, Attempt, FromWorker, JobId, Outcome, Stream, WorkerId};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::lines::{Lines, MAX_LINE};
use super::printed::PrintedPart;
use super::printer::Work;

type Take = Arc<dyn Fn(PrintedPart) + Send + Sync>;

/// Where prints go, as an actor knows it.
#[derive(Clone)]
pub(super) enum Route {
    /// To the driver, which keeps them.
    Capture,
    /// To this process's streams.
    Write(mpsc::Sender<Work>),
    Call(mpsc::Sender<Work>, Take),
    Lines(mpsc::Sender<PrintedPart>),
    Chunks(mpsc::Sender<PrintedPart>),
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Route::Capture => "Capture",
            Route::Write(_) => "Write",
            Route::Call(..) => "Call",
            Route::Lines(_) => "Lines",
            Route::Chunks(_) => "Chunks",
        })
    }
}

/// Something to be delivered.
enum Parcel {
    Printer(mpsc::Sender<Work>, Work),
    Receiver(mpsc::Sender<PrintedPart>, PrintedPart),
}

pub(super) struct Delivery {
    worker: WorkerId,
    /// Where everything goes that has no way of its own.
    route: Route,
    /// The jobs here that have one. A worker may name a job that it was never
    /// given: what it says about that goes the usual way.
    own: HashMap<JobId, Route>,
    /// What came without a line feed; mostly there is nothing.
    begun: Vec<(JobId, Stream, Lines)>,
    parcels: VecDeque<Parcel>,
    /// Who has printed something that may not be delivered.
    printed: HashSet<JobId>,
    last_printed: Option<(JobId, Attempt)>,
    /// To whom something went that was not confirmed.
    unconfirmed: Option<mpsc::Sender<Work>>,
    /// Whether the printer has work from here, and whether that was said.
    works: bool,
    works_known: bool,
    /// The confirmation that is waited for.
    confirmed: Option<oneshot::Receiver<()>>,
    /// Counts what is dropped with this.
    lost: Arc<AtomicU64>,
}

impl Delivery {
    pub(super) fn new(worker: WorkerId, route: Route, lost: Arc<AtomicU64>) -> Delivery {
        Delivery {
            worker,
            route,
            own: HashMap::new(),
            begun: Vec::new(),
            parcels: VecDeque::new(),
            printed: HashSet::new(),
            last_printed: None,
            unconfirmed: None,
            works: false,
            works_known: false,
            confirmed: None,
            lost,
        }
    }

    /// What this job prints goes its own way.
    pub(super) fn redirect(&mut self, job: JobId, route: Route) {
        self.own.insert(job, route);
    }

    /// Whether what this job prints is the driver's business.
    pub(super) fn captures(&self, job: JobId) -> bool {
        matches!(self.route(job), Route::Capture)
    }

    fn route(&self, job: JobId) -> &Route {
        self.own.get(&job).unwrap_or(&self.route)
    }

    /// A job, or none that is known, has printed this.
    pub(super) fn take(&mut self, (job, attempt): (JobId, Attempt), stream: Stream, data: &[u8]) {
        if job != JobId::NONE {
            self.printed.insert(job);
            self.last_printed = Some((job, attempt));
        }
        let route = self.route(job).clone();
        if let Route::Chunks(receiver) = route {
            let part = self.part(job, stream, data);
            return self.add(Parcel::Receiver(receiver, part));
        }
        let place = self.begun.iter().position(|b| (b.0, b.1) == (job, stream));
        let mut lines = place.map_or_else(Lines::default, |n| self.begun.swap_remove(n).2);
        let mut page = Page::default();
        lines.push(data, |line| {
            self.line(&route, &mut page, (job, stream), line)
        });
        self.turn(&route, page, stream);
        if !lines.is_empty() {
            self.begun.push((job, stream, lines));
        }
    }

    /// What this message means for what its jobs have printed.
    pub(super) fn note(&mut self, message: &FromWorker) {
        if let (false, FromWorker::DoneMany(answers)) = (self.printed.is_empty(), message) {
            for answer in answers.iter().filter(|answer| is_unwanted(answer)) {
                self.printed.remove(&answer.header.job);
            }
        }
        if self.own.is_empty() && self.begun.is_empty() {
            return;
        }
        match message {
            FromWorker::DoneMany(answers) => {
                for answer in answers {
                    self.job_over(answer.header.job);
                }
            }
            FromWorker::Recalled(jobs) => jobs.iter().for_each(|(job, _)| self.job_over(*job)),
            _ => {}
        }
    }

    fn job_over(&mut self, job: JobId) {
        while let Some(at) = self.begun.iter().position(|b| b.0 == job) {
            let (job, stream, lines) = self.begun.swap_remove(at);
            self.last_line((job, stream), lines);
        }
        self.own.remove(&job);
    }

    /// The worker has ended.
    pub(super) fn worker_over(&mut self) {
        for (job, stream, lines) in std::mem::take(&mut self.begun) {
            self.last_line((job, stream), lines);
        }
        self.own.clear();
    }

    fn last_line(&mut self, key: (JobId, Stream), lines: Lines) {
        let route = self.route(key.0).clone();
        let mut page = Page::default();
        lines.finish(|line| self.line(&route, &mut page, key, line));
        self.turn(&route, page, key.1);
    }

    /// Whether this message comes after what its job has printed, if that is to be
    /// delivered yet: results, but for jobs of which nobody wants to hear more.
    pub(super) fn holds_back(&self, message: &FromWorker) -> bool {
        let waits =
            |answer: &Answer| !is_unwanted(answer) && self.printed.contains(&answer.header.job);
        match message {
            _ if self.printed.is_empty() => false,
            FromWorker::DoneMany(answers) => answers.iter().any(waits),
            FromWorker::ResultChunk { job, .. } => self.printed.contains(job),
            _ => false,
        }
    }

    /// Whether anything may have to wait for what was printed.
    pub(super) fn may_hold_back(&self) -> bool {
        !self.printed.is_empty()
    }

    /// Whether the printer has work, for the first time.
    pub(super) fn wakes_printer(&mut self) -> bool {
        self.works && !std::mem::replace(&mut self.works_known, self.works)
    }

    /// Everything is on its way, or nothing is held back any more. What the
    /// printer has may not be written yet: that is asked for when a job ends.
    pub(super) fn settle(&mut self) {
        if self.unconfirmed.is_none() {
            self.printed.clear();
        }
    }

    /// The job that has printed last.
    pub(super) fn last_printed(&self) -> Option<(JobId, Attempt)> {
        self.last_printed
    }

    /// Asks for a confirmation of what was printed so far, if there is anybody
    /// who can give it: for answers, which come after what their jobs printed.
    pub(super) fn confirm(&mut self) {
        if let Some(printer) = self.unconfirmed.take() {
            let (tell, confirmed) = oneshot::channel();
            self.confirmed = Some(confirmed);
            self.add(Parcel::Printer(printer, Work::Confirm(tell)));
        }
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_done(&self) -> bool {
        self.parcels.is_empty() && self.confirmed.is_none()
    }

    /// Waits until all is delivered, and confirmed if that was asked for.
    /// Cancel-safe: a parcel leaves the list when there is room for it, and not
    /// before.
    pub(super) async fn deliver(&mut self) {
        while let Some(parcel) = self.parcels.front() {
            match parcel {
                Parcel::Printer(printer, _) => {
                    let room = printer.clone().reserve_owned().await;
                    match (room, self.parcels.pop_front()) {
                        (Ok(room), Some(Parcel::Printer(_, work))) => drop(room.send(work)),
                        (_, parcel) => self.count(parcel.as_ref()),
                    }
                }
                Parcel::Receiver(receiver, _) => {
                    let room = receiver.clone().reserve_owned().await;
                    // An error says that the receiver is not interested.
                    if let (Ok(room), Some(Parcel::Receiver(_, part))) =
                        (room, self.parcels.pop_front())
                    {
                        drop(room.send(part));
                    }
                }
            }
        }
        if let Some(confirmed) = &mut self.confirmed {
            // A printer that is no more has its parcels counted.
            confirmed.await.ok();
            self.confirmed = None;
        }
    }

    fn line(&mut self, route: &Route, page: &mut Page, key: (JobId, Stream), line: &[u8]) {
        match route {
            Route::Write(_) => {
                if page.0.len() + line.len() >= MAX_LINE {
                    self.turn(route, std::mem::take(page), key.1);
                }
                page.0.extend_from_slice(line);
                page.0.extend_from_slice(b"\n");
            }
            Route::Call(printer, take) => {
                let work = Work::Call(Arc::clone(take), self.part(key.0, key.1, line));
                self.print(printer, work);
            }
            Route::Lines(receiver) => {
                let part = self.part(key.0, key.1, line);
                self.add(Parcel::Receiver(receiver.clone(), part));
            }
            // Nothing is cut into lines on these ways.
            Route::Capture | Route::Chunks(_) => {}
        }
    }

    /// Sends a page off, if there is anything on it.
    fn turn(&mut self, route: &Route, page: Page, stream: Stream) {
        if let (Route::Write(printer), false) = (route, page.0.is_empty()) {
            self.print(printer, Work::Write(stream, page.0.freeze()));
        }
    }

    fn print(&mut self, printer: &mpsc::Sender<Work>, work: Work) {
        self.works = true;
        self.unconfirmed.get_or_insert_with(|| printer.clone());
        self.add(Parcel::Printer(printer.clone(), work));
    }

    /// A copy: whoever keeps a line should not keep all that came with it.
    fn part(&self, job: JobId, stream: Stream, data: &[u8]) -> PrintedPart {
        PrintedPart {
            worker: self.worker,
            job: (job != JobId::NONE).then_some(job),
            stream,
            data: Bytes::copy_from_slice(data),
        }
    }

    fn add(&mut self, parcel: Parcel) {
        if !self.parcels.is_empty() {
            return self.parcels.push_back(parcel);
        }
        match parcel {
            Parcel::Printer(printer, work) => match printer.try_send(work) {
                Ok(()) => {}
                Err(TrySendError::Full(work)) => {
                    self.parcels.push_back(Parcel::Printer(printer, work));
                }
                Err(TrySendError::Closed(work)) => {
                    self.count(Some(&Parcel::Printer(printer, work)));
                }
            },
            Parcel::Receiver(receiver, part) => match receiver.try_send(part) {
                Err(TrySendError::Full(part)) => {
                    self.parcels.push_back(Parcel::Receiver(receiver, part));
                }
                // A closed one is not interested.
                Ok(()) | Err(TrySendError::Closed(_)) => {}
            },
        }
    }

    /// This will not be delivered.
    fn count(&self, parcel: Option<&Parcel>) {
        let lines = match parcel {
            Some(Parcel::Printer(_, work)) => work.lines(),
            Some(Parcel::Receiver(receiver, _)) if !receiver.is_closed() => 1,
            Some(Parcel::Receiver(..)) | None => 0,
        };
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.worker_over();
        for parcel in &self.parcels {
            self.count(Some(parcel));
        }
    }
}

/// Lines that are written together.
#[derive(Default)]
struct Page(BytesMut);

/// Whether this is the end of a job of which nobody wants to hear more.
fn is_unwanted(answer: &Answer) -> bool {
    matches!(
        answer.header.outcome,
        Outcome::Cancelled | Outcome::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use protocol::{DoneHeader, Usage};

    use super::*;

    const JOB: JobId = JobId(7);

    fn delivery(route: Route) -> (Delivery, Arc<AtomicU64>) {
        let lost = Arc::new(AtomicU64::new(0));
        (Delivery::new(WorkerId(1), route, Arc::clone(&lost)), lost)
    }

    fn done(job: JobId) -> FromWorker {
        let header = DoneHeader {
            job,
            attempt: Attempt::FIRST,
            outcome: Outcome::Ok,
            usage: Usage::default(),
        };
        let payload = Bytes::new();
        FromWorker::DoneMany(vec![Answer { header, payload }])
    }

    fn received(receiver: &mut mpsc::Receiver<PrintedPart>) -> Vec<(Option<JobId>, String)> {
        let mut all = Vec::new();
        while let Ok(part) = receiver.try_recv() {
            let text = String::from_utf8(part.data.to_vec()).unwrap();
            all.push((part.job, text));
        }
        all
    }

    #[test]
    fn a_last_line_without_a_line_feed_comes_when_its_job_is_over() {
        let (sender, mut receiver) = mpsc::channel(8);
        let (mut delivery, _) = delivery(Route::Lines(sender));
        delivery.take((JOB, Attempt::FIRST), Stream::Stdout, b"one\ntw");
        delivery.take((JobId(8), Attempt::FIRST), Stream::Stdout, b"other\n");
        delivery.take((JOB, Attempt::FIRST), Stream::Stdout, b"o");
        let expected = [(Some(JOB), "one".into()), (Some(JobId(8)), "other".into())];
        assert_eq!(received(&mut receiver), expected);
        delivery.note(&done(JobId(8)));
        assert!(received(&mut receiver).is_empty());
        delivery.note(&done(JOB));
        assert_eq!(received(&mut receiver), [(Some(JOB), "two".into())]);
    }

    /// A line that came in one read and its job's end in a later one: the result was
    /// there before the line was written.
    #[tokio::test]
    async fn a_result_waits_for_lines_that_came_long_before_it_and_are_not_written() {
        let (work, mut printer) = mpsc::channel(8);
        let (mut delivery, _) = delivery(Route::Write(work));
        delivery.take((JOB, Attempt::FIRST), Stream::Stdout, b"line\n");
        assert!(delivery.is_done(), "there was room at the printer");
        delivery.settle();
        let done = done(JOB);
        delivery.note(&done);
        assert!(delivery.holds_back(&done));
        delivery.confirm();
        assert!(!delivery.is_done());
        assert!(matches!(printer.recv().await, Some(Work::Write(..))));
        let Some(Work::Confirm(written)) = printer.recv().await else {
            panic!("nobody asked for a confirmation");
        };
        written.send(()).unwrap();
        delivery.deliver().await;
        delivery.settle();
        assert!(!delivery.holds_back(&done));
    }

    #[test]
    fn the_two_streams_of_a_job_are_not_mixed_within_a_line() {
        let (sender, mut receiver) = mpsc::channel(8);
        let (mut delivery, _) = delivery(Route::Lines(sender));
        delivery.take((JOB, Attempt::FIRST), Stream::Stdout, b"ou");
        delivery.take((JOB, Attempt::FIRST), Stream::Stderr, b"err\n");
        delivery.take((JOB, Attempt::FIRST), Stream::Stdout, b"t\n");
        let texts = received(&mut receiver).into_iter().map(|(_, text)| text);
        assert_eq!(texts.collect::<Vec<_>>(), ["err", "out"]);
    }

    #[test]
    fn a_job_that_is_redirected_goes_its_own_way_until_it_is_over() {
        let (usual, mut usually) = mpsc::channel(8);
        let (own, mut owned) = mpsc::channel(8);
        let (mut delivery, _) = delivery(Route::Lines(usual));
        delivery.redirect(JOB, Route::Chunks(own));
        delivery.redirect(JobId(8), Route::Capture);
        assert!(!delivery.captures(JOB) && delivery.captures(JobId(8)));
        delivery.take((JOB, Attempt::FIRST), Stream::Stdout, b"a\nb");
        delivery.take((JobId::NONE, Attempt::FIRST), Stream::Stderr, b"c\n");
        assert_eq!(received(&mut owned), [(Some(JOB), "a\nb".into())]);
        assert_eq!(received(&mut usually), [(None, "c".into())]);
        delivery.note(&done(JOB));
        delivery.note(&FromWorker::Recalled(vec![(JobId(8), Attempt::FIRST)]));
        assert!(!delivery.captures(JOB) && !delivery.captures(JobId(8)));
        assert!(
            owned
                .try_recv()
                .is_err_and(|e| e == mpsc::error::TryRecvError::Disconnected)
        );
    }

    #[tokio::test]
    async fn what_is_not_taken_waits_in_order_and_a_wait_that_is_cancelled_loses_nothing() {
        let (sender, mut receiver) = mpsc::channel(1);
        let (mut delivery, lost) = delivery(Route::Lines(sender));
        delivery.take((JOB, Attempt::FIRST), Stream::Stdout, b"1\n2\n3\n4\n");
        assert!(!delivery.is_done());
        for n in 1..=4 {
            let waiting = async {
                loop {
                    delivery.deliver().await;
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = waiting => {}
                part = receiver.recv() => assert_eq!(part.unwrap().data, n.to_string()),
            }
        }
        delivery.deliver().await;
        assert!(delivery.is_done());
        drop(delivery);
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_given_up_is_counted_unless_nobody_wanted_it() {
        let (sender, mut receiver) = mpsc::channel(1);
        let (mut one, lost) = delivery(Route::Lines(sender));
        one.take((JOB, Attempt::FIRST), Stream::Stdout, b"1\n2\n3\n4");
        drop(one);
        assert_eq!(lost.load(Ordering::Relaxed), 3);
        receiver.close();

        let (sender, receiver) = mpsc::channel(1);
        let (mut other, lost) = delivery(Route::Lines(sender));
        other.take((JOB, Attempt::FIRST), Stream::Stdout, b"1\n2\n");
        drop(receiver);
        other.take((JOB, Attempt::FIRST), Stream::Stdout, b"3\n");
        drop(other);
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn lines_for_the_printer_come_in_pages_and_are_confirmed() {
        let (printer, mut work) = mpsc::channel(8);
        let (mut delivery, _) = delivery(Route::Write(printer));
        delivery.take((JOB, Attempt::FIRST), Stream::Stdout, b"a\nb\nc");
        delivery.note(&done(JOB));
        delivery.confirm();
        assert!(!delivery.is_done());
        let mut written = Vec::new();
        let printer = async {
            while let Some(work) = work.recv().await {
                match work {
                    Work::Write(_, lines) => written.push(lines),
                    Work::Confirm(tell) => return tell.send(()).unwrap(),
                    Work::Call(..) => panic!("nothing is to be called"),
                }
            }
        };
        tokio::join!(delivery.deliver(), printer);
        assert!(delivery.is_done());
        assert_eq!(written, ["a\nb\n", "c\n"]);
        delivery.confirm();
        assert!(delivery.is_done(), "there is nothing more to confirm");
    }

    #[test]
    fn only_results_of_those_who_printed_are_held_back() {
        let (sender, _receiver) = mpsc::channel(1);
        let (mut delivery, _) = delivery(Route::Lines(sender));
        delivery.take((JOB, Attempt::FIRST), Stream::Stdout, b"1\n");
        assert!(delivery.holds_back(&done(JOB)));
        assert!(!delivery.holds_back(&done(JobId(8))));
        assert!(!delivery.holds_back(&FromWorker::Recalled(vec![(JOB, Attempt::FIRST)])));
        let mut cancelled = done(JOB);
        if let FromWorker::DoneMany(answers) = &mut cancelled {
            answers[0].header.outcome = Outcome::Cancelled;
        }
        assert!(!delivery.holds_back(&cancelled));
        delivery.settle();
        assert!(!delivery.holds_back(&done(JOB)));
    }

    #[test]
    fn no_page_is_larger_than_two_lines_of_the_greatest_length() {
        let (printer, mut work) = mpsc::channel(1000);
        let (mut delivery, _) = delivery(Route::Write(printer));
        let line = [b'x'; 40_000];
        let text = [&line[..], b"\n"].concat().repeat(20);
        delivery.take((JOB, Attempt::FIRST), Stream::Stdout, &text);
        let mut all = Vec::new();
        while let Ok(Work::Write(_, page)) = work.try_recv() {
            assert!(page.len() <= 2 * MAX_LINE);
            all.extend_from_slice(&page);
        }
        assert_eq!(all, text);
    }
}
