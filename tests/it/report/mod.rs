//! Reports of recorded runs: a page, and lines for a terminal.

mod browser;
mod hosts;
mod verdicts;
mod versions;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use orchestrator_tests::{Done, TestEnv, eventually};
use rusqlite::Connection;

use super::run::{ORCHESTRATOR, run};

/// Fails, is ended or takes its time, as its argument says; what is `flaky` fails
/// only once.
const JOB: [&str; 5] = [
    "sh",
    "-c",
    "case $1 in \
       fail*) echo \"cannot read $1\" >&2; exit 3;; \
       kill*) kill -SEGV $$;; \
       slow*) sleep 5;; \
       flaky*) test -e \"mark$1\" || { : > \"mark$1\"; exit 1; };; \
       nap*) sleep 0.${1#nap};; \
     esac",
    "sh",
    "{}",
];

fn orchestrator(env: &TestEnv, args: &[&str]) -> Done {
    let mut command = env.command(ORCHESTRATOR);
    command.args(args);
    env.run(command, "")
}

/// Records a run of [`JOB`] with these options in the file `run.db`.
fn recorded(env: &TestEnv, options: &[&str], stdin: impl Into<Vec<u8>>) -> Done {
    let all = [&["--run-file", "run.db"], options, &["--"], &JOB].concat();
    run(env, &all, stdin)
}

/// The page of `run.db`, and where it is.
fn page(env: &TestEnv) -> (String, PathBuf) {
    let done = orchestrator(env, &["report", "run.db", "-o", "report.html"]);
    assert_eq!((done.code(), done.stdout()), (0, ""), "{}", done.stderr);
    let path = env.path().join("report.html");
    (std::fs::read_to_string(&path).unwrap(), path)
}

fn open(env: &TestEnv) -> Connection {
    Connection::open(env.path().join("run.db")).unwrap()
}

fn number(file: &Connection, sql: &str) -> i64 {
    file.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The value of an attribute in the element that begins with this text.
fn attribute<'a>(page: &'a str, element: &str, name: &str) -> &'a str {
    let (_, behind) = page
        .split_once(element)
        .unwrap_or_else(|| panic!("no {element}"));
    let (_, value) = behind.split_once(&format!("{name}=\"")).expect(name);
    value.split('"').next().unwrap()
}

/// The nearest rank, as SQL.
fn percentile(file: &Connection, values: &str, percent: i64) -> i64 {
    number(
        file,
        &format!(
            "select v from (select {values}) where v is not null order by v limit 1 offset \
             max(0, (select (count(*) * {percent} + 99) / 100 - 1 from (select {values}) where v is not null))"
        ),
    )
}

#[test]
fn figures_are_those_of_the_run_file() {
    let env = TestEnv::new();
    let mut lines: String = (10..40).map(|n| format!("nap0{n}\n")).collect();
    lines += "fail1\nfail2\nfail3\nkill\nflaky1\nflaky2\nslow\n";
    let done = recorded(&env, &["-j4", "--retries", "1", "--timeout", "2"], lines);
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let (page, _) = page(&env);
    let file = open(&env);

    for (verdict, jobs) in [("ok", 32), ("failed", 3), ("signaled", 1), ("timeout", 1)] {
        let sql = format!("select count(*) from outcome where verdict = '{verdict}'");
        assert_eq!(number(&file, &sql), jobs, "{verdict}");
        let shown = attribute(
            &page,
            &format!("<li data-verdict=\"{verdict}\""),
            "data-jobs",
        );
        assert_eq!(shown, jobs.to_string(), "{verdict}");
    }
    assert!(page.contains("data-ok=\"32\" data-jobs=\"37\">32 of 37 jobs succeeded</h1>"));
    let figure = |name: &str| attribute(&page, &format!("data-figure=\"{name}\""), "data-value");
    let wall = number(&file, "select ended_us - began_us from run");
    assert_eq!(figure("wall-time"), wall.to_string());
    assert_eq!(figure("failed"), "5");
    let retries = number(&file, "select count(*) from attempt");
    assert_eq!(figure("retried-tries"), retries.to_string());
    assert_eq!(retries, 7);
    let cpu = "select (select total(user_us + system_us) from outcome) \
               + (select total(user_us + system_us) from attempt)";
    let cpu: f64 = file.query_row(cpu, [], |row| row.get(0)).unwrap();
    assert_eq!(figure("cpu-time"), format!("{cpu:.0}"));
    let runs = "wall_us as v from outcome";
    let measured = [50, 90, 99].map(|percent| percentile(&file, runs, percent).to_string());
    assert_eq!(figure("run-time"), measured.join(" "));
    // Of jobs with one try, from the reading of the line to its start.
    let first =
        "coalesce((select min(a.started_us) from attempt a where a.job = o.job), o.started_us)";
    let waits = format!(
        "max(0, {first} - max(j.queued_us, r.began_us)) as v \
         from outcome o join job j using (job) join run r using (run)"
    );
    let row = page.split_once("data-measure=\"wait\"").unwrap().1;
    let cells: Vec<_> = row.split("data-value=\"").skip(1).take(5).collect();
    for (cell, percent) in cells.iter().zip([0, 50, 90, 99, 100]) {
        let expected = percentile(&file, &waits, percent);
        assert_eq!(
            cell.split('"').next().unwrap(),
            expected.to_string(),
            "p{percent}"
        );
    }
    // Every try knows where and when it was.
    let whole = "select count(*) from attempt where worker is not null and started_us is not null \
                 and coalesce(wall_us, ended_us) is not null";
    assert_eq!(number(&file, whole), retries);
    assert_eq!(number(&file, "select workers from run"), 4);
    assert_eq!(
        number(&file, "select count(*) from job where queued_us is null"),
        0
    );

    // Jobs that fail alike stand together, with what they said.
    let failures = page.split_once("id=\"failures\"").unwrap().1;
    assert!(failures.contains("5 jobs in 3 groups"), "{failures:.500}");
    assert!(failures.contains("exit status 3: cannot read fail1"));
    assert!(failures.contains("and alike"));
    assert!(failures.contains("ended by SIGSEGV"));
    assert!(page.contains("id=\"slowest\"") && page.contains("id=\"retries\""));
}

