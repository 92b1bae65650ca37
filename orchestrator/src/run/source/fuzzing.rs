//! Standard input's way to jobs, for fuzz targets: as thin as it can be.

use std::time::Duration;

use bytes::Bytes;
use protocol::Limits;

use super::item::Fields;
use super::jsonl::Shape;
use super::lines::{self, Content, Delimiter, Splitter};
use super::origin::Origin;
use super::place::Places;
use super::shell::{Dialect, ShellText};
use super::template::Template;
use super::work::{self, Work};

/// A line of the input.
#[derive(Debug)]
pub struct Line(lines::Line);

impl Line {
    /// One that is not too long.
    #[must_use]
    pub fn whole(number: u64, bytes: Bytes) -> Line {
        let content = Content::Whole(bytes);
        Line(lines::Line { number, content })
    }

    /// Its number, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// What is held of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0.content {
            Content::Whole(bytes) | Content::TooLong { start: bytes, .. } => bytes,
            Content::Unfit(_) => &[],
        }
    }

    /// Whether that is all.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.0.content, Content::Whole(_))
    }

    /// How long it is.
    #[must_use]
    pub fn length(&self) -> u64 {
        match &self.0.content {
            Content::Whole(bytes) => bytes.len() as u64,
            Content::TooLong { length, .. } => *length,
            Content::Unfit(_) => 0,
        }
    }
}

/// All lines of what comes in these pieces.
pub fn lines(pieces: impl IntoIterator<Item = Bytes>, nul: bool, limit: u64) -> Vec<Line> {
    let delimiter = if nul {
        Delimiter::Nul
    } else {
        Delimiter::Newline
    };
    let mut splitter = Splitter::new(delimiter, limit);
    let mut lines = Vec::new();
    for piece in pieces {
        splitter.push(&piece, |line| lines.push(Line(line)));
    }
    lines.extend(splitter.finish().map(Line));
    lines
}

/// What is done with every line.
#[derive(Debug)]
pub struct Recipe(work::Recipe);

/// What was made of a line.
#[derive(Debug)]
pub struct Job {
    /// The id that the input gave it, as JSON text.
    pub id: Option<String>,
    /// Its input, as a worker gets it.
    pub input: Bytes,
}

/// What is said of a line that is no job.
#[derive(Debug)]
pub struct Refused {
    /// Its id, when it can be read all the same.
    pub id: Option<String>,
    /// What is wrong.
    pub what: String,
    /// Lines that show it.
    pub place: Vec<String>,
}

/// What is said of a text that is refused.
#[derive(Debug)]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// Where, from 1.
    pub column: Option<usize>,
    /// What to write instead.
    pub tip: &'static str,
}

impl Recipe {
    fn of(work: Work) -> Recipe {
        Recipe(work::Recipe {
            work,
            fields: Fields::One,
            delimiter: Delimiter::Newline,
            origin: Origin::stdin(Delimiter::Newline),
            max_line: lines::DEFAULT_MAX_LINE,
            grace: Duration::ZERO,
            stop: Vec::new(),
            limits: Limits::default(),
            shell: None,
            number_variable: None,
            wd: None,
            typed: None,
            done: None,
            keep_items: false,
            pipe: None,
        })
    }

    /// A line is the argument of a task.
    #[must_use]
    pub fn argument() -> Recipe {
        Recipe::of(Work::Task {
            name: "task",
            shape: Shape::Argument,
        })
    }

    /// A line is an object with an id and the argument of a task.
    #[must_use]
    pub fn record() -> Recipe {
        Recipe::of(Work::Task {
            name: "task",
            shape: Shape::Record,
        })
    }

    /// A line is a command.
    #[must_use]
    pub fn commands() -> Recipe {
        Recipe::of(Work::Commands)
    }

    /// A line goes into the words of a command, if they are accepted.
    #[must_use]
    pub fn words(words: &[&[u8]]) -> Option<Recipe> {
        let template = Template::parse(words, &Places::default()).ok()?;
        Some(Recipe::of(Work::Command(template)))
    }

    /// A line goes into a text for a shell.
    ///
    /// # Errors
    /// When the text is refused.
    pub fn text(text: &[u8]) -> Result<Recipe, Fault> {
        let parsed = ShellText::parse(text, &Places::default(), Dialect::default());
        let recipe = parsed.map(|text| Recipe::of(Work::Shell(text)));
        recipe.map_err(|fault| Fault {
            what: fault.what(),
            column: fault.column(),
            tip: fault.tip(),
        })
    }

    /// An item of several fields goes into the words of a command or into a text for a shell, if
    /// they are accepted. A zero byte is between two fields.
    #[must_use]
    pub fn several(words: Result<&[&[u8]], &[u8]>, repeats: bool) -> Option<Recipe> {
        let places = Places {
            several: true,
            repeats,
            plus: true,
            ..Places::default()
        };
        let work = match words {
            Ok(words) => Work::Command(Template::parse(words, &places).ok()?),
            Err(text) => Work::Shell(ShellText::parse(text, &places, Dialect::default()).ok()?),
        };
        let Recipe(recipe) = Recipe::of(work);
        let fields = Fields::Several;
        Some(Recipe(work::Recipe { fields, ..recipe }))
    }

    /// Makes a job of a line; none of a blank one.
    ///
    /// # Errors
    /// When the line is no job.
    pub fn prepare(&self, seq: u64, line: &Line) -> Result<Option<Job>, Refused> {
        match work::prepare(&self.0, seq, &line.0, Vec::new()) {
            Ok(made) => Ok(made.map(|(ticket, input)| Job {
                id: ticket.id.map(String::from),
                input,
            })),
            Err(refused) => {
                let (ticket, refusal) = *refused;
                Err(Refused {
                    id: ticket.id.map(String::from),
                    what: refusal.what,
                    place: refusal.place,
                })
            }
        }
    }
}
