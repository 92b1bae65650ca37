//! The number of this worker's slot, where a command wants to know it.

use std::borrow::Cow;

use protocol::{CommandSpec, Program, SlotPlace};

/// The variable that says it.
const SLOT: &str = "ORCHESTRATOR_SLOT";

/// The number, from 1.
pub(super) fn number() -> Vec<u8> {
    use std::os::unix::ffi::OsStringExt;
    std::env::var_os(SLOT).map_or_else(|| b"1".to_vec(), OsStringExt::into_vec)
}

/// The command with the number in its places.
///
/// # Errors
/// When there is no such place: which.
pub(super) fn filled<'a>(
    spec: &'a CommandSpec,
    number: impl FnOnce() -> Vec<u8>,
) -> Result<Cow<'a, CommandSpec>, SlotPlace> {
    if spec.slots.is_empty() {
        return Ok(Cow::Borrowed(spec));
    }
    let mut spec = spec.clone();
    let mut slots = std::mem::take(&mut spec.slots);
    let words = match &mut spec.program {
        Program::Argv(words) | Program::Shell { args: words, .. } => words,
    };
    let number = number();
    slots.sort_by_key(|slot| (slot.word, slot.at));
    let mut rest = &slots[..];
    while let Some(&SlotPlace { word, .. }) = rest.first() {
        let (here, others) = rest.split_at(rest.partition_point(|slot| slot.word == word));
        rest = others;
        let word = usize::try_from(word)
            .ok()
            .and_then(|word| words.get_mut(word));
        let word = word.ok_or(here[0])?;
        let mut made = Vec::with_capacity(word.len() + here.len() * number.len());
        let mut from = 0;
        for slot in here {
            let at = usize::try_from(slot.at).map_err(|_| *slot)?;
            made.extend_from_slice(word.get(from..at).ok_or(*slot)?);
            made.extend_from_slice(&number);
            from = at;
        }
        made.extend_from_slice(&word[from..]);
        *word = made.into();
    }
    Ok(Cow::Owned(spec))
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;

    use super::*;

    fn words(words: &[&str], slots: &[(u32, u32)]) -> Result<Vec<String>, SlotPlace> {
        let mut spec = CommandSpec::new(Program::Argv(
            words.iter().map(|word| ByteBuf::from(*word)).collect(),
        ));
        spec.slots = slots
            .iter()
            .map(|&(word, at)| SlotPlace { word, at })
            .collect();
        let spec = filled(&spec, || b"12".to_vec())?.into_owned();
        let Program::Argv(words) = spec.program else {
            panic!("{spec:?}")
        };
        let text = |word: ByteBuf| String::from_utf8(word.into_vec()).unwrap();
        Ok(words.into_iter().map(text).collect())
    }

    #[test]
    fn the_number_stands_in_every_place() {
        let slots = [(2, 1), (1, 0), (2, 3), (2, 1)];
        assert_eq!(
            words(&["x", "", "a-b"], &slots).unwrap(),
            ["x", "12", "a1212-b12"]
        );
        assert_eq!(words(&["x"], &[]).unwrap(), ["x"]);
    }

    #[test]
    fn a_place_that_is_not_there_is_refused() {
        for slot in [(1, 0), (0, 2), (u32::MAX, 0), (0, u32::MAX)] {
            let error = words(&["x"], &[(0, 1), slot]).unwrap_err();
            assert_eq!((error.word, error.at), slot);
        }
    }
}
