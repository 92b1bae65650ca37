//! A run file that somebody else has made, or that a disk has spoiled: it is read
//! or refused, and nothing panics.

use std::fs;
use std::path::Path;

use orchestrator::fuzzing::{APPLICATION_ID, SCHEMA, read_run_file};
use rusqlite::Connection;
use rusqlite::types::Value;

/// Columns that hold what is read.
const COLUMNS: [(&str, &str); 47] = [
    ("run", "run"),
    ("run", "run_id"),
    ("run", "began_us"),
    ("run", "ended_us"),
    ("run", "cwd"),
    ("run", "arguments"),
    ("run", "purpose"),
    ("run", "fingerprint"),
    ("state", "input_whole"),
    ("state", "shown"),
    ("job", "job"),
    ("job", "key"),
    ("job", "seq"),
    ("job", "line"),
    ("job", "item"),
    ("job", "started"),
    ("outcome", "n"),
    ("outcome", "job"),
    ("outcome", "verdict"),
    ("outcome", "exit"),
    ("outcome", "error"),
    ("outcome", "attempts"),
    ("outcome", "worker"),
    ("outcome", "started_us"),
    ("outcome", "wall_us"),
    ("outcome", "leaked"),
    ("outcome", "stdout"),
    ("outcome", "value"),
    ("outcome", "stderr_file"),
    ("outcome", "value_file"),
    ("outcome", "stdout_omitted"),
    ("outcome", "stderr_omitted"),
    ("run", "workers"),
    ("job", "queued_us"),
    ("outcome", "user_us"),
    ("outcome", "max_rss_kib"),
    ("outcome", "ended_us"),
    ("outcome", "stderr"),
    ("attempt", "verdict"),
    ("attempt", "started_us"),
    ("attempt", "wall_us"),
    ("attempt", "error"),
    ("attempt", "host"),
    ("outcome", "host"),
    ("host", "run"),
    ("host", "host"),
    ("host", "slots"),
];

/// An even first byte: the rest is the file. An odd one: the rest says what stands in
/// the columns of a sound file whose tables take anything.
pub fn run_file(data: &[u8]) {
    let [how, rest @ ..] = data else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("run");
    if how % 2 == 0 {
        fs::write(&path, rest).expect("a file");
    } else if made(&path, rest).is_err() {
        return;
    }
    read_run_file(&path);
}

/// Makes a file with three jobs, two of them done, and changes it.
fn made(path: &Path, mut changes: &[u8]) -> rusqlite::Result<()> {
    let file = Connection::open(path)?;
    file.execute_batch(&SCHEMA.replace(") strict;", ");"))?;
    file.pragma_update(None, "application_id", APPLICATION_ID)?;
    file.pragma_update(None, "user_version", 3)?;
    file.execute_batch(
        "insert into run values (1, 'a', 1, 2, null, '1', 'host', 3, '/', x'2d2d00', 'p', x'00', 2);
         insert into job values (1, zeroblob(16), 1, 1, null, 'a', null, 1),
             (2, zeroblob(16), 2, 2, null, 'b', null, null), (3, zeroblob(16), 3, 3, null, 'c', 1, 2);
         insert into outcome (n, job, run, verdict, attempts, stdout)
             values (1, 1, 1, 'ok', 1, 'out'), (2, 2, 1, 'failed', 2, null);
         insert into attempt (job, run, attempt, verdict) values (2, 1, 1, 'crashed'),
             (3, 1, 1, 'interrupted');
         insert into host values (1, 'h', 4);",
    )?;
    while let [column, row, kind, length, rest @ ..] = changes {
        let (table, column) = COLUMNS[usize::from(*column) % COLUMNS.len()];
        let (bytes, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        changes = rest;
        let number = bytes.iter().fold(0_i64, |n, &b| n << 8 | i64::from(b));
        let value = match kind % 6 {
            0 => Value::Null,
            1 => Value::Integer(number),
            2 => Value::Integer(-number),
            3 => Value::Real(number as f64),
            4 => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            _ => Value::Blob(bytes.to_vec()),
        };
        let update = format!("update {table} set {column} = ? where rowid = ?");
        // What a constraint forbids is another file's matter.
        file.execute(&update, (value, row % 4)).ok();
    }
    Ok(())
}
