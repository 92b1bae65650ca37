//! The house rules that a compiler does not check.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use orchestrator_tests::TestEnv;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").to_owned()
}

/// All Rust files below a folder, with their contents.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// The lines of a file that are code.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Lines of code below `folder` that contain one of these words.
fn offences(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        for (number, line) in code(&text) {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    found
}

#[test]
fn imports_point_down() {
    // Neighbours on one floor do not know each other either.
    let floors: [&[&str]; 4] = [&["cli"], &["run", "agent"], &["pool"], &["scheduler"]];
    let all = floors.iter().enumerate();
    let all = all.flat_map(|(height, floor)| floor.iter().map(move |name| (height, name)));
    for (height, floor) in all.skip(1) {
        let neighbours = floors[height].iter().filter(|name| *name != floor);
        let mut above = Vec::new();
        for higher in floors[..height].iter().copied().flatten().chain(neighbours) {
            above.push(format!("crate::{higher}"));
            above.push(format!("super::{higher}::"));
        }
        // What the crate's door shows of a higher floor is no way round.
        if *floor == "scheduler" {
            above.extend(["crate::Pool", "crate::RawJob"].map(String::from));
        }
        let words: Vec<&str> = above.iter().map(String::as_str).collect();
        let found = offences(&format!("orchestrator/src/{floor}"), &words);
        assert!(found.is_empty(), "{floor} names a higher floor: {found:#?}");
    }
    let found = offences("protocol/src", &["orchestrator::", "worker::"]);
    assert!(found.is_empty(), "the ground names a floor: {found:#?}");
    let found = offences("worker/src", &["orchestrator::"]);
    assert!(
        found.is_empty(),
        "the worker names the orchestrator: {found:#?}"
    );
}

#[test]
fn the_scheduler_is_pure() {
    let words = [
        "tokio",
        "std::io",
        "std::process",
        "std::fs",
        "std::net",
        "std::thread",
        "Instant",
        "SystemTime",
        "async ",
        "nix::unistd",
        "libc",
    ];
    let mut found = offences("orchestrator/src/scheduler", &words);
    // Tests that measure what decisions cost.
    for test in ["scheduler/sim/scale.rs:", "scheduler/sim/agents.rs:"] {
        found.retain(|line| !line.contains(test));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_ground_does_no_io() {
    let words = [
        "std::fs",
        "std::net",
        "std::process",
        "Instant",
        "SystemTime",
        "tokio::",
    ];
    let found = offences("protocol/src", &words);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_the_codec_knows_bincode() {
    for folder in ["protocol/src", "worker/src", "orchestrator/src"] {
        let found = offences(folder, &["bincode::"]);
        let elsewhere: Vec<_> = found
            .iter()
            .filter(|line| !line.contains("protocol/src/codec"))
            .collect();
        assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    }
}

#[test]
fn f138_unsafe_code_stays_behind_the_fences() {
    let fences = [
        "worker/src/os.rs",
        "worker/src/os/",
        "orchestrator/src/pool/os.rs",
    ];
    for folder in ["protocol/src", "worker/src", "orchestrator/src"] {
        let found = offences(folder, &["unsafe "]);
        let outside: Vec<_> = found
            .iter()
            .filter(|line| !fences.iter().any(|fence| line.contains(fence)))
            .collect();
        assert!(outside.is_empty(), "{outside:#?}");
    }
}

#[test]
fn the_library_prints_nothing_and_handles_no_signal() {
    let words = [
        "println!",
        "print!",
        "eprintln!",
        "io::stdout",
        "io::stderr",
        "signal::unix",
        "ctrl_c",
        "sigaction",
    ];
    for floor in ["scheduler", "pool"] {
        let mut found = offences(&format!("orchestrator/src/{floor}"), &words);
        // What jobs print, for whoever wants it there.
        found.retain(|line| !line.contains("pool/printer.rs:"));
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn f104_the_wall_clock_is_read_in_one_place() {
    let words = [
        "SystemTime::now",
        "UNIX_EPOCH.elapsed",
        "CLOCK_REALTIME",
        "ClockId::REALTIME",
        "gettimeofday",
        "libc::time(",
        "Utc::now",
        "Local::now",
    ];
    let folders = ["protocol/src", "worker/src", "orchestrator/src"];
    let found: Vec<String> = folders
        .iter()
        .flat_map(|folder| offences(folder, &words))
        .collect();
    let [only] = &found[..] else {
        panic!("not in exactly one place: {found:#?}");
    };
    assert!(only.contains("orchestrator/src/run/report.rs:"), "{only}");
}

#[test]
fn the_page_of_faults_is_what_the_tests_names_say() {
    let env = TestEnv::new();
    let mut command = env.command(root().join("scripts/faults"));
    command.arg("--check");
    let done = env.run(command, "");
    assert_eq!(done.code(), 0, "{}", done.stderr);
}

#[test]
fn f132_the_worker_in_python_runs_no_code_that_comes_as_data() {
    let path = root().join("docs/examples/worker.py");
    let text = fs::read_to_string(path).expect("the example");
    for word in ["pickle", "marshal", "shelve", "eval(", "exec(", "yaml"] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn every_invariant_of_the_architecture_names_a_test_that_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let tests: BTreeSet<String> = ["protocol", "worker", "orchestrator", "tests"]
        .iter()
        .flat_map(|folder| sources(folder))
        .flat_map(|(_, text)| {
            let names = text.lines().filter_map(|line| {
                let rest = line.trim_start();
                let rest = rest.strip_prefix("async ").unwrap_or(rest);
                let name = rest.strip_prefix("fn ")?.split('(').next()?;
                Some(name.to_owned())
            });
            names.collect::<Vec<_>>()
        })
        .collect();
    let invariants: Vec<&str> = text.lines().filter(|l| l.starts_with("**I")).collect();
    assert!(invariants.len() >= 10, "{invariants:#?}");
    for (number, line) in (1..).zip(invariants) {
        assert!(line.starts_with(&format!("**I{number}.")), "{line}");
        let named: Vec<&str> = line
            .rsplit_once("*Test")
            .map(|(_, list)| list.split('`').skip(1).step_by(2).collect())
            .unwrap_or_default();
        assert!(!named.is_empty(), "no test is named: {line}");
        for name in named {
            assert!(tests.contains(name), "no test `{name}`: {line}");
        }
    }
}
