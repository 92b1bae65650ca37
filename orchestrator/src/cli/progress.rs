//! Progress on stderr: which form it has here, and who shows it.
//!
//! The run's own thread looks at the batch some times a second and never waits for anybody
//! to read what is shown: a thread beside it writes, and gets the next look when it is done
//! with the last one.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::run::progress::pace::Pace;
use crate::run::progress::sample::{AtWork, Sample};
use crate::run::progress::usage::Usage;
use crate::run::progress::view::View;
use crate::run::reins::Reins;
use crate::run::report::Clock;
use crate::run::screen;

/// A run that is over sooner shows nothing.
const SILENCE: Duration = Duration::from_millis(500);

/// How often a line on a terminal may change.
const FRAME: Duration = Duration::from_millis(100);

/// How often to ask the pool what is at work: where jobs are tiny, it has thousands at hand.
const STATUS: Duration = Duration::from_millis(500);

/// How often there is a line in a log, and how often when it was asked for.
const LOG: Duration = Duration::from_secs(30);
const OFTEN: Duration = Duration::from_secs(1);

/// How often to look when a log's line is far away.
const LOOK: Duration = Duration::from_secs(5);

/// How long the end of a run may wait for its last line of progress.
const PATIENCE: Duration = Duration::from_millis(200);

/// Where nobody says how wide it is.
const WIDTH: usize = 80;

/// Which form of progress was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A line that changes on a terminal, lines in a log.
    Auto,
    /// The same, whatever the environment says, and in a log every second.
    Always,
    /// A line that changes, on any terminal.
    Bar,
    /// Lines as in a log, everywhere.
    Lines,
    /// A JSON object every second.
    Json,
    Nothing,
}

/// What is known of where stderr goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Surroundings {
    is_terminal: bool,
    /// It does not know how to take a line away.
    is_dumb: bool,
    /// Nobody looks on.
    is_ci: bool,
    /// Somebody types the input there.
    is_typed_on: bool,
    colour: bool,
    /// It shows by itself how far something is.
    has_badge: bool,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of(reads_stdin: bool) -> Surroundings {
        let is_terminal = io::stderr().is_terminal();
        let typed = reads_stdin && io::stdin().is_terminal();
        Surroundings::read(is_terminal, typed, |name| std::env::var_os(name))
    }

    fn read(is_terminal: bool, typed: bool, var: impl Fn(&str) -> Option<OsString>) -> Self {
        let is_set = |name| var(name).is_some_and(|value| !value.is_empty());
        let is_no = |name| var(name).is_some_and(|value| value == "0" || value == "false");
        let is_yes = |name| is_set(name) && !is_no(name);
        let is_dumb = var("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let plain = is_set("NO_COLOR") || is_no("CLICOLOR");
        let forced = is_yes("CLICOLOR_FORCE") || is_yes("FORCE_COLOR");
        Surroundings {
            is_terminal,
            is_dumb,
            is_ci: is_yes("CI"),
            is_typed_on: typed,
            colour: forced && !is_set("NO_COLOR") || !plain,
            // What is between may pass it on to a terminal that rings a bell for it.
            has_badge: !is_set("TMUX")
                && !is_set("STY")
                && (is_set("WT_SESSION")
                    || var("ConEmuANSI").is_some_and(|is| is == "ON")
                    || var("TERM_PROGRAM")
                        .is_some_and(|name| name == "WezTerm" || name == "ghostty")),
        }
    }
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Nothing,
    /// With what the terminal itself shows, if it does.
    Bar {
        colour: bool,
        badge: bool,
    },
    Lines {
        every: Duration,
    },
    Json,
}

/// The form that it has here.
pub(super) fn form(wanted: Wanted, here: Surroundings) -> Form {
    let bar = Form::Bar {
        colour: here.colour,
        badge: here.has_badge,
    };
    let can = here.is_terminal && !here.is_dumb;
    match wanted {
        Wanted::Nothing => Form::Nothing,
        Wanted::Json => Form::Json,
        // What is typed would stand in it.
        Wanted::Auto if here.is_terminal && here.is_typed_on => Form::Nothing,
        Wanted::Auto if can && !here.is_ci => bar,
        Wanted::Bar | Wanted::Always if can => bar,
        Wanted::Always => Form::Lines { every: OFTEN },
        Wanted::Auto | Wanted::Bar | Wanted::Lines => Form::Lines { every: LOG },
    }
}

