//! The page in a browser, from the run's beginning to its end and beyond. Needs Chromium, as
//! reports do.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::Browser;

use super::super::faults::not_tested;
use super::*;

fn browser(env: &TestEnv, name: &str) -> Option<Browser> {
    let browser = Browser::start(env);
    if browser.is_none() {
        let reason = "there is no Chromium with its driver";
        assert!(std::env::var_os("REQUIRE_CHROMIUM").is_none(), "{reason}");
        not_tested(name, reason);
    }
    browser
}

fn text(browser: &Browser, script: &str) -> String {
    let value = browser.run(&format!("return String({script})"));
    value.as_str().unwrap().to_owned()
}

fn title(browser: &Browser) -> String {
    text(browser, "document.querySelector('h1').textContent")
}

/// Pictures are drawn again a moment after the window has another size.
fn fits(browser: &Browser) {
    eventually("the page is no wider than its window", || {
        let fits = "document.documentElement.scrollWidth <= innerWidth";
        text(browser, fits) == "true"
    });
}

#[test]
fn the_page_follows_its_run_and_is_a_report_at_its_end() {
    let env = TestEnv::new();
    let name = "the_page_follows_its_run_and_is_a_report_at_its_end";
    let Some(browser) = browser(&env, name) else {
        return;
    };
    let (mut child, port) = jobs(&env, &["--run-file", "run.db", "--retries", "1"]);
    browser.look(1200, 900, false);
    browser.open(&format!("http://127.0.0.1:{port}/"));
    assert_eq!(
        text(&browser, "document.documentElement.dataset.ready"),
        "yes"
    );
    let mut stdin = child.stdin.take().unwrap();
    let hostile = "bad<script>alert(1)</script>";
    let lines: String = (0..40).map(|n| format!("fine{n}\n")).collect();
    stdin.write_all(lines.as_bytes()).unwrap();
    stdin
        .write_all(format!("{hostile}\nwait\n").as_bytes())
        .unwrap();
    let failed = "document.querySelector('#failures .job')?.textContent";
    eventually(
        "the page has heard of 41 jobs, why one failed, and of the one that runs",
        || {
            title(&browser) == "Running: 41 of 42 jobs done"
                && text(&browser, "document.documentElement.dataset.rows") == "41"
                && text(&browser, failed) != "undefined"
                && text(
                    &browser,
                    "document.querySelector('#at-work td.job')?.textContent",
                ) == "wait"
        },
    );
    // 41 last tries, and one that another followed.
    assert_eq!(
        text(&browser, "document.documentElement.dataset.bars"),
        "42"
    );
    assert_eq!(
        text(&browser, "document.title"),
        "Running: 41 of 42 jobs done"
    );
    assert_eq!(text(&browser, failed), hostile);
    assert_eq!(
        text(
            &browser,
            "[...document.scripts].filter(s => s.textContent.includes('alert')).length"
        ),
        "0"
    );
    // Whoever has folded a list and is searching is not disturbed by what comes.
    browser.write("search", "fine1");
    browser.run("document.querySelector('#failures details').open = false");
    let found = "document.getElementById('found').textContent";
    assert_eq!(text(&browser, found), "11 of 41 jobs");
    stdin.write_all(b"fine100\n").unwrap();
    drop(stdin);
    eventually("one more", || text(&browser, found) == "12 of 42 jobs");
    assert_eq!(
        text(&browser, "document.querySelector('#failures details').open"),
        "false"
    );
    assert_ne!(
        text(&browser, "document.getElementById('live').className"),
        "live ended"
    );

    env.file("go", "");
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 1, "{}", done.stderr);
    eventually("the page says that the run has ended", || {
        text(&browser, "document.documentElement.dataset.ended") == "yes"
    });
    assert_eq!(
        text(&browser, "document.getElementById('live').className"),
        "live ended"
    );
    assert_eq!(title(&browser), "42 of 43 jobs succeeded");
    // The figures are those of the run file.
    let file = rusqlite::Connection::open(env.path().join("run.db")).unwrap();
    let number = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    for verdict in ["ok", "failed"] {
        let jobs = format!("document.querySelector('[data-verdict={verdict}]').dataset.jobs");
        let sql = format!("select count(*) from outcome where verdict = '{verdict}'");
        assert_eq!(text(&browser, &jobs), number(&sql).to_string());
    }
    let figure = |name: &str| {
        text(
            &browser,
            &format!("document.querySelector('[data-figure={name}]').dataset.value"),
        )
    };
    let retries = number("select count(*) from attempt").to_string();
    assert_eq!(
        (figure("failed"), figure("retried-tries")),
        ("1".into(), retries)
    );
    let cpu = "select sum(t) from (select user_us + system_us t from outcome union all select user_us + system_us from attempt)";
    assert_eq!(figure("cpu-time"), number(cpu).to_string());
    // Without its server, it goes on being a page.
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    browser.write("search", "script");
    assert_eq!(text(&browser, found), "1 of 43 jobs");
    browser.drag("gantt", (400, 20), (700, 20));
    assert_ne!(text(&browser, "document.documentElement.dataset.from"), "0");
    fits(&browser);
    browser.look(380, 800, true);
    fits(&browser);
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn a_page_whose_run_was_killed_says_so() {
    let env = TestEnv::new();
    let Some(browser) = browser(&env, "a_page_whose_run_was_killed_says_so") else {
        return;
    };
    let (mut child, port) = jobs(&env, &[]);
    browser.open(&format!("http://localhost:{port}/"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"fine\nwait\n").unwrap();
    eventually("the page follows", || {
        title(&browser) == "Running: 1 of 2 jobs done"
    });
    let pid = Pid::from_raw(child.id() as i32);
    kill(pid, Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    eventually("the page has noticed", || {
        text(&browser, "document.documentElement.dataset.ended") == "lost"
    });
    assert_eq!(title(&browser), "Running: 1 of 2 jobs done");
    let state = text(&browser, "document.getElementById('live').textContent");
    assert!(
        state.starts_with("The run cannot be reached since "),
        "{state}"
    );
}
