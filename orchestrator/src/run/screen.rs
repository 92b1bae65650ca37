//! The terminal that results, messages and the line of progress share.
//!
//! While there is such a line, everything that goes to that terminal comes through here: the
//! line is taken away, what is to be shown is shown, and the line stands below it again, all
//! of that in one write. Where there is none, nothing is changed and nothing is locked; but what
//! is said begins a line of its own there, too.
//!
//! A program has one terminal, hence one of this; no mode of the terminal is changed, and the
//! cursor is left at the beginning of the line, so that whoever is killed leaves it usable.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::unistd::{getpgrp, tcgetpgrp, write};
use terminal_size::{Width, terminal_size_of};

use super::report::Clock;

/// Takes the line away.
const CLEAR: &[u8] = b"\r\x1b[K";

/// Below what is printed, the line is shown again at once, unless it was shown so short a time
/// ago: then the next look at the progress does it.
const SOON: Duration = Duration::from_millis(33);

/// How often, and how long apart, it is looked whether the terminal is free for somebody who must
/// not wait for long.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(5);

/// How long a terminal may take nothing then, in milliseconds.
const AT_ONCE: u8 = 200;

/// Whether there is a line of progress at all.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// Whether results go to the same terminal. Others wait for nobody who shows the line.
static HAS_RESULTS: AtomicBool = AtomicBool::new(false);

/// How what was printed to stderr has ended since something was said there: this, or nothing was.
static PRINTED: AtomicU8 = AtomicU8::new(NOTHING);
const NOTHING: u8 = 0;
const WHOLE: u8 = 1;
const OPEN: u8 = 2;

static SCREEN: Mutex<Screen> = Mutex::new(Screen::new());

/// How far it is, as the terminal itself shows it in its tab, its title or the task bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Badge {
    Percent(u8),
    /// The same, where something has failed.
    Failing(u8),
    /// Nobody knows.
    Busy,
}

impl Badge {
    /// Adds the bytes that make the terminal show this, or nothing: OSC 9;4, which began with
    /// ConEmu. The cursor stays where it is.
    fn write(badge: Option<Badge>, to: &mut Vec<u8>) {
        let (state, percent) = match badge {
            None => (0, 0),
            Some(Badge::Percent(percent)) => (1, percent),
            Some(Badge::Failing(percent)) => (2, percent),
            Some(Badge::Busy) => (3, 0),
        };
        to.extend_from_slice(format!("\x1b]9;4;{state};{percent}\x1b\\").as_bytes());
    }
}

/// What is known of the terminal.
#[derive(Debug)]
struct Screen {
    /// There is none before progress is shown, and none after.
    clock: Option<Clock>,
    /// The line, as it was shown last.
    line: String,
    badge: Option<Badge>,
    /// Whether it stands there.
    is_shown: bool,
    /// Whether it must not, for now.
    is_hidden: bool,
    /// Whether what stands there has no end yet: the line would be behind it.
    is_open: bool,
    /// When the line was shown last.
    shown_at: Duration,
}

/// How many columns the terminal has that messages go to; none where there is no terminal, or it
/// does not say.
pub(crate) fn columns() -> Option<usize> {
    let (Width(columns), _) = terminal_size_of(io::stderr())?;
    Some(columns.into()).filter(|&columns| columns > 0)
}

/// Where something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Results.
    Out,
    /// What is told.
    Err,
}

impl Screen {
    const fn new() -> Screen {
        Screen {
            clock: None,
            line: String::new(),
            badge: None,
            is_shown: false,
            is_hidden: false,
            is_open: false,
            shown_at: Duration::ZERO,
        }
    }

    fn now(&self) -> Duration {
        self.clock.map_or(Duration::ZERO, |clock| clock.elapsed())
    }

    /// Whether the line may stand there.
    fn has_room(&self) -> bool {
        self.clock.is_some() && !self.is_hidden && !self.is_open
    }

