//! A file of Chrome's trace events, which Perfetto opens: a track for each slot, also for each that
//! a host has, with the attempts at jobs as slices; what becomes of workers, and how many jobs
//! wait and run.
//!
//! It is an array with one event per line, a form that readers take without its end as well: what
//! a run has written that was killed can be loaded. `docs/trace.md` describes it.
//!
//! A job's time is measured where it runs, and when it was is known by when its answer came:
//! answers that came together were not given together. So slices are laid out when all that came
//! is here, each as late as it may be, and none over another one: one worker does one thing
//! at a time. How long each is stays as it was measured. In which of its slots an agent has run
//! a job is not known: it is the one in which the slice can be where it should.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::tally::{Counts, Tally, Worker};
use super::watchers::End;
use crate::pool::{Event, EventKind};
use crate::run::progress::name;
use crate::run::sink::command_line::{self, Setting};
use crate::run::source::command;
use crate::run::source::work::Ticket;
use crate::run::text;
use crate::scheduler::Verdict;

/// What each of these files begins with.
const START: &[u8] = b"[\n{\"ph\":\"M\",";

/// The process whose threads are the slots here.
const WORKERS: u32 = 1;

/// The process of everything else. Those of agents have the numbers behind it, and their slots
/// as threads.
const RUN: u32 = 2;

/// How many tracks an agent has at most, however many jobs it says that it runs at once.
const PLACES: u32 = 1_024;

/// How often jobs are counted at most.
const SAMPLE: Duration = Duration::from_millis(100);

/// How much is kept before it is written, in bytes.
const FULL: usize = 64 << 10;

/// The file.
#[derive(Debug)]
pub(crate) struct Trace {
    file: File,
    /// Lines that are not written yet.
    out: Vec<u8>,
    /// Slices that have no place yet.
    slices: Vec<Slice>,
    /// What is said in those, one behind the other.
    said: Vec<u8>,
    /// Where the last slice of a track ends.
    ends: HashMap<Track, u64>,
    /// What the processes of agents are called.
    hosts: HashMap<u32, Arc<str>>,
    /// The counts that were written last, and when they were so.
    sampled: (Duration, Counts),
}

/// A process and its thread.
type Track = (u32, usize);

/// The track of a worker, the first one of an agent.
fn track(worker: &Worker) -> Track {
    let slot = worker.slot;
    match worker.host {
        None => (WORKERS, slot),
        Some(_) => (
            RUN.saturating_add(u32::try_from(slot).unwrap_or(u32::MAX)),
            1,
        ),
    }
}

/// An attempt, in microseconds.
#[derive(Debug)]
struct Slice {
    track: Track,
    /// How many tracks it may be in: this one and those that follow.
    places: u32,
    /// Since when the job had waited.
    queued: Option<u64>,
    start: u64,
    /// As measured, if it was.
    length: Option<u64>,
    /// When its end was heard of.
    heard: u64,
    /// Where what is said of it ends.
    said: usize,
}

impl Slice {
    /// The track in which it is least away from its place: `next` is where what follows begins,
    /// `ends` where what is written ends.
    fn best(&self, next: &HashMap<Track, u64>, ends: &HashMap<Track, u64>) -> Track {
        let (process, first) = self.track;
        let tracks = (first..).take(self.places.min(PLACES) as usize);
        let tracks = tracks.map(|thread| (process, thread));
        let length = self.length.unwrap_or(self.heard.saturating_sub(self.start));
        let away = |track: &Track| {
            let end = next
                .get(track)
                .map_or(self.heard, |&next| next.min(self.heard));
            let begun = ends.get(track).copied().unwrap_or_default();
            let late = begun.saturating_sub(end.saturating_sub(length));
            (self.heard - end).saturating_add(late)
        };
        tracks.min_by_key(away).unwrap_or(self.track)
    }
}

impl Trace {
    /// Makes the file; one of the same kind may be there, and is replaced.
    ///
    /// # Errors
    /// When it cannot be written, or is something else.
    pub(crate) fn create(path: &Path, began: SystemTime) -> io::Result<Trace> {
        let mut options = OpenOptions::new();
        // A pipe or a device has no beginning to be looked at.
        let regular = !path.exists() || path.is_file();
        options.write(true).create(true).read(regular);
        let mut file = options.truncate(false).open(path)?;
        if regular {
            make_room(&mut file)?;
        }
        let mut trace = Trace {
            file,
            out: Vec::new(),
            slices: Vec::new(),
            said: Vec::new(),
            ends: HashMap::new(),
            hosts: HashMap::new(),
            sampled: Default::default(),
        };
        trace.begin(began)?;
        Ok(trace)
    }

