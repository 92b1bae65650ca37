use super::super::tests::{planned, refused};
use super::quote::quoted;
use super::*;

fn launched(words: &[&str]) -> Vec<(String, Vec<String>)> {
    let text = |word: &OsString| word.to_str().unwrap().to_owned();
    let agents = planned(words).batch.pool.agents;
    agents
        .iter()
        .map(|agent| {
            let args = &agent.launch.args;
            assert_eq!(args[..2], ["launch", "--"]);
            (agent.host.to_string(), args[2..].iter().map(text).collect())
        })
        .collect()
}

#[test]
fn hosts_are_reached_by_ssh_and_what_a_shell_reads_there_is_quoted() {
    let all = launched(&[
        "--hosts=3/h1,me@h2",
        "--ssh=ssh -F 'my config'",
        "--agent=/opt/o's/orchestrator",
        "--wd=/tmp/a b",
        "true",
    ]);
    let (host, words) = &all[0];
    assert_eq!(host, "h1");
    assert_eq!(words[..4], ["ssh", "-F", "my config", "-T"]);
    assert_eq!(words[words.len() - 3..words.len() - 1], ["--", "h1"]);
    let line = &words[words.len() - 1];
    assert!(
        line.starts_with("exec '/opt/o'\\''s/orchestrator' agent --silence=18000ms"),
        "{line}"
    );
    assert!(line.contains(" '--workdir=/tmp/a b' "), "{line}");
    assert!(line.ends_with(" --make-workdir --workers=3"), "{line}");
    assert!(
        !all[1].1.last().unwrap().contains("--workers"),
        "it knows its CPUs"
    );
    let line = &launched(&["--hosts=h1", "true"])[0].1;
    assert!(line.last().unwrap().starts_with("exec sh -c 'if [ -x "));
}

#[test]
fn this_machine_may_be_one_of_them() {
    let pool = planned(&["-j3", "--hosts=h1,h2", "true"]).batch.pool;
    assert_eq!((pool.workers, pool.agents.len()), (2, 2));
    let line = pool.agents[0].launch.args.last().unwrap().to_str().unwrap();
    assert!(line.ends_with("--workers=3"), "{line}");
    let pool = planned(&["-j3", "--hosts=h1,:", "true"]).batch.pool;
    assert_eq!((pool.workers, pool.agents.len()), (4, 1));
    let pool = planned(&["--hosts=2/:", "true"]).batch.pool;
    assert_eq!((pool.workers, pool.agents.len()), (2, 0));
}

#[test]
fn a_template_says_where_the_agent_goes() {
    let (host, words) =
        launched(&["--agent=/o", "--launch=podman run -i img {agent}", "true"]).remove(0);
    assert_eq!(host, "podman");
    assert_eq!(words[..6], ["podman", "run", "-i", "img", "/o", "agent"]);
    let all = launched(&[
        "--agent=/o",
        "--hosts=a,2/b",
        "--launch=jump {host} 'exec {agent}'",
        "true",
    ]);
    assert_eq!(all[1].0, "b");
    assert_eq!(all[1].1[..2], ["jump", "b"]);
    assert!(all[1].1[2].starts_with("exec /o agent ") && all[1].1[2].ends_with(" --workers=2"));
    assert!(refused(&["--launch=ssh h", "true"]).contains("says nowhere {agent}"));
}

#[test]
fn what_does_not_hold_elsewhere_is_refused() {
    for words in [
        &["--hosts=h", "--load=3", "true"][..],
        &["--hosts=h", "--memfree=1G", "true"],
        &["--hosts=h", "--pipe", "--round-robin", "true"],
        &["--hosts=h", "--run-file=f", "--on-interrupted=fail", "true"],
    ] {
        let message = refused(words);
        assert!(
            message.contains("exclude each other"),
            "{words:?}: {message}"
        );
    }
    assert!(refused(&["--ssh=x", "true"]).contains("no other machine is named"));
    assert!(refused(&["--hosts=,", "true"]).contains("no host is named"));
}

#[test]
fn ways_to_hosts_that_nobody_would_go_are_refused() {
    let way = "--launch=a {host} {agent}";
    for (words, said) in [
        (
            &["--hosts=h", way, "--launch=b {host} {agent}", "true"][..],
            "another --launch",
        ),
        (&[way, "--launch=b {agent}", "true"], "and none is named"),
        (&[way, "--hosts=:", "true"], "and none is named"),
        (&["--ssh=x", "--slurm=1", "true"], "and none is named"),
        (
            &["--hosts=h", "--host-timeout=0.5", "true"],
            "between 1s and 1d",
        ),
        (
            &["--hosts=h", "--host-timeout=1e18", "true"],
            "between 1s and 1d",
        ),
    ] {
        let message = refused(words);
        assert!(message.contains(said), "{words:?}: {message}");
    }
}

#[test]
fn ssh_does_not_end_before_a_host_is_silent_for_too_long() {
    for (time, interval) in [("1s", 15), ("30s", 15), ("301s", 151)] {
        let time = format!("--host-timeout={time}");
        let words = launched(&["--hosts=h", &time, "true"]).remove(0).1;
        let option = format!("ServerAliveInterval={interval}");
        assert!(words.contains(&option), "{words:?}");
    }
}

#[test]
fn words_are_quoted_for_any_shell() {
    for (word, expected) in [
        ("", "''"),
        ("/a/b-c_d.e,f:g=h@i%j+k", "/a/b-c_d.e,f:g=h@i%j+k"),
        ("a b\n", "'a b\n'"),
        ("it's", r"'it'\''s'"),
        (r"a\", r"'a'\\''"),
        (r"\'!", r"''\\''\'''\!''"),
    ] {
        assert_eq!(quoted(word.as_bytes()), expected.as_bytes(), "{word}");
    }
}
