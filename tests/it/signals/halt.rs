//! Runs that end themselves by `--halt`.

use std::fs::File;

use orchestrator_tests::TestEnv;

use super::command;

#[test]
fn halt_now_ends_the_running_and_halt_soon_waits_for_them() {
    let env = TestEnv::new();
    // What the first prints is shown when it has failed, and the halt is decided then.
    let script = "touch up.$1; until test $(ls up.* | wc -l) -ge 2; do sleep 0.01; done; \
                  test $1 = 1 && { echo failed; exit 9; }; \
                  until test -s $0; do sleep 0.01; done; echo lived";
    for (halt, wait, shown) in [
        ("now,fail=1", "never", "failed\n"),
        ("soon,fail=1", "out", "failed\nlived\n"),
    ] {
        for file in ["up.1", "up.2"] {
            std::fs::remove_file(env.path().join(file)).ok();
        }
        let args = ["-j2", "--halt", halt, "--", "sh", "-c", script, wait, "{}"];
        let mut command = command(&env, &args);
        command.stdout(File::create(env.path().join("out")).unwrap());
        let done = env.run(command, "1\n2\n3\n4\n5\n");
        let out = std::fs::read_to_string(env.path().join("out")).unwrap();
        assert_eq!((done.code(), &*out), (1, shown), "{halt}");
        assert!(done.stderr.contains("1 failed"), "{}", done.stderr);
        assert!(!env.path().join("up.5").exists());
    }
}

#[test]
fn a_halt_without_failures_is_a_success() {
    let env = TestEnv::new();
    let args = ["-j1", "--halt", "now,done=2", "--", "true"];
    let done = env.run(command(&env, &args), "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(done.stderr.contains("stopped after"), "{}", done.stderr);
    let args = ["-j1", "-q", "--halt", "soon,fail=100%", "--", "false"];
    let done = env.run(command(&env, &args), "1\n2\n");
    assert_eq!(done.code(), 1);
}

#[test]
fn a_share_of_all_jobs_is_known_before_the_first_one_starts() {
    let env = TestEnv::new();
    let script = "touch up.$1; exit 1";
    let args = [
        "-j2",
        "-q",
        "--halt",
        "soon,fail=5%",
        "--",
        "sh",
        "-c",
        script,
        "sh",
    ];
    let lines: String = (1..=200).map(|n| format!("{n}\n")).collect();
    let done = env.run(command(&env, &args), lines);
    assert_eq!(done.code(), 1);
    let entries = std::fs::read_dir(env.path()).unwrap().flatten();
    let up = entries.filter(|e| e.file_name().to_string_lossy().starts_with("up."));
    let up = up.count();
    // The tenth decides, and one may run beside it.
    assert!((10..=11).contains(&up), "{up}");
}

#[test]
fn nothing_starts_behind_the_job_that_decides_though_workers_are_still_starting() {
    use std::os::unix::fs::PermissionsExt;
    let env = TestEnv::new();
    let worker = env!("CARGO_BIN_EXE_test-worker");
    // The others come when the first job is over, which is when its output is shown.
    let script = format!(
        "#!/bin/sh\nmkdir first 2>/dev/null || until test -s out; do sleep 0.01; done\n\
         exec {worker}\n"
    );
    let path = env.file("worker", script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let args = ["-j4", "-q", "--halt", "soon,done=1", "--worker", "./worker"];
    let job = "touch up.$1; echo $1";
    let args = [&args[..], &["--", "sh", "-c", job, "sh"]].concat();
    let mut command = command(&env, &args);
    command.stdout(File::create(env.path().join("out")).unwrap());
    let done = env.run(command, "1\n2\n3\n4\n5\n6\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let up = |n: u32| env.path().join(format!("up.{n}")).exists();
    assert!(up(1) && !up(2), "{}", up(3));
}
