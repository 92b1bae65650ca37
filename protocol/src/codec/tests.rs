//! Golden bytes per message, and what hostile bytes do.

use proptest::prelude::*;
use serde_bytes::ByteBuf;

use super::*;
use crate::message::{
    Answer, Assignment, DoneHeader, FromWorker, Hello, JobHeader, LinkKind, Outcome, Ready, Stream,
    ToWorker, Usage,
};
use crate::{
    Attempt, CommandSpec, Death, Encoding, EnvChange, JobId, JobOptions, Limits, OutputLimit,
    Program, SlotPlace, StopStep, TaskError, TaskErrorKind, WorkerId,
};

const JOB: JobId = JobId(0x0102);
const TRY: Attempt = Attempt(3);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Encodes to exactly these bytes, and decodes to the same message at every
/// split of them.
fn check<M: Message + Clone + PartialEq + std::fmt::Debug>(message: M, golden: &str) {
    let golden: String = golden.chars().filter(|c| !c.is_whitespace()).collect();
    let mut bytes = BytesMut::new();
    encode(&message, &mut bytes).unwrap();
    assert_eq!(hex(&bytes), golden, "{message:?}");
    let mut codec = Codec::<M, M>::new();
    for split in 0..bytes.len() {
        let mut buffer = BytesMut::from(&bytes[..split]);
        assert!(codec.decode(&mut buffer).unwrap().is_none(), "at {split}");
        buffer.extend_from_slice(&bytes[split..]);
        assert_eq!(codec.decode(&mut buffer).unwrap().as_ref(), Some(&message));
        assert!(buffer.is_empty());
    }
}

#[test]
fn golden_bytes_to_worker() {
    let b = Bytes::from_static;
    check(
        ToWorker::Hello(Hello {
            build: "x1".into(),
            worker: WorkerId(5),
            link: LinkKind::Remote,
            max_payload: 0x1000,
            init: true,
        }),
        "b10f0100 1b000000 00000000
         0200000000000000 7831 05000000 01000000 0010000000000000 01 0a",
    );
    check(
        ToWorker::Init(b(b"ab")),
        "b10f0200 00000000 02000000 6162 0a",
    );
    check(
        ToWorker::Blob {
            hash: 9,
            data: b(b"ab"),
            more: true,
        },
        "b10f0300 09000000 02000000 0900000000000000 01 6162 0a",
    );
    let header = JobHeader {
        job: JOB,
        attempt: TRY,
        task: 7,
        encoding: Encoding::Json,
        input_len: 2,
    };
    check(
        ToWorker::RunMany(vec![
            Assignment {
                header,
                input: b(b"42"),
            },
            Assignment {
                header: JobHeader {
                    input_len: 9,
                    ..header
                },
                input: b(b"1"),
            },
        ]),
        "b10f0400 48000000 03000000 0200000000000000
         0201000000000000 03000000 07000000 01000000 0200000000000000 02000000
         0201000000000000 03000000 07000000 01000000 0900000000000000 01000000
         343231 0a",
    );
    let options = JobOptions {
        time_limit_ms: Some(0x5dc),
        grace_ms: 0x64,
        retries: 2,
        memory_limit: None,
        priority: -1,
    };
    let job = Assignment {
        header,
        input: b(b"42"),
    };
    check(
        ToWorker::RunManyWith(options, vec![job]),
        "b10f1000 42000000 02000000
         01 dc05000000000000 6400000000000000 02000000 00 ffffffff 0100000000000000
         0201000000000000 03000000 07000000 01000000 0200000000000000 02000000
         3432 0a",
    );
    check(
        ToWorker::Resize(3),
        "b10f1100 04000000 00000000 03000000 0a",
    );
    check(
        ToWorker::InputChunk {
            job: JOB,
            attempt: TRY,
            data: b(b"zz"),
        },
        "b10f0500 0c000000 02000000 0201000000000000 03000000 7a7a 0a",
    );
    check(
        ToWorker::Credit {
            job: JOB,
            attempt: TRY,
            chunks: 2,
        },
        "b10f0600 10000000 00000000 0201000000000000 03000000 02000000 0a",
    );
    check(
        ToWorker::Cancel {
            job: JOB,
            attempt: TRY,
        },
        "b10f0700 0c000000 00000000 0201000000000000 03000000 0a",
    );
    check(
        ToWorker::Recall(vec![(JOB, TRY)]),
        "b10f0800 14000000 00000000 0100000000000000 0201000000000000 03000000 0a",
    );
    check(ToWorker::Pause, "b10f0900 00000000 00000000 0a");
    check(ToWorker::Resume, "b10f0a00 00000000 00000000 0a");
    check(ToWorker::Drain, "b10f0b00 00000000 00000000 0a");
    check(ToWorker::WindDown, "b10f0f00 00000000 00000000 0a");
    check(
        ToWorker::Ping(6),
        "b10f0c00 08000000 00000000 0600000000000000 0a",
    );
    check(
        ToWorker::Ack(6),
        "b10f0d00 08000000 00000000 0600000000000000 0a",
    );
    check(ToWorker::Bye, "b10f0e00 00000000 00000000 0a");
}

