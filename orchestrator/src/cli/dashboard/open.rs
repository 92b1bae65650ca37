//! Where a run has a page, it is opened before it begins, and told at its end.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use nix::unistd::gethostname;

use super::page::{Door, Page};
use crate::cli::main::say;
use crate::cli::page::nonce;
use crate::cli::plan::Plan;
use crate::cli::summary::Where;
use crate::run::batch::{Failure, Outcome, Record};
use crate::run::reins::Reins;
use crate::run::runfile::{self, RunSeen};
use crate::run::text;
use crate::run::view::live::{Base, Ended};

/// Looks how the run stands for its page, if it has one.
pub(in crate::cli) async fn look(page: Option<&Page>, reins: &Reins) -> Infallible {
    match page {
        Some(page) => page.attend(reins).await,
        None => std::future::pending().await,
    }
}

/// Begins to serve the page of a run, and says where it is.
///
/// # Errors
/// When there is no thread for it, or nothing that nobody could guess.
pub(in crate::cli) fn open(
    door: Door,
    plan: &Plan,
    reins: &Reins,
    (record, arguments): (&Record, Vec<Vec<u8>>),
) -> io::Result<Page> {
    let url = door.url();
    let token = nonce()?;
    let file = record.file().filter(|file| !file.is_light());
    let purpose = &plan.purpose;
    let base = Base {
        name: file.map_or(String::new(), |file| shown(file.name())),
        run_id: file.map_or(token, |file| file.run_id().to_owned()),
        purpose: purpose.with_place(),
        run: RunSeen {
            run: 1,
            began_us: runfile::since_1970(reins.clock.wall),
            version: env!("CARGO_PKG_VERSION").into(),
            host: gethostname().unwrap_or_default().to_string_lossy().into(),
            cwd: purpose.cwd.as_os_str().as_encoded_bytes().to_vec(),
            arguments,
            ..RunSeen::default()
        },
    };
    let feed = plan.batch.watching.live.clone().unwrap_or_default();
    let page = Page::start(door, base, feed)?;
    say(&format!("dashboard: {url}\n"));
    Ok(page)
}

/// The run is over: whoever looks at its page is told so.
pub(in crate::cli) fn end(page: Page, outcome: &Outcome, place: &Where) {
    let name = match place {
        Where::File(name) | Where::Light(name) => shown(name),
        Where::Own => {
            let remembered = outcome.summary.remembered.as_ref();
            remembered.map_or(String::new(), |remembered| shown(&remembered.path))
        }
    };
    let failure = outcome.failure.as_ref().map(Failure::word);
    let ended = Ended {
        name,
        whole: outcome.whole,
        failure: failure.map(str::to_owned),
    };
    page.end(&outcome.summary, ended);
}

fn shown(path: &Path) -> String {
    text::escaped(path.as_os_str().as_encoded_bytes())
}
