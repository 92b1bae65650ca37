//! What the options about output mean together.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::args::{LoggedArg, OutputArgs};
use super::super::errors::Message;
use super::super::program::Lookup;
use crate::pool::{PoolConfig, temporary};
use crate::run::done::{Counts, Done};
use crate::run::sink::manner::{Form, Keep, Manner, Mode, Table};
use crate::run::sink::render::Format;
use crate::run::sink::tag::Tag;
use crate::run::source::label::Label;
use crate::run::source::place::Places;
use crate::run::source::template::TemplateError;
use crate::run::text::{quoted, reason};

/// In what manner what jobs print is shown.
///
/// # Errors
/// When that makes no sense.
pub(super) fn manner(
    args: OutputArgs,
    format: Format,
    places: &Places,
    pool: &mut PoolConfig,
    lookup: &Lookup,
) -> Result<Manner, Message> {
    check(&args, format)?;
    if args
        .joblog
        .as_ref()
        .is_some_and(|path| path == Path::new("-"))
    {
        let what = "--joblog `-`: its lines would stand between what jobs print";
        return Err(Message::new(what).tip("name a file; one that is called so is `./-`"));
    }
    let tag = match (args.tag, args.tagstring) {
        (true, _) => Some(Tag::Item),
        (false, None) => None,
        (false, Some(text)) => {
            let tag = Tag::text(text.as_bytes(), places);
            Some(tag.map_err(|e| no_such_place("--tagstring", &text, e))?)
        }
    };
    let keep = match (args.files, args.results) {
        (true, _) => Keep::Files(args.tmpdir.clone().unwrap_or_else(temporary)),
        (false, None) => Keep::Nowhere,
        (false, Some(name)) => results(name, places)?,
    };
    if let Some(dir) = args.tmpdir {
        let dir = lookup.cwd.join(dir);
        if lookup.must_exist && !dir.is_dir() {
            let shown = quoted(dir.as_os_str().as_bytes());
            return Err(Message::new(format!("--tmpdir: {shown} is no directory")));
        }
        let variable = ("TMPDIR".into(), dir.clone().into_os_string());
        pool.launch.env.push(variable);
        pool.temp_dir = Some(dir);
    }
    Ok(Manner {
        mode: mode(args.line_buffer, args.ungroup),
        tag,
        verbose: args.show_commands,
        trace: args.trace,
        keep,
        replaces: false,
        names: places.names.clone(),
        joblog: args.joblog,
    })
}

/// What the job log says is done, if that is to be left out.
///
/// # Errors
/// When it cannot be read, or jobs are not known by what they are made of.
pub(super) fn done(
    args: &OutputArgs,
    pipes: bool,
    lookup: &Lookup,
) -> Result<Option<Arc<Done>>, Message> {
    let (Some(which), Some(log)) = (args.skip_logged, &args.joblog) else {
        return Ok(None);
    };
    if pipes {
        return Err(Message::new(
            "with --pipe no job can be left out: a block is no part of its command",
        )
        .tip("to go on where something has failed: --run-file FILE"));
    }
    let counts = match which {
        LoggedArg::Ended => Counts::Ended,
        LoggedArg::Succeeded => Counts::Succeeded,
    };
    if !lookup.must_exist {
        return Ok(None);
    }
    let done = Done::open(log, counts).map_err(|e| {
        let shown = quoted(log.as_os_str().as_bytes());
        Message::new(format!("--joblog {shown} cannot be read: {}", reason(&e)))
    })?;
    Ok(Some(Arc::new(done)))
}

fn mode(line_buffer: bool, ungroup: bool) -> Mode {
    match (line_buffer, ungroup) {
        (true, _) => Mode::Lines,
        (false, true) => Mode::Ungroup,
        (false, false) => Mode::Group,
    }
}

/// Whether these go together.
fn check(args: &OutputArgs, format: Format) -> Result<(), Message> {
    let live = match mode(args.line_buffer, args.ungroup) {
        Mode::Group => None,
        Mode::Lines => Some("--line-buffer"),
        Mode::Ungroup => Some("--ungroup"),
    };
    let keep = match (args.files, &args.results) {
        (true, _) => Some("--files"),
        (false, Some(_)) => Some("--results"),
        (false, None) => None,
    };
    if let (Some(live), Some(keep)) = (live, keep) {
        let what = format!("{live} and {keep} exclude each other: what is kept is not printed");
        return Err(Message::new(what).tip(format!("leave out {live}")));
    }
    if let (Some(live), Format::Jsonl) = (live, format) {
        let what = format!(
            "{live} and --format jsonl exclude each other: an object has all that its job has printed"
        );
        return Err(Message::new(what).tip(format!("leave out {live}")));
    }
    let tag = match (args.tag, &args.tagstring) {
        (true, _) => Some("--tag"),
        (false, Some(_)) => Some("--tagstring"),
        (false, None) => None,
    };
    let verbose = args.show_commands.then_some("-v");
    let trace = args.trace.then_some("-t");
    let of_text = [tag, keep, verbose];
    if let Some(option) = of_text.into_iter().flatten().next()
        && format != Format::Text
    {
        let what = format!("{option} is for what commands print, as text");
        return Err(Message::new(what)
            .tip("everything about each job, with what it has printed: --format jsonl"));
    }
    if let (Some(option), Format::Result | Format::Value) = (trace, format) {
        let what = format!("{option} prints commands, and a task has none");
        return Err(Message::new(what).tip("leave it out"));
    }
    Ok(())
}

