//! What is told of a run, as it was asked for. Pure.

use super::super::args::{ProgressArg, SummaryArg, ToldArgs};
use super::super::progress::Wanted;

/// What is told of a run while it goes on, and at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// How progress is shown.
    pub(crate) progress: Wanted,
    /// What is told at the end.
    pub(crate) summary: SummaryArg,
    /// Whether nothing is told but errors, and what was asked for.
    pub(crate) quiet: bool,
}

/// What was asked for; a command line of GNU parallel asks for no summary.
pub(super) fn told(args: ToldArgs, like_gnu: bool) -> Told {
    let quiet = args.quiet || like_gnu;
    let progress = match args.progress {
        Some(ProgressArg::Always) => Wanted::Always,
        Some(ProgressArg::Bar) => Wanted::Bar,
        Some(ProgressArg::Lines) => Wanted::Lines,
        Some(ProgressArg::Json) => Wanted::Json,
        Some(ProgressArg::None) => Wanted::Nothing,
        Some(ProgressArg::Auto) | None if args.bar || args.eta => Wanted::Bar,
        Some(ProgressArg::Auto) | None if quiet => Wanted::Nothing,
        Some(ProgressArg::Auto) | None => Wanted::Auto,
    };
    let summary = match args.summary {
        Some(SummaryArg::Auto) | None if quiet => SummaryArg::None,
        wanted => wanted.unwrap_or(SummaryArg::Auto),
    };
    Told {
        progress,
        summary,
        quiet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_quiet_gets_what_was_asked_for_by_name_alone() {
        let quiet = ToldArgs {
            quiet: true,
            ..ToldArgs::default()
        };
        let (wanted, gnu) = (told(quiet, false), told(ToldArgs::default(), true));
        assert_eq!(wanted, gnu);
        assert_eq!(wanted.progress, Wanted::Nothing);
        assert_eq!(wanted.summary, SummaryArg::None);
        let asked = ToldArgs {
            eta: true,
            summary: Some(SummaryArg::Json),
            ..quiet
        };
        let asked = told(asked, false);
        assert_eq!(asked.progress, Wanted::Bar);
        assert_eq!((asked.summary, asked.quiet), (SummaryArg::Json, true));
        let usual = told(ToldArgs::default(), false);
        assert_eq!(usual.progress, Wanted::Auto);
        assert_eq!((usual.summary, usual.quiet), (SummaryArg::Auto, false));
    }
}
