//! What is made of the command line's own definition: completions for shells, and pages
//! for `man`.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::errors::Message;
use super::exit::Exit;
use super::main::{fail, refuse};
use super::parallel;
use crate::run::text;

const NAME: &str = "orchestrator";

/// `orchestrator completions SHELL`.
pub(super) fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut completed(), NAME, &mut script);
    if args.shell == Shell::Bash {
        with_files_behind_options(&mut script);
    }
    print("the completions", &script)
}

/// The same for bash where options end: what follows is words of a command and items, for which
/// bash completes names of files when it is given nothing.
fn with_files_behind_options(script: &mut Vec<u8>) {
    const BEGIN: &[u8] = b"    COMPREPLY=()\n";
    const END: &[u8] = b"    for i in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n        \
        case \"${i}\" in --|:::*) return 0 ;; esac\n    done\n";
    if let Some(at) = memchr::memmem::find(script, BEGIN) {
        let at = at + BEGIN.len();
        script.splice(at..at, END.iter().copied());
    }
}

/// All commands, that of GNU parallel with the options that it takes.
fn completed() -> Command {
    Cli::command().mut_subcommand("parallel", |told| {
        let about = told.get_about().cloned().unwrap_or_default();
        parallel::command().name("parallel").about(about)
    })
}

/// `orchestrator man [COMMAND]`.
pub(super) fn man(args: &ManArgs) -> Exit {
    let mut program = Cli::command();
    // Gives the commands their full names.
    program.build();
    let command = match &args.of {
        None => program,
        // It is defined by GNU parallel's options.
        Some(name) if name == "parallel" => parallel::command(),
        Some(name) => match find(&program, name) {
            Some(command) => command.clone(),
            None => {
                let shown = program.get_subcommands().filter(|one| !one.is_hide_set());
                let names = shown.map(Command::get_name).filter(|&name| name != "help");
                let names: Vec<&str> = names.collect();
                let what = format!("no command {}", text::quoted(name.as_bytes()));
                let tip = format!("these have a page: {}", names.join(", "));
                return refuse(&Message::new(what).tip(tip));
            }
        },
    };
    match page(command) {
        Ok(page) => print("the page", &page),
        Err(e) => cannot("the page", &e),
    }
}

fn find<'a>(program: &'a Command, name: &str) -> Option<&'a Command> {
    program
        .get_subcommands()
        .find(|command| command.get_name() == name && name != "help")
}

/// The page in roff. Its options are grouped as in `--help`.
fn page(command: Command) -> io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or(NAME).to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .title(name)
        .render(&mut page)?;
    Ok(page)
}

pub(super) fn print(what: &str, text: &[u8]) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::OK,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::BROKEN_PIPE,
        Err(e) => cannot(what, &e),
    }
}

fn cannot(what: &str, error: &io::Error) -> Exit {
    let reason = text::reason(error);
    fail(&Message::new(format!(
        "{what} could not be written: {reason}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_all_its_options() {
        let mut program = Cli::command();
        program.build();
        let parallel = parallel::command();
        let commands = program.get_subcommands();
        let commands = commands.filter(|command| command.get_name() != "parallel");
        let commands: Vec<&Command> = commands.chain([&parallel]).collect();
        assert!(commands.len() > 5);
        for command in commands {
            let page = String::from_utf8(page(command.clone()).unwrap()).unwrap();
            // Roff writes a dash that is no hyphen as `\-`.
            let page = page.replace("\\-", "-");
            let name = command.get_name().trim_start_matches("orchestrator-");
            let title = format!(".TH orchestrator-{name}");
            assert!(page.contains(&title), "{page}");
            for option in command.get_opts().filter(|option| !option.is_hide_set()) {
                if let Some(long) = option.get_long() {
                    assert!(page.contains(&format!("--{long}")), "{long}");
                }
            }
        }
    }

    #[test]
    fn a_page_is_found_by_its_command() {
        let program = Cli::command();
        assert!(find(&program, "run").is_some());
        for wrong in ["", "nothing", "help", "--help"] {
            assert!(find(&program, wrong).is_none(), "{wrong}");
        }
    }
}
