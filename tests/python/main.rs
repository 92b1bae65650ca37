//! The Python package's own tests (`python/tests`), with the program of this build. Their names and verdicts are Python's;
//! what failed is shown here.

use std::io::Write;
use std::path::Path;
use std::process::Command;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "Python's tests look after their processes"
)]
fn the_python_package_passes_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let tests = Command::new(&python)
        .args([
            "-m",
            "unittest",
            "discover",
            "--start-directory",
            "python/tests",
        ])
        .current_dir(root)
        .env("ORCHESTRATOR", env!("CARGO_BIN_EXE_test-orchestrator"))
        .output();
    let tests = match tests {
        Ok(tests) => tests,
        Err(error) if std::env::var_os("REQUIRE_PYTHON").is_none() => {
            // The program's other doors need no Python. Past the test harness, which keeps what a test prints that holds.
            let line = format!("the Python package: NOT TESTED; {python}: {error}\n");
            std::io::stderr().write_all(line.as_bytes()).ok();
            return;
        }
        Err(error) => panic!("{python}: {error}"),
    };
    let said = String::from_utf8_lossy(&tests.stderr);
    assert!(tests.status.success(), "{}: {said}", tests.status);
    // A directory without tests is a success to unittest.
    let ran = said.lines().find_map(|line| {
        line.strip_prefix("Ran ")?
            .split(' ')
            .next()?
            .parse::<u32>()
            .ok()
    });
    assert!(ran.is_some_and(|ran| ran > 100), "{said}");
}
