//! What pairs come to.

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
