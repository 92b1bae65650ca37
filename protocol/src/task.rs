//! What both sides agree on about a task: its name, its types, and how values
//! become payload bytes.

use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Encoded, Parts, codec, raw};

/// A named function that a worker offers. Usually a unit struct, as below.
///
/// Between programs that share these types values travel as bincode, which is
/// fast because it writes no names: `#[serde(tag)]`, `untagged`, `flatten`,
/// `skip_serializing_if` and `serde_json::Value` need names, and fail when the job
/// runs. Large byte strings are best of the type `serde_bytes::ByteBuf`: serde takes
/// a `Vec<u8>` for a list of numbers.
///
/// ```
/// use protocol::Task;
///
/// /// The n-th Fibonacci number.
/// struct Fib;
///
/// impl Task for Fib {
///     const NAME: &'static str = "fib";
///     type Input = u64;
///     type Output = u64;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    note = "a job names a task: a type with `impl Task`, which `Registry::task` joins to a \
            function; functions themselves run in threads, with `blocking` and \
            `ThreadPool::submit_fn`"
)]
pub trait Task: 'static {
    /// The name under which workers offer it.
    const NAME: &'static str;
    /// What a job of this task is given.
    type Input: Serialize + DeserializeOwned + Send + 'static;
    /// What it gives back.
    type Output: Serialize + DeserializeOwned + Send + 'static;
}

/// How a payload's bytes represent a value. A task answers in the encoding in
/// which it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Encoding {
    /// bincode 1, little-endian, fixed-size integers, no trailing bytes:
    /// between programs that share the types.
    #[default]
    Bincode,
    /// JSON text in UTF-8: between programs that share no types.
    Json,
    /// The bytes themselves, for values that are text or byte strings.
    Raw,
}

impl Encoding {
    /// Turns a value into payload bytes.
    ///
    /// # Errors
    /// When the value has no form in this encoding: a number asked for as raw
    /// bytes, a map with keys that are not strings as JSON.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Bytes, PayloadError> {
        match self {
            Encoding::Bincode => codec::encode_payload(value),
            Encoding::Json => serde_json::to_vec(value)
                .map(Bytes::from)
                .map_err(|e| PayloadError(e.to_string())),
            Encoding::Raw => raw::encode(value),
        }
    }

    /// The same for a value that is not needed any more: the memory of a large
    /// byte string (`ByteBuf`, `Vec<u8>`, `String`) becomes that of its payload. Small
    /// payloads share a buffer one after the other: they cost no allocation each, and
    /// keep that buffer alive together.
    ///
    /// # Errors
    /// As [`encode`](Encoding::encode).
    pub fn encode_owned<T: Serialize + 'static>(
        self,
        value: T,
        shared: &mut BytesMut,
    ) -> Result<Encoded, PayloadError> {
        match self {
            Encoding::Bincode => codec::encode_owned(value, shared),
            Encoding::Json => codec::encode_json_into(&value, shared).map(Encoded::from),
            Encoding::Raw => self.encode(&value).map(Encoded::from),
        }
    }

    /// Turns payload bytes into a value.
    ///
    /// # Errors
    /// When the bytes do not represent a `T` in this encoding, trailing bytes
    /// included. Never panics and never allocates more than the bytes justify.
    pub fn decode<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, PayloadError> {
        match self {
            Encoding::Bincode => codec::decode_payload(payload),
            Encoding::Json => serde_json::from_slice(payload).map_err(|e| json_error(&e)),
            Encoding::Raw => raw::decode(payload),
        }
    }

    /// Turns a payload that came in parts into a value.
    ///
    /// # Errors
    /// As [`Encoding::decode`].
    pub fn decode_parts<T: DeserializeOwned>(self, payload: Parts) -> Result<T, PayloadError> {
        match (self, payload.whole()) {
            (_, Some(bytes)) => self.decode(bytes),
            (Encoding::Bincode, None) => codec::decode_parts(payload),
            (Encoding::Json | Encoding::Raw, None) => self.decode(&payload.joined()),
        }
    }
}

/// A payload mostly is one line, perhaps the n-th of somebody's input: that it
/// is the payload's first would only confuse.
fn json_error(error: &serde_json::Error) -> PayloadError {
    let text = error.to_string();
    PayloadError(match text.rsplit_once(" at line 1 column ") {
        Some((what, column)) => format!("{what} at column {column}"),
        None => text,
    })
}

/// A payload cannot be encoded or decoded; the text says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(pub(crate) String);

impl serde::ser::Error for PayloadError {
    fn custom<T: fmt::Display>(msg: T) -> Self {
        PayloadError(msg.to_string())
    }
}

impl serde::de::Error for PayloadError {
    fn custom<T: fmt::Display>(msg: T) -> Self {
        PayloadError(msg.to_string())
    }
}