#[test]
fn golden_bytes_from_worker() {
    let b = Bytes::from_static;
    check(
        FromWorker::Ready(Ready {
            build: "w".into(),
            pid: 0x1234,
            slots: 1,
            tasks: vec!["fib".into()],
            status_fd: Some(9),
        }),
        "b10f8100 29000000 00000000
         0100000000000000 77 34120000 01000000
         0100000000000000 0300000000000000 666962 01 09000000 0a",
    );
    check(
        FromWorker::Started {
            job: JOB,
            attempt: TRY,
        },
        "b10f8200 0c000000 00000000 0201000000000000 03000000 0a",
    );
    check(
        FromWorker::Output {
            job: JOB,
            attempt: TRY,
            stream: Stream::Stderr,
            data: b(b"hi"),
        },
        "b10f8300 10000000 02000000 0201000000000000 03000000 01000000 6869 0a",
    );
    check(
        FromWorker::ResultChunk {
            job: JOB,
            attempt: TRY,
            data: b(b"hi"),
        },
        "b10f8400 0c000000 02000000 0201000000000000 03000000 6869 0a",
    );
    let usage = Usage {
        wall_us: 1,
        user_us: 2,
        system_us: 3,
        max_rss_kib: 4,
        leaked: 5,
    };
    let answer = |outcome, payload| Answer {
        header: DoneHeader {
            job: JOB,
            attempt: TRY,
            outcome,
            usage,
        },
        payload,
    };
    let used = "0100000000000000 0200000000000000 0300000000000000 0400000000000000 05000000";
    check(
        FromWorker::DoneMany(vec![
            answer(Outcome::Ok, b(b"55")),
            answer(Outcome::Failed(-1), b(b"")),
        ]),
        &format!(
            "b10f8500 7c000000 02000000 0200000000000000
             0201000000000000 03000000 00000000 {used} 02000000
             0201000000000000 03000000 01000000 ffffffff {used} 00000000
             3535 0a"
        ),
    );
    check(
        FromWorker::Credit {
            job: JOB,
            attempt: TRY,
            chunks: 2,
        },
        "b10f8600 10000000 00000000 0201000000000000 03000000 02000000 0a",
    );
    check(
        FromWorker::Recalled(vec![]),
        "b10f8700 08000000 00000000 0000000000000000 0a",
    );
    check(
        FromWorker::Progress {
            job: JOB,
            attempt: TRY,
            done: 1,
            total: 2,
        },
        "b10f8800 1c000000 00000000 0201000000000000 03000000 0100000000000000 0200000000000000 0a",
    );
    check(
        FromWorker::Pong(6),
        "b10f8900 08000000 00000000 0600000000000000 0a",
    );
    check(
        FromWorker::Ack(6),
        "b10f8a00 08000000 00000000 0600000000000000 0a",
    );
    check(FromWorker::Bye, "b10f8b00 00000000 00000000 0a");
    check(
        FromWorker::Omitted {
            job: JOB,
            attempt: TRY,
            stream: Stream::Stderr,
            bytes: 9,
        },
        "b10f8c00 18000000 00000000 0201000000000000 03000000 01000000 0900000000000000 0a",
    );
}

#[test]
fn golden_bytes_of_every_outcome() {
    let golden = [
        (Outcome::Ok, "00000000"),
        (Outcome::Failed(2), "0100000002000000"),
        (Outcome::Signaled(9), "0200000009000000"),
        (Outcome::TimedOut, "03000000"),
        (Outcome::SpawnError(2), "0400000002000000"),
        (Outcome::Rejected, "05000000"),
        (Outcome::Cancelled, "06000000"),
        (Outcome::OutputLimit, "07000000"),
        (Outcome::Crashed, "08000000"),
        (Outcome::Oom, "09000000"),
        (Outcome::Quarantined, "0a000000"),
        (Outcome::Unkillable, "0b000000"),
        (Outcome::Lost, "0c000000"),
    ];
    for (outcome, bytes) in golden {
        let mut out = BytesMut::new();
        put(&mut out, &outcome);
        assert_eq!(hex(&out), bytes, "{outcome:?}");
    }
}