    /// The bytes that show something above the line, which is written in this turn.
    fn around(&mut self, bytes: &[u8], now: Duration) -> Vec<u8> {
        let mut all = Vec::with_capacity(bytes.len() + self.line.len() + 16);
        if self.is_shown {
            all.extend_from_slice(CLEAR);
        }
        all.extend_from_slice(bytes);
        if let Some(last) = bytes.last() {
            self.is_open = *last != b'\n';
        }
        self.is_shown = false;
        let is_due = now >= self.shown_at + SOON;
        if is_due && self.has_room() && !self.line.is_empty() {
            self.show(&mut all, now);
        }
        all
    }

    /// Adds the bytes that show the line.
    fn show(&mut self, to: &mut Vec<u8>, now: Duration) {
        to.push(b'\r');
        to.extend_from_slice(self.line.as_bytes());
        to.extend_from_slice(b"\x1b[K\r");
        self.is_shown = true;
        self.shown_at = now;
    }

    /// The bytes that make this the line, and this what the terminal shows; none when that is
    /// there already.
    fn draw(&mut self, line: String, badge: Option<Badge>, now: Duration) -> Option<Vec<u8>> {
        if !self.has_room() {
            return None;
        }
        let mut all = Vec::new();
        if self.badge != badge {
            self.badge = badge;
            Badge::write(badge, &mut all);
        }
        if !self.is_shown || self.line != line {
            self.line = line;
            self.show(&mut all, now);
        }
        (!all.is_empty()).then_some(all)
    }

    /// The bytes that take away all that is shown.
    fn leave(&mut self) -> Vec<u8> {
        let mut all = self.clear().unwrap_or_default().to_vec();
        if self.badge.take().is_some() {
            Badge::write(None, &mut all);
        }
        all
    }

    /// The bytes that take the line away.
    fn clear(&mut self) -> Option<&'static [u8]> {
        std::mem::take(&mut self.is_shown).then_some(CLEAR)
    }

    /// The same, and what is printed does not bring it back: what it says will be long past.
    fn withdraw(&mut self) -> Option<&'static [u8]> {
        self.line.clear();
        self.clear()
    }

    /// The bytes that show something instead of the line.
    fn instead(&mut self, text: &str) -> Vec<u8> {
        let clear = self.clear().unwrap_or_default();
        if text.is_empty() {
            return clear.to_vec();
        }
        let text = self.separated(text);
        self.is_open = !text.ends_with('\n');
        [clear, text.as_bytes()].concat()
    }

    /// So has ended what was printed meanwhile and did not come through here.
    fn catch_up(&mut self, printed: u8) {
        match printed {
            WHOLE => self.is_open = false,
            OPEN => self.is_open = true,
            _ => {}
        }
    }

    /// What stands behind text without an end gets a line of its own.
    fn separated(&self, text: &str) -> String {
        let feed = if self.is_open { "\n" } else { "" };
        format!("{feed}{text}")
    }
}

fn lock() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on stderr, a terminal, has a line of progress.
pub(crate) fn begin(clock: Clock) {
    let device = |fd: BorrowedFd<'_>| fstat(fd).ok().map(|stat| stat.st_rdev);
    let (out, err) = (io::stdout(), io::stderr());
    let has_results = out.is_terminal() && device(out.as_fd()) == device(err.as_fd());
    let mut screen = lock();
    screen.catch_up(PRINTED.swap(NOTHING, Ordering::Relaxed));
    *screen = Screen {
        clock: Some(clock),
        is_open: screen.is_open,
        ..Screen::new()
    };
    HAS_RESULTS.store(has_results, Ordering::Relaxed);
    ACTIVE.store(true, Ordering::Relaxed);
}

/// The line is taken away for good.
pub(crate) fn end() {
    if ACTIVE.swap(false, Ordering::Relaxed) {
        let mut screen = lock();
        put(&screen.leave());
        screen.clock = None;
    }
}

/// The line is taken away until [`show`]: somebody else has the terminal.
pub(crate) fn hide() {
    if ACTIVE.load(Ordering::Relaxed) {
        let mut screen = lock();
        screen.is_hidden = true;
        if let Some(bytes) = screen.withdraw() {
            put(bytes);
        }
        put(&screen.leave());
    }
}