/// What a [`TaskError`] is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaskErrorKind {
    /// The task, or what makes its state, returned an error. Also what is said
    /// beside an outcome that tells the kind by itself: why a command could
    /// not be started.
    #[default]
    Error,
    /// The task panicked.
    Panic,
    /// The task gave a result that has no form in the encoding asked for.
    Unencodable,
    /// The task gave a result that is larger than the orchestrator accepts.
    TooLarge,
    /// The job did not run: the worker offers no such task.
    UnknownTask,
    /// The job did not run: its input is not what the task takes.
    Undecodable,
}

/// Why a job gave no result, as far as a worker can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// What the error or the panic says.
    pub message: String,
    /// Where a panic happened: `file:line:column`.
    pub location: Option<String>,
    /// The causes, nearest first.
    pub chain: Vec<String>,
    /// What it is about.
    pub kind: TaskErrorKind,
}

impl TaskError {
    /// An error without causes.
    #[must_use]
    pub fn new(message: impl Into<String>) -> TaskError {
        TaskError {
            message: message.into(),
            ..TaskError::default()
        }
    }

    /// The same error, about this.
    #[must_use]
    pub fn of(mut self, kind: TaskErrorKind) -> TaskError {
        self.kind = kind;
        self
    }

    /// An error with its causes.
    #[must_use]
    pub fn from_error(error: &(dyn std::error::Error + 'static)) -> TaskError {
        let mut chain = Vec::new();
        let mut cause = error.source();
        while let Some(e) = cause {
            chain.push(e.to_string());
            cause = e.source();
        }
        TaskError {
            chain,
            ..TaskError::new(error.to_string())
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == TaskErrorKind::Panic {
            f.write_str("panicked: ")?;
        }
        f.write_str(&self.message)?;
        for cause in &self.chain {
            write!(f, ": {cause}")?;
        }
        if let Some(location) = &self.location {
            write!(f, " (at {location})")?;
        }
        Ok(())
    }
}

impl std::error::Error for TaskError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Encoding; 3] = [Encoding::Bincode, Encoding::Json, Encoding::Raw];

    #[test]
    fn text_survives_every_encoding() {
        for encoding in ALL {
            let bytes = encoding.encode("häuser").unwrap();
            assert_eq!(encoding.decode::<String>(&bytes).unwrap(), "häuser");
        }
    }

    #[test]
    fn byte_vectors_survive_every_encoding() {
        let value: Vec<u8> = (0..=255).collect();
        for encoding in ALL {
            let bytes = encoding.encode(&value).unwrap();
            assert_eq!(encoding.decode::<Vec<u8>>(&bytes).unwrap(), value);
        }
        let raw = Encoding::Raw
            .encode(serde_bytes::Bytes::new(&value))
            .unwrap();
        assert_eq!(&raw[..], &value[..]);
    }

    #[test]
    fn raw_refuses_what_is_not_bytes() {
        let error = Encoding::Raw.encode(&7u64).unwrap_err();
        assert_eq!(
            error.to_string(),
            "raw encoding carries text or bytes, not a number"
        );
        assert!(Encoding::Raw.decode::<u64>(b"7").is_err());
        assert!(Encoding::Raw.decode::<String>(&[0xff]).is_err());
    }

    #[test]
    fn raw_is_empty_for_unit() {
        assert!(Encoding::Raw.encode(&()).unwrap().is_empty());
        Encoding::Raw.decode::<()>(b"").unwrap();
        assert!(Encoding::Raw.decode::<()>(b"x").is_err());
    }

    #[test]
    fn bincode_refuses_trailing_bytes_and_length_bombs() {
        let mut bytes = Encoding::Bincode.encode("abc").unwrap().to_vec();
        bytes.push(0);
        assert!(Encoding::Bincode.decode::<String>(&bytes).is_err());
        let bomb = (1u64 << 40).to_le_bytes();
        assert!(Encoding::Bincode.decode::<Vec<u8>>(&bomb).is_err());
        assert!(Encoding::Bincode.decode::<Vec<u64>>(&bomb).is_err());
    }

    #[test]
    fn json_errors_name_the_place() {
        let error = Encoding::Json.decode::<u64>(b"\"x\"").unwrap_err();
        assert!(error.to_string().ends_with(" at column 3"), "{error}");
        assert!(!error.to_string().contains("line"), "{error}");
        let error = Encoding::Json.decode::<u64>(b"\n x").unwrap_err();
        assert!(
            error.to_string().ends_with(" at line 2 column 2"),
            "{error}"
        );
    }

    #[test]
    fn an_error_shows_its_causes_and_place() {
        let error = TaskError {
            message: "cannot decode image".into(),
            location: Some("src/main.rs:3:7".into()),
            chain: vec!["bad header".into()],
            kind: TaskErrorKind::Panic,
        };
        assert_eq!(
            error.to_string(),
            "panicked: cannot decode image: bad header (at src/main.rs:3:7)"
        );
    }
}
