//! What a worker thread and its actor share: the jobs that wait, the one that
//! runs, and what is wanted of the thread. The lock is never held while a job
//! runs, nor while anything of a job is dropped.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use protocol::{Assignment, Attempt, JobId};

use super::job::Closure;

/// Which try at which job.
pub(super) type Key = (JobId, Attempt);

/// Something to be run.
#[derive(Debug)]
pub(super) enum Work {
    Task(Assignment),
    Call(Key, Closure),
}

impl Work {
    pub(super) fn key(&self) -> Key {
        match self {
            Work::Task(assignment) => (assignment.header.job, assignment.header.attempt),
            Work::Call(key, _) => *key,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether the pool takes no more jobs; read by jobs without the lock.
    winding_down: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Bounded by the worker's window.
    queue: VecDeque<Work>,
    /// The job that runs, and what tells it to stop.
    current: Option<(Key, Arc<AtomicBool>)>,
    paused: bool,
    /// The thread ends when the queue is empty.
    draining: bool,
    /// The thread ends when it comes back.
    closed: bool,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// More jobs, to be run in this order behind those that are here. None
    /// after the desk was closed.
    pub(super) fn add(&self, work: impl IntoIterator<Item = Work>) {
        let mut state = self.state();
        if !state.closed {
            state.queue.extend(work);
            self.changed.notify_one();
        }
    }

    /// The thread's next job, which is the current one from here on, and what
    /// tells it to stop. Waits for one; `None` when the thread shall end.
    pub(super) fn take(&self) -> Option<(Work, Arc<AtomicBool>)> {
        let mut state = self.state();
        loop {
            if state.closed || (state.draining && state.queue.is_empty()) {
                return None;
            }
            if !state.paused
                && let Some(work) = state.queue.pop_front()
            {
                let cancelled = Arc::new(AtomicBool::new(false));
                state.current = Some((work.key(), Arc::clone(&cancelled)));
                return Some((work, cancelled));
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The current job's answer is on its way.
    pub(super) fn done(&self) {
        self.state().current = None;
    }

    pub(super) fn current(&self) -> Option<Key> {
        self.state().current.as_ref().map(|(key, _)| *key)
    }

    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.current.is_none() && state.queue.is_empty()
    }

    /// Tells a job to stop. One that has not started is taken back, and comes
    /// to the caller.
    pub(super) fn cancel(&self, key: Key) -> Option<Work> {
        let mut state = self.state();
        match &state.current {
            Some((current, cancelled)) if *current == key => {
                cancelled.store(true, Ordering::Relaxed);
                None
            }
            _ => {
                let at = state.queue.iter().position(|work| work.key() == key)?;
                state.queue.remove(at)
            }
        }
    }

    /// Takes back those of these jobs that have not started.
    pub(super) fn recall(&self, keys: &[Key]) -> Vec<Key> {
        let mut state = self.state();
        let queue = std::mem::take(&mut state.queue);
        let (back, kept): (Vec<Work>, Vec<Work>) = queue
            .into_iter()
            .partition(|work| keys.contains(&work.key()));
        state.queue = kept.into();
        drop(state);
        back.iter().map(Work::key).collect()
    }

    pub(super) fn pause(&self, paused: bool) {
        self.state().paused = paused;
        self.changed.notify_one();
    }

    /// The pool takes no more jobs, though some may still come here.
    pub(super) fn wind_down(&self) {
        self.winding_down.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_winding_down(&self) -> bool {
        self.winding_down.load(Ordering::Relaxed)
    }

    /// No job comes any more.
    pub(super) fn drain(&self) {
        self.wind_down();
        self.state().draining = true;
        self.changed.notify_one();
    }

    /// Nothing is started any more, what runs is told to stop, and the thread
    /// ends as soon as it can.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        if let Some((_, cancelled)) = &state.current {
            cancelled.store(true, Ordering::Relaxed);
        }
        let unwanted = std::mem::take(&mut state.queue);
        drop(state);
        self.changed.notify_one();
        drop(unwanted);
    }
}

#[cfg(test)]
mod tests {
    use super::super::RawJob;
    use super::*;

    const fn key(job: u64) -> Key {
        (JobId(job), Attempt::FIRST)
    }

    fn work(job: u64) -> Work {
        let call = RawJob::call(|_| ()).call.unwrap();
        Work::Call(key(job), call)
    }

    fn taken(desk: &Desk) -> Option<Key> {
        desk.take().map(|(work, _)| work.key())
    }

    #[test]
    fn jobs_are_taken_in_order_and_only_those_that_wait_are_given_back() {
        let desk = Desk::default();
        desk.add((1..=5).map(work));
        assert_eq!(taken(&desk), Some(key(1)));
        assert_eq!(desk.current(), Some(key(1)));
        assert_eq!(desk.recall(&[key(1), key(3), key(9)]), [key(3)]);
        assert!(desk.cancel(key(4)).is_some());
        desk.done();
        assert_eq!(taken(&desk), Some(key(2)));
        desk.done();
        desk.drain();
        assert_eq!(taken(&desk), Some(key(5)));
        desk.done();
        assert_eq!(taken(&desk), None);
        assert!(desk.is_idle());
    }

    #[test]
    fn only_the_job_that_runs_is_told_to_stop() {
        let desk = Desk::default();
        desk.add([work(1), work(2)]);
        let (_, first) = desk.take().unwrap();
        assert!(desk.cancel(key(1)).is_none());
        assert!(first.load(Ordering::Relaxed));
        desk.done();
        let (_, second) = desk.take().unwrap();
        assert!(!second.load(Ordering::Relaxed));
        desk.close();
        assert!(second.load(Ordering::Relaxed));
        desk.add([work(3)]);
        desk.done();
        assert_eq!(taken(&desk), None);
    }
}
