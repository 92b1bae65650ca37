//! All that is read of a run file, for the fuzz target.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::key::Keys;
use super::{Access, Asked, Pages, Purpose, Request, Which, configuration, open, outcomes, state};
use crate::pool::Spill;
use crate::run::runfile::RunFileError;
use crate::run::view;

/// The tables of a run file, as SQL.
pub const SCHEMA: &str = concat!(
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql")
);

/// The number that says whose file it is.
pub const APPLICATION_ID: i32 = super::schema::APPLICATION_ID;

/// Reads all of a run file in every way there is, and goes on with its run. Gives
/// whether it could be opened.
pub fn read_run_file(path: &Path) -> bool {
    let room = Spill::new(1 << 20);
    let request = |access| Request {
        path: path.to_owned(),
        access,
        force: true,
        purpose: Purpose {
            words: vec![b"--".to_vec()],
            cwd: "/".into(),
        },
        arguments: Vec::new(),
        at_most_once: false,
        light: false,
    };
    configuration(path).ok();
    state(path).ok();
    if let Ok(model) = view::gather(path, "run", 1 << 50) {
        view::lines(&model);
        view::write(&mut io::sink(), &model, "").ok();
    }
    let purpose = request(Access::Resume).purpose;
    for by_seq in [false, true] {
        let asked = Asked {
            by_seq,
            ..Asked::default()
        };
        outcomes::<RunFileError>(path, &purpose, &room, asked, |_| Ok(())).ok();
    }
    let all = Which {
        open: true,
        failed: true,
    };
    if let Ok(mut pages) = Pages::open(path, all, Keys::of(&purpose), true) {
        while pages.next().is_ok_and(|jobs| !jobs.is_empty()) {}
    }
    let Ok(file) = open(&request(Access::Resume)) else {
        return false;
    };
    file.unshown(&room, 0).ok();
    // Its thread ends when nobody has anything to say to it.
    file.record(SystemTime::UNIX_EPOCH, 1).ok();
    open(&request(Access::Again(all))).ok();
    true
}
