use protocol::{Codec, Encoding, WorkerId};
use tokio_util::codec::Decoder;

use super::*;

fn state(link: LinkKind) -> State {
    let ready = Ready {
        build: "test".into(),
        pid: 1,
        slots: 1,
        tasks: vec!["command".into()],
        status_fd: None,
    };
    let mut state = State::new(ready, Outbox::default());
    state.handle(ToWorker::Hello(Hello {
        build: "test".into(),
        worker: WorkerId(1),
        link,
        max_payload: 1 << 20,
        init: true,
    }));
    state.started();
    assert!(matches!(sent(&mut state)[..], [FromWorker::Ready(_)]));
    state
}

fn sent(state: &mut State) -> Vec<FromWorker> {
    let mut buffer = BytesMut::from(state.outbox.bytes());
    state.outbox.written();
    let mut codec = Codec::<FromWorker, ToWorker>::new();
    std::iter::from_fn(|| codec.decode(&mut buffer).unwrap()).collect()
}

fn assignment(job: u64, input_len: u64, input: &'static [u8]) -> Assignment {
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

fn run(jobs: impl IntoIterator<Item = u64>) -> ToWorker {
    ToWorker::RunMany(jobs.into_iter().map(|j| assignment(j, 0, b"")).collect())
}

fn running(state: &mut State) -> u64 {
    match state.next() {
        Step::Run(header, _) => header.job.0,
        other => panic!("{other:?}"),
    }
}

const fn key(job: u64) -> Key {
    (JobId(job), Attempt::FIRST)
}

#[test]
fn nothing_is_obeyed_before_hello() {
    let mut state = State::new(state(LinkKind::Local).ready, Outbox::default());
    state.handle(ToWorker::Ping(1));
    assert!(matches!(state.next(), Step::End(End::Violation(_))));
    assert!(sent(&mut state).is_empty());
}

#[test]
fn hello_and_init_come_once() {
    for twice in [ToWorker::Init(Bytes::new()), run([1])] {
        let mut state = state(LinkKind::Local);
        state.handle(twice);
        assert!(state.end.is_none());
        state.handle(ToWorker::Init(Bytes::new()));
        assert!(matches!(state.end, Some(End::Violation(_))));
    }
    let mut state = state(LinkKind::Local);
    let hello = state.hello().unwrap().clone();
    state.handle(ToWorker::Hello(hello));
    assert!(matches!(state.end, Some(End::Violation(_))));
}

#[test]
fn a_start_waits_for_init_data_that_was_announced() {
    for announced in [true, false] {
        let mut hello = state(LinkKind::Local).hello().unwrap().clone();
        hello.init = announced;
        let mut state = State::new(state(LinkKind::Local).ready, Outbox::default());
        assert!(!state.may_start());
        state.handle(ToWorker::Hello(hello));
        assert_eq!(state.may_start(), !announced);
        state.handle(ToWorker::Init(Bytes::new()));
        assert!(state.may_start());
        assert_eq!(state.end.is_none(), announced);
    }
}

#[test]
fn jobs_may_still_come_while_the_pool_winds_down_and_none_after_drain() {
    let mut state = state(LinkKind::Local);
    state.handle(ToWorker::WindDown);
    assert!(state.winding_down.load(Ordering::Relaxed));
    state.handle(run([1]));
    assert!(state.end.is_none());
    state.handle(ToWorker::Drain);
    state.handle(run([2]));
    assert!(matches!(state.end, Some(End::Violation(_))));
}

#[test]
fn recall_gives_back_only_what_has_not_started() {
    let mut state = state(LinkKind::Local);
    state.handle(run([1, 2, 3, 4]));
    assert_eq!(running(&mut state), 1);
    state.handle(ToWorker::Recall(vec![key(4), key(1), key(2), key(9)]));
    assert_eq!(
        sent(&mut state),
        [FromWorker::Recalled(vec![key(2), key(4)])]
    );
    assert_eq!(running(&mut state), 3);
}

#[test]
fn cancel_answers_a_queued_job_and_marks_the_current_one() {
    let mut state = state(LinkKind::Local);
    state.handle(run([1, 2]));
    assert_eq!(running(&mut state), 1);
    for job in [2, 1, 7] {
        let (job, attempt) = key(job);
        state.handle(ToWorker::Cancel { job, attempt });
    }
    assert!(state.cancelled.load(Ordering::Relaxed));
    let messages = sent(&mut state);
    let [FromWorker::DoneMany(answers)] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].header.outcome, Outcome::Cancelled);
    assert_eq!(answers[0].header.job, JobId(2));
    assert!(matches!(state.next(), Step::Wait));
}

#[test]
fn a_stale_attempt_is_not_cancelled() {
    let mut state = state(LinkKind::Local);
    state.handle(run([1]));
    assert_eq!(running(&mut state), 1);
    state.handle(ToWorker::Cancel {
        job: JobId(1),
        attempt: Attempt(2),
    });
    assert!(!state.cancelled.load(Ordering::Relaxed));
}