impl Form {
    /// Looks at the run and shows what it does; for as long as it is polled.
    pub(super) async fn attend(self, reins: &Reins) -> Infallible {
        let (begin, pause) = match self {
            Form::Nothing => return std::future::pending().await,
            Form::Bar { .. } => (SILENCE, FRAME),
            Form::Lines { every } => (every.min(LOOK), every.min(LOOK)),
            Form::Json => (OFTEN, OFTEN),
        };
        if let Form::Bar { .. } = self {
            // From now on it is known where the cursor stands.
            screen::begin(reins.clock);
        }
        tokio::time::sleep(begin).await;
        let mut at_work = AtWork::default();
        let Ok(painting) = Painting::start(self, reins.clock) else {
            // No thread is left: the jobs matter more.
            return std::future::pending().await;
        };
        let frames = STATUS.div_duration_f64(pause).max(1.0) as u32;
        for turn in (0..frames).cycle() {
            if turn == 0 {
                at_work = reins.at_work().await;
            }
            painting.show(reins.sample(at_work.clone()));
            tokio::time::sleep(pause).await;
        }
        std::future::pending().await
    }
}

/// The thread that shows progress. Dropping it waits for the thread, but not for ever: what it
/// writes may be taken by nobody.
#[derive(Debug)]
struct Painting {
    looks: Option<mpsc::SyncSender<Sample>>,
    /// Nothing comes here; it ends with the thread.
    end: mpsc::Receiver<Infallible>,
}

impl Painting {
    fn start(form: Form, clock: Clock) -> io::Result<Painting> {
        // One that waits to be taken: a newer look says more than two old ones.
        let (sender, looks) = mpsc::sync_channel(1);
        let (ends, end) = mpsc::channel();
        let mut painter = Painter::new(form, clock);
        thread::Builder::new()
            .name("show progress".into())
            .spawn(move || {
                looks.iter().for_each(|sample| painter.show(sample));
                drop(ends);
            })?;
        Ok(Painting {
            looks: Some(sender),
            end,
        })
    }

    /// Shows this, unless the thread is behind.
    fn show(&self, sample: Sample) {
        if let Some(looks) = &self.looks {
            looks.try_send(sample).ok();
        }
    }
}

impl Drop for Painting {
    fn drop(&mut self) {
        self.looks = None;
        self.end.recv_timeout(PATIENCE).ok();
    }
}

/// Shows what it is told.
#[derive(Debug)]
struct Painter {
    form: Form,
    clock: Clock,
    pace: Pace,
    usage: Usage,
    /// When there was a line in the log, and what it was about.
    last: (Duration, Option<Sample>),
}

impl Painter {
    fn new(form: Form, clock: Clock) -> Painter {
        Painter {
            form,
            clock,
            pace: Pace::default(),
            usage: Usage::default(),
            last: (Duration::ZERO, None),
        }
    }

    fn show(&mut self, sample: Sample) {
        let clock = self.clock;
        self.pace.note(sample.at, sample.done());
        let view = View {
            rate: self.pace.rate(),
            left: sample.total.and_then(|total| self.pace.left(total)),
            cpus: self.usage.look(|| clock.elapsed()),
            sample,
        };
        match self.form {
            Form::Nothing => {}
            Form::Bar { colour, badge } => {
                let width = screen::columns().unwrap_or(WIDTH);
                screen::draw(view.line(width, colour), badge.then(|| view.badge()));
            }
            Form::Lines { every } => {
                if self.is_due(&view.sample, every) {
                    self.last = (view.sample.at, Some(view.sample.clone()));
                    screen::say(&format!("orchestrator: {}\n", view.text()));
                }
            }
            Form::Json => screen::say(&format!("{}\n", view.json())),
        }
    }

