//! A line that is a whole job: `{"argv": ["gzip", "a"], "timeout": 5}`.
//!
//! What runs is one of `argv`, `shell` and, for workers of one's own, `task` with `args`; what
//! else stands there is about this job alone. Text that is not UTF-8 is written as in results:
//! `{"base64": "…"}`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::*;
use bytes::Bytes;
use protocol::{EnvChange, Program};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use serde_json::value::RawValue;

use super::jsonl::{BadJson, bare, id_of, is_id, not_a_job, whole};
use super::pipe::lanes::Bell;

/// What a job may say.
const FIELDS: [&str; 11] = [
    "id", "argv", "shell", "task", "args", "stdin", "env", "cwd", "timeout", "retries", "label",
];

const NO_TIME: &str = "is no time: write seconds, or \"90s\", \"5m\"";
const NO_TEXT: &str = "is neither a string nor {\"base64\": \"…\"}";

/// What is said of a field that does not hold what it should.
const WRONG: [(&str, &str); 9] = [
    ("argv", "is no list of strings"),
    ("shell", NO_TEXT),
    ("task", "is no string"),
    ("stdin", NO_TEXT),
    (
        "env",
        "is no object with a string, or null, for each variable",
    ),
    ("cwd", NO_TEXT),
    ("timeout", NO_TIME),
    ("retries", "is no whole number from 0"),
    ("label", "is no string"),
];

/// A job as it was written.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: Option<Box<str>>,
    pub(super) runs: Runs,
    pub(super) wishes: Wishes,
}

/// What runs.
#[derive(Debug)]
pub(super) enum Runs {
    Command(Box<Command>),
    /// The task that is named in the wishes, with this argument as JSON.
    Task(Bytes),
}

/// A command, with what is around it.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) program: Program,
    pub(super) stdin: Option<ByteBuf>,
    pub(super) env: Vec<EnvChange>,
    pub(super) cwd: Option<ByteBuf>,
}

/// What is wanted of one job beside others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// How long an attempt may take.
    pub(crate) timeout: Option<Duration>,
    /// How many attempts may follow the first.
    pub(crate) retries: Option<u32>,
    /// What a person calls it.
    pub(crate) label: Option<Arc<str>>,
    /// The task, where each job names its own.
    pub(crate) task: Option<Arc<str>>,
    /// What ends with the job, for whoever feeds it.
    pub(crate) bell: Option<Bell>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    argv: Option<Vec<Text>>,
    shell: Option<Text>,
    task: Option<String>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    stdin: Option<Text>,
    env: Option<BTreeMap<String, Option<Text>>>,
    cwd: Option<Text>,
    timeout: Option<Time>,
    retries: Option<u32>,
    label: Option<String>,
}

/// Bytes: a string, or their base64.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Encoded(Encoded),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    base64: String,
}

/// Seconds, or a text like `90s`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Seconds(f64),
    Text(String),
}

impl Text {
    /// The bytes, which go where no zero byte can.
    fn bytes(self, field: &str) -> Result<ByteBuf, String> {
        let bytes = self.any(field)?;
        match memchr::memchr(0, &bytes) {
            Some(_) => Err(format!("`{field}` holds a zero byte")),
            None => Ok(bytes),
        }
    }

    fn any(self, field: &str) -> Result<ByteBuf, String> {
        match self {
            Text::Plain(text) => Ok(ByteBuf::from(text)),
            Text::Encoded(Encoded { base64 }) => {
                let decoded = BASE64_STANDARD.decode(base64);
                decoded
                    .map(ByteBuf::from)
                    .map_err(|e| format!("`{field}` is no base64: {e}"))
            }
        }
    }
}

impl Time {
    fn duration(self) -> Option<Duration> {
        let time = match self {
            Time::Seconds(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Time::Text(text) => match text.parse() {
                Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
                Err(_) => humantime::parse_duration(&text).ok(),
            },
        };
        time.filter(|time| !time.is_zero())
    }
}

/// Reads a line; nothing when it is blank.
///
/// # Errors
/// When it is not valid JSON, or not a job.
pub(super) fn parse(line: &Bytes) -> Result<Option<Job>, BadJson> {
    let Some(object) = whole(line)? else {
        return Ok(None);
    };
    if !object.starts_with('{') {
        return Err(not_a_job("it is not a JSON object"));
    }
    let refused = |what: &str| BadJson {
        id: id_of(object),
        ..not_a_job(what)
    };
    let written: Written<'_> = serde_json::from_str(object).map_err(|e| {
        let what = wrong_field(object).unwrap_or_else(|| suggested(&bare(&e)));
        refused(&what)
    })?;
    job(written, line).map(Some).map_err(|what| refused(&what))
}

