//! What `--help` and the manual page say, both made of the table of options.

use clap::builder::Str;
use clap::builder::styling::Styles;
use clap::{Arg, ArgAction, Command, CommandFactory};

use super::super::args::Cli;
use super::options::{GROUPS, Means, Opt, Takes, all};

/// What options that change nothing stand under.
const IDLE: &str = "Without effect";

const BEFORE: &str = "\
Takes the command line of GNU parallel: put `orchestrator` in front of `parallel`.

Words are joined and are a shell's text, as in GNU parallel; arguments stay data in it, in \
whatever quotes their places stand. Without a command each line is one. Long options may be \
shortened. Options may also stand in $PARALLEL, ~/.parallel/config and profiles (-J).";

const AFTER: &str = "\
Exit status:
  0        every job succeeded
  1-100    so many jobs failed        101  more than 100 jobs failed
  2        wrong usage, too           125  the run itself failed
  128+N    stopped by signal N
  With --halt ...,fail=1 it is the status of the job that decided.";

const MORE: &str = "
What is deliberately different, and what to use instead of options that are not offered:
`orchestrator man parallel | man -l -`, and docs/parallel.md";

/// The command with all options that are taken, for no other use than to be shown.
pub(in super::super) fn command() -> Command {
    let mut all_of_run = Cli::command();
    let run = all_of_run.find_subcommand_mut("run").cloned();
    let run = run.unwrap_or_else(|| Command::new("run"));
    let offered = GROUPS.iter().flat_map(|(heading, options)| {
        let offered = options.iter().filter(|option| option.is_offered());
        offered.map(move |option| (*heading, option))
    });
    let idle = all().filter(|option| matches!(option.means, Means::Idle(_)));
    let args = offered.chain(idle.map(|option| (IDLE, option)));
    Command::new("orchestrator-parallel")
        .display_name("orchestrator-parallel")
        .bin_name("orchestrator parallel")
        .version(env!("CARGO_PKG_VERSION"))
        .about(BEFORE)
        .override_usage("orchestrator parallel [OPTIONS] [COMMAND [ARGUMENT]...] [::: ARGUMENT... | :::: FILE...]...")
        .styles(Styles::plain())
        .max_term_width(100)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(args.map(|(heading, option)| arg(heading, option, &run)))
        .after_help(format!("{AFTER}\n{MORE}"))
        .after_long_help(format!("{AFTER}\n\nNot offered, and what to use instead:\n\n{}", refused()))
}

fn arg(heading: &'static str, option: &'static Opt, run: &Command) -> Arg {
    let (value, told) = told(option, run);
    let mut arg = Arg::new(option.names[0]).help_heading(heading).help(told);
    let short = option.names.iter().find(|name| name.len() == 1);
    let long = option.names.iter().find(|name| name.len() > 1);
    if let Some(letter) = short.and_then(|name| name.chars().next()) {
        arg = arg.short(letter);
    }
    if let Some(long) = long {
        arg = arg.long(*long);
    }
    match option.takes {
        Takes::Nothing => arg.action(ArgAction::SetTrue),
        Takes::Value => arg.value_name(value),
        Takes::Maybe | Takes::MaybeNumber => arg.value_name(value).num_args(0..=1),
    }
}

/// What stands for an option's value, and what it does.
fn told(option: &Opt, run: &Command) -> (Str, String) {
    match option.means {
        Means::Same(target) | Means::Each(target) | Means::Count(target) => {
            let bare = target.trim_start_matches('-');
            let found = run.get_arguments().find(|arg| {
                let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
                let shorts = arg.get_short_and_visible_aliases().unwrap_or_default();
                match target.strip_prefix("--") {
                    Some(long) => longs.contains(&long),
                    None => shorts.iter().any(|short| bare.starts_with(*short)),
                }
            });
            let value = found.and_then(|arg| arg.get_value_names()?.first());
            let told = found.and_then(Arg::get_help);
            let value = value.cloned().unwrap_or("VALUE".into());
            (value, told.map(ToString::to_string).unwrap_or_default())
        }
        Means::Own(kind) => {
            let (value, told) = kind.told();
            (value.into(), told.into())
        }
        Means::Idle(why) | Means::Refused(why) => ("VALUE".into(), why.into()),
    }
}

/// A paragraph for all options with the same reason.
fn refused() -> String {
    let mut rows: Vec<(&str, Vec<String>)> = Vec::new();
    for option in all() {
        let Means::Refused(instead) = option.means else {
            continue;
        };
        match rows.iter_mut().find(|(other, _)| *other == instead) {
            Some((_, names)) => names.push(option.shown()),
            None => rows.push((instead, vec![option.shown()])),
        }
    }
    let row = |(instead, names): &(&str, Vec<String>)| format!("{}: {instead}", names.join(", "));
    rows.iter().map(row).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_option_is_told_in_a_line_or_two() {
        let words = |text: String| -> HashSet<String> {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            let words = text.split(|c| !is_name(c));
            words.map(str::to_owned).collect()
        };
        let help = words(command().render_help().to_string());
        let page = words(command().render_long_help().to_string());
        for option in all() {
            let name = option.names.iter().find(|name| name.len() > 1);
            let name = name.map_or(format!("-{}", option.names[0]), |name| format!("--{name}"));
            let is_refused = matches!(option.means, Means::Refused(_));
            assert_eq!(help.contains(&name), !is_refused, "{name}");
            assert!(page.contains(&name), "{name}");
        }
        let mut run = Cli::command();
        let run = run.find_subcommand_mut("run").unwrap();
        for option in all() {
            let (value, told) = told(option, run);
            assert!(
                told.len() > 10 && !told.contains('\n'),
                "{option:?}: {told}"
            );
            assert!(
                option.takes == Takes::Nothing || !value.is_empty(),
                "{option:?}"
            );
        }
    }

    #[test]
    fn no_option_is_told_in_words_that_mean_something_else_there() {
        let help = command().render_help().to_string();
        for (option, line) in [
            ("--retries <N>", "Try a job up to N times"),
            ("-j, --jobs <N>", "How many jobs run at once"),
        ] {
            let behind = help.split(option).nth(1).unwrap();
            assert!(behind.trim_start().starts_with(line), "{behind}");
        }
    }
}
