//! A stream of frames, cut anywhere.

use std::fmt::Debug;

use bytes::BytesMut;
use protocol::codec::{self, Message, missing};
use protocol::{Answer, Codec, FrameError, FromWorker, MAX_FRAME, ToWorker};
use tokio_util::codec::Decoder;

use crate::cut::cut;
use crate::heap;

/// What a stream came to: its messages, and the error that ended it.
type Outcome<M> = (Vec<M>, Option<String>);

/// The first byte says how the stream that follows is cut.
pub fn frames(data: &[u8]) {
    let Some((&seed, stream)) = data.split_first() else {
        return;
    };
    one_direction::<ToWorker>(stream, seed);
    let messages = one_direction::<FromWorker>(stream, seed);
    for cuts in [vec![stream], cut(stream, seed).collect()] {
        assert_eq!(as_a_pool_reads(&cuts), answers_joined(&messages));
    }
}

fn one_direction<M: Message + PartialEq + Debug>(stream: &[u8], seed: u8) -> Outcome<M> {
    let whole = decode::<M>(&[stream]);
    let cuts: Vec<&[u8]> = cut(stream, seed).collect();
    let (pieces, peak) = heap::peak(|| decode::<M>(&cuts));
    assert_eq!(pieces, whole, "cut into {}", cuts.len());
    // The buffer may double as it grows; a message is a few times as large as its bytes,
    // and serde sets 1 MiB aside for a list at most.
    let most = 3 * MAX_FRAME + 64 * stream.len() + (64 << 10);
    assert!(peak <= most, "{peak} bytes for {}", stream.len());
    whole
}

fn decode<M: Message>(pieces: &[&[u8]]) -> Outcome<M> {
    let mut codec = Codec::<M, M>::new();
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(e) => return (messages, Some(kind(&e))),
            }
        }
        assert!(buffer.capacity() <= 2 * MAX_FRAME + 2 * piece.len());
        // A frame that is not all there lacks something.
        assert!(buffer.len() < 12 || missing(&buffer) > 0);
    }
    let end = codec.decode_eof(&mut buffer);
    (messages, end.err().as_ref().map(kind))
}

/// As the orchestrator does it: answers in a row at one go, and what comes behind
/// them one by one.
fn as_a_pool_reads(pieces: &[&[u8]]) -> Outcome<Item> {
    let mut codec = Codec::<FromWorker, ToWorker>::new();
    let mut buffer = BytesMut::new();
    let mut items = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let mut answers = Vec::new();
            let taken = codec::take_answers(&mut buffer, &mut answers);
            items.extend(answers.into_iter().map(Item::Answer));
            let next = match taken {
                Ok(()) => codec.decode(&mut buffer),
                Err(e) => Err(e),
            };
            match next {
                Ok(Some(message)) => add(&mut items, message),
                Ok(None) => break,
                Err(e) => return (items, Some(kind(&e))),
            }
        }
    }
    let end = codec.decode_eof(&mut buffer);
    (items, end.err().as_ref().map(kind))
}

/// A message, or one of the answers of a list: where a list ends does not matter.
#[derive(Debug, PartialEq)]
enum Item {
    Answer(Answer),
    Other(FromWorker),
}

fn add(items: &mut Vec<Item>, message: FromWorker) {
    match message {
        FromWorker::DoneMany(answers) => items.extend(answers.into_iter().map(Item::Answer)),
        other => items.push(Item::Other(other)),
    }
}

fn answers_joined((messages, end): &Outcome<FromWorker>) -> Outcome<Item> {
    let mut items = Vec::new();
    for message in messages {
        add(&mut items, message.clone());
    }
    (items, end.clone())
}

/// What an error says, but for an excerpt of however much there was.
fn kind(error: &FrameError) -> String {
    match error {
        FrameError::NotAFrame(excerpt) => {
            assert!(excerpt.len() <= 256 && !excerpt.is_empty());
            assert!(error.to_string().chars().all(|c| !c.is_control()));
            "not a frame".into()
        }
        other => other.to_string(),
    }
}
