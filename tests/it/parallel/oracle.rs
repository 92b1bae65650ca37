//! One command line for both programs, and what is compared.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use orchestrator_tests::{Done, TestEnv};

use super::super::faults::not_tested;
use super::super::run::ORCHESTRATOR;
use super::warm;

/// What neither program's user has made: the home directory and what is remembered.
const NOT_OURS: [&str; 2] = [".home", ".state"];

/// A command line of GNU parallel, without the program's name, and what it finds
/// around it.
///
/// ```ignore
/// Line::new(&["-k", "echo {/}"]).stdin("a/b\nc/d\n").same();
/// Line::new(&["-j2", "echo", ":::", "a", "b"]).any_order().same();
/// ```
#[derive(Clone)]
pub(crate) struct Line {
    words: Vec<OsString>,
    /// What ours is to be, when it is not the same line behind `parallel`.
    ours: Option<Vec<OsString>>,
    stdin: Vec<u8>,
    files: Vec<(String, Vec<u8>)>,
    env: Vec<(String, OsString)>,
    any_order: bool,
    stderr: bool,
    only_failed: bool,
    /// Of this file with columns, only these.
    columns: Option<(String, Vec<usize>)>,
}

/// What a program did, and the files that it left.
struct Seen {
    done: Done,
    files: BTreeMap<String, Vec<u8>>,
}

impl Line {
    pub(crate) fn new<W: AsRef<OsStr>>(words: &[W]) -> Line {
        Line {
            words: words.iter().map(|word| word.as_ref().into()).collect(),
            ours: None,
            stdin: Vec::new(),
            files: Vec::new(),
            env: Vec::new(),
            any_order: false,
            stderr: false,
            only_failed: false,
            columns: None,
        }
    }

