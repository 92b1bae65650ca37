//! A browser without a window, for tests of pages: Chromium, driven through its driver
//! in the words of WebDriver (<https://www.w3.org/TR/webdriver2/>).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::TestEnv;

/// No single command takes longer.
const DEADLINE: Duration = Duration::from_secs(180);

/// A browser with one page. Ends when it is dropped.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts one, if there is Chromium with its driver (Debian's packages `chromium`
    /// and `chromium-driver`).
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(env: &TestEnv) -> Option<Browser> {
        let path = std::env::var_os("PATH")?;
        let is_there =
            |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
        if !is_there("chromium") || !is_there("chromedriver") {
            return None;
        }
        let home = env.path().join(".browser");
        std::fs::create_dir_all(&home).expect("a directory");
        let mut driver = env
            .command("chromedriver")
            .arg("--port=0")
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver");
        let mut lines = BufReader::new(driver.stdout.take().expect("stdout")).lines();
        let port = lines.find_map(|line| {
            let line = line.expect("text");
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        // What it says later is read, so that it can say it.
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Browser {
            driver,
            port: port.expect("a port"),
            session: String::new(),
        };
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--window-size=1200,900",
            &format!("--user-data-dir={}", home.join("profile").display()),
        ];
        let patience = DEADLINE.as_millis() as u64;
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": patience, "pageLoad": patience},
        }}});
        let made = browser.ask("POST", "/session", &wanted);
        let session = made["sessionId"].as_str().expect("a session");
        browser.session = format!("/session/{session}");
        Some(browser)
    }

    /// Opens a page and waits until it has loaded.
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// The same for a file.
    pub fn open_file(&self, path: &Path) {
        self.open(&format!("file://{}", path.display()));
    }

    /// What the body of a function gives that runs in the page.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Says something in the protocol of Chromium's own tools.
    pub fn tell(&self, command: &str, parameters: Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": parameters}),
        )
    }

    /// How large the page is, and whether it is to be dark.
    pub fn look(&self, width: u32, height: u32, dark: bool) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tell("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell("Emulation.setEmulatedMedia", features);
    }

    /// Types into an element.
    pub fn write(&self, id: &str, text: &str) {
        let found = json!({"using": "css selector", "value": format!("#{id}")});
        let element = self.post("/element", &found);
        let element = element
            .as_object()
            .and_then(|element| element.values().next());
        let element = element.and_then(Value::as_str).expect("an element");
        self.post(&format!("/element/{element}/clear"), &json!({}));
        self.post(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Moves the pointer over an element from one place to another, from its left upper
    /// corner on, with the button held down.
    pub fn drag(&self, id: &str, from: (i64, i64), to: (i64, i64)) {
        self.point(
            id,
            &[
                ("pointerMove", from),
                ("pointerDown", from),
                ("pointerMove", to),
                ("pointerUp", to),
            ],
        );
    }

    /// Presses the button twice at a place of an element, until the browser takes that for a
    /// double click: on a machine that has much to do, half a second may pass in between.
    pub fn double_click(&self, id: &str, at: (i64, i64)) {
        self.run(&format!(
            "window.doubled = false; document.getElementById('{id}')\
             .addEventListener('dblclick', () => {{ window.doubled = true; }}, {{once: true}})"
        ));
        let steps = [
            "pointerMove",
            "pointerDown",
            "pointerUp",
            "pointerDown",
            "pointerUp",
        ];
        for _ in 0..20 {
            self.point(id, &steps.map(|step| (step, at)));
            if self.run("return window.doubled") == true {
                return;
            }
        }
        panic!("the browser takes no two clicks at {at:?} of {id} for a double click");
    }

    /// Does this with the pointer, one after the other.
    pub fn point(&self, id: &str, steps: &[(&str, (i64, i64))]) {
        let corner = self.run(&format!(
            "const e = document.getElementById('{id}'); e.scrollIntoView({{block: 'center'}}); \
             const b = e.getBoundingClientRect(); return [Math.round(b.left), Math.round(b.top)];"
        ));
        let (left, top) = (corner[0].as_i64(), corner[1].as_i64());
        let (left, top) = (left.expect("a place"), top.expect("a place"));
        let actions: Vec<Value> = steps
            .iter()
            .map(|&(kind, (x, y))| match kind {
                "pointerMove" => json!({"type": kind, "duration": 20, "x": left + x, "y": top + y}),
                _ => json!({"type": kind, "button": 0}),
            })
            .collect();
        let pointer = json!({"type": "pointer", "id": "mouse",
            "parameters": {"pointerType": "mouse"}, "actions": actions});
        self.post("/actions", &json!({"actions": [pointer]}));
    }

    /// The page as a picture, in base64.
    pub fn picture(&self) -> String {
        let picture = self.get("/screenshot");
        picture.as_str().expect("a picture").to_owned()
    }

    /// What the page has written to the console since this was last asked, errors of the
    /// browser included.
    pub fn console(&self) -> Vec<String> {
        let all = self.post("/se/log", &json!({"type": "browser"}));
        let all = all.as_array().expect("entries").iter();
        all.map(|entry| entry["message"].to_string()).collect()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("{}{path}", self.session), body)
    }

    fn get(&self, path: &str) -> Value {
        self.ask("GET", &format!("{}{path}", self.session), &Value::Null)
    }

    /// One command.
    ///
    /// # Panics
    /// When it is not done.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self
            .send(method, path, body)
            .expect("an answer of chromedriver");
        assert!(status == 200, "{method} {path}: {status} {answer}");
        answer
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(2 * DEADLINE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut length = 0;
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or_default();
            }
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer)?;
        let mut answer: Value = serde_json::from_slice(&answer)?;
        Ok((status.unwrap_or_default(), answer["value"].take()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A test that has failed already needs no second failure.
        if !self.session.is_empty() {
            self.send("DELETE", &self.session, &Value::Null).ok();
        }
        let pid = Pid::from_raw(self.driver.id() as i32);
        kill(pid, Signal::SIGTERM).ok();
        self.driver.wait().ok();
    }
}
