//! The client's pairs and the pool's jobs: who is held, whose input is still coming,
//! who is wanted back. Decides, and does nothing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};
use protocol::{Assignment, Attempt, CREDIT, JobHeader, JobId, JobOptions};

use crate::scheduler::IdMap;

/// What the client calls a try at a job.
pub(super) type Pair = (JobId, Attempt);

/// How many bytes of large inputs may be here or be asked for, beside one that may be
/// larger by itself.
const LARGE_INPUTS: u64 = 64 << 20;

/// A job whose input is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) header: JobHeader,
    pub(super) options: Option<JobOptions>,
    pub(super) input: Bytes,
}

/// What is to be said or done besides.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// This pair was cancelled before the pool had it.
    Cancelled(Pair),
    /// The pool is to cancel this job.
    Cancel(JobId),
    /// The client may send so many more chunks of this input.
    Credit(Pair, u32),
    /// These jobs are wanted back.
    GiveBack(Vec<JobId>),
}

#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Where each pair is.
    places: HashMap<Pair, Place>,
    /// The pairs by their jobs in the pool.
    jobs: IdMap<JobId, Held>,
    /// Pairs whose input is not complete, in the order in which they came.
    coming: VecDeque<Pair>,
    /// How many bytes of large inputs are here or were asked for.
    large: u64,
    /// Recalls that were not answered, oldest first, and how many there were before.
    recalls: VecDeque<Recall>,
    answered: u64,
}

#[derive(Debug)]
enum Place {
    /// Its input is coming.
    Coming(Box<Coming>),
    /// The pool has it under this number.
    Pool(JobId),
}

#[derive(Debug)]
struct Coming {
    header: JobHeader,
    options: Option<JobOptions>,
    input: BytesMut,
    /// How many chunks have come and were not credited.
    uncredited: u32,
    /// Whether there is room for all of it: chunks are credited as they come.
    has_room: bool,
}

#[derive(Debug)]
struct Held {
    pair: Pair,
    /// How much of the room for large inputs it takes.
    large: u64,
    /// Whether the client knows that it has started.
    started: bool,
    /// By which recall it is wanted back, counted from the first.
    recall: Option<u64>,
}

#[derive(Debug, Default)]
struct Recall {
    /// The pairs that are given back.
    given: Vec<Pair>,
    /// How many are not known to be given back, or to stay.
    open: usize,
}

