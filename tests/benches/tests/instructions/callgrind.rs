//! A program and its worker under valgrind's callgrind, and what it counted.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// What one process has cost from its start to its end.
#[derive(Debug)]
pub(crate) struct Profile {
    /// For `callgrind_annotate`.
    pub(crate) file: PathBuf,
    /// The program and its arguments.
    pub(crate) command: String,
    pub(crate) instructions: u64,
    /// Calls of the allocator's functions that give memory.
    pub(crate) allocations: u64,
}

const ALLOCATORS: [&str; 5] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];

/// How long a run may take: many times what it does on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(5);

/// Runs a program with all processes that it starts, and gives what each has
/// cost and what was printed; nothing when there is no valgrind.
///
/// Profiles and output are left in `dir`, which is emptied first.
pub(crate) fn run(dir: &Path, input: &str, argv: &[&str]) -> Option<(Vec<Profile>, String)> {
    fs::remove_dir_all(dir).ok();
    fs::create_dir_all(dir).expect("a directory in cargo's target");
    let file = |name: &str| dir.join(name);
    fs::write(file("stdin"), input).expect("a file for the input");
    let started = Command::new("valgrind")
        .args(["-q", "--tool=callgrind", "--trace-children=yes"])
        .arg(format!("--callgrind-out-file={}/%p", dir.display()))
        .args(argv)
        // Where somebody's own options would be found.
        .env_remove("VALGRIND_OPTS")
        // Runs are remembered there.
        .env("XDG_STATE_HOME", dir.join("state"))
        .stdin(File::open(file("stdin")).expect("the input"))
        .stdout(File::create(file("stdout")).expect("a file"))
        .stderr(File::create(file("stderr")).expect("a file"))
        .spawn();
    let status = match started {
        Ok(child) => end_of(child),
        Err(e) if e.kind() == ErrorKind::NotFound => return None,
        Err(e) => panic!("valgrind does not start: {e}"),
    };
    let text = |name| fs::read_to_string(file(name)).expect("what was printed");
    assert!(
        status.is_some_and(|status| status.success()),
        "{argv:?} under valgrind ended with {status:?} (none: it took longer than {PATIENCE:?}):\n{}",
        text("stderr")
    );
    let profiles = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_stem().is_some_and(is_number))
        .map(|path| {
            // Names of functions may be anything.
            let text = fs::read(&path).expect("a profile");
            parse(path, &String::from_utf8_lossy(&text))
        })
        .collect();
    Some((profiles, text("stdout")))
}

fn is_number(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.parse::<u32>().is_ok())
}

/// Waits for the end, and makes one when it does not come; workers end with
/// the program that they work for.
fn end_of(mut child: Child) -> Option<ExitStatus> {
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        if let Some(status) = child.try_wait().expect("our own child") {
            return Some(status);
        }
        std::thread::sleep(LOOK);
    }
    child.kill().ok();
    child.wait().ok();
    None
}

/// Reads a profile: <https://valgrind.org/docs/manual/cl-format.html>. A name
/// stands in it once, behind its number; later on the number is all there is.
fn parse(file: PathBuf, text: &str) -> Profile {
    let mut profile = Profile {
        file,
        command: String::new(),
        instructions: 0,
        allocations: 0,
    };
    let mut names = HashMap::new();
    let mut called = "";
    for line in text.lines() {
        let Some((key, value)) = line.split_once(['=', ':']) else {
            continue;
        };
        match key {
            "cmd" => value.trim().clone_into(&mut profile.command),
            "totals" => profile.instructions = value.trim().parse().expect("a number"),
            "fn" | "cfn" => {
                let (number, name) = value.split_once(' ').unwrap_or((value, ""));
                let known = names.entry(number).or_insert(name);
                if key == "cfn" {
                    called = known;
                }
            }
            "calls" if ALLOCATORS.contains(&called) => {
                let count = value.split(' ').next().unwrap_or_default();
                profile.allocations += count.parse::<u64>().expect("a number");
            }
            _ => {}
        }
    }
    profile
}

#[test]
fn a_profile_is_read_with_names_that_are_numbers() {
    let text = "version: 1\ncmd:  /bin/program 20 --with=this\npositions: line\n\
        fl=(1) a.c\nfn=(1) main\n16 400\ncfi=(2) malloc.c\ncfn=(2) malloc\ncalls=7 0 \n16 700\n\
        cfn=(3) free\ncalls=5 0 \n16 500\n\nfn=(2)\n7 100\ncfn=(4) sysmalloc\ncalls=1 0 \n7 30\n\n\
        fn=(5) realloc\n1 1\n\nfn=(6) other\ncfn=(2)\ncalls=2 0 \n4 10\ncfn=(5)\ncalls=4 +3 \n4 1\n\n\
        totals: 123456\n";
    let profile = parse(PathBuf::from("1"), text);
    assert_eq!(profile.command, "/bin/program 20 --with=this");
    assert_eq!(profile.instructions, 123_456);
    assert_eq!(profile.allocations, 7 + 2 + 4);
}