#[test]
fn the_same_figures_stand_in_a_terminal() {
    let env = TestEnv::new();
    recorded(&env, &["--retries", "1"], "nap1\nflaky\nfail\n");
    let text = orchestrator(&env, &["report", "run.db"]);
    for part in [
        "\ntook ",
        "\nrun time  p50 ",
        "\nwaited    p50 ",
        "\ntries     2 tries repeated of 2 jobs, 1 ok in the end\n",
    ] {
        assert!(text.stdout().contains(part), "{part}: {}", text.stdout());
    }
    let into_file = orchestrator(&env, &["report", "run.db", "--text", "-o", "report.txt"]);
    assert_eq!(into_file.code(), 0, "{}", into_file.stderr);
    assert_eq!(
        std::fs::read(env.path().join("report.txt")).unwrap(),
        text.stdout
    );
    let piped = orchestrator(&env, &["report", "run.db", "-o", "-"]);
    assert!(piped.stdout().starts_with("<!doctype html>"));
}

/// Every word that may stand in a run file.
const VERDICTS: [&str; 13] = [
    "ok",
    "failed",
    "signaled",
    "timeout",
    "crashed",
    "oom",
    "quarantined",
    "unkillable",
    "spawn_error",
    "rejected",
    "output_limit",
    "cancelled",
    "interrupted",
];

#[test]
fn every_kind_of_verdict_is_shown() {
    let env = TestEnv::new();
    let lines: String = (0..VERDICTS.len()).map(|n| format!("job {n}\n")).collect();
    recorded(&env, &[], lines);
    let file = open(&env);
    for (job, verdict) in (1..).zip(VERDICTS) {
        let update = "update outcome set verdict = ?, exit = iif(? = 'ok', 0, null) where job = ?";
        file.execute(update, (verdict, verdict, job)).unwrap();
    }
    drop(file);
    let (page, _) = page(&env);
    for verdict in VERDICTS {
        let jobs = attribute(
            &page,
            &format!("<li data-verdict=\"{verdict}\""),
            "data-jobs",
        );
        assert_eq!(jobs, "1", "{verdict}");
        if verdict != "ok" {
            let failures = page.split_once("id=\"failures\"").unwrap().1;
            assert!(
                failures.contains(&format!(">{verdict}</span>")),
                "{verdict}"
            );
        }
    }
    assert!(page.contains(">1 of 13 jobs succeeded</h1>"));
}

/// Names that would be more than text in a page that is made carelessly.
const HOSTILE: [&[u8]; 6] = [
    b"<script>alert(1)</script>",
    b"fail</script><img src=x onerror=alert(1)>",
    b"fail\"'><svg/onload=alert(1)> &amp; `x`",
    "fail \u{2028}line\u{2029}s \u{202e}desrever".as_bytes(),
    b"fail \xff\xfe \x1b[31m \x07",
    b"fail <!-- <script> ]]> ${1}",
];