/// Undoes [`hide`].
pub(crate) fn show() {
    if ACTIVE.load(Ordering::Relaxed) {
        lock().is_hidden = false;
    }
}

/// Makes this the line, and this what the terminal shows itself, unless this process is in the
/// background.
pub(crate) fn draw(line: String, badge: Option<Badge>) {
    let is_in_front = is_in_front();
    let mut screen = lock();
    if !is_in_front {
        // Nor does what is printed bring it back.
        screen.line.clear();
        return;
    }
    let now = screen.now();
    if let Some(bytes) = screen.draw(line, badge, now) {
        put(&bytes);
    }
}

/// Whether the terminal is this process's to write on: true as well where it is not the one
/// that controls it.
fn is_in_front() -> bool {
    tcgetpgrp(io::stderr()).map_or(true, |front| front == getpgrp())
}

/// Writes to a stream with this, above the line if that is on the same terminal.
///
/// # Errors
/// Those of writing.
pub(crate) fn pass(
    stream: Stream,
    bytes: &[u8],
    put: impl FnOnce(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let is_elsewhere = stream == Stream::Out && !HAS_RESULTS.load(Ordering::Relaxed);
    if is_elsewhere || !ACTIVE.load(Ordering::Relaxed) {
        note(stream, bytes);
        return put(bytes);
    }
    let mut screen = lock();
    if screen.clock.is_none() {
        drop(screen);
        note(stream, bytes);
        return put(bytes);
    }
    let now = screen.now();
    put(&screen.around(bytes, now))
}

/// Remembers how that ends, if what is said comes behind it.
fn note(stream: Stream, bytes: &[u8]) {
    let Some(last) = bytes.last() else {
        return;
    };
    if stream == Stream::Err || are_one() {
        let printed = if *last == b'\n' { WHOLE } else { OPEN };
        PRINTED.store(printed, Ordering::Relaxed);
    }
}

/// Whether results and messages go to the same file, pipe or terminal.
fn are_one() -> bool {
    static ARE_ONE: OnceLock<bool> = OnceLock::new();
    *ARE_ONE.get_or_init(|| {
        let place = |fd: BorrowedFd<'_>| fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino));
        let err = place(io::stderr().as_fd());
        err.is_some() && place(io::stdout().as_fd()) == err
    })
}

/// Writes to stderr at once, above the line. When that fails there is nobody left to be told.
pub(crate) fn say(text: &str) {
    let mut screen = lock();
    screen.catch_up(PRINTED.swap(NOTHING, Ordering::Relaxed));
    let text = screen.separated(text);
    let now = screen.now();
    put(&screen.around(text.as_bytes(), now));
}

/// The same for whoever must not wait, or not for long: the line is not minded when somebody
/// is at it who is stuck, and nothing is said to a terminal that takes nothing.
pub(crate) fn say_at_once(text: &str) {
    let mut screen = None;
    for _ in 0..LOOKS {
        screen = match SCREEN.try_lock() {
            Ok(screen) => Some(screen),
            Err(TryLockError::Poisoned(screen)) => Some(screen.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if screen.is_some() {
            break;
        }
        thread::sleep(LOOK);
    }
    let bytes = match &mut screen {
        Some(screen) => {
            screen.catch_up(PRINTED.swap(NOTHING, Ordering::Relaxed));
            screen.instead(text)
        }
        None if ACTIVE.load(Ordering::Relaxed) => [CLEAR, text.as_bytes()].concat(),
        None => text.into(),
    };
    let err = io::stderr();
    let mut fds = [PollFd::new(err.as_fd(), PollFlags::POLLOUT)];
    if !bytes.is_empty() && poll(&mut fds, AT_ONCE).is_ok_and(|ready| ready > 0) {
        put(&bytes);
    }
}

/// Writes to stderr as it is, in one piece where the system takes it so; not behind the lock of
/// `std::io`, which somebody may hold who is stuck.
fn put(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(io::stderr(), bytes) {
            Ok(written @ 1..) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                // Another program made the descriptor non-blocking.
                let err = io::stderr();
                let mut fds = [PollFd::new(err.as_fd(), PollFlags::POLLOUT)];
                poll(&mut fds, PollTimeout::NONE).ok();
            }
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(1);

    fn screen() -> Screen {
        Screen {
            clock: Some(Clock::start()),
            ..Screen::new()
        }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_printed_stands_above_the_line() {
        let mut screen = screen();
        assert_eq!(
            text(screen.around(b"a\n", LATER)),
            "a\n",
            "there is no line yet"
        );
        let drawn = screen.draw("1/2".into(), None, LATER).map(text);
        assert_eq!(drawn.as_deref(), Some("\r1/2\x1b[K\r"));
        assert_eq!(
            screen.draw("1/2".into(), None, LATER),
            None,
            "it stands there"
        );
        assert_eq!(
            text(screen.around(b"b\n", 2 * LATER)),
            "\r\x1b[Kb\n\r1/2\x1b[K\r"
        );
        // Much is printed: the line comes with the next look.
        assert_eq!(text(screen.around(b"c\n", 2 * LATER)), "\r\x1b[Kc\n");
        assert_eq!(text(screen.around(b"d\n", 2 * LATER)), "d\n");
        assert!(screen.draw("1/2".into(), None, 2 * LATER).is_some());
        assert_eq!(screen.clear(), Some(CLEAR));
        assert_eq!(screen.clear(), None);
        assert_eq!(text(screen.around(b"e\n", 3 * LATER)), "e\n\r1/2\x1b[K\r");
        assert_eq!(text(screen.instead("said\n")), "\r\x1b[Ksaid\n");
        assert_eq!(text(screen.instead("")), "");
        screen.draw("1/2".into(), None, 3 * LATER);
        // Stopped, and gone on with in the background.
        assert_eq!(screen.withdraw(), Some(CLEAR));
        assert_eq!(text(screen.around(b"f\n", 4 * LATER)), "f\n");
    }

    #[test]
    fn what_the_terminal_shows_itself_is_taken_away_at_the_end() {
        let mut screen = screen();
        let half = Some(Badge::Percent(50));
        let drawn = screen.draw("1/2".into(), half, LATER).map(text);
        assert_eq!(drawn.as_deref(), Some("\x1b]9;4;1;50\x1b\\\r1/2\x1b[K\r"));
        assert_eq!(screen.draw("1/2".into(), half, LATER), None);
        let failing = Some(Badge::Failing(50));
        let drawn = screen.draw("1/2".into(), failing, LATER).map(text);
        assert_eq!(drawn.as_deref(), Some("\x1b]9;4;2;50\x1b\\"));
        assert_eq!(text(screen.leave()), "\r\x1b[K\x1b]9;4;0;0\x1b\\");
        assert_eq!(text(screen.leave()), "");
    }

    #[test]
    fn the_line_never_stands_behind_what_has_no_end() {
        let mut screen = screen();
        screen.draw("1/2".into(), None, LATER);
        assert_eq!(text(screen.around(b"no end", 2 * LATER)), "\r\x1b[Kno end");
        assert_eq!(screen.draw("2/2".into(), None, 3 * LATER), None);
        assert_eq!(screen.separated("said\n"), "\nsaid\n");
        assert_eq!(text(screen.around(b"", 3 * LATER)), "");
        assert_eq!(
            text(screen.around(b" but now\n", 3 * LATER)),
            " but now\n\r1/2\x1b[K\r"
        );
        screen.catch_up(OPEN);
        assert_eq!(screen.separated("said\n"), "\nsaid\n");
        screen.catch_up(NOTHING);
        assert_eq!(screen.separated("said\n"), "\nsaid\n");
        screen.catch_up(WHOLE);
        assert_eq!(screen.separated("said\n"), "said\n");
        screen.is_hidden = true;
        screen.clear();
        assert_eq!(screen.draw("2/2".into(), None, 4 * LATER), None);
        assert_eq!(text(screen.around(b"e\n", 4 * LATER)), "e\n");
    }
}