fn job(written: Written<'_>, line: &Bytes) -> Result<Job, String> {
    let id = written.id.map(RawValue::get);
    if id.is_some_and(|id| !is_id(id)) {
        return Err("`id` is neither a string nor a number".into());
    }
    let timeout = written.timeout.map(|time| {
        let time = time.duration();
        time.ok_or_else(|| format!("`timeout` {NO_TIME}"))
    });
    let mut wishes = Wishes {
        timeout: timeout.transpose()?,
        retries: written.retries,
        label: written.label.map(Arc::from),
        ..Wishes::default()
    };
    let program = match (written.argv, written.shell, written.task) {
        (Some(argv), None, None) => {
            let argv: Result<Vec<ByteBuf>, String> =
                argv.into_iter().map(|word| word.bytes("argv")).collect();
            let argv = argv?;
            if argv.first().is_none_or(|program| program.is_empty()) {
                return Err("`argv` names no program".into());
            }
            Program::Argv(argv)
        }
        (None, Some(text), None) => Program::Shell {
            text: text.bytes("shell")?,
            args: Vec::new(),
        },
        (None, None, Some(task)) => {
            for (field, given) in [
                ("stdin", written.stdin.is_some()),
                ("env", written.env.is_some()),
                ("cwd", written.cwd.is_some()),
            ] {
                if given {
                    return Err(format!("`{field}` is for commands, not for a task"));
                }
            }
            wishes.task = Some(task.as_str().into());
            let args = written.args.map_or_else(
                || Bytes::from_static(b"null"),
                |args| line.slice_ref(args.get().as_bytes()),
            );
            return Ok(Job {
                id: id.map(Box::from),
                runs: Runs::Task(args),
                wishes,
            });
        }
        (None, None, None) => {
            return Err("it has none of `argv`, `shell` and `task`".into());
        }
        _ => return Err("it has more than one of `argv`, `shell` and `task`".into()),
    };
    if written.args.is_some() {
        return Err("`args` is for a task; words of a command stand in `argv`".into());
    }
    let command = Command {
        program,
        stdin: written.stdin.map(|text| text.any("stdin")).transpose()?,
        env: changes(written.env.unwrap_or_default())?,
        cwd: written.cwd.map(|text| text.bytes("cwd")).transpose()?,
    };
    Ok(Job {
        id: id.map(Box::from),
        runs: Runs::Command(Box::new(command)),
        wishes,
    })
}

fn changes(env: BTreeMap<String, Option<Text>>) -> Result<Vec<EnvChange>, String> {
    let change = |(name, value): (String, Option<Text>)| {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err("`env` has a name that no variable can have".to_owned());
        }
        let value = value.map(|value| value.bytes("env")).transpose()?;
        Ok(EnvChange {
            name: ByteBuf::from(name),
            value,
        })
    };
    env.into_iter().map(change).collect()
}

/// Which field does not hold what it should: the parser names only what it had found there.
fn wrong_field(object: &str) -> Option<String> {
    let fields: BTreeMap<&str, &RawValue> = serde_json::from_str(object).ok()?;
    WRONG.iter().find_map(|(name, wrong)| {
        let alone = format!("{{\"{name}\": {}}}", fields.get(name)?);
        let read = serde_json::from_str::<Written<'_>>(&alone);
        read.is_err().then(|| format!("`{name}` {wrong}"))
    })
}

