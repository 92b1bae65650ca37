//! What the fuzz targets do: each is a function of bytes that panics when a promise
//! is broken. `fuzz_targets/` joins them to libFuzzer, `scripts/fuzz` runs them.
//!
//! A target reads its input as plainly as it can, so that seeds can be written by
//! hand: a byte or two that say how the rest is cut or what to make of it, then the
//! very bytes that a peer or a file would hold.

mod blocks;
mod cut;
mod frames;
mod greeting;
mod heap;
mod jobs;
mod messages;
#[cfg(repeatable)]
pub mod repeatable;
mod run_file;
mod templates;

pub use blocks::blocks;
pub use frames::frames;
pub use greeting::greeting;
pub use jobs::jobs;
pub use messages::messages;
pub use run_file::run_file;
pub use templates::templates;

/// Joins a function of bytes to libFuzzer.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            #[cfg(repeatable)]
            $crate::repeatable::count();
            $crate::$name(data);
        });
    };
}
