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

    /// Gives up everything: the pairs that get no other answer.
    pub(super) fn give_up(&mut self) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = self.places.keys().copied().collect();
        pairs.sort_unstable();
        *self = Pairs::default();
        pairs
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Encoding, MAX_CHUNK};

    use super::*;

    fn pair(job: u64) -> Pair {
        (JobId(job), Attempt::FIRST)
    }

    fn assignment(job: u64, input: &'static [u8], input_len: u64) -> Assignment {
        Assignment {
            header: JobHeader {
                job: JobId(job),
                attempt: Attempt::FIRST,
                task: 0,
                encoding: Encoding::Raw,
                input_len,
            },
            input: Bytes::from_static(input),
        }
    }

    /// A pair that is in the pool as ten times its number.
    fn enter(pairs: &mut Pairs, job: u64) {
        let whole = pairs.assign(None, assignment(job, b"x", 1)).unwrap();
        assert!(whole.is_some());
        pairs.entered(pair(job), JobId(10 * job));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut pairs = Pairs::default();
        enter(&mut pairs, 1);
        for (wrong, why) in [
            (assignment(0, b"", 0), "job 0 does not exist"),
            (
                assignment(2, b"ab", 1),
                "job 2 has more input than it announced",
            ),
            (
                assignment(1, b"", 0),
                "job 1 is assigned although it is held",
            ),
        ] {
            assert_eq!(pairs.assign(None, wrong).unwrap_err(), why);
        }
        assert_eq!(
            pairs.ended(JobId(10), false, &mut Vec::new()),
            Some(pair(1))
        );
        assert!(pairs.is_empty());
        enter(&mut pairs, 1);
    }

    #[test]
    fn an_input_in_chunks_is_joined_and_credited() {
        let mut pairs = Pairs::default();
        let mut effects = Vec::new();
        let begun = pairs.assign(None, assignment(1, b"ab", 6)).unwrap();
        assert!(begun.is_none() && !pairs.all_have_come());
        assert_eq!(pairs.chunk(pair(1), b"cd", &mut effects), Ok(None));
        assert_eq!(effects, [Effect::Credit(pair(1), 1)]);
        let whole = pairs.chunk(pair(1), b"ef", &mut effects).unwrap().unwrap();
        assert_eq!(whole.input, "abcdef");
        assert!(pairs.all_have_come());
        pairs.entered(pair(1), JobId(10));
        assert!(pairs.chunk(pair(1), b"g", &mut effects).is_err());
        assert_eq!(pairs.chunk(pair(2), b"g", &mut effects), Ok(None));
        pairs.ended(JobId(10), false, &mut effects);
        assert_eq!(pairs.large, 0);
    }

    #[test]
    fn more_than_was_announced_or_credited_is_refused() {
        let mut pairs = Pairs::default();
        let mut effects = Vec::new();
        pairs.assign(None, assignment(1, b"", 3)).unwrap();
        assert!(pairs.chunk(pair(1), b"abcd", &mut effects).is_err());
        let mut pairs = Pairs::default();
        // There is one that takes all the room.
        pairs
            .assign(None, assignment(1, b"", 2 * LARGE_INPUTS))
            .unwrap();
        pairs.chunk(pair(1), b"a", &mut effects).unwrap();
        pairs.assign(None, assignment(2, b"", 100)).unwrap();
        effects.clear();
        for _ in 0..CREDIT {
            assert_eq!(pairs.chunk(pair(2), b"a", &mut effects), Ok(None));
        }
        assert!(effects.is_empty());
        assert!(pairs.chunk(pair(2), b"a", &mut effects).is_err());
    }

    #[test]
    fn large_inputs_wait_for_each_other_in_order_and_never_for_ever() {
        let mut pairs = Pairs::default();
        let mut effects = Vec::new();
        static CHUNK: [u8; MAX_CHUNK] = [7; MAX_CHUNK];
        for job in 1..=3 {
            let announced = LARGE_INPUTS - 1;
            pairs.assign(None, assignment(job, b"", announced)).unwrap();
            pairs.chunk(pair(job), &CHUNK, &mut effects).unwrap();
        }
        assert_eq!(effects, [Effect::Credit(pair(1), 1)]);
        effects.clear();
        pairs.cancel(pair(1), &mut effects);
        assert_eq!(
            effects,
            [Effect::Credit(pair(2), 1), Effect::Cancelled(pair(1))]
        );
        effects.clear();
        pairs.recall(vec![pair(2)], &mut effects);
        assert_eq!(effects, [Effect::Credit(pair(3), 1)]);
        assert_eq!(pairs.recalled(), Some(vec![pair(2)]));
    }

    #[test]
    fn a_recall_is_answered_when_all_of_it_is_known_and_in_order() {
        let mut pairs = Pairs::default();
        let mut effects = Vec::new();
        (1..=4).for_each(|job| enter(&mut pairs, job));
        pairs.recall(vec![pair(1), pair(2), pair(9)], &mut effects);
        pairs.recall(vec![], &mut effects);
        // What an earlier one has named is that one's.
        pairs.recall(vec![pair(2), pair(3)], &mut effects);
        assert_eq!(
            effects,
            [
                Effect::GiveBack(vec![JobId(10), JobId(20)]),
                Effect::GiveBack(vec![JobId(30)])
            ]
        );
        assert_eq!(pairs.ended(JobId(30), true, &mut effects), None);
        assert_eq!(pairs.recalled(), None);
        assert_eq!(pairs.ended(JobId(10), true, &mut effects), None);
        pairs.kept(JobId(20));
        pairs.kept(JobId(20));
        assert_eq!(pairs.recalled(), Some(vec![pair(1)]));
        assert_eq!(pairs.recalled(), Some(vec![]));
        assert_eq!(pairs.recalled(), Some(vec![pair(3)]));
        assert_eq!(pairs.recalled(), None);
        // It stayed, and may be wanted back once more, too late.
        pairs.recall(vec![pair(2)], &mut effects);
        assert_eq!(pairs.ended(JobId(20), false, &mut effects), Some(pair(2)));
        assert_eq!(pairs.recalled(), Some(vec![]));
        assert_eq!(pairs.give_up(), [pair(4)]);
        assert!(pairs.is_empty());
    }

    #[test]
    fn a_cancel_goes_to_whoever_has_the_job() {
        let mut pairs = Pairs::default();
        let mut effects = Vec::new();
        enter(&mut pairs, 1);
        pairs.cancel(pair(1), &mut effects);
        pairs.cancel(pair(2), &mut effects);
        assert_eq!(effects, [Effect::Cancel(JobId(10))]);
        assert_eq!(pairs.pair(JobId(10)), Some(pair(1)));
        assert_eq!(pairs.start(JobId(10)), Some(pair(1)));
        assert_eq!(pairs.start(JobId(10)), None);
    }
}