    fn begin(&mut self, began: SystemTime) -> io::Result<()> {
        self.out.push(b'[');
        for (pid, name) in [(WORKERS, "workers"), (RUN, "orchestrator")] {
            let comma = if pid == WORKERS { "" } else { "," };
            write!(
                self.out,
                "{comma}\n{{\"ph\":\"M\",\"pid\":{pid},\"name\":\"process_name\",\
                 \"args\":{{\"name\":\"{name}\"}}}}"
            )?;
        }
        self.line();
        let name = "\"name\":\"thread_name\",\"args\":{\"name\":\"run\"}";
        write!(self.out, "{{\"ph\":\"M\",\"pid\":{RUN},\"tid\":1,{name}}}")?;
        self.line();
        let (began, version) = (
            humantime::format_rfc3339_micros(began),
            env!("CARGO_PKG_VERSION"),
        );
        write!(
            self.out,
            "{{\"ph\":\"B\",\"pid\":{RUN},\"tid\":1,\"ts\":0,\"name\":\"run\",\"cat\":\"run\",\
             \"args\":{{\"started\":\"{began}\",\"version\":\"{version}\"}}}}"
        )?;
        self.flush()
    }

    /// Begins another line.
    fn line(&mut self) {
        self.out.extend_from_slice(b",\n");
    }

    /// Something has happened that is about a worker.
    ///
    /// # Errors
    /// When there is no more room.
    pub(super) fn event(&mut self, event: &Event, tally: &Tally) -> io::Result<()> {
        let (worker, name) = match &event.kind {
            EventKind::WorkerSpawned { worker, .. } => (*worker, "worker started"),
            EventKind::WorkerReady { worker, .. } => (*worker, "worker ready"),
            EventKind::WorkerRetired { worker, .. } => (*worker, "worker retired"),
            EventKind::WorkerEnded { worker, .. } => (*worker, "worker ended"),
            _ => return Ok(()),
        };
        let Some(known) = tally.worker(worker) else {
            return Ok(());
        };
        let ((process, thread), pid) = (track(known), known.pid);
        self.name_track((process, thread), known.host.as_ref())?;
        self.line();
        let ts = micros(event.at);
        write!(
            self.out,
            "{{\"ph\":\"i\",\"s\":\"t\",\"pid\":{process},\"tid\":{thread},\"ts\":{ts},\
             \"name\":\"{name}\",\"cat\":\"worker\",\"args\":{{\"worker\":{worker},\"pid\":{pid}"
        )?;
        match &event.kind {
            EventKind::WorkerEnded {
                unexpected: Some(why),
                ..
            } => {
                self.out.extend_from_slice(b",\"why\":");
                string(&mut self.out, &text::clipped(why.as_bytes()))?;
            }
            EventKind::WorkerRetired { failures, .. } => {
                write!(self.out, ",\"failures\":{failures}")?;
            }
            _ => {}
        }
        self.out.extend_from_slice(b"}}");
        Ok(())
    }

    /// The names of a track and of its host, before its first event; a host may be called
    /// otherwise when it is better known.
    fn name_track(&mut self, track: Track, host: Option<&Arc<str>>) -> io::Result<()> {
        let (process, thread) = track;
        if let Some(host) = host.filter(|&host| self.hosts.get(&process) != Some(host)) {
            self.line();
            write!(
                self.out,
                "{{\"ph\":\"M\",\"pid\":{process},\"name\":\"process_name\",\"args\":{{\"name\":"
            )?;
            string(
                &mut self.out,
                &text::clipped(format!("host {host}").as_bytes()),
            )?;
            self.out.extend_from_slice(b"}}");
            self.hosts.insert(process, Arc::clone(host));
        }
        if self.ends.contains_key(&track) {
            return Ok(());
        }
        self.ends.insert(track, 0);
        self.line();
        write!(
            self.out,
            "{{\"ph\":\"M\",\"pid\":{process},\"tid\":{thread},\"name\":\"thread_name\",\
             \"args\":{{\"name\":\"slot {thread}\"}}}}"
        )
    }

