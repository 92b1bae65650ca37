//! In what manner outputs are shown: when, with what in front of their lines, and
//! where. Pure; what it means for a job's end is [`super::shown`]'s business.

use std::num::NonZero;
use std::path::PathBuf;

use super::tag::Tag;
use crate::run::source::label::Label;

/// In what manner what jobs print is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// When it is shown.
    pub(crate) mode: Mode,
    /// What stands in front of each line.
    pub(crate) tag: Option<Tag>,
    /// Whether the command is the first line of a job's stdout.
    pub(crate) verbose: bool,
    /// Whether each command is told on stderr when it is about to start.
    pub(crate) trace: bool,
    /// Where it is kept instead of being shown.
    pub(crate) keep: Keep,
    /// Whether what an earlier run has kept there is replaced, instead of being set aside.
    pub(crate) replaces: bool,
    /// What the fields of items are called, as far as they have names.
    pub(crate) names: Vec<Vec<u8>>,
    /// What each attempt came to is written to this file.
    pub(crate) joblog: Option<PathBuf>,
}

/// When what a job prints is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// When the job has ended, in one piece.
    #[default]
    Group,
    /// While it runs, whole lines.
    Lines,
    /// While it runs, as it comes.
    Ungroup,
}

impl Mode {
    /// Whether anything is shown before a job has ended.
    pub(crate) fn is_live(self) -> bool {
        self != Mode::Group
    }
}

/// Where outputs are kept instead of being shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nowhere: they are shown.
    #[default]
    Nowhere,
    /// Each stdout in a file in this directory, whose path is shown.
    Files(PathBuf),
    /// In a tree of directories below this one. What the first so many fields are called, the
    /// next are called again.
    Tree(PathBuf, Option<NonZero<usize>>),
    /// In files that are called so.
    Named(Label),
    /// In a table.
    Table(Table),
}

/// A table with a row for each job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// What it looks like.
    pub(crate) form: Form,
    /// The file; stdout when absent.
    pub(crate) file: Option<PathBuf>,
}

/// What a table looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Values with commas between them.
    Csv,
    /// Values with TABs between them.
    Tsv,
    /// An object for each job.
    Json,
}

impl Manner {
    /// Whether outputs are shown as they are.
    pub(super) fn is_plain(&self) -> bool {
        self.tag.is_none() && !self.verbose && self.keep == Keep::Nowhere
    }

    /// For what is shown once more, which is kept nowhere but in a table that is shown.
    pub(crate) fn for_show(&self) -> Manner {
        let keep = match &self.keep {
            Keep::Table(table) if table.file.is_none() => self.keep.clone(),
            _ => Keep::Nowhere,
        };
        Manner {
            keep,
            ..self.clone()
        }
    }

    /// Whether it asks for something that is said of items.
    pub(crate) fn wants_items(&self) -> bool {
        self.tag.is_some() || self.keep != Keep::Nowhere
    }

    /// Whether something is shown that may name the slot of a job: its command, or a text.
    pub(crate) fn names_slots(&self) -> bool {
        let kept = match &self.keep {
            Keep::Table(_) => true,
            Keep::Named(label) => label.has_slot(),
            Keep::Nowhere | Keep::Files(_) | Keep::Tree(..) => false,
        };
        let tagged = self.tag.as_ref().is_some_and(Tag::has_slot);
        self.verbose || self.trace || self.joblog.is_some() || kept || tagged
    }

    /// Whether it must be known when jobs are about to start.
    pub(crate) fn wants_starts(&self) -> bool {
        self.trace || (self.verbose && self.mode.is_live())
    }
}
