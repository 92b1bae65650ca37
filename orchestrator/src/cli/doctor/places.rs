//! Directories that runs write to, and programs that they may use.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::check::Check;
use crate::cli::program::Lookup;
use crate::pool::{temporary, unlinked_file};
use crate::run::report::Clock;
use crate::run::runfile::History;
use crate::run::text;

/// With less, what jobs print may not find room.
const LITTLE: u64 = 256 << 20;

/// A disk that takes longer to write a little has something else to do.
const SLOW_MS: u128 = 100;

/// Where what jobs print goes that is too much for memory.
pub(super) fn temp() -> Check {
    let dir = temporary();
    let check = place("temp", &dir);
    match unlinked_file(Some(&dir)) {
        Ok(_) => check,
        Err(e) => {
            let why = text::reason(&e);
            check.fail(format!(
                "no file can be made there: {why}; name another one: TMPDIR"
            ))
        }
    }
}

/// Where runs are remembered.
pub(super) fn state(history: Option<&History>) -> Check {
    const WHAT: &str = "records";
    let Some(history) = history else {
        return Check::new(
            WHAT,
            "nowhere: neither HOME nor XDG_STATE_HOME is an absolute path",
        )
        .warn("`retry last` and `report last` will find nothing; set HOME");
    };
    let dir = history.dir();
    let made = history.prepare().and_then(|()| unlinked_file(Some(dir)));
    let check = place(WHAT, dir);
    let written = made.and_then(|mut file| {
        let clock = Clock::start();
        file.write_all(&[0; 4096])?;
        file.sync_all()?;
        Ok(clock.elapsed())
    });
    match written {
        Ok(time) => {
            let ms = time.as_secs_f64() * 1e3;
            let check = check.also(&format!("a write reaches the disk in {ms:.1} ms"));
            let check = check.fact("sync_ms", ms);
            match time.as_millis() > SLOW_MS {
                true => check.warn("run files are best kept on another disk: --run-file"),
                false => check,
            }
        }
        Err(e) => {
            let why = text::reason(&e);
            check.warn(format!(
                "no file can be made there: {why}; `retry last` and `report last` will find nothing"
            ))
        }
    }
}

/// A directory, and how much room there is.
fn place(what: &'static str, dir: &Path) -> Check {
    let shown = text::escaped(dir.as_os_str().as_encoded_bytes());
    let free = statvfs(dir).ok().map(|found| {
        // Both are 64 bits wide on some systems and 32 on others.
        #[expect(clippy::useless_conversion, reason = "not on every platform")]
        let (blocks, size) = (
            u64::from(found.blocks_available()),
            u64::from(found.fragment_size()),
        );
        blocks.saturating_mul(size)
    });
    let value = match free {
        Some(free) => format!("{shown}, {} free", text::about(free)),
        None => shown.clone(),
    };
    let check = Check::new(what, value)
        .fact("path", shown)
        .fact("free", free);
    match free {
        Some(free) if free < LITTLE => check.warn("little room is left"),
        _ => check,
    }
}

/// Programs with which workers can be started on other machines, by hand.
pub(super) fn programs(lookup: &Lookup) -> [Check; 2] {
    ["ssh", "srun"].map(|name| {
        let found = lookup.find("program", OsStr::new(name)).ok();
        let found = found.map(|path| text::escaped(path.as_os_str().as_encoded_bytes()));
        let value = found.clone().unwrap_or_else(|| "not there".to_owned());
        Check::new(name, value).fact("path", found)
    })
}