    /// An attempt is over, or a job has ended without one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn end(&mut self, end: &End<'_>) -> io::Result<()> {
        let place = end.worker.as_ref().zip(end.started);
        let place = place.filter(|_| end.attempt > 0);
        let Some(((_, worker), started)) = place else {
            self.line();
            let ts = micros(end.at);
            write!(
                self.out,
                "{{\"ph\":\"i\",\"s\":\"t\",\"pid\":{RUN},\"tid\":1,\"ts\":{ts},\"args\":{{"
            )?;
            return say(&mut self.out, end);
        };
        let track = track(worker);
        self.name_track(track, worker.host.as_ref())?;
        say(&mut self.said, end)?;
        self.slices.push(Slice {
            track,
            places: worker.places,
            queued: end.queued.map(micros),
            start: micros(started),
            length: end.usage.is_measured().then_some(end.usage.wall_us),
            heard: micros(end.at),
            said: self.said.len(),
        });
        if self.said.len() >= FULL {
            return self.flush();
        }
        Ok(())
    }

    /// Lays out the slices that have come.
    fn place(&mut self) -> io::Result<()> {
        // As late as may be: where the next one of the same track begins.
        let mut next: HashMap<Track, u64> = HashMap::new();
        for slice in self.slices.iter_mut().rev() {
            if slice.places > 1 {
                slice.track = slice.best(&next, &self.ends);
            }
            let Some(length) = slice.length else {
                continue;
            };
            let end = next.get(&slice.track).map_or(slice.heard, |&start| start);
            slice.start = end.min(slice.heard).saturating_sub(length);
            next.insert(slice.track, slice.start);
        }
        let mut slices = std::mem::take(&mut self.slices);
        let said = std::mem::take(&mut self.said);
        let mut from = 0;
        for slice in &slices {
            self.name_track(slice.track, None)?;
            let free = self.ends.entry(slice.track).or_default();
            let start = slice.start.max(*free);
            let end = match slice.length {
                Some(length) => start.saturating_add(length),
                // There was nobody left to measure it.
                None => slice.heard.max(start),
            };
            *free = end;
            let ((process, thread), length) = (slice.track, end - start);
            self.out.extend_from_slice(b",\n");
            write!(
                self.out,
                "{{\"ph\":\"X\",\"pid\":{process},\"tid\":{thread},\"ts\":{start},\"dur\":{length},\
                 \"args\":{{"
            )?;
            if let Some(queued) = slice.queued {
                let waited = start.saturating_sub(queued);
                write!(self.out, "\"queue_us\":{waited},")?;
            }
            self.out.extend_from_slice(&said[from..slice.said]);
            from = slice.said;
        }
        slices.clear();
        self.slices = slices;
        self.said = said;
        self.said.clear();
        Ok(())
    }

    /// Something is about to happen; until now, and since then, it has been like this.
    pub(super) fn count(&mut self, now: Duration, since: Duration, counts: Counts) {
        let (last, written) = self.sampled;
        // Not in the middle of what has happened together.
        if counts != written && now > since && now >= last + SAMPLE {
            self.sample(since, counts);
        }
    }

    fn sample(&mut self, at: Duration, counts: Counts) {
        self.sampled = (at, counts);
        let ts = micros(at);
        let Counts {
            waiting,
            running,
            done,
            failed,
        } = counts;
        for (name, values) in [
            (
                "jobs in the pool",
                [("waiting", waiting), ("running", running)],
            ),
            ("jobs ended", [("done", done), ("failed", failed)]),
        ] {
            let [(a, x), (b, y)] = values;
            self.line();
            let line = format!(
                "{{\"ph\":\"C\",\"pid\":{RUN},\"ts\":{ts},\"name\":\"{name}\",\
                 \"args\":{{\"{a}\":{x},\"{b}\":{y}}}}}"
            );
            self.out.extend_from_slice(line.as_bytes());
        }
    }

    /// Writes what there is, so that the file ends with an event.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.place()?;
        let written = self.file.write_all(&self.out);
        self.out.clear();
        written
    }

    /// The run is over.
    ///
    /// # Errors
    /// When what is left cannot be written.
    pub(super) fn finish(mut self, at: Duration, counts: Counts) -> io::Result<()> {
        self.place()?;
        let last = self.ends.values().copied().max().unwrap_or_default();
        self.sample(at, counts);
        self.line();
        let ts = micros(at).max(last);
        write!(
            self.out,
            "{{\"ph\":\"E\",\"pid\":{RUN},\"tid\":1,\"ts\":{ts}}}\n]\n"
        )?;
        self.flush()
    }
}

