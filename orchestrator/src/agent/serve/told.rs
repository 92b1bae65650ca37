//! What the client is told.

use std::time::Instant;
use std::vec;

use nix::unistd::gethostname;

use protocol::{
    Answer, Attempt, DoneHeader, FromWorker, JobId, MAX_CHUNK, Outcome, Ready, Stream, Usage,
};

use super::{Agent, Leaving, Stop};
use crate::Verdict;
use crate::agent::ending;
use crate::agent::pairs::Pair;
use crate::pool::{JobReport, Note, PrintedPart, instant, is_doubtful};

/// Who has printed what nobody knows to be anybody's.
const NO_JOB: Pair = (JobId::NONE, Attempt(0));

impl<C: Fn(&str)> Agent<'_, C> {
    pub(super) fn tell_recalled(&mut self) {
        while let Some(pairs) = self.pairs.recalled() {
            self.outbox.say(&FromWorker::Recalled(pairs));
        }
    }

    pub(super) fn send_answers(&mut self) {
        if !self.answers.is_empty() {
            self.outbox.answers(&self.answers);
            self.answers.clear();
        }
    }

    /// Jobs have ended together.
    pub(super) fn report(&mut self, reports: vec::IntoIter<JobReport>) {
        // What they have printed is there before, and what is known of them.
        while let Ok(part) = self.printed.try_recv() {
            self.print(part);
        }
        while let Ok(notes) = self.notes.try_recv() {
            notes.into_iter().for_each(|note| self.pass_on(note));
        }
        for report in reports {
            let interrupted = report.verdict == Verdict::Interrupted;
            let Some(pair) = self.pairs.ended(report.job, interrupted, &mut self.effects) else {
                continue;
            };
            if self.watch.is_remote() {
                let ends = self.leaving == Some(Leaving::Terminated);
                let doubtful = is_doubtful(&report);
                // What was not answered goes back with the goodbye.
                if ends && (interrupted || doubtful) {
                    continue;
                }
                if doubtful {
                    self.doubts.add((pair, report), instant());
                    continue;
                }
            }
            self.end_of(pair, report);
        }
    }

    /// Those that were ended by a signal some time ago were meant.
    pub(super) fn believe(&mut self, now: Instant) {
        let believed: Vec<_> = self.doubts.believed(now).collect();
        for (pair, report) in believed {
            self.end_of(pair, report);
        }
    }

    fn end_of(&mut self, (job, attempt): Pair, report: JobReport) {
        for (stream, bytes) in [
            (Stream::Stdout, report.omitted.stdout),
            (Stream::Stderr, report.omitted.stderr),
        ] {
            if bytes > 0 {
                self.outbox.say(&FromWorker::Omitted {
                    job,
                    attempt,
                    stream,
                    bytes,
                });
            }
        }
        let (outcome, payload) = match report.verdict {
            Verdict::Ok if report.result.len() > MAX_CHUNK as u64 => {
                let header = DoneHeader {
                    job,
                    attempt,
                    outcome: Outcome::Ok,
                    usage: report.usage,
                };
                self.outbox.result(header, report.result);
                return;
            }
            Verdict::Ok => match report.result.bytes() {
                Ok(bytes) => (Outcome::Ok, bytes),
                Err(_) => (Outcome::Lost, ending::lost()),
            },
            _ => ending::answer(&report),
        };
        let header = DoneHeader {
            job,
            attempt,
            outcome,
            usage: report.usage,
        };
        self.answers.push(Answer { header, payload });
    }

    /// Ends the turn of reports.
    pub(super) fn answer(&mut self) -> Result<(), Stop> {
        self.settle();
        if self.pairs.is_empty() {
            // The client has nothing here: what it wants next is worth waiting for.
            self.pace.asked(instant());
        }
        Ok(())
    }

    /// News of a job that goes on.
    pub(super) fn pass_on(&mut self, note: Note) {
        match note {
            Note::Kept(job) => self.pairs.kept(job),
            Note::Started(job) => {
                if let Some((job, attempt)) = self.pairs.start(job) {
                    self.outbox.say(&FromWorker::Started { job, attempt });
                }
            }
            // Later ones tell whoever has not read these.
            Note::Progress { .. } if !self.outbox.is_read() => {}
            Note::Progress { job, done, total } => {
                if let Some((job, attempt)) = self.pairs.pair(job) {
                    self.outbox.say(&FromWorker::Progress {
                        job,
                        attempt,
                        done,
                        total,
                    });
                }
            }
        }
    }

    pub(super) fn print(&mut self, part: PrintedPart) {
        // What was printed behind the answer belongs to nobody any more.
        let pair = part.job.and_then(|job| self.pairs.pair(job));
        self.outbox
            .output(pair.unwrap_or(NO_JOB), part.stream, part.data);
    }

    pub(super) fn ready(&mut self, tasks: &[String]) {
        // There is one list in this process's life: names that jobs share for nothing.
        let leak = |name: &String| -> &'static str { name.clone().leak() };
        self.tasks = Some(tasks.iter().map(leak).collect());
        self.watch.is_ready(instant);
        self.outbox.say(&FromWorker::Ready(Ready {
            build: format!("orchestrator agent {}{}", env!("CARGO_PKG_VERSION"), here()),
            pid: std::process::id(),
            slots: self.slots,
            tasks: tasks.to_vec(),
            status_fd: None,
        }));
    }

    /// The pool has ended: nobody is left to ask.
    pub(super) fn last_words(&mut self) {
        while let Ok(part) = self.printed.try_recv() {
            self.print(part);
        }
        let left = self.pairs.give_up();
        if self.watch.is_remote() {
            // Not answered, they are given to others.
            return self.send_answers();
        }
        for pair in left {
            let payload = ending::lost();
            self.answers.push(Answer {
                header: not_run(pair, Outcome::Lost),
                payload,
            });
        }
        self.send_answers();
    }

    /// Everything was said.
    pub(super) fn say_goodbye(&mut self) {
        if !std::mem::replace(&mut self.said_goodbye, true) {
            self.outbox.say(&FromWorker::Bye);
        }
    }
}

/// Where this is, for people who did not choose it.
fn here() -> String {
    let name = gethostname().ok().and_then(|name| name.into_string().ok());
    name.map_or_else(String::new, |name| format!(" on {name}"))
}

pub(super) fn not_run((job, attempt): Pair, outcome: Outcome) -> DoneHeader {
    DoneHeader {
        job,
        attempt,
        outcome,
        usage: Usage::default(),
    }
}
