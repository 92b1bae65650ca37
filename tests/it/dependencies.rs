//! What `cargo deny check` would say without asking anybody: licences,
//! duplicate versions, the pinned codec, the size of the library's tree.

#![expect(clippy::disallowed_methods, reason = "these tests ask cargo")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// All packages of the workspace's tree for this platform.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo metadata");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let in_tree: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let all = metadata["packages"].as_array().expect("packages");
    all.iter()
        .filter(|p| in_tree.contains(p["id"].as_str().unwrap_or_default()))
        .cloned()
        .collect()
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

#[test]
fn f137_all_licences_are_ones_that_we_may_use() {
    let ours = [
        "MIT",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-3-Clause",
        "Unicode-3.0",
        "Unlicense",
        "Zlib",
    ];
    for package in packages() {
        let licence = text(&package, "license").replace('/', " OR ");
        // All parts of a conjunction, one choice of each.
        let fine = licence.split(" AND ").all(|part| {
            part.trim_matches(['(', ')', ' '])
                .split(" OR ")
                .any(|choice| ours.contains(&choice.trim_matches(['(', ')', ' '])))
        });
        assert!(fine, "{}: `{licence}`", text(&package, "name"));
    }
}

#[test]
fn no_crate_is_there_twice() {
    let mut versions = BTreeMap::<String, Vec<String>>::new();
    for package in packages() {
        let name = text(&package, "name").to_owned();
        let version = text(&package, "version").to_owned();
        versions.entry(name).or_default().push(version);
    }
    versions.retain(|_, found| found.len() > 1);
    assert!(versions.is_empty(), "{versions:?}");
}

#[test]
fn bincode_is_the_one_that_compiles() {
    let all = packages();
    let bincode = all.iter().find(|p| text(p, "name") == "bincode");
    assert_eq!(text(bincode.expect("bincode"), "version"), "1.3.3");
}

/// The crates that a package is built from, seen from this workspace.
fn normal_tree(package: &str, args: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", package])
        .args(args)
        .args(["--edges", "normal", "--prefix", "none", "--locked"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo tree");
    assert!(output.status.success());
    let tree = String::from_utf8(output.stdout).expect("text");
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

#[test]
fn f137_every_package_is_ours_or_comes_from_the_registry() {
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    for package in packages() {
        // None where it lies in this repository.
        let source = package["source"].as_str().unwrap_or(registry);
        assert_eq!(source, registry, "{}", text(&package, "name"));
    }
    let all = packages();
    let bytes = all.iter().find(|p| text(p, "name") == "bytes");
    let version = text(bytes.expect("bytes"), "version");
    let numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap()).collect();
    // RUSTSEC-2026-0007
    assert!(numbers >= vec![1, 11, 1], "bytes {version}");
}

#[test]
fn f125_nothing_that_quotes_for_a_shell_is_built_in() {
    // Data becomes arguments; who has to quote it has made text of it.
    let quoting = [
        "shlex",
        "shell-escape",
        "shell-words",
        "shell-quote",
        "shellwords",
        "snailquote",
        "yash-quote",
    ];
    for package in ["protocol", "worker", "orchestrator"] {
        let tree = normal_tree(package, &[]);
        assert!(tree.contains("libc") || tree.contains("serde"), "{tree:?}");
        let found: Vec<_> = quoting
            .iter()
            .filter(|name| tree.contains(**name))
            .collect();
        assert!(found.is_empty(), "{package}: {found:?}");
    }
}

#[test]
fn the_library_alone_needs_no_command_line_crates() {
    let crates = normal_tree("orchestrator", &["--no-default-features"]);
    assert!(crates.contains("tokio"), "{crates:?}");
    assert!(crates.len() < 60, "{} crates: {crates:?}", crates.len());
    for unwanted in ["clap", "anyhow", "rusqlite", "indicatif"] {
        assert!(!crates.contains(unwanted), "{unwanted}");
    }
}
