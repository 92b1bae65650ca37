//! Control parts and payloads of every kind, hostile ones and valid ones.

use std::fmt::Debug;

use bytes::{BufMut, Bytes, BytesMut};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use protocol::codec::{Message, TRAILER, encode, encode_answer, encode_head, encode_jobs};
use protocol::{
    Answer, Assignment, Attempt, Codec, CommandSpec, Death, DoneHeader, Encoding, FromWorker,
    Hello, JobHeader, JobId, JobOptions, LinkKind, Outcome, OutputLimit, Parts, Program, Ready,
    SlotPlace, StopStep, Stream, TaskError, ToWorker, Usage, WorkerId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use tokio_util::codec::Decoder;

use crate::cut::cut;

/// The first byte says what the rest is: 0 a kind, the length of a control part,
/// that part and a payload; 1 how a payload is cut, and that; else what a valid
/// message is made of.
pub fn messages(data: &[u8]) {
    match data {
        [0, kind, length, rest @ ..] => {
            let (control, payload) = rest.split_at(rest.len().min((*length).into()));
            let payload = Bytes::copy_from_slice(payload);
            hostile::<ToWorker>(*kind, control, payload.clone());
            hostile::<FromWorker>(*kind, control, payload);
        }
        [1, seed, payload @ ..] => {
            as_payload::<CommandSpec>(payload, *seed);
            as_payload::<TaskError>(payload, *seed);
            as_payload::<Death>(payload, *seed);
            as_payload::<(ByteBuf, String, u16, ByteBuf)>(payload, *seed);
            as_payload::<Vec<Option<u64>>>(payload, *seed);
            as_payload::<String>(payload, *seed);
        }
        [_, rest @ ..] => {
            let mut u = Unstructured::new(rest);
            // An error means only that there were too few bytes.
            if let Ok(message) = to_worker(&mut u) {
                valid(&message);
                if let ToWorker::RunMany(jobs) = &message {
                    same_frame(&message, |buffer| encode_jobs(jobs, buffer));
                }
            }
            if let Ok(message) = from_worker(&mut u) {
                valid(&message);
                if let FromWorker::DoneMany(answers) = &message
                    && let [answer] = &answers[..]
                {
                    same_frame(&message, |buffer| encode_answer(answer, buffer));
                }
            }
        }
        [] => {}
    }
}

/// What is accepted is what it would have been written as.
fn hostile<M: Message + PartialEq + Debug>(kind: u8, control: &[u8], payload: Bytes) {
    let Ok(message) = M::decode(kind, control, payload.clone()) else {
        return;
    };
    assert_eq!(message.kind(), kind);
    let mut again = BytesMut::new();
    message.encode_control(&mut again);
    assert_eq!(&again[..], control, "{message:?}");
    again.clear();
    message.for_each_payload(&mut |piece| again.extend_from_slice(piece));
    assert_eq!(&again[..], &payload[..], "{message:?}");
}

fn valid<M: Message + PartialEq + Debug>(message: &M) {
    let mut buffer = BytesMut::new();
    encode(message, &mut buffer).expect("it is smaller than a frame");
    same_frame(message, |pieces| {
        encode_head(message, pieces)?;
        message.for_each_payload(&mut |piece| pieces.extend_from_slice(piece));
        pieces.put_u8(TRAILER);
        Ok(())
    });
    let decoded = Codec::<M, M>::new().decode(&mut buffer);
    assert_eq!(
        decoded.expect("it is a frame").as_ref(),
        Some(message),
        "changed on its way"
    );
    assert!(buffer.is_empty());
}

/// Another way to write a message gives the same bytes.
fn same_frame<M: Message + Debug>(
    message: &M,
    write: impl FnOnce(&mut BytesMut) -> std::result::Result<(), protocol::FrameError>,
) {
    let mut expected = BytesMut::new();
    encode(message, &mut expected).expect("it is smaller than a frame");
    let mut written = BytesMut::new();
    write(&mut written).expect("it is smaller than a frame");
    assert_eq!(written, expected, "{message:?}");
}

/// A payload means the same in one part and in many, and what it means can be said
/// again.
fn as_payload<T>(payload: &[u8], seed: u8)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone + 'static,
{
    for encoding in [Encoding::Bincode, Encoding::Json, Encoding::Raw] {
        let whole = encoding.decode::<T>(payload);
        let mut parts = Parts::default();
        for piece in cut(payload, seed) {
            parts.push(Bytes::copy_from_slice(piece));
        }
        assert_eq!(parts.len(), payload.len());
        assert_eq!(&parts.joined()[..], payload);
        let joined = encoding.decode_parts::<T>(parts);
        assert_eq!(
            joined.as_ref().ok(),
            whole.as_ref().ok(),
            "{encoding:?} {joined:?}"
        );
        let Ok(value) = whole else { continue };
        let again = encoding.encode(&value).expect("it came in this encoding");
        // JSON can be written in many ways.
        if encoding == Encoding::Json {
            assert_eq!(encoding.decode::<T>(&again).as_ref(), Ok(&value));
        } else {
            assert_eq!(&again[..], payload);
        }
        let owned = encoding.encode_owned(value, &mut BytesMut::new());
        assert_eq!(owned.expect("the same value").whole(), again);
    }
}

fn data(u: &mut Unstructured<'_>) -> Result<Bytes> {
    u.arbitrary::<&[u8]>().map(Bytes::copy_from_slice)
}

fn key(u: &mut Unstructured<'_>) -> Result<(JobId, Attempt)> {
    Ok((JobId(u.arbitrary()?), Attempt(u.arbitrary()?)))
}

fn many<'a, T>(
    u: &mut Unstructured<'a>,
    make: impl Fn(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = u.int_in_range(0..=20)?;
    (0..count).map(|_| make(u)).collect()
}

fn to_worker(u: &mut Unstructured<'_>) -> Result<ToWorker> {
    Ok(match u.int_in_range(0..=16)? {
        0 => ToWorker::Hello(Hello {
            build: u.arbitrary()?,
            worker: WorkerId(u.arbitrary()?),
            link: *u.choose(&[LinkKind::Local, LinkKind::Remote])?,
            max_payload: u.arbitrary()?,
            init: u.arbitrary()?,
        }),
        1 => ToWorker::Init(data(u)?),
        2 => ToWorker::Blob {
            hash: u.arbitrary()?,
            data: data(u)?,
            more: u.arbitrary()?,
        },
        3 => ToWorker::RunMany(many(u, assignment)?),
        4 => {
            let (job, attempt) = key(u)?;
            let data = data(u)?;
            ToWorker::InputChunk { job, attempt, data }
        }
        5 => {
            let (job, attempt) = key(u)?;
            let chunks = u.arbitrary()?;
            ToWorker::Credit {
                job,
                attempt,
                chunks,
            }
        }
        6 => {
            let (job, attempt) = key(u)?;
            ToWorker::Cancel { job, attempt }
        }
        7 => ToWorker::Recall(many(u, key)?),
        8 => ToWorker::Pause,
        9 => ToWorker::Resume,
        10 => ToWorker::Drain,
        11 => ToWorker::WindDown,
        12 => ToWorker::Ping(u.arbitrary()?),
        13 => ToWorker::Ack(u.arbitrary()?),
        14 => ToWorker::Resize(u.arbitrary()?),
        15 => {
            let options = JobOptions {
                time_limit_ms: u.arbitrary()?,
                grace_ms: u.arbitrary()?,
                retries: u.arbitrary()?,
                memory_limit: u.arbitrary()?,
                priority: u.arbitrary()?,
            };
            ToWorker::RunManyWith(options, many(u, assignment)?)
        }
        _ => ToWorker::Bye,
    })
}

fn from_worker(u: &mut Unstructured<'_>) -> Result<FromWorker> {
    Ok(match u.int_in_range(0..=11)? {
        0 => FromWorker::Ready(Ready {
            build: u.arbitrary()?,
            pid: u.arbitrary()?,
            slots: u.arbitrary()?,
            tasks: many(u, |u| u.arbitrary())?,
            status_fd: u.arbitrary()?,
        }),
        1 => {
            let (job, attempt) = key(u)?;
            FromWorker::Started { job, attempt }
        }
        2 => {
            let (job, attempt) = key(u)?;
            FromWorker::Output {
                job,
                attempt,
                stream: *u.choose(&[Stream::Stdout, Stream::Stderr])?,
                data: data(u)?,
            }
        }
        3 => {
            let (job, attempt) = key(u)?;
            let data = data(u)?;
            FromWorker::ResultChunk { job, attempt, data }
        }
        4 => FromWorker::DoneMany(many(u, answer)?),
        5 => {
            let (job, attempt) = key(u)?;
            let chunks = u.arbitrary()?;
            FromWorker::Credit {
                job,
                attempt,
                chunks,
            }
        }
        6 => FromWorker::Recalled(many(u, key)?),
        7 => {
            let (job, attempt) = key(u)?;
            FromWorker::Progress {
                job,
                attempt,
                done: u.arbitrary()?,
                total: u.arbitrary()?,
            }
        }
        8 => FromWorker::Pong(u.arbitrary()?),
        9 => FromWorker::Ack(u.arbitrary()?),
        10 => {
            let (job, attempt) = key(u)?;
            FromWorker::Omitted {
                job,
                attempt,
                stream: *u.choose(&[Stream::Stdout, Stream::Stderr])?,
                bytes: u.arbitrary()?,
            }
        }
        _ => FromWorker::Bye,
    })
}

fn assignment(u: &mut Unstructured<'_>) -> Result<Assignment> {
    let (job, attempt) = key(u)?;
    let header = JobHeader {
        job,
        attempt,
        task: u.arbitrary()?,
        encoding: *u.choose(&[Encoding::Bincode, Encoding::Json, Encoding::Raw])?,
        input_len: u.arbitrary()?,
    };
    let input = match u.arbitrary()? {
        true => data(u)?,
        false => command(u)?,
    };
    Ok(Assignment { header, input })
}

/// The input of a job that runs a command.
fn command(u: &mut Unstructured<'_>) -> Result<Bytes> {
    let words = |u: &mut Unstructured<'_>| many(u, |u| u.arbitrary::<Vec<u8>>().map(ByteBuf::from));
    let mut spec = CommandSpec::new(match u.arbitrary()? {
        true => Program::Argv(words(u)?),
        false => Program::Shell {
            text: ByteBuf::from(u.arbitrary::<Vec<u8>>()?),
            args: words(u)?,
        },
    });
    spec.time_limit_ms = u.arbitrary()?;
    spec.grace_ms = u.arbitrary()?;
    spec.limits.cpu_s = u.arbitrary()?;
    spec.limits.open_files = u.arbitrary()?;
    if let Some((bytes, kill)) = u.arbitrary()? {
        spec.limits.output = Some(OutputLimit { bytes, kill });
    }
    spec.slots = many(u, |u| {
        Ok(SlotPlace {
            word: u.arbitrary()?,
            at: u.arbitrary()?,
        })
    })?;
    spec.stop = many(u, |u| {
        Ok(StopStep {
            signal: u.arbitrary()?,
            wait_ms: u.arbitrary()?,
        })
    })?;
    spec.stdin = u.arbitrary::<Option<Vec<u8>>>()?.map(ByteBuf::from);
    spec.stdin_path = u.arbitrary::<Option<Vec<u8>>>()?.map(ByteBuf::from);
    let input = Encoding::Bincode.encode(&spec).expect("it has bincode");
    assert_eq!(Encoding::Bincode.decode(&input).as_ref(), Ok(&spec));
    Ok(input)
}

fn answer(u: &mut Unstructured<'_>) -> Result<Answer> {
    let (job, attempt) = key(u)?;
    let outcome = match u.int_in_range(0..=12)? {
        0 => Outcome::Ok,
        1 => Outcome::Failed(u.arbitrary()?),
        2 => Outcome::Signaled(u.arbitrary()?),
        3 => Outcome::TimedOut,
        4 => Outcome::SpawnError(u.arbitrary()?),
        5 => Outcome::Rejected,
        6 => Outcome::Cancelled,
        7 => Outcome::OutputLimit,
        8 => Outcome::Crashed,
        9 => Outcome::Oom,
        10 => Outcome::Quarantined,
        11 => Outcome::Unkillable,
        _ => Outcome::Lost,
    };
    let usage = Usage {
        wall_us: u.arbitrary()?,
        user_us: u.arbitrary()?,
        system_us: u.arbitrary()?,
        max_rss_kib: u.arbitrary()?,
        leaked: u.arbitrary()?,
    };
    let header = DoneHeader {
        job,
        attempt,
        outcome,
        usage,
    };
    let payload = data(u)?;
    Ok(Answer { header, payload })
}
