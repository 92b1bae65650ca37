//! How the places for an item are written, and what reads shell text.

use std::ffi::OsString;

use clap::Args;

/// Places and the shell.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Places and shell")]
pub(crate) struct TemplateArgs {
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