    /// Compares with this command line of ours, with the subcommand: `["run", "-k", …]`.
    /// Of the exit code, only whether it is 0.
    pub(crate) fn ours<W: AsRef<OsStr>>(mut self, words: &[W]) -> Line {
        self.ours = Some(words.iter().map(|word| word.as_ref().into()).collect());
        self.only_failed = true;
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Line {
        self.stdin = bytes.into();
        self
    }

    /// A file that is there before, by its path in the directory.
    pub(crate) fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Line {
        self.files.push((name.into(), content.into()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Line {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Lines on stdout (and stderr) may come in any order.
    pub(crate) fn any_order(mut self) -> Line {
        self.any_order = true;
        self
    }

    /// Stderr must be the same as well.
    pub(crate) fn stderr(mut self) -> Line {
        self.stderr = true;
        self
    }

    /// Of the exit code, only whether it is 0.
    pub(crate) fn only_failed(mut self) -> Line {
        self.only_failed = true;
        self
    }

    /// Of the file with this name, only these columns are compared, which TABs divide.
    pub(crate) fn only_columns(mut self, name: &str, columns: &[usize]) -> Line {
        self.columns = Some((name.into(), columns.into()));
        self
    }

    /// Both do the same: bytes on stdout, exit code, and files that are left. Gives
    /// what ours did, for what is to hold where there is no GNU parallel, too.
    pub(crate) fn same(self) -> Done {
        let ours = self.run_ours();
        if let Some(theirs) = self.run_gnu() {
            self.compare(&ours, &theirs);
        }
        ours.done
    }

    /// What ours does, when there is nothing to compare it with.
    pub(crate) fn alone(self) -> Done {
        self.run_ours().done
    }

    /// What each of them does, ours first, for what is deliberately different; theirs
    /// only where it is installed.
    pub(crate) fn both(self) -> (Done, Option<Done>) {
        let ours = self.run_ours().done;
        (ours, self.run_gnu().map(|seen| seen.done))
    }

    fn compare(&self, ours: &Seen, theirs: &Seen) {
        let told = format!(
            "parallel {:?}\n  ours: {:?}\n  stderr of ours: {}\n  stderr of theirs: {}",
            self.words, ours.done.status, ours.done.stderr, theirs.done.stderr
        );
        let order = |bytes: &[u8]| self.ordered(bytes);
        assert_eq!(
            shown(&order(&ours.done.stdout)),
            shown(&order(&theirs.done.stdout)),
            "stdout (ours left): {told}"
        );
        if self.stderr {
            let (ours, theirs) = (ours.done.stderr.as_bytes(), theirs.done.stderr.as_bytes());
            assert_eq!(
                shown(&order(ours)),
                shown(&order(theirs)),
                "stderr (ours left): {told}"
            );
        }
        let (mine, gnus) = (ours.done.code(), theirs.done.code());
        match self.only_failed {
            true => assert_eq!(mine == 0, gnus == 0, "ours {mine}, theirs {gnus}: {told}"),
            false => assert_eq!(mine, gnus, "exit code (ours left): {told}"),
        }
        assert_eq!(ours.files, theirs.files, "files (ours left): {told}");
    }

    fn ordered(&self, bytes: &[u8]) -> Vec<u8> {
        if !self.any_order {
            return bytes.to_vec();
        }
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        lines.sort_unstable();
        lines.concat()
    }

    fn run_ours(&self) -> Seen {
        let env = TestEnv::new();
        let mut command = env.command(ORCHESTRATOR);
        match &self.ours {
            Some(words) => command.args(words),
            None => command.arg("parallel").args(&self.words),
        };
        self.run(&env, command, |command| {
            env.run(command, self.stdin.clone())
        })
    }

    fn run_gnu(&self) -> Option<Seen> {
        if !is_installed() {
            return None;
        }
        let env = TestEnv::new();
        let words = [&["--will-cite".into()], &self.words[..]].concat();
        Some(self.run(&env, env.command("parallel"), |command| {
            warm::run(&env, &command, &words, &self.stdin)
        }))
    }

    fn run(&self, env: &TestEnv, mut command: Command, run: impl FnOnce(Command) -> Done) -> Seen {
        for (name, content) in &self.files {
            let path = env.path().join(name);
            write(&path, content);
            // What is of a moment ago may be of this run.
            let file = std::fs::File::options().append(true).open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        surroundings(env, &mut command);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let done = run(command);
        let mut files = BTreeMap::new();
        collect(env.path(), env.path(), &mut files);
        if let Some((name, columns)) = &self.columns
            && let Some(content) = files.get_mut(name)
        {
            let lines = content.split(|&byte| byte == b'\n').map(|line| {
                let all: Vec<&[u8]> = line.split(|&byte| byte == b'\t').collect();
                let some = columns
                    .iter()
                    .filter_map(|&column| all.get(column).copied());
                some.collect::<Vec<_>>().join(&b'\t')
            });
            *content = lines.collect::<Vec<_>>().join(&b'\n');
        }
        Seen { done, files }
    }
}

/// What both find: no settings of whoever runs the tests, and a shell that nobody has to
/// guess.
fn surroundings(env: &TestEnv, command: &mut Command) {
    let home = env.path().join(".home");
    std::fs::create_dir_all(&home).unwrap();
    for (name, content) in known() {
        write(&home.join(name), content);
    }
    command
        .env_remove("PARALLEL")
        .env("HOME", home)
        .env("PARALLEL_SHELL", "/bin/sh")
        .env("SHELL", "/bin/sh");
}

/// What GNU parallel finds out about the machine when it runs for the first time, which
/// takes it as long as all the rest: how long a command line may be, and the like.
fn known() -> &'static BTreeMap<String, Vec<u8>> {
    static KNOWN: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let env = TestEnv::new();
        let mut command = env.command("parallel");
        command.args(["--will-cite", "true", ":::", "x"]);
        command
            .env("HOME", env.path())
            .env("PARALLEL_SHELL", "/bin/sh");
        let mut files = BTreeMap::new();
        // It may not be there at all.
        if env.run(command, "").status.success() {
            collect(env.path(), env.path(), &mut files);
        }
        files.retain(|name, _| name.starts_with(".parallel/") && !name.ends_with('/'));
        files
    })
}

fn write(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Whether there is something to compare with.
pub(super) fn is_installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    let installed = *INSTALLED.get_or_init(|| {
        let env = TestEnv::new();
        let mut command = env.command("parallel");
        command.args(["--will-cite", "--version"]);
        surroundings(&env, &mut command);
        // There is another program of that name.
        env.run(command, "").stdout.starts_with(b"GNU parallel")
    });
    if !installed {
        let reason = "GNU parallel is not installed";
        assert!(std::env::var_os("REQUIRE_PARALLEL").is_none(), "{reason}");
        let thread = std::thread::current();
        not_tested(thread.name().unwrap_or("a test"), reason);
    }
    installed
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\n", "\n")
}

/// The files below a directory, and what is in them; directories as such end with `/`.
fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files);
            files.insert(name + "/", Vec::new());
        } else {
            // A pipe would be waited for.
            let content = path.is_file().then(|| std::fs::read(&path).unwrap());
            files.insert(name, content.unwrap_or_default());
        }
    }
}

#[test]
fn the_harness_compares() {
    let line = || Line::new(&["-k", "echo {}; echo {} > {}.made; false"]).stdin("a\nb\n");
    let done = line()
        .ours(&["run", "-k", "-c", "echo {}; echo {} > {}.made; false"])
        .same();
    assert_eq!(done.stdout(), "a\nb\n");
    if !is_installed() {
        return;
    }
    for other in [
        "echo {}; echo {} > {}.made",
        "echo {}; echo {} > {}.other; false",
        "echo {}; echo 1 > {}.made; false",
        "echo x; echo {} > {}.made; false",
    ] {
        let line = line().ours(&["run", "-k", "-c", other]);
        let (ours, theirs) = (line.run_ours(), line.run_gnu().unwrap());
        let compared = AssertUnwindSafe(|| line.compare(&ours, &theirs));
        assert!(catch_unwind(compared).is_err(), "{other}");
    }
}
