//! Where in the command, and in what else is made for each job, values of its item stand.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::super::args::template::TemplateArgs;
use super::super::args::{PackArgs, PipeArgs};
use super::super::errors::Message;
use super::{pipe, template};
use crate::run::source::inputs::Inputs;
use crate::run::source::item::Fields;
use crate::run::source::place::{Places, Total};

/// How places are written.
#[derive(Debug)]
pub(super) struct Placed {
    /// In the command.
    pub(super) places: Places,
    /// In texts beside the command.
    pub(super) labels: Places,
    /// Lines for stderr.
    pub(super) warnings: Vec<String>,
}

/// How places are written in the command, of which these are the texts, and in others. `wd` is the
/// directory that is made for each job, if one was named.
///
/// # Errors
/// When two kinds of places are written alike, or one stands where there are no values.
pub(super) fn placed(
    args: &TemplateArgs,
    (inputs, names): (&Inputs, Vec<Vec<u8>>),
    (packing, pipe): (&PackArgs, &PipeArgs),
    texts: &[&[u8]],
    wd: Option<&OsStr>,
    like_gnu: bool,
) -> Result<Placed, Message> {
    let mut places = Places {
        several: inputs.fields() != Fields::One,
        repeats: packing.repeats(),
        names,
        ours: !like_gnu,
        // What is recorded would have to know it as well.
        total: (like_gnu && !pipe.pipe).then(Total::default),
        ..template::places(args)?
    };
    // There, a field has its number however few there are.
    if like_gnu {
        places.several |= texts.iter().any(|text| template::has_number(text));
    }
    // Of a text beside the command nothing follows for the command, where one value is one word.
    let labels = Places {
        several: places.several || like_gnu,
        ..places.clone()
    };
    let warnings = match like_gnu {
        true => Vec::new(),
        false => template::unknown_columns(texts.iter().copied(), &places),
    };
    if pipe.pipe {
        let wd = wd.map(OsStrExt::as_bytes);
        pipe::check_places(&places, texts.iter().copied().chain(wd))?;
    }
    if pipe.pipe || inputs.fields() == Fields::None {
        // Nothing is put in, and the line is not there to be added.
        places.appends = false;
    }
    Ok(Placed {
        places,
        labels,
        warnings,
    })
}