    /// Whether it is time for a line in the log, and it says anything new.
    fn is_due(&self, sample: &Sample, every: Duration) -> bool {
        let (at, last) = &self.last;
        // Looks are not made to the millisecond.
        let early = every / 20;
        let is_time = sample.at + early >= *at + every;
        let at_rest = last.as_ref().is_some_and(|last| {
            let running = (last.at_work.running, sample.at_work.running);
            running == (0, 0) && last.done() == sample.done()
        });
        is_time && !at_rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(is_terminal: bool, vars: &[(&str, &str)]) -> Surroundings {
        Surroundings::read(is_terminal, false, |name| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn a_bar_is_for_terminals_and_a_log_has_lines() {
        let bar = |colour, badge| Form::Bar { colour, badge };
        let (red, plain, badge) = (bar(true, false), bar(false, false), bar(true, true));
        let lines = |every| Form::Lines { every };
        let xterm = ("TERM", "xterm");
        let (auto, always) = (Wanted::Auto, Wanted::Always);
        for (wanted, is_terminal, vars, expected) in [
            (auto, true, &[xterm][..], red),
            (auto, true, &[xterm, ("NO_COLOR", "1")], plain),
            (auto, true, &[xterm, ("WT_SESSION", "1")], badge),
            (auto, true, &[xterm, ("ConEmuANSI", "ON")], badge),
            (auto, true, &[xterm, ("ConEmuANSI", "OFF")], red),
            (auto, true, &[xterm, ("TERM_PROGRAM", "ghostty")], badge),
            (
                auto,
                true,
                &[xterm, ("TERM_PROGRAM", "WezTerm"), ("TMUX", "x")],
                red,
            ),
            (auto, true, &[xterm, ("TERM_PROGRAM", "vscode")], red),
            (auto, false, &[xterm, ("WT_SESSION", "1")], lines(LOG)),
            (auto, true, &[xterm, ("NO_COLOR", "")], red),
            (auto, true, &[xterm, ("CLICOLOR", "0")], plain),
            (
                auto,
                true,
                &[xterm, ("CLICOLOR", "0"), ("FORCE_COLOR", "1")],
                red,
            ),
            (
                auto,
                true,
                &[xterm, ("NO_COLOR", "1"), ("FORCE_COLOR", "1")],
                plain,
            ),
            (auto, true, &[xterm, ("CI", "true")], lines(LOG)),
            (auto, true, &[xterm, ("CI", "false")], red),
            (auto, true, &[("TERM", "dumb")], lines(LOG)),
            (auto, true, &[], lines(LOG)),
            (auto, false, &[xterm, ("FORCE_COLOR", "1")], lines(LOG)),
            (always, true, &[xterm, ("CI", "true")], red),
            (always, true, &[("TERM", "dumb")], lines(OFTEN)),
            (always, false, &[xterm], lines(OFTEN)),
            (Wanted::Bar, true, &[xterm, ("CI", "1")], red),
            (Wanted::Bar, false, &[xterm], lines(LOG)),
            (Wanted::Lines, true, &[xterm], lines(LOG)),
            (Wanted::Json, true, &[xterm], Form::Json),
            (Wanted::Nothing, true, &[xterm], Form::Nothing),
        ] {
            let here = surroundings(is_terminal, vars);
            assert_eq!(form(wanted, here), expected, "{wanted:?} {vars:?}");
        }
        let typed = Surroundings {
            is_typed_on: true,
            ..surroundings(true, &[xterm])
        };
        assert_eq!(form(auto, typed), Form::Nothing);
        assert_eq!(form(always, typed), red);
    }

    #[test]
    fn a_log_has_a_line_when_there_is_something_to_tell() {
        let every = LOG;
        let mut painter = Painter::new(Form::Lines { every }, Clock::start());
        let sample = |secs, running, succeeded| Sample {
            at: Duration::from_secs(secs),
            at_work: AtWork {
                running,
                longest: None,
            },
            succeeded,
            ..Sample::default()
        };
        assert!(!painter.is_due(&sample(25, 1, 0), every));
        assert!(painter.is_due(&sample(30, 1, 0), every));
        painter.last = (Duration::from_secs(30), Some(sample(30, 1, 0)));
        assert!(!painter.is_due(&sample(55, 1, 9), every));
        assert!(painter.is_due(&sample(60, 1, 0), every), "it goes on");
        assert!(painter.is_due(&sample(60, 0, 1), every));
        painter.last = (Duration::from_secs(60), Some(sample(60, 0, 1)));
        assert!(!painter.is_due(&sample(90, 0, 1), every), "it is at rest");
        assert!(painter.is_due(&sample(120, 0, 2), every));
    }
}