impl Pairs {
    /// Whether nothing is held and nothing owed.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.recalls.is_empty()
    }

    /// Whether all inputs are complete.
    pub(super) fn all_have_come(&self) -> bool {
        self.coming.is_empty()
    }

    /// The client assigns this. Gives it back when its input is complete: then the
    /// pool is to have it, and [`Pairs::entered`] to be told.
    ///
    /// # Errors
    /// When it makes no sense.
    pub(super) fn assign(
        &mut self,
        options: Option<JobOptions>,
        Assignment { header, input }: Assignment,
    ) -> Result<Option<Whole>, String> {
        let pair = (header.job, header.attempt);
        let wrong = |what: &str| Err(format!("job {} {what}", header.job));
        if header.job == JobId::NONE {
            return wrong("does not exist");
        }
        if input.len() as u64 > header.input_len {
            return wrong("has more input than it announced");
        }
        let Entry::Vacant(place) = self.places.entry(pair) else {
            return wrong("is assigned although it is held");
        };
        if input.len() as u64 == header.input_len {
            return Ok(Some(Whole {
                header,
                options,
                input,
            }));
        }
        place.insert(Place::Coming(Box::new(Coming {
            header,
            options,
            input: BytesMut::from(input),
            uncredited: 0,
            has_room: false,
        })));
        self.coming.push_back(pair);
        Ok(None)
    }

    /// The pool is not to have the job of this pair, whose input is complete.
    pub(super) fn forget(&mut self, pair: Pair, effects: &mut Vec<Effect>) {
        if let Some(Place::Coming(coming)) = self.places.remove(&pair) {
            self.give_room_back(coming.header.input_len, effects);
        }
    }

    /// The pool has a job of this pair.
    pub(super) fn entered(&mut self, pair: Pair, job: JobId) {
        let large = match self.places.insert(pair, Place::Pool(job)) {
            // One whose input came in chunks.
            Some(Place::Coming(coming)) => coming.header.input_len,
            Some(Place::Pool(_)) | None => 0,
        };
        let held = Held {
            pair,
            large,
            started: false,
            recall: None,
        };
        self.jobs.insert(job, held);
    }

    /// A part of an input. Gives the job when that was the last; what was under way
    /// for a pair that is not held is ignored.
    ///
    /// # Errors
    /// When it is too much.
    pub(super) fn chunk(
        &mut self,
        pair: Pair,
        data: &[u8],
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Whole>, String> {
        let coming = match self.places.get_mut(&pair) {
            Some(Place::Coming(coming)) => coming,
            // Its input is complete.
            Some(Place::Pool(_)) => return Err(format!("too much input for job {}", pair.0)),
            None => return Ok(None),
        };
        let len = (coming.input.len() + data.len()) as u64;
        coming.uncredited += 1;
        if len > coming.header.input_len || coming.uncredited > CREDIT {
            return Err(format!("too much input for job {}", pair.0));
        }
        coming.input.extend_from_slice(data);
        if len < coming.header.input_len {
            if coming.has_room {
                effects.push(Effect::Credit(pair, std::mem::take(&mut coming.uncredited)));
            } else {
                self.make_room(effects);
            }
            return Ok(None);
        }
        if !coming.has_room {
            coming.has_room = true;
            self.large = self.large.saturating_add(len);
        }
        let whole = Whole {
            header: coming.header,
            options: coming.options,
            input: std::mem::take(&mut coming.input).freeze(),
        };
        self.coming.retain(|other| *other != pair);
        Ok(Some(whole))
    }

    /// Asks for the rest of inputs as far as there is room, in their order.
    fn make_room(&mut self, effects: &mut Vec<Effect>) {
        for &pair in &self.coming {
            let Some(Place::Coming(coming)) = self.places.get_mut(&pair) else {
                continue;
            };
            if coming.has_room {
                continue;
            }
            let sum = self.large.saturating_add(coming.header.input_len);
            if self.large > 0 && sum > LARGE_INPUTS {
                return;
            }
            self.large = sum;
            coming.has_room = true;
            if coming.uncredited > 0 {
                effects.push(Effect::Credit(pair, std::mem::take(&mut coming.uncredited)));
            }
        }
    }

    fn give_room_back(&mut self, large: u64, effects: &mut Vec<Effect>) {
        if large > 0 {
            self.large -= large.min(self.large);
            self.make_room(effects);
        }
    }

    /// Takes out a pair whose input is not complete, if it is one.
    fn drop_coming(&mut self, pair: Pair, effects: &mut Vec<Effect>) -> bool {
        let Some(Place::Coming(coming)) = self.places.get(&pair) else {
            return false;
        };
        let large = match coming.has_room {
            true => coming.header.input_len,
            false => 0,
        };
        self.places.remove(&pair);
        self.coming.retain(|other| *other != pair);
        self.give_room_back(large, effects);
        true
    }

    /// The client does not want a pair any more.
    pub(super) fn cancel(&mut self, pair: Pair, effects: &mut Vec<Effect>) {
        if self.drop_coming(pair, effects) {
            effects.push(Effect::Cancelled(pair));
        } else if let Some(Place::Pool(job)) = self.places.get(&pair) {
            effects.push(Effect::Cancel(*job));
        }
    }

    /// The client wants back what has not started of these.
    pub(super) fn recall(&mut self, pairs: Vec<Pair>, effects: &mut Vec<Effect>) {
        let number = self.answered + self.recalls.len() as u64;
        let mut recall = Recall::default();
        let mut jobs = Vec::new();
        for pair in pairs {
            if self.drop_coming(pair, effects) {
                recall.given.push(pair);
            } else if let Some(Place::Pool(job)) = self.places.get(&pair)
                && let Some(held) = self.jobs.get_mut(job)
                && held.recall.is_none()
            {
                held.recall = Some(number);
                recall.open += 1;
                jobs.push(*job);
            }
        }
        self.recalls.push_back(recall);
        if !jobs.is_empty() {
            effects.push(Effect::GiveBack(jobs));
        }
    }

    /// A job that was wanted back stays.
    pub(super) fn kept(&mut self, job: JobId) {
        let number = self.jobs.get_mut(&job).and_then(|held| held.recall.take());
        self.settle(number);
    }

    fn settle(&mut self, number: Option<u64>) -> Option<&mut Recall> {
        let at = usize::try_from(number?.checked_sub(self.answered)?).ok()?;
        let recall = self.recalls.get_mut(at)?;
        recall.open -= 1;
        Some(recall)
    }

    /// A job has ended in the pool. Gives its pair, if that is to be answered:
    /// one that was `interrupted` is given back, if somebody wanted that.
    pub(super) fn ended(
        &mut self,
        job: JobId,
        interrupted: bool,
        effects: &mut Vec<Effect>,
    ) -> Option<Pair> {
        let held = self.jobs.remove(&job)?;
        self.places.remove(&held.pair);
        self.give_room_back(held.large, effects);
        if let Some(recall) = self.settle(held.recall)
            && interrupted
        {
            recall.given.push(held.pair);
            return None;
        }
        Some(held.pair)
    }

    /// The pair of a job in the pool.
    pub(super) fn pair(&self, job: JobId) -> Option<Pair> {
        self.jobs.get(&job).map(|held| held.pair)
    }

    /// A job has started. Gives its pair the first time: later attempts are the pool's
    /// own.
    pub(super) fn start(&mut self, job: JobId) -> Option<Pair> {
        let held = self.jobs.get_mut(&job)?;
        (!std::mem::replace(&mut held.started, true)).then_some(held.pair)
    }

    /// The answer to the oldest recall, once it is known.
    pub(super) fn recalled(&mut self) -> Option<Vec<Pair>> {
        self.recalls.front().filter(|recall| recall.open == 0)?;
        self.answered += 1;
        self.recalls.pop_front().map(|recall| recall.given)
    }

    /// Nothing is made any more of pairs whose input is not complete: they have not begun.
    pub(super) fn drop_unfinished(&mut self, effects: &mut Vec<Effect>) {
        while let Some(pair) = self.coming.front().copied() {
            if !self.drop_coming(pair, effects) {
                self.coming.pop_front();
            }
        }
        // Nobody is to send more of them.
        effects.retain(|effect| !matches!(effect, Effect::Credit(..)));
    }

    /// Gives up everything: the pairs that get no other answer.
    pub(super) fn give_up(&mut self) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = self.places.keys().copied().collect();
        pairs.sort_unstable();
        *self = Pairs::default();
        pairs
    }
}

#[cfg(test)]
mod tests;
