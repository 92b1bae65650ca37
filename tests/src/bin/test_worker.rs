//! A worker with the tasks that the process tests need.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use nix::sys::stat::{Mode, umask};
use orchestrator_tests::tasks::*;
use worker::{Cancelled, JobContext, Registry, WorkerContext};

fn main() -> ExitCode {
    Registry::new()
        .on_start(start)
        .task(Echo, |bytes| bytes)
        .task(EchoText, |text| text)
        .task(Noop, |()| ())
        .task(Fib, |n| (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0)
        .task(Primes, primes)
        .task(Mirror, |p: Point| Point { x: -p.x, ..p })
        .task_ctx(SleepMs, sleep_ms)
        .task(SleepBlind, |ms| sleep(Duration::from_millis(ms)))
        .task(Panic, |text: String| -> () { panic!("{text}") })
        .task(Fail, |()| Err::<(), _>(Outer(Inner)))
        .task(Print, |(text, n): (String, u32)| {
            (0..n).for_each(|_| print(&text))
        })
        .task_ctx(
            PrintThenSleep,
            |(text, ms): (String, u64), job: &JobContext| {
                print(&text);
                sleep_ms(ms, job)
            },
        )
        .task_with(Counter, Counted::new, Counted::next)
        .task(Abort, |()| -> () { std::process::abort() })
        .task(Big, |n| serde_bytes::ByteBuf::from(vec![7; n as usize]))
        .task_ctx(Progress, |n, job: &JobContext| {
            (0..=n).for_each(|done| job.progress(done, n));
        })
        .task_ctx(BlobLength, |hash, job: &JobContext| {
            job.blob(hash).map(|blob| blob.len() as u64)
        })
        .task(PrintLater, |(text, when): (String, String)| {
            std::thread::spawn(move || {
                while !std::path::Path::new(&when).exists() {
                    sleep(Duration::from_millis(1));
                }
                print(&text);
            });
        })
        .task_with(Helper, start_helper, |helper, (), _| {
            let alive = helper.try_wait().is_ok_and(|status| status.is_none());
            (helper.id(), alive)
        })
        .task_ctx(Which, |(), job: &JobContext| (job.job().0, job.attempt().0))
        .task(Gate, |(wait, make): (Option<String>, Option<String>)| {
            let read = wait.map(std::fs::read_to_string).transpose()?;
            make.map(|path| std::fs::write(path, "")).transpose()?;
            Ok::<_, std::io::Error>(read.unwrap_or_default())
        })
        .task(Note, |(path, n): (String, u64)| {
            let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
            file.write_all(format!("{n}\n").as_bytes())?;
            if n.is_multiple_of(500) {
                std::process::abort();
            }
            Ok::<_, std::io::Error>(())
        })
        .task(Started, |()| STARTED.with_borrow(Clone::clone))
        .task_ctx(Endless, |(), job: &JobContext| {
            while !job.is_draining() {
                job.checkpoint()?;
                sleep(Duration::from_millis(1));
            }
            Ok::<_, Cancelled>(job.is_draining())
        })
        .task(Formless, |()| NoForm)
        .task(Pid, |()| std::process::id())
        .task(Swell, |bytes| {
            std::hint::black_box(vec![1u8; bytes as usize]);
            std::process::id()
        })
        .task(Hoard, |(bytes, ms): (u64, u64)| {
            let hoard = std::hint::black_box(vec![1u8; bytes as usize]);
            sleep(Duration::from_millis(ms));
            drop(hoard);
        })
        .task(Die, |signal: String| die(&signal))
        .task(Overflow, overflow)
        .task(CloseFds, |(first, last): (i32, i32)| {
            (first..=last).for_each(|fd| nix::unistd::close(fd).unwrap_or(()));
        })
        .task(LeakFds, |count: u64| {
            for _ in 0..count {
                std::mem::forget(std::fs::File::open("/dev/null")?);
            }
            let open = std::fs::read_dir("/proc/self/fd")?.count();
            Ok::<_, std::io::Error>(open as u64)
        })
        .task(Change, |(what, to): (String, String)| change(&what, &to))
        .task(Surroundings, |()| surroundings())
        .task_with(
            Settled,
            |_: &WorkerContext| change("cwd", "/usr"),
            |(), (), _| surroundings(),
        )
        .serve()
}

thread_local! {
    static STARTED: RefCell<(u32, String)> = RefCell::default();
}

/// What the tests' init data asks for, where it is text.
fn start(worker: &WorkerContext) -> Result<(), String> {
    let asked = worker.init_as::<String>().ok().flatten();
    let asked = asked.unwrap_or_default();
    match asked.as_str() {
        "fail" => return Err("no such model".into()),
        "panic" => panic!("no luck"),
        "hang" => loop {
            std::thread::park();
        },
        _ => {}
    }
    STARTED.with_borrow_mut(|(times, data)| {
        *times += 1;
        *data = asked;
    });
    Ok(())
}

/// The first of some signals is taken by a handler of the Rust runtime.
fn die(signal: &str) {
    let signal: Signal = signal.parse().expect("a signal");
    loop {
        raise(signal).expect("raise");
    }
}

fn overflow(n: u64) -> u64 {
    match std::hint::black_box(n) {
        u64::MAX => 0,
        n => std::hint::black_box(overflow(n + 1)) + 1,
    }
}

/// Name of a variable that nothing else knows.
const VARIABLE: &str = "ORCHESTRATOR_TEST_VARIABLE";

fn change(what: &str, to: &str) -> std::io::Result<()> {
    match what {
        "cwd" => std::env::set_current_dir(to)?,
        "umask" => {
            let bits = u32::from_str_radix(to, 8).expect("octal digits");
            umask(Mode::from_bits_truncate(bits));
        }
        "env" | "env and back" => {
            #[expect(unsafe_code, reason = "a task that should not")]
            // SAFETY: jobs run one at a time, and no other thread of this
            // program looks at the environment.
            unsafe {
                std::env::set_var(VARIABLE, to);
                if what != "env" {
                    std::env::remove_var(VARIABLE);
                }
            }
        }
        other => panic!("nobody has a {other}"),
    }
    Ok(())
}

fn surroundings() -> (String, u32, Option<String>) {
    let cwd = std::env::current_dir().expect("a directory");
    let mask = umask(Mode::empty());
    umask(mask);
    let cwd = cwd.to_str().expect("text").to_owned();
    (cwd, mask.bits(), std::env::var(VARIABLE).ok())
}

/// All at once: whoever sees a part of it, and then ends this process, has caused no less
/// than the whole.
fn print(text: &str) {
    let line = format!("{text}\n");
    let printed = std::io::stdout().write_all(line.as_bytes());
    printed.expect("somebody who reads it");
}

#[expect(clippy::disallowed_methods, reason = "a task's own helper process")]
fn start_helper(_: &WorkerContext) -> std::io::Result<std::process::Child> {
    std::process::Command::new("/bin/sleep").arg("1000").spawn()
}

fn primes(below: u64) -> u64 {
    let prime = |n: &u64| {
        (2..)
            .take_while(|d| d * d <= *n)
            .all(|d| !n.is_multiple_of(d))
    };
    (2..below).filter(prime).count() as u64
}

fn sleep_ms(ms: u64, job: &JobContext) -> Result<(), Cancelled> {
    for _ in 0..ms {
        job.checkpoint()?;
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// State of the `counter` task.
struct Counted {
    count: u64,
    made: u64,
    init: Vec<u8>,
}

thread_local! {
    static MADE: Cell<u64> = const { Cell::new(0) };
}

impl Counted {
    fn new(worker: &WorkerContext) -> Result<Counted, String> {
        let init = worker.init().unwrap_or_default().to_vec();
        if init == b"refuse" {
            return Err("no such model".into());
        }
        MADE.set(MADE.get() + 1);
        Ok(Counted {
            count: 0,
            made: MADE.get(),
            init,
        })
    }

    fn next(&mut self, n: u64, _: &JobContext) -> (u64, u64, Vec<u8>) {
        assert!(n > 0, "zero");
        self.count += 1;
        (self.count, self.made, self.init.clone())
    }
}

#[derive(Debug)]
struct Inner;

#[derive(Debug)]
struct Outer(Inner);

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("disk on fire")
    }
}

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot load")
    }
}

impl Error for Inner {}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}