#[test]
fn names_of_jobs_are_text() {
    let env = TestEnv::new();
    recorded(
        &env,
        &["-j1"],
        [HOSTILE.join(&b'\n'), b"\n".to_vec()].concat(),
    );
    let (page, _) = page(&env);
    assert_eq!(
        page.matches("<script").count(),
        2,
        "the model and the script"
    );
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<img") && !page.contains("<svg/") && !page.contains("<!--"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("\\xff\\xfe \\u{1b}[31m \\u{7}"));
    assert!(!page.contains(['\u{202e}', '\u{1b}', '\u{7}']));
    // Only what has the word that nobody could have guessed is run.
    let nonce = attribute(&page, "<style", "nonce");
    assert_eq!(nonce.len(), 32);
    assert!(page.contains(&format!("script-src 'nonce-{nonce}'; base-uri 'none'")));
    assert!(page.contains("default-src 'none'"));
    let text = orchestrator(&env, &["report", "run.db"]);
    assert!(!text.stdout().contains(['\u{1b}', '\u{7}', '\u{202e}']));
}

#[test]
fn a_light_record_says_what_it_does_not_hold() {
    let env = TestEnv::new();
    run(
        &env,
        &[&["--"], &JOB[..]].concat(),
        "a\nb\nfail 1\nfail 2\n",
    );
    let done = orchestrator(&env, &["report", "last", "-o", "report.html"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let page = std::fs::read_to_string(env.path().join("report.html")).unwrap();
    assert!(page.contains(">2 of 4 jobs succeeded</h1>"));
    assert!(page.contains("A light record.") && page.contains("<code>--run-file FILE</code>"));
    assert!(page.contains("orchestrator retry last"));
    assert!(page.contains("cannot read fail 1") && !page.contains("data-figure=\"workers-busy\""));
    assert!(page.contains("\"draw_jobs\":false"));
}

#[test]
fn a_light_record_of_a_run_that_has_not_ended_claims_nothing_of_jobs_that_succeeded() {
    let env = TestEnv::new();
    let mut command = env.command(ORCHESTRATOR);
    command.args(["run", "-j1", "--"]).args(JOB);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\nb\nfail 1\n").unwrap();
    let recorded = || {
        let status = orchestrator(&env, &["status", "last"]);
        status.stdout().contains("failed    1\n")
    };
    eventually("a record", recorded);
    let page = |headline: &str| {
        let page = orchestrator(&env, &["report", "last", "-o", "-"]);
        let page = page.stdout();
        assert!(page.contains(&format!(">{headline}</h1>")), "{page}");
        assert!(page.contains("data-figure=\"failed\""));
        for figure in ["wall-time", "throughput"] {
            assert!(
                !page.contains(&format!("data-figure=\"{figure}\"")),
                "{figure}"
            );
        }
    };
    page("Running: 1 job did not succeed so far");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(stdin);
    page("1 job did not succeed; how many did is not known");
}

#[test]
fn what_can_be_done_next_can_be_pasted_and_is_not_refused() {
    let env = TestEnv::new();
    let name = "my run's.db";
    let quoted = "'my run'\"'\"'s.db'";
    let args = [&["--run-file", name, "--"], &JOB[..]].concat();
    run(&env, &args, "a\nfail 1\nb\n");
    // As if it had been stopped.
    let file = Connection::open(env.path().join(name)).unwrap();
    file.execute("update state set input_whole = 0", [])
        .unwrap();
    drop(file);
    let text = orchestrator(&env, &["report", name]);
    let (_, next) = text.stdout().split_once("\nall of them:").unwrap();
    assert_eq!(
        next,
        format!(
            "   orchestrator results {quoted} --failed --format jsonl\n\
             once more:     orchestrator retry --failed {quoted}\n\
             to go on:      the same command and input, with --resume\n"
        )
    );
    orchestrator(&env, &["report", name, "-o", "report.html"]);
    let page = std::fs::read_to_string(env.path().join("report.html")).unwrap();
    let shown = quoted.replace('\'', "&#39;").replace('"', "&quot;");
    assert!(page.contains(&format!("<code>orchestrator retry --failed {shown}</code>")));
    let retried = orchestrator(&env, &["retry", "--failed", name]);
    assert_eq!(retried.code(), 1, "{}", retried.stderr);

    // Read to its end, and not done to its end.
    recorded(&env, &[], "a\nb\nfail 1\n");
    let file = open(&env);
    file.execute("delete from outcome where job = 1", [])
        .unwrap();
    drop(file);
    let text = orchestrator(&env, &["report", "run.db"]);
    let steps = "once more:     orchestrator retry --failed run.db\n\
                 to go on:      orchestrator resume run.db\n";
    assert!(text.stdout().ends_with(steps), "{}", text.stdout());
    assert_eq!(orchestrator(&env, &["resume", "run.db"]).code(), 1);
    let text = orchestrator(&env, &["report", "run.db"]);
    assert!(
        text.stdout().ends_with("retry --failed run.db\n"),
        "{}",
        text.stdout()
    );
}

#[test]
fn a_run_that_goes_on_says_how_far_it_is() {
    let env = TestEnv::new();
    let script = "until test -e go; do sleep 0.02; done";
    let args = [
        "--run-file",
        "run.db",
        "-j2",
        "--",
        "sh",
        "-c",
        "test $1 -le 3 || eval \"$2\"",
        "sh",
        "{}",
        script,
    ];
    let mut command = super::run::command(&env, &args);
    command.stdin(std::fs::File::open(env.file("lines", "1\n2\n3\n4\n5\n6\n")).unwrap());
    let child = command.spawn().unwrap();
    eventually("three jobs are done", || {
        let path = env.path().join("run.db");
        path.exists()
            && Connection::open(path).is_ok_and(|file| {
                file.query_row("select count(*) from outcome", [], |row| row.get(0)) == Ok(3_i64)
            })
    });
    let (going, _) = page(&env);
    assert!(going.contains("class=\"runs\"") && going.contains(">Running: 3 of 6 jobs done</h1>"));
    assert!(going.contains("<strong>Still running.</strong>"));
    assert!(going.contains("data-verdict=\"no result\" data-jobs=\"3\""));
    let text = orchestrator(&env, &["report", "run.db"]);
    let text = text.stdout();
    assert!(text.contains("no result 3\n") && !text.contains("once more:"));
    assert!(!text.contains("to go on:"), "nobody else can");
    env.file("go", "");
    assert_eq!(orchestrator_tests::env::finish(child, Vec::new()).code(), 0);
    let (over, _) = page(&env);
    assert!(over.contains(">6 jobs succeeded</h1>"));
}

#[test]
fn a_report_that_cannot_be_written_is_told_and_leaves_what_was_there() {
    let env = TestEnv::new();
    recorded(&env, &[], "a\n");
    let own = orchestrator(&env, &["report", "run.db", "-o", "run.db"]);
    assert_eq!(own.code(), 2);
    assert!(
        own.stderr
            .starts_with("error: the report would take the place of the run file\n"),
        "{}",
        own.stderr
    );
    let nowhere = orchestrator(&env, &["report", "run.db", "-o", "no/report.html"]);
    assert_eq!(nowhere.code(), 125);
    assert_eq!(
        nowhere.stderr,
        "error: the report could not be written to `no/report.html`: no such file or directory\n"
    );
    let full = orchestrator(&env, &["report", "run.db", "-o", "/dev/full"]);
    assert_eq!(full.code(), 125);
    assert!(
        full.stderr.contains("no space left on device"),
        "{}",
        full.stderr
    );
    let none = orchestrator(&env, &["report", "none.db", "-o", "x.html"]);
    assert_eq!(none.code(), 125);
    assert!(!env.path().join("x.html").exists());
}

#[test]
fn a_page_is_shown_in_the_browser_that_is_wanted() {
    let env = TestEnv::new();
    recorded(&env, &[], "a\n");
    let script = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = env.file(name, format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    };
    let show = |browser: &Path, args: &[&str]| {
        let mut command = env.command(ORCHESTRATOR);
        command.args([&["report", "run.db", "--open"], args].concat());
        command.env("BROWSER", browser).env("TMPDIR", env.path());
        env.run(command, "")
    };
    let browser = script("browser", "head -c 15 \"$1\" > shown");
    let done = show(&browser, &[]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let path = done.stderr.trim().strip_prefix("report: ").unwrap();
    assert_eq!(
        std::fs::read_to_string(env.path().join("shown")).unwrap(),
        "<!doctype html>"
    );
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, 0o600);
    std::fs::remove_file(env.path().join("shown")).unwrap();
    let with_arguments = format!("{} %s --new", browser.display());
    assert_eq!(show(Path::new(&with_arguments), &[]).code(), 0);
    assert!(env.path().join("shown").exists());
    let broken = show(&script("broken", "exit 3"), &["-o", "here.html"]);
    assert_eq!(broken.code(), 125);
    assert!(
        broken
            .stderr
            .contains("does not show the page: exit status: 3"),
        "{}",
        broken.stderr
    );
    assert!(env.path().join("here.html").exists());
}
