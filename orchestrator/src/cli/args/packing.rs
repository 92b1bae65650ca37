//! Several values for one job.

use clap::Args;

/// Options of `run` about how many values a job gets.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Several values for one job")]
pub(crate) struct PackArgs {
    /// Give a command up to N values; 0 reads one for each and puts nothing in
    #[arg(short = 'n', long, value_name = "N", conflicts_with_all = ["max_replace_args", "max_lines"])]
    pub(crate) max_args: Option<usize>,

    /// The same, and a word like {}.bak is there once for each value; with --pipe, a block has N
    /// records, however large they are
    #[arg(short = 'N', long, value_name = "N")]
    pub(crate) max_replace_args: Option<usize>,

    /// The same by lines, of which one that ends with a blank goes on in the next; with --pipe, a
    /// record is N lines
    #[arg(short = 'L', value_name = "N")]
    pub(crate) max_lines: Option<usize>,

    /// Give a command as many values as fit; a word like {}.bak is there once for each
    #[arg(short = 'X')]
    pub(crate) context_replace: bool,

    /// The same; in a word like {}.bak the values have blanks between them
    #[arg(short = 'm')]
    pub(crate) many: bool,

    /// As -m, and the last values go to one command, not to one for each worker
    #[arg(long)]
    pub(crate) xargs: bool,

    /// A command line has up to N bytes, one at the end of each word among them [default: as
    /// many as the kernel takes]
    #[arg(short = 's', long, value_name = "N")]
    pub(crate) max_chars: Option<usize>,

    /// Refuse values that are to go together and do not fit, instead of dividing them
    #[arg(short = 'x', long)]
    pub(crate) exit: bool,
}
