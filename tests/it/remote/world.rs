//! Machines that are made up for a test, where that can be done.

use std::path::PathBuf;
use std::process::Output;

use orchestrator_tests::TestEnv;

use crate::faults::not_tested;

/// A world of `scripts/`, which ends with this value.
pub(super) struct World<'a> {
    env: &'a TestEnv,
    script: PathBuf,
    base: PathBuf,
}

impl<'a> World<'a> {
    /// Makes one. Where that cannot be it says so, and why, and the test is none, unless
    /// `REQUIRE_SSH_WORLD` or its like is set, as in `.ci/run`.
    pub(super) fn up(env: &'a TestEnv, script: &str, what: &[&str]) -> Option<World<'a>> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../scripts")
            .join(script);
        let world = World {
            env,
            script: path,
            base: env.path().join("world"),
        };
        let check = world.run(&["check"]);
        if !check.status.success() {
            let why = String::from_utf8_lossy(&check.stderr).trim().to_owned();
            let required = format!("REQUIRE_{}", script.to_uppercase().replace('-', "_"));
            assert!(std::env::var_os(required).is_none(), "{why}");
            not_tested(script, &why);
            std::mem::forget(world);
            return None;
        }
        world.must(&[&["up"], what].concat());
        Some(world)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = self.env.command(&self.script);
        command.arg("--base").arg(&self.base).args(args);
        // Its daemons are no processes of the test, and have their own end.
        command.env_remove("ORCHESTRATOR_TEST_LIFE");
        command.output().unwrap()
    }

    /// Tells it to do something.
    pub(super) fn must(&self, args: &[&str]) -> String {
        let done = self.run(args);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{args:?}: {said}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Tells it to do something that may have been done.
    pub(super) fn may(&self, args: &[&str]) {
        self.run(args);
    }

    /// What of ours runs there.
    pub(super) fn left(&self, host: &str) -> Vec<String> {
        let all = self.must(&["ps", host]);
        let ours = |line: &&str| {
            line.contains(" agent --silence")
                || line.contains("orchestrator worker")
                || line.contains(" sh -c")
        };
        all.lines().filter(ours).map(str::to_owned).collect()
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}
