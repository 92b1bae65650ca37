use protocol::Limits;

use super::super::args::WorkerArgs;
use super::super::args::tests::run;
use super::*;
use crate::run::source::jsonl::Shape;
use crate::run::source::work::Work;

pub(super) fn lookup() -> Lookup {
    Lookup {
        cpus: None,
        path: Some("/usr/bin:/bin".into()),
        cwd: "/".into(),
        must_exist: true,
        history: None,
    }
}

pub(super) fn planned(words: &[&str]) -> Plan {
    plan(run(words).unwrap(), &lookup()).unwrap()
}

pub(super) fn refused(words: &[&str]) -> String {
    plan(run(words).unwrap(), &lookup())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_worker_may_be_a_command_line() {
    let launched = |word: &str| {
        let args = WorkerArgs {
            worker: Some(word.into()),
            worker_arg: vec!["last".into()],
        };
        launch(args, &lookup()).map(|(launch, _)| (launch.program, launch.args))
    };
    let (program, args) = launched("sh -c 'a b' c\\ d").unwrap();
    assert!(program.ends_with("sh"), "{program:?}");
    assert_eq!(args, ["-c", "a b", "c d", "last"]);
    assert_eq!(launched("sh").unwrap().1, ["last"]);
    let wrong = |word| launched(word).unwrap_err().to_string();
    assert!(wrong("sh -c 'a").contains("without an end"));
    assert!(wrong("no-such-program -x").contains("worker `no-such-program` not found"));
    assert!(wrong("").contains("worker `` not found"), "{}", wrong(""));
}

#[test]
fn a_command_is_resolved_once() {
    let plan = planned(&["-j3", "-k", "-0", "sh", "-c", "true"]);
    let Work::Command(template) = &plan.batch.work else {
        panic!("{plan:?}")
    };
    let program = template.program().unwrap();
    assert!(program.starts_with(b"/") && program.ends_with(b"/sh"));
    assert_eq!(plan.batch.pool.workers, 3);
    assert_eq!(plan.batch.inputs.delimiter, Delimiter::Nul);
    assert_eq!(
        (plan.batch.format, plan.batch.keep_order),
        (Format::Text, true)
    );
    assert_eq!(plan.worker, WorkerName::Stock);
    assert_eq!(plan.batch.pool.launch.args, ["worker"]);
}

#[test]
fn a_program_that_depends_on_the_line_is_not_looked_up() {
    let plan = planned(&["./{}"]);
    assert!(matches!(plan.batch.work, Work::Command(t) if t.program().is_none()));
}

#[test]
fn a_task_has_results() {
    let plan = planned(&["--worker", "/bin/sh", "--worker-arg", "-x", "--task", "fib"]);
    assert_eq!(
        (plan.batch.format, plan.batch.keep_order),
        (Format::Result, false)
    );
    assert_eq!(plan.batch.pool.launch.args, ["-x"]);
    assert_eq!(plan.worker, WorkerName::Named("/bin/sh".into()));
    let plan = planned(&["--task", "fib", "--format", "value", "--input", "jsonl"]);
    assert_eq!(
        (plan.batch.format, plan.batch.keep_order),
        (Format::Value, true)
    );
    assert!(matches!(
        plan.batch.work,
        Work::Task {
            shape: Shape::Record,
            ..
        }
    ));
}

#[test]
fn limits_are_the_commands() {
    let words = ["--cpu-limit", "1.5", "--open-files", "64", "--output-limit"];
    for words in [
        &[&words[..], &["9", "sh"]].concat(),
        &[&words[..], &["9", "-c", "true"]].concat(),
        &[&words[..], &["9"]].concat(),
    ] {
        let limits = planned(words).batch.limits;
        assert_eq!((limits.cpu_s, limits.open_files), (Some(2), Some(64)));
        assert_eq!(limits.output.map(|output| output.bytes), Some(9));
    }
    assert_eq!(planned(&["sh"]).batch.limits, Limits::default());
}

#[test]
fn what_makes_no_sense_says_what_would() {
    for (words, what, tips) in [
        (
            &["--task", "t", "true"][..],
            "a command and --task exclude each other",
            2,
        ),
        (
            &["--worker", "/bin/sh"],
            "nothing to do with the lines: a worker is named, but no task",
            2,
        ),
        (
            &["-c", "true", "--task", "t"],
            "-c and --task exclude each other",
            2,
        ),
        (
            &["-c", "cat {}", "a b"],
            "-c and a command exclude each other: `a b`",
            2,
        ),
        (
            &["-c", "cat {}", "--input", "jsonl"],
            "-c and --input jsonl exclude each other",
            2,
        ),
        (
            &["-c", "cat {}", "--format", "value"],
            "--format value is for tasks",
            1,
        ),
        (&["--format", "result"], "--format result is for tasks", 1),
        (
            &["--input", "jsonl", "true"],
            "a command and --input jsonl exclude each other",
            2,
        ),
        (
            &["--format", "value", "true"],
            "--format value is for tasks",
            1,
        ),
        (
            &["--format", "result", "true"],
            "--format result is for tasks",
            1,
        ),
        (
            &["--format", "text", "--task", "t"],
            "--format text is for commands",
            1,
        ),
        (
            &["-0", "--input", "jsonl", "--task", "t"],
            "-0 and --input jsonl",
            1,
        ),
        (
            &["--max-rss-per-worker", "5M", "true"],
            "--max-rss-per-worker is for tasks: a command is a process of its own",
            1,
        ),
        (
            &["--max-files-per-worker", "5"],
            "--max-files-per-worker is for tasks",
            1,
        ),
        (
            &["--task", "t", "--cpu-limit", "5"],
            "--cpu-limit is for commands: a task has no process of its own",
            1,
        ),
        (
            &["--task", "t", "--open-files", "5"],
            "--open-files is for commands",
            1,
        ),
        (
            &["--task", "t", "--output-limit", "5,kill"],
            "--output-limit is for commands",
            1,
        ),
        (
            &["--plus", "echo", "{##}"],
            "`{##}` needs the number of all jobs",
            1,
        ),
        (
            &["echo", "{= s/a/b/ =}"],
            "`{= s/a/b/ =}` is Perl, which is not offered",
            1,
        ),
        (
            &["--plus", "echo", "{/(/x}"],
            "`{/(/x}` holds no regular expression",
            1,
        ),
        (&["-I", "a b", "echo"], "-I `a b` must hold no blank", 1),
        (
            &["--er", "{}", "echo"],
            "--extensionreplace `{}` stands for something else already",
            1,
        ),
    ] {
        let said = refused(words);
        assert!(said.starts_with(&format!("error: {what}")), "{said}");
        assert_eq!(said.matches("\n  tip: ").count(), tips, "{said}");
    }
}

#[test]
fn programs_that_are_not_there_are_told_before_anything_starts() {
    assert!(refused(&["nosuchprogram"]).starts_with("error: command `nosuchprogram` not found"));
    let said = refused(&["--worker", "./nosuch", "--task", "t"]);
    assert_eq!(said, "error: worker `./nosuch` not found\n");
}
