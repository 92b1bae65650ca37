//! The number of this worker's slot, where a command wants to know it.

use std::borrow::Cow;
use std::os::unix::ffi::OsStringExt;

use protocol::{CommandSpec, SlotPlace};

/// The variable that says it.
const SLOT: &str = "ORCHESTRATOR_SLOT";

/// The command with the number in its places.
///
/// # Errors
/// When there is no such place: which.
pub(super) fn filled(spec: &CommandSpec) -> Result<Cow<'_, CommandSpec>, SlotPlace> {
    if spec.slots.is_empty() {
        return Ok(Cow::Borrowed(spec));
    }
    let number = std::env::var_os(SLOT).map_or_else(|| b"1".to_vec(), OsStringExt::into_vec);
    let mut spec = spec.clone();
    spec.fill_slots(&number)?;
    Ok(Cow::Owned(spec))
}
