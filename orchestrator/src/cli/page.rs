//! Where a report goes: to stdout, or into a file, which a browser may be shown.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::args::ReportArgs;
use super::errors::Message;
use super::exit::Exit;
use super::main::{fail, say};
use super::words;
use crate::run::text;

/// Where it goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Stdout,
    /// Into this file, in the place of what is there.
    File(PathBuf),
    /// Into a new file of this name, or one like it.
    New(PathBuf),
}

/// Where the report of this run file goes.
///
/// # Errors
/// When it would take the run file's place.
pub(super) fn target(args: &ReportArgs, run_file: &Path) -> Result<Target, Message> {
    let file = match &args.output {
        None if args.open => {
            let name = format!("orchestrator-report-{}.html", std::process::id());
            return Ok(Target::New(std::env::temp_dir().join(name)));
        }
        None => return Ok(Target::Stdout),
        Some(file) if file.as_os_str() == "-" && args.open => {
            let what = "a page that is written to stdout cannot be shown in a browser";
            return Err(Message::new(what).tip("--open with -o FILE, or without -o"));
        }
        Some(file) if file.as_os_str() == "-" => return Ok(Target::Stdout),
        Some(file) => file,
    };
    let same = match (file.canonicalize(), run_file.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    if same {
        let what = "the report would take the place of the run file";
        return Err(Message::new(what).tip("-o report.html"));
    }
    Ok(Target::File(file.clone()))
}

/// Lets somebody write to a target; a file has its name when all of it is written.
///
/// # Errors
/// After saying so, when it cannot be written.
pub(super) fn write(
    target: &Target,
    put: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Exit> {
    let (written, place) = match target {
        Target::Stdout => (buffered(io::stdout().lock(), put), None),
        Target::File(path) => (into_file(path, put), Some(path)),
        Target::New(path) => (new(path).and_then(|file| buffered(file, put)), Some(path)),
    };
    match written {
        Ok(()) => Ok(()),
        Err(e) if place.is_none() && e.kind() == io::ErrorKind::BrokenPipe => {
            Err(Exit::BROKEN_PIPE)
        }
        Err(e) => {
            let place = place.map_or(String::new(), |path| {
                format!(" to {}", text::quoted(path.as_os_str().as_encoded_bytes()))
            });
            let reason = text::reason(&e);
            let what = format!("the report could not be written{place}: {reason}");
            Err(fail(&Message::new(what)))
        }
    }
}

fn buffered(out: impl Write, put: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 << 10, out);
    put(&mut out)?;
    out.flush()
}

/// A new file that only its owner can read: its directory is everybody's.
fn new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Writes beside and then renames, so that what was there is there until the new one
/// is whole.
fn into_file(path: &Path, put: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // A device, a FIFO or a link stays what it is.
    let is_special = fs::symlink_metadata(path).is_ok_and(|found| !found.is_file());
    if is_special {
        return buffered(
            OpenOptions::new().write(true).truncate(true).open(path)?,
            put,
        );
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(name);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&part)?;
    let written = buffered(&file, put).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        fs::remove_file(&part).ok();
    }
    written
}

/// A word that nobody could have guessed.
///
/// # Errors
/// When the system gives none.
pub(super) fn nonce() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// How often, and how long apart, it is asked whether a browser has said no.
const LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_millis(20);

/// Shows a page that was written in a browser.
#[expect(
    clippy::disallowed_methods,
    reason = "the one program that is no job: it is the person's own"
)]
pub(super) fn show(target: &Target) -> Exit {
    let (Target::File(path) | Target::New(path)) = target else {
        return Exit::OK;
    };
    let shown = text::escaped(path.as_os_str().as_encoded_bytes());
    say(&format!("report: {shown}\n"));
    let browser = std::env::var_os("BROWSER").filter(|browser| !browser.is_empty());
    let browser = browser.unwrap_or_else(|| "xdg-open".into());
    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let words = words_with(&browser, &path);
    let child = std::process::Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let name = text::quoted(browser.as_encoded_bytes());
    let why = match child {
        Err(e) => text::reason(&e),
        Ok(mut child) => {
            // One that stays is a browser itself, and is left to its person.
            let mut ended = child.try_wait();
            for _ in 0..LOOKS {
                if !matches!(ended, Ok(None)) {
                    break;
                }
                std::thread::sleep(LOOK);
                ended = child.try_wait();
            }
            match ended {
                Ok(Some(status)) if !status.success() => status.to_string(),
                _ => return Exit::OK,
            }
        }
    };
    fail(
        &Message::new(format!("{name} does not show the page: {why}")).tip(format!(
            "open {shown} in a browser, or say which one: BROWSER=firefox"
        )),
    )
}

/// The command line that shows a page: words of `$BROWSER`, in which `%s` is the page, else the
/// last word is. A program whose path has blanks is one word.
fn words_with(browser: &OsStr, page: &Path) -> Vec<OsString> {
    let split = words::split(browser.as_bytes()).filter(|words| !words.is_empty());
    let mut words: Vec<OsString> = match split {
        Some(words) if !Path::new(browser).exists() => {
            words.into_iter().map(OsString::from_vec).collect()
        }
        _ => vec![browser.to_owned()],
    };
    match words.iter_mut().skip(1).find(|word| *word == "%s") {
        Some(place) => *place = page.into(),
        None => words.push(page.into()),
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_may_have_arguments() {
        let shown = |browser: &str| words_with(OsStr::new(browser), Path::new("/tmp/a b"));
        assert_eq!(shown("firefox"), ["firefox", "/tmp/a b"]);
        assert_eq!(
            shown("firefox --new-window"),
            ["firefox", "--new-window", "/tmp/a b"]
        );
        assert_eq!(
            shown("w3m -T '%s' %s -x"),
            ["w3m", "-T", "/tmp/a b", "%s", "-x"]
        );
        assert_eq!(shown("it's"), ["it's", "/tmp/a b"]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my browser");
        fs::write(&path, "").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(shown(path), [path, "/tmp/a b"]);
    }

    fn args(output: Option<&Path>, open: bool) -> ReportArgs {
        ReportArgs {
            file: "run.db".into(),
            output: output.map(Path::to_owned),
            open,
            text: false,
        }
    }

    #[test]
    fn a_report_never_takes_the_place_of_its_run() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run.db");
        fs::write(&run, "").unwrap();
        assert!(target(&args(Some(&run), false), &run).is_err());
        let html = dir.path().join("a.html");
        assert_eq!(
            target(&args(Some(&html), true), &run),
            Ok(Target::File(html))
        );
        assert_eq!(
            target(&args(Some(Path::new("-")), false), &run),
            Ok(Target::Stdout)
        );
        assert!(target(&args(Some(Path::new("-")), true), &run).is_err());
        assert_eq!(target(&args(None, false), &run), Ok(Target::Stdout));
        assert!(matches!(
            target(&args(None, true), &run),
            Ok(Target::New(_))
        ));
    }

    #[test]
    fn what_was_there_stays_until_the_new_one_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.html");
        fs::write(&path, "old").unwrap();
        let fails = into_file(&path, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("no"))
        });
        assert!(fails.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        into_file(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let device = Path::new("/dev/null");
        into_file(device, |out| out.write_all(b"new")).unwrap();
    }
}