#[test]
fn golden_bytes_of_every_kind_of_error() {
    let golden = [
        TaskErrorKind::Error,
        TaskErrorKind::Panic,
        TaskErrorKind::Unencodable,
        TaskErrorKind::TooLarge,
        TaskErrorKind::UnknownTask,
        TaskErrorKind::Undecodable,
    ];
    for (number, kind) in (0u8..).zip(golden) {
        let bytes = Encoding::Bincode.encode(&kind).unwrap();
        assert_eq!(bytes[..], [number, 0, 0, 0], "{kind:?}");
    }
    let unknown = Encoding::Bincode.decode::<TaskErrorKind>(&[6, 0, 0, 0]);
    unknown.unwrap_err();
}

#[test]
fn golden_bytes_of_bincode_payloads() {
    let error = TaskError {
        message: "no".into(),
        location: Some("a:1".into()),
        chain: vec!["b".into()],
        kind: TaskErrorKind::Panic,
    };
    let mut spec = CommandSpec::new(Program::Argv(vec![ByteBuf::from(*b"ls")]));
    spec.env.push(EnvChange {
        name: ByteBuf::from(*b"A"),
        value: None,
    });
    spec.time_limit_ms = Some(7);
    let mut limited = CommandSpec::new(Program::Argv(vec![]));
    limited.limits = Limits {
        cpu_s: Some(2),
        open_files: Some(16),
        output: Some(OutputLimit {
            bytes: 100,
            kill: true,
        }),
    };
    limited.stdin_path = Some(ByteBuf::from(*b"f"));
    limited.slots.push(SlotPlace { word: 2, at: 3 });
    limited.stop.push(StopStep {
        signal: 2,
        wait_ms: 200,
    });
    let shell = Program::Shell {
        text: ByteBuf::from(*b"x"),
        args: vec![],
    };
    let death = Death {
        message: "no".into(),
        exit_code: None,
        signal: Some(11),
        attempts: 2,
        stderr: ByteBuf::from(*b"x"),
    };
    let golden = [
        (
            Encoding::Bincode.encode(&death),
            "0200000000000000 6e6f 00 01 0b000000 02000000 0100000000000000 78",
        ),
        (
            Encoding::Bincode.encode(&error),
            "0200000000000000 6e6f 01 0300000000000000 613a31
             0100000000000000 0100000000000000 62 01000000",
        ),
        (
            Encoding::Bincode.encode(&spec),
            "00000000 0100000000000000 0200000000000000 6c73 00
             0100000000000000 0100000000000000 41 00 00
             01 0700000000000000 8813000000000000 00 00 00 00 0000000000000000
             0000000000000000",
        ),
        (
            Encoding::Bincode.encode(&limited),
            "00000000 0000000000000000 00 0000000000000000 00 00 8813000000000000
             01 0200000000000000 01 1000000000000000 01 6400000000000000 01
             01 0100000000000000 66
             0100000000000000 02000000 03000000
             0100000000000000 02000000 c800000000000000",
        ),
        (
            Encoding::Bincode.encode(&shell),
            "01000000 0100000000000000 78 0000000000000000",
        ),
    ];
    for (bytes, expected) in golden {
        let expected: String = expected.chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(hex(&bytes.unwrap()), expected);
    }
}

fn decode_all(bytes: &[u8]) -> Result<Vec<FromWorker>, FrameError> {
    let mut codec = Codec::<FromWorker, ToWorker>::new();
    let mut buffer = BytesMut::from(bytes);
    let mut messages = Vec::new();
    while let Some(message) = codec.decode_eof(&mut buffer)? {
        messages.push(message);
    }
    Ok(messages)
}

#[test]
fn text_on_the_channel_is_shown_as_text() {
    let error = decode_all(b"hello, world\nmore").unwrap_err();
    assert_eq!(error.to_string(), "expected a frame, found `hello, world`");
}

