//! How the places for an item are written, and what reads shell text.

use std::ffi::OsString;

use clap::Args;

/// Places and the shell.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Places and shell")]
pub(crate) struct TemplateArgs {
    /// The shell for TEXT, or for lines that are commands, by name or path [default: sh]
    #[arg(long, value_name = "SHELL")]
    pub(crate) shell: Option<OsString>,

    /// Run nothing; print for each job a line that does the same in a shell
    #[arg(long, visible_alias = "dryrun", conflicts_with = "resume")]
    pub(crate) dry_run: bool,

    /// Write STR for {}
    #[arg(short = 'I', value_name = "STR", allow_hyphen_values = true)]
    pub(crate) replace: Option<OsString>,

    /// More places: {..} {...} {+/} {+.} {/..} {slot}, and changes as in bash: {:-default}
    /// {:pos:length} {#re} {%re} {/re/text} {^re} {,re}, doubled for more
    #[arg(long)]
    pub(crate) plus: bool,

    /// Write STR for {.}
    #[arg(
        long,
        visible_alias = "er",
        value_name = "STR",
        allow_hyphen_values = true
    )]
    pub(crate) extensionreplace: Option<OsString>,

    /// Write STR for {/}
    #[arg(
        long,
        visible_alias = "bnr",
        value_name = "STR",
        allow_hyphen_values = true
    )]
    pub(crate) basenamereplace: Option<OsString>,

    /// Write STR for {//}
    #[arg(
        long,
        visible_alias = "dnr",
        value_name = "STR",
        allow_hyphen_values = true
    )]
    pub(crate) dirnamereplace: Option<OsString>,

    /// Write STR for {/.}
    #[arg(
        long,
        visible_alias = "bner",
        value_name = "STR",
        allow_hyphen_values = true
    )]
    pub(crate) basenameextensionreplace: Option<OsString>,

    /// Write STR for {#}
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub(crate) seqreplace: Option<OsString>,

    /// Write STR for {%}
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub(crate) slotreplace: Option<OsString>,
}
