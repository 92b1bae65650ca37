use super::super::shell::Dialect;
use super::*;
use crate::run::sink::command_line::name;
use crate::run::source::command::argv;
use crate::run::source::place::Places;
use protocol::CommandSpec;

fn several() -> Places {
    Places {
        several: true,
        ..Places::default()
    }
}

fn line(number: u64, bytes: &'static [u8]) -> Line {
    Line {
        number,
        content: Content::Whole(Bytes::from_static(bytes)),
    }
}

fn recipe(work: &Work) -> Recipe {
    Recipe {
        work: work.clone(),
        fields: Fields::One,
        delimiter: Delimiter::Newline,
        origin: Origin::stdin(Delimiter::Newline),
        max_line: 1 << 20,
        grace: Duration::from_millis(1_500),
        stop: vec![StopStep {
            signal: 2,
            wait_ms: 7,
        }],
        limits: Limits {
            cpu_s: Some(7),
            ..Limits::default()
        },
        shell: None,
        number_variable: None,
        wd: None,
        typed: None,
        done: None,
        keep_items: false,
        pipe: None,
    }
}

fn task(shape: Shape) -> Work {
    Work::Task { name: "fib", shape }
}

fn refused(work: &Work, line: &Line) -> Refusal {
    prepare(&recipe(work), 1, line, Vec::new()).unwrap_err().1
}

#[test]
fn a_line_fills_the_template() {
    let work = Work::Command(Template::parse(&["wc", "{}"], &Places::default()).unwrap());
    let line = line(3, b"a\xff");
    let (ticket, input) = prepare(&recipe(&work), 2, &line, Vec::new())
        .unwrap()
        .unwrap();
    assert_eq!((ticket.seq, ticket.line, &ticket.id), (2, 3, &None));
    assert_eq!(work.kind(), ("command", Encoding::Bincode));
    let spec: CommandSpec = Encoding::Bincode.decode(&input).unwrap();
    assert_eq!((spec.grace_ms, spec.limits.cpu_s), (1_500, Some(7)));
    assert_eq!(
        spec.stop[..],
        [StopStep {
            signal: 2,
            wait_ms: 7
        }]
    );
    let argv = argv(&ticket.command);
    assert_eq!(
        argv,
        [ByteBuf::from("wc"), ByteBuf::from(b"a\xff".to_vec())]
    );
}

#[test]
fn a_line_fills_the_parameters_of_a_shell_text() {
    let work = Work::Shell(
        ShellText::parse(b"wc {.} | x", &Places::default(), Dialect::default()).unwrap(),
    );
    let (ticket, _) = prepare(&recipe(&work), 2, &line(3, b"a.b"), Vec::new())
        .unwrap()
        .unwrap();
    let started = ["/bin/sh", "-c", "wc \"${2}\" | x", "sh", "a.b", "a"];
    assert_eq!(argv(&ticket.command), started.map(ByteBuf::from));
    assert_eq!(name(&ticket.command, None).unwrap(), "`wc a | x`");
}

#[test]
fn another_shell_reads_the_same_text_and_parameters() {
    let work =
        Work::Shell(ShellText::parse(b"x {} {%}", &Places::default(), Dialect::default()).unwrap());
    let bash = Recipe {
        shell: Some(b"/bin/bash"),
        ..recipe(&work)
    };
    let (_, input) = prepare(&bash, 2, &line(3, b"a"), Vec::new())
        .unwrap()
        .unwrap();
    let words = ["/bin/bash", "-c", "x \"${1}\" \"${2}\"", "bash", "a", ""];
    assert_eq!(argv(&input), words.map(ByteBuf::from));
    let spec: CommandSpec = Encoding::Bincode.decode(&input).unwrap();
    assert_eq!(spec.slots, [SlotPlace::new(5, 0)]);
    let lines = Recipe {
        work: Work::Commands,
        ..bash
    };
    let (_, input) = prepare(&lines, 2, &line(3, b"a b"), Vec::new())
        .unwrap()
        .unwrap();
    assert_eq!(
        argv(&input),
        ["/bin/bash", "-c", "a b", "bash"].map(ByteBuf::from)
    );
}

#[test]
fn a_line_that_is_a_command_is_all_of_the_text() {
    let made = |number, bytes| {
        prepare(
            &recipe(&Work::Commands),
            1,
            &line(number, bytes),
            Vec::new(),
        )
    };
    let (ticket, _) = made(1, b" ls {} # $1").unwrap().unwrap();
    let started = ["/bin/sh", "-c", " ls {} # $1", "sh"];
    assert_eq!(argv(&ticket.command), started.map(ByteBuf::from));
    assert_eq!(name(&ticket.command, None).unwrap(), "` ls {} # $1`");
    for blank in [&b""[..], b"  ", b"\t"] {
        assert!(made(1, blank).unwrap().is_none());
    }
    assert!(made(2, b"\xef\xbb\xbfls").unwrap().is_some());
}

#[test]
fn f071_what_would_be_part_of_a_command_is_refused() {
    for (bytes, what) in [
        (&b"ls\r"[..], "ends with a carriage return: `ls\\r`"),
        (b"ls\r\nls", "ends with a carriage return: `ls\\r\\nls`"),
        (
            b"\xef\xbb\xbfls",
            "begins with a byte-order mark: `\u{feff}ls`",
        ),
        (b"ls \0", "holds a zero byte: `ls \\u{0}`"),
    ] {
        let refusal = refused(&Work::Commands, &line(1, bytes));
        assert_eq!(refusal.what, format!("line 1 of standard input {what}"));
        assert!(refusal.tip.is_some());
    }
}

#[test]
fn bad_json_is_shown_with_a_caret() {
    let refusal = refused(&task(Shape::Argument), &line(3, b"{\"n\": }"));
    assert_eq!(
        refusal.what,
        "line 3 of standard input is not valid JSON: expected value at column 7"
    );
    assert_eq!(refusal.place, ["3 | {\"n\": }", "  |       ^"]);
    assert!(refusal.tip.is_some());
}

#[test]
fn a_wrong_record_is_shown_without_a_caret() {
    let refusal = refused(&task(Shape::Record), &line(3, b"{\"agrs\": 1}"));
    assert_eq!(
        refusal.what,
        "line 3 of standard input is not a job: unknown field `agrs`, expected `id` or `args`"
    );
    assert_eq!(refusal.place.len(), 1);
}

#[test]
fn zero_bytes_divide_fields_only_where_items_have_several() {
    let work = Work::Command(Template::parse(&["wc"], &several()).unwrap());
    let several = Recipe {
        fields: Fields::Several,
        ..recipe(&work)
    };
    let made = prepare(&several, 1, &line(1, b"a\0b"), Vec::new());
    let (ticket, _) = made.unwrap().unwrap();
    assert_eq!(argv(&ticket.command), ["wc", "a", "b"].map(ByteBuf::from));
    assert!(prepare(&recipe(&work), 1, &line(1, b"a\0b"), Vec::new()).is_err());
}

#[test]
fn lines_that_no_command_can_take_are_refused() {
    let work = Work::Command(Template::parse(&["wc"], &Places::default()).unwrap());
    assert_eq!(
        refused(&work, &line(1, b"a\0b")).what,
        "line 1 of standard input holds a zero byte: `a\\u{0}b`"
    );
    let long = Line {
        number: 2,
        content: Content::TooLong {
            start: Bytes::from_static(b"xx"),
            length: 3_000_000,
        },
    };
    assert_eq!(
        refused(&work, &long).what,
        "line 2 of standard input is longer than the limit of 1 MiB (3,000,000 bytes)"
    );
}
