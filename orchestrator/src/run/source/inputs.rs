//! What the input of a run is, as it was asked for.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::columns::{Columns, Trim};
use super::combine::Combined;
use super::item::Fields;
use super::lines::{DEFAULT_MAX_LINE, Delimiter, Line, Splitter};
use super::origin::Origin;
use super::pack::{Packer, Packing};
use super::values::{Idle, ReadError, Stopped, Values};

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    /// Where values come from, at least one.
    pub(crate) sources: Vec<Source>,
    /// All sources go forward together, and the shorter ones begin again.
    pub(crate) link: bool,
    /// What ends a value in a file.
    pub(crate) delimiter: Delimiter,
    /// Longest value in bytes.
    pub(crate) max_line: u64,
    /// What becomes of a value.
    pub(crate) form: Form,
    /// Whether the first value of each source has the names of its columns.
    pub(crate) header: bool,
    /// The order of items is one that this number decides.
    pub(crate) shuffle: Option<u64>,
    /// Whether an item is several values; how, is known when the command is.
    pub(crate) packs: bool,
    pub(crate) packing: Option<Packing>,
    /// Whether items only say that there is a job.
    pub(crate) nothing: bool,
}

impl Inputs {
    /// How many fields an item has before several are packed, with these names; nothing where
    /// only each item says.
    pub(crate) fn fields_of_one(&self, names: &[Vec<u8>]) -> Option<NonZero<usize>> {
        match self.form.columns {
            Columns::One => NonZero::new(self.sources.len()),
            _ => NonZero::new(names.len()),
        }
    }

    /// Divides words of the command line by what was named to divide the input, too.
    pub(crate) fn divide_words(&mut self) {
        let Delimiter::Text(by) = self.delimiter else {
            return;
        };
        if by.is_empty() {
            return;
        }
        for source in &mut self.sources {
            if let From::Words(_, words) = &mut source.from {
                *words = words.iter().flat_map(|word| divided(word, by)).collect();
            }
        }
    }
}

fn divided(word: &Bytes, by: &[u8]) -> Vec<Bytes> {
    let mut items = Vec::new();
    let mut from = 0;
    for at in memchr::memmem::find_iter(word, by) {
        items.push(word.slice(from..at));
        from = at + by.len();
    }
    items.push(word.slice(from..));
    items
}

/// One source.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) from: From,
    /// It goes forward together with the one before it, and both end with the shorter.
    pub(crate) linked: bool,
}

/// Where values come from.
#[derive(Clone, Debug)]
pub(crate) enum From {
    Stdin,
    File(PathBuf),
    /// The command line, behind this word.
    Words(Vec<u8>, Arc<[Bytes]>),
}

/// What becomes of a value.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// A value that says this ends its source.
    pub(crate) end: Option<Vec<u8>>,
    /// Whether those of blanks alone are left out.
    pub(crate) skip_blank: bool,
    /// Whether one that ends with a blank goes on in the next line.
    pub(crate) continued: bool,
    pub(crate) trim: Trim,
    /// The same for the names of columns.
    pub(crate) trim_names: Trim,
    pub(crate) columns: Columns,
}

impl Default for Form {
    fn default() -> Form {
        Form {
            end: None,
            skip_blank: false,
            continued: false,
            trim: Trim::default(),
            trim_names: Trim::default(),
            columns: Columns::One,
        }
    }
}

impl Form {
    /// Whether values stay what they are.
    fn is_plain(&self) -> bool {
        self.end.is_none()
            && !self.skip_blank
            && !self.continued
            && self.trim == Trim::default()
            && matches!(self.columns, Columns::One)
    }
}

/// What cannot be opened or read before a run begins.
#[derive(Debug)]
pub(crate) enum OpenError {
    Open(PathBuf, io::Error),
    Read(ReadError),
}

impl Default for Inputs {
    /// Lines of standard input.
    fn default() -> Inputs {
        Inputs {
            sources: vec![Source {
                from: From::Stdin,
                linked: false,
            }],
            link: false,
            delimiter: Delimiter::Newline,
            max_line: DEFAULT_MAX_LINE,
            form: Form::default(),
            header: false,
            shuffle: None,
            packs: false,
            packing: None,
            nothing: false,
        }
    }
}