/// Where results are kept.
fn results(name: OsString, places: &Places) -> Result<Keep, Message> {
    let bytes = name.as_bytes();
    let forms: [(&[u8], Form); 3] = [
        (b".csv", Form::Csv),
        (b".tsv", Form::Tsv),
        (b".json", Form::Json),
    ];
    if bytes.is_empty() {
        return Err(Message::new(
            "--results needs the name of a directory or a file",
        ));
    }
    for (end, form) in forms {
        if let Some(stem) = bytes.strip_suffix(end) {
            let file = (stem != b"-").then(|| PathBuf::from(name.clone()));
            return Ok(Keep::Table(Table { form, file }));
        }
    }
    let label = Label::parse(bytes, places).map_err(|e| no_such_place("--results", &name, e))?;
    Ok(match label.has_place() {
        true => Keep::Named(label),
        false => Keep::Tree(PathBuf::from(OsString::from_vec(bytes.to_vec())), None),
    })
}

pub(super) fn no_such_place(option: &str, text: &OsStr, error: TemplateError) -> Message {
    match error {
        TemplateError::Unoffered(written, why) => {
            let what = format!("{option}: {} {}", quoted(&written), why.what());
            Message::new(what).tip(why.tip())
        }
        TemplateError::ShellText(_) => Message::new(format!(
            "{option} {}: it is no text",
            quoted(text.as_bytes())
        )),
    }
}

/// Elsewhere `-` is stdout; but that is for results.
///
/// # Errors
/// When one of these options, which write a file, has this name for it.
pub(super) fn check_are_files<const N: usize>(
    named: [(&str, Option<&Path>); N],
) -> Result<(), Message> {
    let is_stdout = |&(_, path): &(&str, Option<&Path>)| path == Some(Path::new("-"));
    match named.into_iter().find(is_stdout) {
        None => Ok(()),
        Some((option, _)) => Err(Message::new(format!(
            "{option} `-`: what it writes is not for stdout, where results are"
        ))
        .tip("name a file; one that is called so is `./-`")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{planned, refused};
    use super::*;

    #[test]
    fn results_go_where_their_name_says() {
        let keep = |name: &str| planned(&["--results", name, "true"]).batch.manner.keep;
        let table = |form, file: Option<&str>| {
            let file = file.map(PathBuf::from);
            Keep::Table(Table { form, file })
        };
        assert_eq!(keep("d"), Keep::Tree("d".into(), None));
        assert!(matches!(keep("d/{}"), Keep::Named(_)));
        assert_eq!(keep("a.csv"), table(Form::Csv, Some("a.csv")));
        assert_eq!(keep("-.tsv"), table(Form::Tsv, None));
        assert_eq!(keep("-.json"), table(Form::Json, None));
        let kept = planned(&["--files", "--tmpdir", "/tmp", "true"]);
        assert_eq!(kept.batch.manner.keep, Keep::Files("/tmp".into()));
        assert_eq!(kept.batch.pool.temp_dir, Some("/tmp".into()));
        assert!(kept.batch.keep_items);
    }

    #[test]
    fn the_mode_is_chosen_by_its_name() {
        let mode = |words: &[&str]| planned(words).batch.manner.mode;
        assert_eq!(mode(&["true"]), Mode::Group);
        assert_eq!(mode(&["--lb", "true"]), Mode::Lines);
        assert_eq!(mode(&["-u", "true"]), Mode::Ungroup);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (words, what) in [
            (
                &["--lb", "--results", "d", "true"][..],
                "--line-buffer and --results exclude",
            ),
            (&["-u", "--files", "true"], "--ungroup and --files exclude"),
            (
                &["-u", "--format", "jsonl", "true"],
                "--ungroup and --format jsonl exclude",
            ),
            (
                &["--tag", "--format", "jsonl", "true"],
                "--tag is for what commands print",
            ),
            (
                &["--results", "d", "--task", "t"],
                "--results is for what commands print",
            ),
            (
                &["-t", "--task", "t"],
                "-t prints commands, and a task has none",
            ),
            (
                &["--tmpdir", "/no/such", "true"],
                "--tmpdir: `/no/such` is no directory",
            ),
            (&["--results", "", "true"], "--results needs the name"),
            (
                &["--pipe", "--joblog", "l", "--skip-logged", "ended", "cat"],
                "with --pipe no job can be left out",
            ),
            (
                &["--joblog", "/dev", "--skip-logged", "ended", "true"],
                "--joblog `/dev` cannot be read: ",
            ),
            (&["--joblog", "-", "true"], "--joblog `-`: its lines would"),
            (&["--trace", "-", "true"], "--trace `-`: what it writes"),
            (&["--log-file", "-", "true"], "--log-file `-`: what it"),
            (&["--failed-to", "-", "true"], "--failed-to `-`: what it"),
            (&["--run-file", "-", "true"], "--run-file `-`: what it"),
        ] {
            let said = refused(words);
            assert!(said.starts_with(&format!("error: {what}")), "{said}");
        }
    }
}
