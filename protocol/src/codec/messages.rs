//! The two vocabularies as frames: what of each message is its control part, and what its
//! payload.

use bytes::{Bytes, BytesMut};

use super::lists::put_many;
use super::{Frame, FrameError, Message, kind, put};
use crate::message::{Answer, Assignment, FromWorker, Ready, Stream, ToWorker};
use crate::{Attempt, JobId};

impl Message for ToWorker {
    fn kind(&self) -> u8 {
        match self {
            ToWorker::Hello(_) => kind::HELLO,
            ToWorker::Init(_) => kind::INIT,
            ToWorker::Blob { .. } => kind::BLOB,
            ToWorker::RunMany(_) => kind::RUN_MANY,
            ToWorker::RunManyWith(..) => kind::RUN_MANY_WITH,
            ToWorker::InputChunk { .. } => kind::INPUT_CHUNK,
            ToWorker::Credit { .. } => kind::CREDIT,
            ToWorker::Cancel { .. } => kind::CANCEL,
            ToWorker::Recall(_) => kind::RECALL,
            ToWorker::Pause => kind::PAUSE,
            ToWorker::Resume => kind::RESUME,
            ToWorker::Drain => kind::DRAIN,
            ToWorker::WindDown => kind::WIND_DOWN,
            ToWorker::Resize(_) => kind::RESIZE,
            ToWorker::Ping(_) => kind::PING,
            ToWorker::Ack(_) => kind::ACK,
            ToWorker::Bye => kind::BYE,
        }
    }

    fn encode_control(&self, out: &mut BytesMut) {
        match self {
            ToWorker::Hello(hello) => put(out, hello),
            ToWorker::Init(_)
            | ToWorker::Pause
            | ToWorker::Resume
            | ToWorker::Drain
            | ToWorker::WindDown
            | ToWorker::Bye => {}
            ToWorker::Blob { hash, more, .. } => put(out, &(hash, more)),
            ToWorker::RunMany(jobs) => {
                put_many(out, jobs, Assignment::parts);
            }
            ToWorker::RunManyWith(options, jobs) => {
                put(out, options);
                put_many(out, jobs, Assignment::parts);
            }
            ToWorker::Resize(slots) => put(out, slots),
            ToWorker::InputChunk { job, attempt, .. } | ToWorker::Cancel { job, attempt } => {
                put(out, &(job, attempt));
            }
            ToWorker::Credit {
                job,
                attempt,
                chunks,
            } => put(out, &(job, attempt, chunks)),
            ToWorker::Recall(jobs) => put(out, jobs),
            ToWorker::Ping(n) | ToWorker::Ack(n) => put(out, n),
        }
    }

    fn for_each_payload(&self, visit: &mut dyn FnMut(&[u8])) {
        match self {
            ToWorker::Init(data)
            | ToWorker::Blob { data, .. }
            | ToWorker::InputChunk { data, .. } => visit(data),
            ToWorker::RunMany(jobs) | ToWorker::RunManyWith(_, jobs) => {
                jobs.iter().for_each(|a| visit(&a.input));
            }
            ToWorker::Hello(_)
            | ToWorker::Credit { .. }
            | ToWorker::Cancel { .. }
            | ToWorker::Recall(_)
            | ToWorker::Pause
            | ToWorker::Resume
            | ToWorker::Drain
            | ToWorker::WindDown
            | ToWorker::Resize(_)
            | ToWorker::Ping(_)
            | ToWorker::Ack(_)
            | ToWorker::Bye => {}
        }
    }

    fn decode(kind: u8, control: &[u8], payload: Bytes) -> Result<ToWorker, FrameError> {
        let mut frame = Frame { control, payload };
        match kind {
            kind::HELLO => Ok(ToWorker::Hello(frame.only("hello")?)),
            kind::INIT => frame.only_payload("init").map(ToWorker::Init),
            kind::BLOB => {
                let ((hash, more), data) = frame.both("blob")?;
                Ok(ToWorker::Blob { hash, data, more })
            }
            kind::RUN_MANY => {
                let mut jobs = Vec::new();
                frame.many("run_many", Assignment::joined, &mut jobs)?;
                Ok(ToWorker::RunMany(jobs))
            }
            kind::RUN_MANY_WITH => {
                let options = frame.head("run_many_with")?;
                let mut jobs = Vec::new();
                frame.many("run_many_with", Assignment::joined, &mut jobs)?;
                Ok(ToWorker::RunManyWith(options, jobs))
            }
            kind::RESIZE => Ok(ToWorker::Resize(frame.only("resize")?)),
            kind::INPUT_CHUNK => {
                let ((job, attempt), data) = frame.both("input_chunk")?;
                Ok(ToWorker::InputChunk { job, attempt, data })
            }
            kind::CREDIT => {
                let (job, attempt, chunks) = frame.only("credit")?;
                Ok(ToWorker::Credit {
                    job,
                    attempt,
                    chunks,
                })
            }
            kind::CANCEL => {
                let (job, attempt) = frame.only("cancel")?;
                Ok(ToWorker::Cancel { job, attempt })
            }
            kind::RECALL => Ok(ToWorker::Recall(frame.only("recall")?)),
            kind::PAUSE => frame.nothing("pause").map(|()| ToWorker::Pause),
            kind::RESUME => frame.nothing("resume").map(|()| ToWorker::Resume),
            kind::DRAIN => frame.nothing("drain").map(|()| ToWorker::Drain),
            kind::WIND_DOWN => frame.nothing("wind_down").map(|()| ToWorker::WindDown),
            kind::PING => Ok(ToWorker::Ping(frame.only("ping")?)),
            kind::ACK => Ok(ToWorker::Ack(frame.only("ack")?)),
            kind::BYE => frame.nothing("bye").map(|()| ToWorker::Bye),
            unknown => Err(FrameError::UnknownKind(unknown)),
        }
    }
}