impl Inputs {
    /// Whether standard input is read.
    pub(crate) fn reads_stdin(&self) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| matches!(source.from, From::Stdin))
    }

    /// What the bytes of an item are to a template.
    pub(crate) fn fields(&self) -> Fields {
        match self.several() {
            _ if self.nothing => Fields::None,
            true => Fields::Several,
            false => Fields::One,
        }
    }

    /// Whether a value may stand beside others in an item.
    fn several(&self) -> bool {
        let one = self.sources.len() == 1 && matches!(self.form.columns, Columns::One);
        !one || self.packs
    }

    /// Whether it is the bytes of one file as they are.
    pub(crate) fn is_one_stream(&self) -> bool {
        let one = matches!(
            &self.sources[..],
            [Source {
                from: From::Stdin | From::File(_),
                ..
            }]
        );
        let cut = matches!(self.delimiter, Delimiter::Text(_));
        one && !cut && self.form.is_plain() && !self.header && self.shuffle.is_none() && !self.packs
    }

    /// What items are called.
    pub(crate) fn origin(&self) -> Origin {
        match &self.sources[..] {
            [one] => self.origin_of(one),
            _ => Origin::several(),
        }
    }

    fn origin_of(&self, source: &Source) -> Origin {
        match &source.from {
            From::Stdin => Origin::stdin(self.delimiter),
            From::File(path) => Origin::file(self.delimiter, path),
            From::Words(separator, _) => Origin::words(separator),
        }
    }

    /// Opens all sources, and reads the names of columns.
    ///
    /// # Errors
    /// When a file cannot be opened, or a name not be read.
    pub(crate) fn open(&self) -> Result<Opened, OpenError> {
        if let [Source { from, .. }] = &self.sources[..]
            && self.form.is_plain()
            && !self.header
            && self.shuffle.is_none()
            && !self.packs
        {
            let file = match from {
                From::Stdin => Some(stdin()?),
                From::File(path) => Some(file(path)?),
                From::Words(..) => None,
            };
            if let Some(file) = file {
                return Ok(Opened {
                    input: Input::Plain(file),
                    names: Vec::new(),
                });
            }
        }
        let mut opened = Vec::new();
        let mut names = Vec::new();
        for source in &self.sources {
            let mut values = self.values(source)?;
            if self.header {
                names.extend(values.header().map_err(OpenError::Read)?);
            }
            opened.push((values, source.linked));
        }
        Ok(Opened {
            input: Input::Items(Items::Each(Box::new(Combined::new(opened, self.link)))),
            names,
        })
    }

    fn values(&self, source: &Source) -> Result<Values, OpenError> {
        let several = self.several();
        let origin = self.origin_of(source);
        let form = self.form.clone();
        let file = match &source.from {
            From::Words(_, words) => {
                return Ok(Values::words(Arc::clone(words), origin, form, several));
            }
            From::Stdin => stdin()?,
            From::File(path) => file(path)?,
        };
        let splitter = Splitter::new(self.delimiter, self.max_line);
        Ok(Values::file(file, splitter, origin, form, several))
    }
}

fn stdin() -> Result<File, OpenError> {
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    let failed = |e| OpenError::Open(PathBuf::from("-"), e);
    stdin.map(File::from).map_err(failed)
}

fn file(path: &Path) -> Result<File, OpenError> {
    let opened = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    });
    opened.map_err(|e| OpenError::Open(path.to_owned(), e))
}

/// The input, of which nothing was read yet but names of columns.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(super) input: Input,
    /// Of all columns, in order.
    pub(crate) names: Vec<Vec<u8>>,
}

/// What is read.
#[derive(Debug)]
pub(super) enum Input {
    /// Lines that are items as they are.
    Plain(File),
    /// What is made of the values of sources.
    Items(Items),
}

/// Items that are made of values.
#[derive(Debug)]
pub(super) enum Items {
    /// One of each, or of each combination.
    Each(Box<Combined>),
    /// One of several.
    Packed(Box<Packer>),
}

impl Items {
    /// The next one.
    pub(super) fn next(&mut self, idle: &mut Idle<'_>) -> Next<Line> {
        match self {
            Items::Each(values) => values.next(idle),
            Items::Packed(packer) => packer.next(idle),
        }
    }
}

impl Opened {
    /// Several values become one item, if that is wanted.
    #[must_use]
    pub(crate) fn packed(self, inputs: &Inputs) -> Opened {
        let input = match (self.input, &inputs.packing) {
            (Input::Items(Items::Each(values)), Some(packing)) => {
                let packer = Packer::new(*values, packing.clone(), inputs.origin());
                Input::Items(Items::Packed(Box::new(packer)))
            }
            (input, _) => input,
        };
        Opened { input, ..self }
    }
}

/// What gives items one after the other, and says before each wait that it will wait.
pub(super) type Next<T> = Result<Option<T>, Stopped>;