#[test]
fn chunks_are_credited_only_when_the_jobs_turn_has_come() {
    let mut state = state(LinkKind::Local);
    state.handle(run([1]));
    state.handle(ToWorker::RunMany(vec![assignment(2, 6, b"ab")]));
    let chunk = |data: &'static [u8]| ToWorker::InputChunk {
        job: JobId(2),
        attempt: Attempt::FIRST,
        data: Bytes::from_static(data),
    };
    assert_eq!(running(&mut state), 1);
    state.handle(chunk(b"cd"));
    assert!(sent(&mut state).is_empty());
    assert!(matches!(state.next(), Step::Wait));
    let (job, attempt) = key(2);
    let credit = FromWorker::Credit {
        job,
        attempt,
        chunks: 1,
    };
    assert_eq!(sent(&mut state), [credit]);
    state.handle(chunk(b"ef"));
    match state.next() {
        Step::Run(_, input) => assert_eq!(&input.joined()[..], b"abcdef"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn more_input_than_announced_is_a_violation() {
    let mut at_once = state(LinkKind::Local);
    at_once.handle(ToWorker::RunMany(vec![assignment(1, 1, b"ab")]));
    assert!(matches!(at_once.end, Some(End::Violation(_))));

    let mut later = state(LinkKind::Local);
    later.handle(ToWorker::RunMany(vec![assignment(1, 3, b"ab")]));
    later.handle(ToWorker::InputChunk {
        job: JobId(1),
        attempt: Attempt::FIRST,
        data: Bytes::from_static(b"cd"),
    });
    assert!(matches!(later.end, Some(End::Violation(_))));
}

#[test]
fn only_what_is_not_held_can_be_assigned() {
    for wrong in [run([0]), run([1]), run([2]), run([5, 5])] {
        let mut state = state(LinkKind::Local);
        state.handle(run([1, 2]));
        assert_eq!(running(&mut state), 1);
        state.handle(wrong);
        assert!(matches!(state.end, Some(End::Violation(_))));
    }
    let mut state = state(LinkKind::Local);
    state.handle(run([1, 2, 3]));
    assert_eq!(running(&mut state), 1);
    state.finish(&Answer {
        header: not_run(&assignment(1, 0, b"").header, Outcome::Ok),
        payload: Bytes::new(),
    });
    let (job, attempt) = key(2);
    state.handle(ToWorker::Cancel { job, attempt });
    state.handle(ToWorker::Recall(vec![key(3)]));
    state.handle(run([3, 2, 1]));
    assert_eq!((state.end.clone(), running(&mut state)), (None, 3));
    state.handle(ToWorker::Drain);
    state.handle(run([4]));
    assert!(matches!(state.end, Some(End::Violation(_))));
}

#[test]
fn a_fifth_chunk_without_credit_is_a_violation() {
    let mut state = state(LinkKind::Local);
    state.handle(ToWorker::RunMany(vec![assignment(1, 99, b"")]));
    let (job, attempt) = key(1);
    let chunk = || ToWorker::InputChunk {
        job,
        attempt,
        data: Bytes::from_static(b"x"),
    };
    (0..4).for_each(|_| state.handle(chunk()));
    assert!(matches!(state.next(), Step::Wait));
    (0..4).for_each(|_| state.handle(chunk()));
    assert_eq!(state.end, None);
    state.handle(chunk());
    assert!(matches!(state.end, Some(End::Violation(_))));
}

#[test]
fn pause_holds_jobs_back_and_drain_waits_for_them() {
    let mut state = state(LinkKind::Local);
    state.handle(run([1]));
    state.handle(ToWorker::Pause);
    state.handle(ToWorker::Drain);
    assert!(matches!(state.next(), Step::Wait));
    state.handle(ToWorker::Resume);
    assert_eq!(running(&mut state), 1);
    assert!(matches!(state.next(), Step::Drained));
}

#[test]
fn remote_links_are_acknowledged() {
    let mut state = state(LinkKind::Remote);
    state.handle(run([1]));
    state.handle(ToWorker::Ack(5));
    state.handle(run([2]));
    assert!(state.outbox.is_urgent());
    assert_eq!(sent(&mut state), [FromWorker::Ack(1), FromWorker::Ack(2)]);
}

#[test]
fn results_stop_without_credit() {
    let mut state = state(LinkKind::Local);
    state.handle(run([1]));
    assert_eq!(running(&mut state), 1);
    state.begin_result();
    let chunk = Bytes::from_static(b"x");
    assert_eq!((0..9).filter(|_| state.begin_chunk(&chunk)).count(), 4);
    let (job, attempt) = key(1);
    state.handle(ToWorker::Credit {
        job,
        attempt,
        chunks: 2,
    });
    assert_eq!((0..9).filter(|_| state.begin_chunk(&chunk)).count(), 2);
}

#[test]
fn blobs_are_there_when_complete() {
    let mut state = state(LinkKind::Local);
    let blob = |data: &'static [u8], more| ToWorker::Blob {
        hash: 7,
        data: Bytes::from_static(data),
        more,
    };
    state.handle(blob(b"ab", true));
    assert_eq!(state.blob(7), None);
    state.handle(blob(b"cd", false));
    assert_eq!(&state.blob(7).unwrap()[..], b"abcd");
}

#[test]
fn only_the_disappearance_after_goodbye_changes_the_end() {
    let mut state = state(LinkKind::Local);
    state.handle(ToWorker::Bye);
    state.end_with(End::Violation("x".into()));
    assert_eq!(state.end, Some(End::Bye));
    state.end_with(End::Gone);
    assert_eq!(state.end, Some(End::Gone));
}