/// With the field that was meant, when an unknown one is near it.
fn suggested(what: &str) -> String {
    let Some((_, rest)) = what.split_once("unknown field `") else {
        return what.to_owned();
    };
    let Some((name, _)) = rest.split_once('`') else {
        return what.to_owned();
    };
    let near = FIELDS
        .iter()
        .map(|field| (strsim::damerau_levenshtein(field, name), field))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, field)| *distance <= 1 + field.len() / 3);
    match near {
        Some((_, field)) => format!("unknown field `{name}`; did you mean `{field}`?"),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Job, BadJson> {
        parse(&Bytes::copy_from_slice(line.as_bytes())).map(Option::unwrap)
    }

    fn refused(line: &str) -> String {
        let error = parsed(line).unwrap_err();
        assert_eq!(error.column, None);
        error.what
    }

    #[test]
    fn a_job_says_what_runs_and_what_is_around_it() {
        let job = parsed(
            r#"{"id": 7, "argv": ["cat", {"base64": "/w=="}], "stdin": {"base64": "AP8="},
                "env": {"A": "b", "C": null}, "cwd": "/tmp", "timeout": 1.5, "retries": 2,
                "label": "seven"}"#,
        );
        let job = job.unwrap();
        assert_eq!(job.id.as_deref(), Some("7"));
        let Runs::Command(command) = job.runs else {
            panic!("{job:?}")
        };
        let argv = [ByteBuf::from("cat"), ByteBuf::from(b"\xff".to_vec())];
        assert_eq!(command.program, Program::Argv(argv.to_vec()));
        assert_eq!(command.stdin, Some(ByteBuf::from(b"\0\xff".to_vec())));
        assert_eq!(command.env.len(), 2);
        assert_eq!(command.env[1].value, None);
        assert_eq!(command.cwd, Some(ByteBuf::from("/tmp")));
        let wishes = Wishes {
            timeout: Some(Duration::from_millis(1_500)),
            retries: Some(2),
            label: Some("seven".into()),
            ..Wishes::default()
        };
        assert_eq!(job.wishes, wishes);
        let job = parsed(r#"{"task": "fib", "args": [1.50], "timeout": "5m"}"#).unwrap();
        let Runs::Task(args) = job.runs else {
            panic!("{job:?}")
        };
        assert_eq!(job.wishes.task.as_deref(), Some("fib"));
        assert_eq!(args, "[1.50]");
        assert_eq!(job.wishes.timeout, Some(Duration::from_secs(300)));
        assert!(parse(&Bytes::from_static(b" \t")).unwrap().is_none());
    }

    #[test]
    fn what_is_no_job_says_why() {
        for (line, what) in [
            ("[1]", "it is not a JSON object"),
            ("{}", "it has none of `argv`, `shell` and `task`"),
            (
                r#"{"argv": ["a"], "shell": "b"}"#,
                "it has more than one of `argv`, `shell` and `task`",
            ),
            (r#"{"argv": []}"#, "`argv` names no program"),
            (r#"{"argv": [""]}"#, "`argv` names no program"),
            (r#"{"shell": "a\u0000"}"#, "`shell` holds a zero byte"),
            (
                r#"{"shell": "a", "args": 1}"#,
                "`args` is for a task; words of a command stand in `argv`",
            ),
            (
                r#"{"task": "a", "cwd": "/"}"#,
                "`cwd` is for commands, not for a task",
            ),
            (
                r#"{"shel": "a"}"#,
                "unknown field `shel`; did you mean `shell`?",
            ),
            (
                r#"{"argv": ["a"], "time_out": 1}"#,
                "unknown field `time_out`; did you mean `timeout`?",
            ),
            (
                r#"{"shell": "a", "timeout": 0}"#,
                "`timeout` is no time: write seconds, or \"90s\", \"5m\"",
            ),
            (
                r#"{"shell": "a", "env": {"A=": "b"}}"#,
                "`env` has a name that no variable can have",
            ),
            (
                r#"{"shell": {"base64": "?"}}"#,
                "`shell` is no base64: Invalid symbol 63, offset 0.",
            ),
            (r#"{"shell": "a", "shell": "b"}"#, "duplicate field `shell`"),
            (r#"{"argv": "echo a"}"#, "`argv` is no list of strings"),
            (
                r#"{"id": 1, "argv": ["sleep", 5]}"#,
                "`argv` is no list of strings",
            ),
            (
                r#"{"shell": 1}"#,
                "`shell` is neither a string nor {\"base64\": \"…\"}",
            ),
            (
                r#"{"argv": ["a"], "retries": "x"}"#,
                "`retries` is no whole number from 0",
            ),
            (
                r#"{"argv": ["a"], "timeout": true}"#,
                "`timeout` is no time: write seconds, or \"90s\", \"5m\"",
            ),
            (
                r#"{"argv": ["a"], "env": {"A": 1}}"#,
                "`env` is no object with a string, or null, for each variable",
            ),
            (r#"{"argv": ["a"], "label": 1}"#, "`label` is no string"),
        ] {
            assert_eq!(refused(line), what, "{line}");
        }
        assert!(refused(r#"{"xyz": 1}"#).starts_with("unknown field `xyz`, expected one of"));
        let named = parsed(r#"{"id": "a", "argv": 1}"#).unwrap_err();
        assert_eq!(named.id.as_deref(), Some("\"a\""));
        assert_eq!(parsed("{\"argv\": }").unwrap_err().column, Some(10));
    }
}