#[test]
fn f013_an_oversized_length_is_refused_before_any_allocation() {
    let mut codec = Codec::<FromWorker, ToWorker>::new();
    let mut buffer = BytesMut::from(&b"\xb1\x0f\x83\x00\xff\xff\xff\x7f\xff\xff\xff\x7f"[..]);
    let capacity = buffer.capacity();
    let error = codec.decode(&mut buffer).unwrap_err();
    assert!(matches!(error, FrameError::TooLarge(n) if n == 2 * 0x7fff_ffff + 13));
    assert_eq!(buffer.capacity(), capacity);
}

#[test]
fn f014_a_length_bomb_inside_a_control_part_is_refused() {
    let mut bytes = b"\xb1\x0f\x87\x00\x08\x00\x00\x00\x00\x00\x00\x00".to_vec();
    bytes.extend_from_slice(&(1u64 << 40).to_le_bytes());
    bytes.push(b'\n');
    assert!(matches!(
        decode_all(&bytes),
        Err(FrameError::Malformed("recalled", _))
    ));
}

#[test]
fn f011_a_stream_that_ends_within_a_frame_is_truncated() {
    let mut bytes = BytesMut::new();
    encode(&FromWorker::Pong(1), &mut bytes).unwrap();
    assert!(matches!(
        decode_all(&bytes[..7]),
        Err(FrameError::Truncated(7))
    ));
}

/// Takes the answers that these bytes begin with, and what the decoder says then.
fn answers_then_error(bytes: &[u8]) -> (Vec<u64>, FrameError) {
    let mut buffer = BytesMut::from(bytes);
    let mut answers = Vec::new();
    let taken = take_answers(&mut buffer, &mut answers);
    let mut codec = Codec::<FromWorker, ToWorker>::new();
    let end = taken.and_then(|()| codec.decode(&mut buffer));
    let jobs = answers.iter().map(|answer| answer.header.job.0);
    (jobs.collect(), end.unwrap_err())
}

#[test]
fn answers_before_what_is_no_frame_are_not_lost() {
    // Found by fuzzing: text behind an answer, in the same read, took the answer along.
    let mut bytes = BytesMut::new();
    for job in [1, 2] {
        let header = DoneHeader {
            job: JobId(job),
            attempt: TRY,
            outcome: Outcome::Ok,
            usage: Usage::default(),
        };
        let payload = Bytes::from_static(b"55");
        encode_answer(&Answer { header, payload }, &mut bytes).unwrap();
    }
    let whole = bytes.len();
    bytes.extend_from_slice(b"Segmentation fault");
    let (jobs, error) = answers_then_error(&bytes);
    assert_eq!(jobs, [1, 2]);
    assert!(matches!(error, FrameError::NotAFrame(text) if text == b"Segmentation fault"));
    // The same with a frame that is one but for its end.
    bytes[whole - 1] = b' ';
    let (jobs, error) = answers_then_error(&bytes);
    assert_eq!(jobs, [1]);
    assert!(matches!(error, FrameError::NoTrailer));
}

#[test]
fn of_a_malformed_list_no_answer_is_taken() {
    // Found by fuzzing: decoded at one go, the answers before the fault did count.
    let header = DoneHeader {
        job: JOB,
        attempt: TRY,
        outcome: Outcome::Ok,
        usage: Usage::default(),
    };
    let mut bytes = BytesMut::new();
    frame(
        kind::DONE_MANY,
        &mut bytes,
        |buffer| put(buffer, &vec![(header, 1u32), (header, 9)]),
        |buffer| buffer.put_u8(b'1'),
    )
    .unwrap();
    let (jobs, error) = answers_then_error(&bytes);
    assert!(jobs.is_empty());
    assert!(matches!(error, FrameError::Malformed("done_many", _)));
}

#[test]
fn a_frame_without_its_trailer_is_refused() {
    let mut bytes = BytesMut::new();
    encode(&FromWorker::Pong(1), &mut bytes).unwrap();
    let last = bytes.len() - 1;
    bytes[last] = b' ';
    assert!(matches!(decode_all(&bytes), Err(FrameError::NoTrailer)));
}

#[test]
fn parts_that_do_not_add_up_are_refused() {
    let mut bytes = BytesMut::new();
    let header = DoneHeader {
        job: JOB,
        attempt: TRY,
        outcome: Outcome::Ok,
        usage: Usage::default(),
    };
    put(&mut bytes, &vec![(header, 5u32)]);
    let decoded = FromWorker::decode(kind::DONE_MANY, &bytes, Bytes::from_static(b"1234"));
    assert!(matches!(
        decoded,
        Err(FrameError::Malformed("done_many", _))
    ));
}

