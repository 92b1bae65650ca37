//! Outputs in files: their paths, trees of results, and tables.

use std::path::Path;

use orchestrator_tests::{TestEnv, eventually};
use serde_json::Value;

use super::lines;
use crate::run::{objects, run};

/// The files below a directory with what they hold.
fn tree(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn paths_of_files_are_printed_instead_of_outputs() {
    let env = TestEnv::new();
    std::fs::create_dir(env.path().join("t")).unwrap();
    let args = [
        "-q",
        "-k",
        "--files",
        "--tmpdir",
        "t",
        "-c",
        "echo {}; echo e >&2; echo $TMPDIR",
    ];
    let done = run(&env, &args, "a\nb\n");
    assert_eq!(done.stderr, "e\ne\n");
    let dir = env.path().join("t");
    for (line, name) in done.stdout().lines().zip(["a", "b"]) {
        let text = std::fs::read_to_string(env.path().join(line)).unwrap();
        assert_eq!(text, format!("{name}\n{}\n", dir.display()));
    }
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 2);
    let done = run(&env, &["--tmpdir", "/nowhere", "true"], "a\n");
    assert_eq!(done.code(), 2);
}

#[test]
fn results_are_in_a_tree_as_gnu_parallel_lays_it_out() {
    let env = TestEnv::new();
    let script = "echo out; echo err >&2; exit 3";
    let done = run(
        &env,
        &["-q", "--results", "d", "-c", &format!("{script}; : {{}}")],
        "a/b\n..\n",
    );
    assert_eq!((done.code(), done.stdout(), &done.stderr[..]), (1, "", ""));
    let found = tree(&env.path().join("d"));
    let names: Vec<&str> = found.iter().map(|(name, _)| &name[..]).collect();
    let expected = [
        "1/\\../seq",
        "1/\\../stderr",
        "1/\\../stdout",
        "1/a\\_b/seq",
        "1/a\\_b/stderr",
        "1/a\\_b/stdout",
    ];
    assert_eq!(names, expected);
    assert_eq!(found[3].1, "1");
    assert_eq!((&found[4].1[..], &found[5].1[..]), ("err\n", "out\n"));
    // By name, and in a directory by name.
    run(
        &env,
        &["-q", "--results", "n/{}-{#}.out", "echo", "{}"],
        "a\n",
    );
    let names: Vec<String> = tree(&env.path().join("n"))
        .into_iter()
        .map(|(n, _)| n)
        .collect();
    assert_eq!(names, ["a-1.out", "a-1.out.err", "a-1.out.seq"]);
    run(&env, &["-q", "--results", "m/{}/", "echo", "{}"], "a\n");
    let names: Vec<String> = tree(&env.path().join("m"))
        .into_iter()
        .map(|(n, _)| n)
        .collect();
    assert_eq!(names, ["a/seq", "a/stderr", "a/stdout"]);
}

#[test]
fn defect_7_equal_arguments_do_not_overwrite_each_others_results() {
    let env = TestEnv::new();
    for (args, last) in [
        (["--results", "d"], "stdout"),
        (["--results", "n/{}"], "n/a"),
    ] {
        let args = [&["-q", "-j2"], &args[..], &["echo", "{#}", "{}"]].concat();
        let done = run(&env, &args, "a\na\na\nb\na\n");
        assert_eq!(done.code(), 0, "{}", done.stderr);
        assert!(done.stderr.starts_with("warning: `"), "{}", done.stderr);
        let root = env.path().join(if last == "stdout" { "d" } else { "n" });
        let found = tree(&root);
        let is_stdout = |name: &str| name.ends_with("/stdout") || !name.contains(['/', '.']);
        let mut outputs: Vec<&str> = Vec::new();
        for (name, text) in &found {
            if is_stdout(name) {
                outputs.push(text);
            }
        }
        outputs.sort_unstable();
        assert_eq!(
            outputs,
            ["1 a\n", "2 a\n", "3 a\n", "4 b\n", "5 a\n"],
            "{found:?}"
        );
    }
}

#[test]
fn results_that_are_there_are_not_lost() {
    let env = TestEnv::new();
    for name in ["d", "t.csv"] {
        run(&env, &["-q", "--results", name, "echo", "old", "{}"], "a\n");
        // Of another time, by the clock of the file system.
        let path = env
            .path()
            .join(if name == "d" { "d/1/a/seq" } else { name });
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let probe = env.path().join("probe");
        eventually("time passes", || {
            std::fs::write(&probe, "").unwrap();
            let now = std::fs::metadata(&probe).unwrap().modified().unwrap();
            now.duration_since(modified)
                .is_ok_and(|d| d.as_millis() > 50)
        });
        let done = run(&env, &["-q", "--results", name, "echo", "new", "{}"], "a\n");
        assert!(
            done.stderr.contains("is of an earlier run: kept as"),
            "{}",
            done.stderr
        );
    }
    let read = |path: &str| std::fs::read_to_string(env.path().join(path)).unwrap();
    assert_eq!(read("d/1/a/stdout"), "new a\n");
    assert_eq!(read("d/1/a/stdout.~1~"), "old a\n");
    assert!(read("t.csv").contains("new a\n") && read("t.csv.~1~").contains("old a\n"));
}

#[test]
fn a_table_has_a_row_for_each_job() {
    let env = TestEnv::new();
    let script = "echo \"x,\\\"{}\"; echo e >&2; exit 3";
    let args = ["-q", "-k", "-j1", "--results", "-.csv", "-c", script];
    let done = run(&env, &args, "a\nb c\n");
    assert_eq!((done.code(), &done.stderr[..]), (1, ""));
    let rows: Vec<&str> = done.stdout().split_inclusive("e\n\"\n").collect();
    let header =
        "Seq,Host,Starttime,JobRuntime,Send,Receive,Exitval,Signal,Command,V1,Stdout,Stderr\n1,:,";
    assert!(rows[0].starts_with(header), "{}", rows[0]);
    assert!(
        rows[0].ends_with(",a,\"x,\"\"a\n\",\"e\n\"\n"),
        "{}",
        rows[0]
    );
    assert!(
        rows[1].contains(",0,7,3,0,") && rows[1].contains(",\"b c\",\"x,"),
        "{}",
        rows[1]
    );
    let done = run(
        &env,
        &["-q", "-k", "--results", "-.json", "-c", script],
        "a\n",
    );
    let object = &objects(done.stdout())[0];
    assert_eq!(object["V"], Value::from(vec!["a"]));
    assert_eq!(
        (&object["Exitval"], &object["Stdout"]),
        (&3.into(), &"x,\"a\n".into())
    );
    // Out of order, what stands at the top still does.
    let script = "while [ {#} = 1 ] && [ ! -e go ]; do sleep 0.01; done; : > go; echo {}";
    let args = ["-q", "-k", "-j2", "--results", "t.tsv", "-c", script];
    let done = run(&env, &args, "a\nb\n");
    assert_eq!(done.stdout(), "");
    let rows = lines(&env.path().join("t.tsv"));
    assert_eq!(rows[0][..2], ["Seq", "Host"]);
    assert_eq!((&rows[1][0][..], &rows[3][0][..]), ("1", "2"), "{rows:?}");
}
