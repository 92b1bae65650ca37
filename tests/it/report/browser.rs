//! The page in a browser. Needs Chromium with its driver; where these are not, nothing
//! is tested and a line says so, unless `REQUIRE_CHROMIUM` is set, as in `.ci/run`.

use orchestrator_tests::Browser;

use super::super::faults::not_tested;
use super::*;

/// The page of `run.db` in a browser, ready.
fn browser(env: &TestEnv, name: &str) -> Option<Browser> {
    let Some(browser) = Browser::start(env) else {
        let reason = "there is no Chromium with its driver";
        assert!(std::env::var_os("REQUIRE_CHROMIUM").is_none(), "{reason}");
        not_tested(name, reason);
        return None;
    };
    let (_, path) = page(env);
    browser.look(1200, 900, false);
    browser.open_file(&path);
    assert_eq!(
        browser.run("return document.documentElement.dataset.ready"),
        "yes"
    );
    Some(browser)
}

fn data(browser: &Browser, name: &str) -> f64 {
    let value = browser.run(&format!(
        "return Number(document.documentElement.dataset.{name})"
    ));
    value.as_f64().unwrap()
}

/// The texts of a column of the table, as far as they are drawn.
fn cells(browser: &Browser, column: usize) -> Vec<String> {
    let all = browser.run(&format!(
        "return [...document.querySelectorAll('.drawn .row')].map((row) => row.children[{column}].textContent)"
    ));
    let all = all.as_array().unwrap().iter();
    all.map(|cell| cell.as_str().unwrap().to_owned()).collect()
}

fn found(browser: &Browser) -> String {
    let found = browser.run("return document.getElementById('found').textContent");
    found.as_str().unwrap().to_owned()
}

