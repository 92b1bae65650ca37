//! A command's specification around what the command reads, which may be much and stays where it is.

use serde_bytes::ByteBuf;

use super::payload::encode_payload;
use crate::{CommandSpec, PayloadError};

/// What comes before and behind so many bytes that a command reads on stdin, in bincode; what the
/// specification itself says of its stdin does not matter.
///
/// # Errors
/// When it cannot be encoded.
pub fn around_stdin(
    mut spec: CommandSpec,
    bytes: usize,
) -> Result<(Vec<u8>, Vec<u8>), PayloadError> {
    const LENGTH: usize = size_of::<u64>();
    // The first difference between nothing and a byte is their number.
    spec.stdin = Some(ByteBuf::new());
    let none = encode_payload(&spec)?;
    spec.stdin = Some(ByteBuf::from([0]));
    let one = encode_payload(&spec)?;
    let at = none.iter().zip(&one).take_while(|(a, b)| a == b).count();
    let (before, behind) = none.split_at(at);
    let head = [before, &(bytes as u64).to_le_bytes()].concat();
    Ok((head, behind[LENGTH..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoding, EnvChange, Limits, Program};

    #[test]
    fn it_is_what_would_have_been_encoded() {
        for size in [0, 1, 255, 256, 70_000] {
            for zeros in [0, 9] {
                let data = vec![7; size];
                let mut spec = CommandSpec::new(Program::Shell {
                    text: ByteBuf::from(vec![0; zeros]),
                    args: vec![ByteBuf::from(*b"a"); zeros],
                });
                spec.env = vec![
                    EnvChange {
                        name: ByteBuf::from(*b"A"),
                        value: None,
                    };
                    zeros
                ];
                spec.limits = Limits {
                    cpu_s: Some(1),
                    ..Limits::default()
                };
                let (head, tail) = around_stdin(spec.clone(), size).unwrap();
                let joined = [&head[..], &data, &tail].concat();
                spec.stdin = Some(ByteBuf::from(data));
                assert_eq!(joined, Encoding::Bincode.encode(&spec).unwrap());
            }
        }
    }
}
