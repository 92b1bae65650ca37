//! The same inputs in every build.
//!
//! What libFuzzer tries next depends on which code the inputs before have gone through, and so
//! on how the compiler laid that out: two builds of the same sources see different inputs.
//! Without the compiler's counters it keeps none, though, and has nothing to mutate. Here the first
//! inputs, which are the seeds, each count as new, and none behind them does.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// More than there are seeds of a target; the few mutations that count, too, are the same everywhere.
const FIRST: usize = 64;

/// Counters of what an input went through, found by libFuzzer by the name of the section and
/// cleared before each input.
#[used]
#[expect(
    unsafe_code,
    reason = "only bytes may be in that section, and these are"
)]
// SAFETY: nothing else is in this section, which libFuzzer takes for bytes that it may write while
// no input is looked at.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static COUNTERS: [AtomicU8; FIRST] = [const { AtomicU8::new(0) }; FIRST];

/// Before an input is looked at.
pub fn count() {
    static INPUTS: AtomicUsize = AtomicUsize::new(0);
    let number = INPUTS.fetch_add(1, Ordering::Relaxed);
    if let Some(counter) = COUNTERS.get(number) {
        counter.store(1, Ordering::Relaxed);
    }
}