#[test]
fn a_message_larger_than_a_frame_leaves_the_buffer_untouched() {
    let mut buffer = BytesMut::from(&b"before"[..]);
    let message = FromWorker::Output {
        job: JOB,
        attempt: TRY,
        stream: Stream::Stdout,
        data: Bytes::from(vec![0; MAX_FRAME]),
    };
    assert!(matches!(
        encode(&message, &mut buffer),
        Err(FrameError::TooLarge(_))
    ));
    assert_eq!(&buffer[..], b"before");
}

/// Output whose frame has exactly this size.
fn framed(size: usize) -> FromWorker {
    // A pair and the name of a stream.
    let control = 16;
    FromWorker::Output {
        job: JOB,
        attempt: TRY,
        stream: Stream::Stdout,
        data: Bytes::from(vec![7; size - OVERHEAD - control]),
    }
}

#[test]
fn a_frame_of_the_largest_size_is_one_and_a_larger_one_is_not() {
    let mut buffer = BytesMut::new();
    encode(&framed(MAX_FRAME), &mut buffer).unwrap();
    assert_eq!(buffer.len(), MAX_FRAME);
    let mut codec = Codec::<FromWorker, ToWorker>::new();
    assert_eq!(codec.decode(&mut buffer).unwrap(), Some(framed(MAX_FRAME)));
    let end = encode(&framed(MAX_FRAME + 1), &mut buffer);
    assert!(matches!(end, Err(FrameError::TooLarge(size)) if size == MAX_FRAME as u64 + 1));
}

#[test]
fn a_frame_behind_others_is_as_good_as_the_first() {
    let mut buffer = BytesMut::new();
    let mut codec = Codec::<FromWorker, FromWorker>::new();
    let sizes = [100, 1_000, 64];
    for size in sizes {
        codec.encode(framed(size), &mut buffer).unwrap();
    }
    assert_eq!(buffer.len(), sizes.iter().sum::<usize>());
    for size in sizes {
        assert_eq!(codec.decode(&mut buffer).unwrap(), Some(framed(size)));
    }
    assert_eq!(codec.decode_eof(&mut buffer).unwrap(), None);
}

#[test]
fn for_the_rest_of_a_frame_there_is_room_and_for_no_more() {
    let mut whole = BytesMut::new();
    encode(&framed(100_000), &mut whole).unwrap();
    let mut buffer = BytesMut::from(&whole[..1_000]);
    let mut codec = Codec::<FromWorker, ToWorker>::new();
    assert!(codec.decode(&mut buffer).unwrap().is_none());
    let room = buffer.capacity();
    assert!((100_000..100_900).contains(&room), "{room}");
}

#[test]
fn a_wrong_byte_is_seen_as_soon_as_it_is_there() {
    let refused = |bytes: &[u8]| {
        let mut codec = Codec::<FromWorker, ToWorker>::new();
        let end = codec.decode(&mut BytesMut::from(bytes));
        matches!(end, Err(FrameError::NotAFrame(_)))
    };
    assert!(refused(b"h"));
    assert!(refused(&[0xB1, 0x10]));
    assert!(refused(&[0xB1, 0x0F, 0x8B, 1]));
    assert!(!refused(&[0xB1]));
    assert!(!refused(&[0xB1, 0x0F, 0x8B, 0]));
}

#[test]
fn a_message_without_parts_has_none() {
    // Bye with a payload, and with a control part.
    for parts in ["00000000 01000000 78", "01000000 00000000 78"] {
        let hex: String = format!("b10f8b00{parts}0a").replace(' ', "");
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        let mut codec = Codec::<FromWorker, ToWorker>::new();
        let end = codec.decode(&mut BytesMut::from(&bytes[..]));
        assert!(matches!(end, Err(FrameError::Malformed(..))), "{end:?}");
    }
}

#[test]
fn the_limits_are_those_of_the_documentation() {
    assert_eq!((MAX_FRAME, MAX_CHUNK), (1_048_576, 262_144));
    assert_eq!(room_for(0, 40), MAX_FRAME - 21);
    assert_eq!(room_for(10, 40), MAX_FRAME - 421);
    assert_eq!(room_for(1 << 20, 72), 0);
}