#[test]
fn the_table_is_searched_and_sorted_and_the_timeline_zooms() {
    let env = TestEnv::new();
    let mut lines: String = (10..60).map(|n| format!("nap0{n}\n")).collect();
    lines += "fail 1\nfail 2\nflaky1\nflaky2\nkill\n";
    recorded(&env, &["-j4", "--retries", "1"], lines);
    let Some(browser) = browser(
        &env,
        "the_table_is_searched_and_sorted_and_the_timeline_zooms",
    ) else {
        return;
    };
    let file = open(&env);
    let outcomes = number(&file, "select count(*) from outcome");
    let tries = outcomes + number(&file, "select count(*) from attempt");
    assert_eq!(
        (data(&browser, "rows"), data(&browser, "bars")),
        (outcomes as f64, tries as f64)
    );
    assert_eq!(found(&browser), "55 jobs");

    // Search, in names and in messages; a verdict.
    browser.write("search", "NAP01");
    assert_eq!(found(&browser), "10 of 55 jobs");
    assert!(
        cells(&browser, 1)
            .iter()
            .all(|name| name.starts_with("nap01"))
    );
    browser.write("search", "cannot read");
    assert_eq!(cells(&browser, 1), ["fail 1", "fail 2"]);
    // What is found is copied as lines of an input.
    browser.run("addEventListener('copy', () => { window.got = document.querySelector('textarea').value; })");
    let click = [
        ("pointerMove", (5, 5)),
        ("pointerDown", (5, 5)),
        ("pointerUp", (5, 5)),
    ];
    browser.point("copy", &click);
    assert_eq!(browser.run("return window.got"), "fail 1\nfail 2\n");
    assert_eq!(
        browser.run("return document.getElementById('copied').textContent"),
        "2 copied"
    );
    browser.write("search", " ");
    browser.run(
        "const s = document.getElementById('verdict'); s.value = 'signaled'; s.dispatchEvent(new Event('change'))",
    );
    assert_eq!(
        (found(&browser), cells(&browser, 1)),
        ("1 of 55 jobs".into(), vec!["kill".into()])
    );
    browser.run("const s = document.getElementById('verdict'); s.value = ''; s.dispatchEvent(new Event('change'))");

    // The longest first, as the file says.
    browser.run("document.querySelector('[data-sort=dur]').click()");
    let longest: String = file
        .query_row(
            "select label from verdict order by duration desc, seq limit 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(cells(&browser, 1)[0], longest);
    browser.run("document.querySelector('[data-sort=line]').click()");
    assert_eq!(cells(&browser, 0)[..3], ["1", "2", "3"]);

    // Drag to zoom, double-click to reset; the table shows what is in view.
    let all = number(&file, "select ended_us - began_us from run") as f64;
    assert_eq!((data(&browser, "from"), data(&browser, "to")), (0.0, all));
    let before = browser.picture();
    browser.drag("gantt", (400, 20), (700, 20));
    let (from, to) = (data(&browser, "from"), data(&browser, "to"));
    assert!(
        from > 0.2 * all && to < 0.7 * all && from < to,
        "{from} {to} of {all}"
    );
    assert_ne!(browser.picture(), before);
    browser.run("document.getElementById('in-view').click()");
    let began = number(&file, "select began_us from run") as f64;
    let in_view = format!(
        "select count(*) from outcome where started_us - {began} <= {to} and started_us + coalesce(wall_us, 0) - {began} >= {from}"
    );
    assert_eq!(
        found(&browser),
        format!("{} of 55 jobs", number(&file, &in_view))
    );
    browser.double_click("gantt", (500, 20));
    assert_eq!((data(&browser, "from"), data(&browser, "to")), (0.0, all));
    assert_eq!(found(&browser), "55 jobs");

    // A row says all of its job, and where it is on the timeline: the shortest one, which is
    // not most of the time even on a machine that has much to do.
    browser.run(
        "const head = document.querySelector('[data-sort=dur]'); head.click(); \
         if (head.getAttribute('aria-sort') !== 'ascending') head.click()",
    );
    let shortest = cells(&browser, 1).swap_remove(0);
    browser.run("document.querySelector('.drawn .row').click()");
    let detail = browser.run("return document.getElementById('detail').innerText");
    assert!(detail.as_str().unwrap().contains(&shortest), "{detail}");
    browser.run("document.getElementById('locate').click()");
    // It may be the first or the last of all, so either end of the view may be the run's.
    let (from, to) = (data(&browser, "from"), data(&browser, "to"));
    let (started, took): (f64, f64) = file
        .query_row(
            "select started_us, coalesce(wall_us, 0) from outcome join verdict using (job) where label = ?1",
            [&shortest],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let started = started - began;
    assert!(
        to - from < all && from <= started && started + took <= to,
        "{from} {to} of {all}: {started} {took}"
    );
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn hostile_names_are_text_in_a_browser() {
    let env = TestEnv::new();
    recorded(
        &env,
        &["-j1"],
        [HOSTILE.join(&b'\n'), b"\n".to_vec()].concat(),
    );
    let Some(browser) = browser(&env, "hostile_names_are_text_in_a_browser") else {
        return;
    };
    assert_eq!(
        browser.run("return document.querySelectorAll('script').length"),
        2
    );
    assert_eq!(
        browser.run("return document.querySelectorAll('img, iframe, [onload], [onerror]').length"),
        0
    );
    assert_eq!(found(&browser), "6 jobs");
    let names = cells(&browser, 1);
    assert_eq!(names[0], "<script>alert(1)</script>");
    assert_eq!(names[1], "fail</script><img src=x onerror=alert(1)>");
    assert_eq!(names[2], "fail\"'><svg/onload=alert(1)> &amp; `x`");
    browser.write("search", "<script>alert");
    assert_eq!(found(&browser), "1 of 6 jobs");
    // Only what is in the page byte for byte is copied.
    browser.write("search", " ");
    let click = [
        ("pointerMove", (5, 5)),
        ("pointerDown", (5, 5)),
        ("pointerUp", (5, 5)),
    ];
    browser.point("copy", &click);
    let copied = browser.run("return document.getElementById('copied').textContent");
    let left = "; of 2, the page has no exact line: orchestrator results";
    assert_eq!(copied, format!("4 copied{left}"));
    // Neither an error nor anything that was refused.
    assert_eq!(browser.console(), Vec::<String>::new());
    // Pretending to be the page's own changes nothing: it has no nonce.
    browser.run("const s = document.createElement('img'); s.src = 'x'; s.setAttribute('onerror', 'window.hit = 1'); document.body.append(s)");
    assert_eq!(
        browser.run("return window.hit ?? null"),
        serde_json::Value::Null
    );
}

#[test]
fn the_page_is_dark_where_that_is_wanted_and_fits_a_narrow_one() {
    let env = TestEnv::new();
    recorded(&env, &["-j2"], "nap1\nfail\nnap2\n");
    let Some(browser) = browser(
        &env,
        "the_page_is_dark_where_that_is_wanted_and_fits_a_narrow_one",
    ) else {
        return;
    };
    let back = "return getComputedStyle(document.body).backgroundColor";
    // By way of a picture of one point: the page's own is not for reading.
    let idle = "const from = document.getElementById('gantt'), to = document.createElement('canvas'); \
                to.width = to.height = 1; \
                const pen = to.getContext('2d', {willReadFrequently: true}); \
                pen.drawImage(from, from.width - 3, 8, 1, 1, 0, 0, 1, 1); \
                return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3)";
    let (light, lit) = (browser.run(back), browser.run(idle));
    browser.look(1200, 900, true);
    let dark = browser.run(back);
    assert_eq!(
        (light.as_str(), dark.as_str()),
        (Some("rgb(255, 255, 255)"), Some("rgb(15, 19, 25)"))
    );
    assert!(lit[0].as_i64() > Some(100), "{lit}");
    // Pictures are drawn when the browser gets to it.
    eventually("the pictures are dark", || {
        browser.run(idle)[0].as_i64() < Some(100)
    });
    browser.look(400, 800, false);
    eventually("the pictures are as wide as the page", || {
        browser.run("return document.getElementById('gantt').getBoundingClientRect().width < 400")
            == true
    });
    let wide = browser.run("return document.documentElement.scrollWidth");
    assert!(wide.as_i64() <= Some(400), "{wide}");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn two_hundred_thousand_jobs_are_drawn_by_the_pixel() {
    let env = TestEnv::new();
    recorded(&env, &["-j1"], "x\n");
    let file = open(&env);
    // Like the one that was run, on 16 workers, for a minute.
    file.execute_batch(
        "pragma synchronous = off; begin;
         with recursive n(i) as (select 2 union all select i + 1 from n where i < 200000)
         insert into job select i, key, i, i, null, cast(printf('img-%06d.png', i) as blob), null, queued_us from n, job where job = 1;
         with recursive n(i) as (select 2 union all select i + 1 from n where i < 200000)
         insert into outcome (n, job, run, verdict, exit, attempts, worker, started_us, wall_us, user_us, system_us, max_rss_kib)
         select i, i, 1, iif(i % 1000 = 0, 'failed', 'ok'), iif(i % 1000 = 0, 3, 0), 1, i % 16 + 1,
                began_us + i / 16 * 4800, 2000 + i * 7919 % 2700, 1500 + i % 300, i % 70, 2000 + i * 31 % 9000
         from n, run;
         update run set ended_us = began_us + 60000000, workers = 16; update outcome set worker = 1; update outcome set worker = job % 16 + 1;
         commit;",
    )
    .unwrap();
    let Some(browser) = browser(&env, "two_hundred_thousand_jobs_are_drawn_by_the_pixel") else {
        return;
    };
    assert_eq!(
        (data(&browser, "rows"), data(&browser, "bars")),
        (200_000.0, 200_000.0)
    );
    let size = std::fs::metadata(env.path().join("report.html"))
        .unwrap()
        .len();
    assert!(size < 8_000_000, "{size} bytes");
    // What is drawn and kept depends on how large the page is, not on how many jobs there are.
    browser.run(
        "window.strokes = 0; \
         for (const name of ['fillRect', 'strokeRect', 'fill', 'stroke', 'fillText']) { \
             const own = CanvasRenderingContext2D.prototype[name]; \
             CanvasRenderingContext2D.prototype[name] = function (...all) { \
                 window.strokes += 1; \
                 return own.apply(this, all); \
             }; \
         }",
    );
    browser.run("document.querySelector('[title=\"Show all of the time\"]').click()");
    let strokes = browser.run("return window.strokes").as_u64().unwrap();
    // Sixteen rows of some 1,100 pixels, and the strips below them.
    assert!((1_000..30_000).contains(&strokes), "{strokes} strokes");
    let elements = browser.run("return document.querySelectorAll('*').length");
    let elements = elements.as_u64().unwrap();
    assert!((100..10_000).contains(&elements), "{elements} elements");
    browser.write("search", "img-0123");
    assert_eq!(found(&browser), "100 of 200,000 jobs");
    assert!(
        cells(&browser, 1)
            .iter()
            .all(|name| name.starts_with("img-0123"))
    );
    browser.drag("gantt", (300, 20), (310, 20));
    assert!(data(&browser, "to") - data(&browser, "from") < 2_000_000.0);
    assert_eq!(browser.console(), Vec::<String>::new());
}