impl Message for FromWorker {
    fn kind(&self) -> u8 {
        match self {
            FromWorker::Ready(_) => kind::READY,
            FromWorker::Started { .. } => kind::STARTED,
            FromWorker::Output { .. } => kind::OUTPUT,
            FromWorker::ResultChunk { .. } => kind::RESULT_CHUNK,
            FromWorker::DoneMany(_) => kind::DONE_MANY,
            FromWorker::Credit { .. } => kind::INPUT_CREDIT,
            FromWorker::Recalled(_) => kind::RECALLED,
            FromWorker::Progress { .. } => kind::PROGRESS,
            FromWorker::Omitted { .. } => kind::OMITTED,
            FromWorker::Pong(_) => kind::PONG,
            FromWorker::Ack(_) => kind::WORKER_ACK,
            FromWorker::Bye => kind::WORKER_BYE,
        }
    }

    fn encode_control(&self, out: &mut BytesMut) {
        match self {
            FromWorker::Ready(ready) => put(out, ready),
            FromWorker::Started { job, attempt } | FromWorker::ResultChunk { job, attempt, .. } => {
                put(out, &(job, attempt));
            }
            FromWorker::Output {
                job,
                attempt,
                stream,
                ..
            } => put(out, &(job, attempt, stream)),
            FromWorker::DoneMany(answers) => {
                put_many(out, answers, Answer::parts);
            }
            FromWorker::Credit {
                job,
                attempt,
                chunks,
            } => put(out, &(job, attempt, chunks)),
            FromWorker::Recalled(jobs) => put(out, jobs),
            FromWorker::Progress {
                job,
                attempt,
                done,
                total,
            } => put(out, &(job, attempt, done, total)),
            FromWorker::Omitted {
                job,
                attempt,
                stream,
                bytes,
            } => put(out, &(job, attempt, stream, bytes)),
            FromWorker::Pong(n) | FromWorker::Ack(n) => put(out, n),
            FromWorker::Bye => {}
        }
    }

    fn for_each_payload(&self, visit: &mut dyn FnMut(&[u8])) {
        match self {
            FromWorker::Output { data, .. } | FromWorker::ResultChunk { data, .. } => visit(data),
            FromWorker::DoneMany(answers) => answers.iter().for_each(|a| visit(&a.payload)),
            FromWorker::Ready(_)
            | FromWorker::Started { .. }
            | FromWorker::Credit { .. }
            | FromWorker::Recalled(_)
            | FromWorker::Progress { .. }
            | FromWorker::Omitted { .. }
            | FromWorker::Pong(_)
            | FromWorker::Ack(_)
            | FromWorker::Bye => {}
        }
    }

    fn decode(kind: u8, control: &[u8], payload: Bytes) -> Result<FromWorker, FrameError> {
        let frame = Frame { control, payload };
        match kind {
            kind::READY => Ok(FromWorker::Ready(frame.only::<Ready>("ready")?)),
            kind::STARTED => {
                let (job, attempt) = frame.only("started")?;
                Ok(FromWorker::Started { job, attempt })
            }
            kind::OUTPUT => {
                let ((job, attempt, stream), data): ((JobId, Attempt, Stream), Bytes) =
                    frame.both("output")?;
                Ok(FromWorker::Output {
                    job,
                    attempt,
                    stream,
                    data,
                })
            }
            kind::RESULT_CHUNK => {
                let ((job, attempt), data) = frame.both("result_chunk")?;
                Ok(FromWorker::ResultChunk { job, attempt, data })
            }
            kind::DONE_MANY => {
                let mut answers = Vec::new();
                frame.many("done_many", Answer::joined, &mut answers)?;
                Ok(FromWorker::DoneMany(answers))
            }
            kind::INPUT_CREDIT => {
                let (job, attempt, chunks) = frame.only("credit")?;
                Ok(FromWorker::Credit {
                    job,
                    attempt,
                    chunks,
                })
            }
            kind::RECALLED => Ok(FromWorker::Recalled(frame.only("recalled")?)),
            kind::PROGRESS => {
                let (job, attempt, done, total) = frame.only("progress")?;
                Ok(FromWorker::Progress {
                    job,
                    attempt,
                    done,
                    total,
                })
            }
            kind::OMITTED => {
                let (job, attempt, stream, bytes) = frame.only("omitted")?;
                Ok(FromWorker::Omitted {
                    job,
                    attempt,
                    stream,
                    bytes,
                })
            }
            kind::PONG => Ok(FromWorker::Pong(frame.only("pong")?)),
            kind::WORKER_ACK => Ok(FromWorker::Ack(frame.only("ack")?)),
            kind::WORKER_BYE => frame.nothing("bye").map(|()| FromWorker::Bye),
            unknown => Err(FrameError::UnknownKind(unknown)),
        }
    }
}
