//! The Python package's own tests (`python/tests`), with the program of this build. Their names and verdicts are Python's;
//! what failed is shown here.

#![expect(
    clippy::disallowed_methods,
    reason = "Python's tests look after their processes"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

/// As many interpreters run at once, each with one module: tests mostly wait.
const AT_ONCE: usize = 3;

/// Modules that take long begin first, so that none of them is alone at the end.
const LONG: [&str; 4] = [
    "test_run_file.py",
    "test_executor_crashes.py",
    "test_executor.py",
    "test_worker.py",
];

#[test]
fn the_python_package_passes_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    match Command::new(&python).arg("--version").output() {
        Ok(_) => {}
        Err(error) if std::env::var_os("REQUIRE_PYTHON").is_none() => {
            // The program's other doors need no Python. Past the test harness, which keeps what a test prints that holds.
            let line = format!("the Python package: NOT TESTED; {python}: {error}\n");
            std::io::stderr().write_all(line.as_bytes()).ok();
            return;
        }
        Err(error) => panic!("{python}: {error}"),
    }
    let mut ran = 0;
    let mut failures = String::new();
    for (module, tests) in results(&python, &root) {
        let said = String::from_utf8_lossy(&tests.stderr);
        // A module without tests is a success to unittest.
        match tests_that_ran(&said) {
            Some(tests_of_it @ 1..) if tests.status.success() => ran += tests_of_it,
            _ => failures += &format!("{module}: {}: {said}\n", tests.status),
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(ran > 100, "only {ran} tests");
}

/// What each module's tests came to.
fn results(python: &str, root: &Path) -> Vec<(String, Output)> {
    let queue = Mutex::new(modules(&root.join("python/tests")).into_iter());
    let next = || queue.lock().expect("no thread has panicked").next();
    let one_after_another = || {
        let mut results = Vec::new();
        while let Some(module) = next() {
            let mut command = Command::new(python);
            command
                .args(["-m", "unittest", "discover"])
                .args(["--start-directory", "python/tests", "--pattern", &module])
                .current_dir(root)
                .env("ORCHESTRATOR", env!("CARGO_BIN_EXE_test-orchestrator"));
            results.push((module, command.output().expect("an interpreter")));
        }
        results
    };
    thread::scope(|scope| {
        let threads = [(); AT_ONCE].map(|()| scope.spawn(one_after_another));
        let ended = threads.map(|thread| thread.join().expect("results"));
        ended.into_iter().flatten().collect()
    })
}

fn modules(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder of tests");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("test_") && name.ends_with(".py"))
        .collect();
    names.sort_by_key(|name| !LONG.contains(&name.as_str()));
    names
}

fn tests_that_ran(said: &str) -> Option<u32> {
    let mut lines = said.lines();
    let line = lines.find_map(|line| line.strip_prefix("Ran "))?;
    line.split(' ').next()?.parse().ok()
}