#[test]
fn the_overheads_are_large_enough() {
    let header = JobHeader {
        job: JOB,
        attempt: TRY,
        task: 0,
        encoding: Encoding::Raw,
        input_len: 0,
    };
    let count = 100;
    let room = room_for(count, ASSIGNMENT_OVERHEAD);
    let mut jobs = vec![
        Assignment {
            header,
            input: Bytes::new()
        };
        count
    ];
    jobs[0].input = Bytes::from(vec![0; room]);
    encode(&ToWorker::RunMany(jobs), &mut BytesMut::new()).unwrap();

    let header = DoneHeader {
        job: JOB,
        attempt: TRY,
        outcome: Outcome::SpawnError(1),
        usage: Usage::default(),
    };
    let room = room_for(count, ANSWER_OVERHEAD);
    let mut answers = vec![
        Answer {
            header,
            payload: Bytes::new()
        };
        count
    ];
    answers[0].payload = Bytes::from(vec![0; room]);
    encode(&FromWorker::DoneMany(answers), &mut BytesMut::new()).unwrap();
}

#[test]
fn an_excerpt_cannot_command_a_terminal() {
    assert_eq!(excerpt(b"\x1b[31mred\x07\nx"), "`\\u{1b}[31mred\\u{7}`");
    assert_eq!(excerpt(b""), "nothing");
    assert!(excerpt(&[b'x'; 81]).ends_with("`…"));
    assert!(excerpt(&[b'x'; 80]).ends_with("x`"));
}

proptest! {
    /// No bytes at all make the decoder panic or read beyond a frame.
    #[test]
    fn f131_arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // What it decodes to does not matter here.
        decode_all(&bytes).ok();
    }

    /// The same with a good header in front, so that the control parsers run.
    #[test]
    fn f131_arbitrary_control_parts_never_panic(
        kind in any::<u8>(),
        control in prop::collection::vec(any::<u8>(), 0..120),
        payload in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        FromWorker::decode(kind, &control, Bytes::from(payload.clone())).ok();
        ToWorker::decode(kind, &control, Bytes::from(payload)).ok();
    }

    /// Output of any bytes and any split arrives unchanged.
    #[test]
    fn payload_bytes_are_never_touched(
        data in prop::collection::vec(any::<u8>(), 0..300),
        split in any::<prop::sample::Index>(),
    ) {
        let message = FromWorker::Output {
            job: JOB,
            attempt: TRY,
            stream: Stream::Stdout,
            data: Bytes::from(data),
        };
        let mut bytes = BytesMut::new();
        encode(&message, &mut bytes).unwrap();
        let split = split.index(bytes.len());
        let mut buffer = BytesMut::from(&bytes[..split]);
        let mut codec = Codec::<FromWorker, ToWorker>::new();
        prop_assert!(codec.decode(&mut buffer).unwrap().is_none());
        buffer.extend_from_slice(&bytes[split..]);
        prop_assert_eq!(codec.decode(&mut buffer).unwrap(), Some(message));
    }
}

#[test]
fn a_frame_written_in_pieces_is_the_same_frame() {
    let message = ToWorker::InputChunk {
        job: JobId(7),
        attempt: Attempt::FIRST,
        data: Bytes::from(vec![9; MAX_CHUNK]),
    };
    let mut whole = BytesMut::from(&b"before"[..]);
    encode(&message, &mut whole).unwrap();
    let mut pieces = BytesMut::from(&b"before"[..]);
    encode_head(&message, &mut pieces).unwrap();
    pieces.extend_from_slice(&[9; MAX_CHUNK]);
    pieces.put_u8(TRAILER);
    assert_eq!(whole, pieces);

    let too_large = ToWorker::Init(Bytes::from(vec![0; MAX_FRAME]));
    let mut buffer = BytesMut::from(&b"before"[..]);
    let refused = encode_head(&too_large, &mut buffer);
    assert!(matches!(refused, Err(FrameError::TooLarge(_))));
    assert_eq!(&buffer[..], b"before");
}

#[test]
fn what_a_frame_lacks_is_known_from_its_header_on() {
    let mut frame = BytesMut::new();
    encode(&ToWorker::Init(Bytes::from_static(b"data")), &mut frame).unwrap();
    for there in 0..=frame.len() {
        let known = there >= HEADER;
        let lacks = if known { frame.len() - there } else { 0 };
        assert_eq!(missing(&frame[..there]), lacks);
    }
    assert_eq!(missing(b"no frame, but long enough"), 0);
}