/// Makes a file empty that is here for a trace.
///
/// # Errors
/// When it holds something else.
fn make_room(file: &mut File) -> io::Result<()> {
    let mut start = Vec::new();
    Read::take(&mut *file, START.len() as u64).read_to_end(&mut start)?;
    if !start.is_empty() && start != START {
        return Err(io::Error::other(
            "the file is there, and it is no trace of ours: another name, or remove it",
        ));
    }
    file.seek(SeekFrom::Start(0))?;
    file.set_len(0)
}

/// Says what is known of an attempt: the rest of its arguments, its name and its categories,
/// and the end of the line.
fn say(out: &mut Vec<u8>, end: &End<'_>) -> io::Result<()> {
    let (status, signal) = end.exit;
    let (word, attempt, is_last) = (end.verdict.word(), end.attempt, end.is_last);
    if let Some(ticket) = end.ticket {
        write!(out, "\"id\":{},", ticket.seq)?;
    }
    write!(
        out,
        "\"attempt\":{attempt},\"last\":{is_last},\"verdict\":\"{word}\",\
         \"exit\":{status},\"signal\":{signal}"
    )?;
    if let Some((id, worker)) = &end.worker {
        write!(out, ",\"worker\":{id},\"pid\":{}", worker.pid)?;
        if let Some(host) = &worker.host {
            out.extend_from_slice(b",\"host\":");
            string(out, &text::clipped(host.as_bytes()))?;
        }
    }
    let usage = end.usage;
    if usage.is_measured() {
        let cpu = usage.user_us.saturating_add(usage.system_us);
        write!(out, ",\"cpu_us\":{cpu},\"rss_kib\":{}", usage.max_rss_kib)?;
    }
    if let Some(ticket) = end.ticket {
        say_what(out, ticket, end.task)?;
    }
    let cat = match end.verdict {
        Verdict::Ok => "job",
        _ => "job,failed",
    };
    write!(out, "}},\"cat\":\"{cat}\",\"name\":")?;
    let name = end.ticket.map_or_else(|| "job".to_owned(), name::of);
    string(out, &name)?;
    out.push(b'}');
    Ok(())
}

/// What was run.
fn say_what(out: &mut Vec<u8>, ticket: &Ticket, task: Option<&str>) -> io::Result<()> {
    let own = ticket.wishes.as_ref().and_then(|w| w.task.as_deref());
    if let Some(task) = task.map(|task| own.unwrap_or(task)) {
        out.extend_from_slice(b",\"task\":");
        return string(out, &text::clipped(task.as_bytes()));
    }
    let words = command::argv(&ticket.command);
    let Some(program) = words.first() else {
        return Ok(());
    };
    let program = program.rsplit(|&byte| byte == b'/').next();
    out.extend_from_slice(b",\"task\":");
    string(out, &text::clipped(program.unwrap_or_default()))?;
    out.extend_from_slice(b",\"command\":");
    let typed = command_line::of(&ticket.command, Setting::default());
    string(out, &text::clipped(&typed.line))
}

fn string(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    serde_json::to_writer(out, text).map_err(io::Error::from)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_ran_at_once_never_overlaps_in_its_slots() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let mut trace = Trace::create(path.path(), SystemTime::UNIX_EPOCH).unwrap();
        // Answers come together; and one job was lost with its agent.
        for (heard, count, length) in [(500_u64, 8, 90), (520, 3, 300), (1_000, 40, 20)] {
            for n in 0..count {
                trace.said.push(b'}');
                trace.slices.push(Slice {
                    track: (RUN + 1, 1),
                    places: 4,
                    queued: None,
                    start: heard - length,
                    length: Some(length).filter(|_| n != 5),
                    heard,
                    said: trace.said.len(),
                });
            }
            trace.place().unwrap();
        }
        let text = String::from_utf8(std::mem::take(&mut trace.out)).unwrap();
        let number = |line: &str, name: &str| -> u64 {
            let rest = line.split_once(&format!("\"{name}\":")).unwrap().1;
            rest.split(',').next().unwrap().parse().unwrap()
        };
        let slices = text.lines().filter(|line| line.contains("\"ph\":\"X\""));
        let mut slices: Vec<_> = slices
            .map(|line| (number(line, "tid"), number(line, "ts"), number(line, "dur")))
            .collect();
        assert_eq!(slices.len(), 51, "{text}");
        slices.sort_unstable();
        for pair in slices.windows(2) {
            let ((a, start, length), (b, next, _)) = (pair[0], pair[1]);
            assert!(a != b || start + length <= next, "{pair:?}");
        }
        assert!((1..=4).all(|slot| slices.iter().any(|&(tid, ..)| tid == slot)));
        assert!(slices.iter().all(|&(tid, ..)| tid <= 4));
    }
}
