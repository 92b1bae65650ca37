use proptest::prelude::*;

use super::super::item::Fields;
use super::*;

fn parse(words: &[&str]) -> Result<Template, TemplateError> {
    Template::parse(words, &Places::default())
}

#[test]
fn a_place_divides_a_word_of_gnu_parallel_as_a_blank_would() {
    let places = Places {
        several: true,
        ours: false,
        ..Places::default()
    };
    let item = Item::new(b"a/b\0c d\0", Fields::Several);
    for (word, becomes) in [
        ("x{}y", "xa/b|c d|y"),
        ("{/}{%}{}", "b|c d|a/b|c d|"),
        ("{}", "a/b|c d|"),
        ("{1}{2}", "a/bc d"),
        ("{4}", ""),
    ] {
        let template = Template::parse(&["p", word], &places).unwrap();
        let words = &template.fill(item, 1).words[1..];
        assert_eq!(words.join(&b'|'), becomes.as_bytes(), "{word}");
    }
    let nothing = Item::new(b"", Fields::None);
    let template = Template::parse(&["p", "{}", "x{}"], &places).unwrap();
    assert_eq!(template.fill(nothing, 1).words, [&b"p"[..], b"x"]);
}

/// For items that may have several fields.
fn several(words: &[&str], repeats: bool) -> Template {
    let places = Places {
        several: true,
        repeats,
        ..Places::default()
    };
    Template::parse(words, &places).unwrap()
}

/// The words for an item with these fields.
fn filled(template: &Template, fields: &[&str]) -> Vec<String> {
    let bytes = fields.join("\0");
    let how = if fields.is_empty() {
        Fields::None
    } else {
        Fields::Several
    };
    let filled = template.fill(Item::new(bytes.as_bytes(), how), 7);
    let text = |word| String::from_utf8(word).unwrap();
    filled.words.into_iter().map(text).collect()
}

fn fill(words: &[&str], line: &str) -> Vec<String> {
    let argv = parse(words).unwrap().fill(Item::value(line.as_bytes()), 7);
    argv.words
        .into_iter()
        .map(|w| String::from_utf8(w).unwrap())
        .collect()
}

fn one(word: &str, line: &str) -> String {
    fill(&["x", word], line).remove(1)
}

#[test]
fn the_line_goes_where_the_braces_are() {
    assert_eq!(
        fill(&["cp", "{}", "{}.bak"], "a b"),
        ["cp", "a b", "a b.bak"]
    );
    assert_eq!(fill(&["gzip", "-9"], "a"), ["gzip", "-9", "a"]);
    assert_eq!(fill(&["echo", "{#}"], "a"), ["echo", "7"]);
    assert_eq!(fill(&["{}"], "true"), ["true"]);
    assert_eq!(fill(&["echo", ""], "a"), ["echo", "", "a"]);
}

#[test]
fn a_place_of_its_own_becomes_a_word_for_each_field() {
    let template = several(&["x", "{}", "<{/.}>", "{.}", "{2}", "{-1/}", "{#}"], false);
    assert_eq!(
        filled(&template, &["a/b.c", "d e"]),
        [
            "x", "a/b.c", "d e", "<b d e>", "a/b", "d e", "d e", "d e", "7"
        ]
    );
    assert_eq!(filled(&template, &["a"]), ["x", "a", "<a>", "a", "a", "7"]);
    assert_eq!(filled(&template, &[]), ["x", "<>", "7"]);
    assert_eq!(
        filled(&several(&["x"], true), &["a", "", "b"]),
        ["x", "a", "", "b"]
    );
}

#[test]
fn where_places_repeat_the_word_is_there_for_each_field() {
    let template = several(&["x", "a{}b{/}", "{1}-{2}", "{}"], true);
    assert_eq!(
        filled(&template, &["1", "2/3"]),
        ["x", "a1b1", "a2/3b3", "1-2/3", "1", "2/3"]
    );
    assert_eq!(filled(&template, &[]), ["x", "ab", "-"]);
}

#[test]
fn a_field_that_is_missing_is_no_word() {
    let template = several(&["x", "{3}", "a{3}", "{-3}", "{2}"], false);
    assert_eq!(filled(&template, &["1", ""]), ["x", "a", ""]);
}

#[test]
fn numbers_are_text_where_there_is_one_value() {
    assert_eq!(
        fill(&["x", "{1} {-1/} {2} a{4}"], "p/q"),
        ["x", "p/q q {2} a{4}"]
    );
}

#[test]
fn f122_several_fields_give_a_shell_no_option_and_its_text() {
    let places = Places {
        several: true,
        ..Places::default()
    };
    let error = Template::parse(&["sh", "{}"], &places).unwrap_err();
    assert_eq!(error, TemplateError::ShellText(1));
    assert!(Template::parse(&["sh", "script", "{}"], &places).is_ok());
    assert!(Template::parse(&["sh", "-c", "echo \"$@\"", "sh", "{}"], &places).is_ok());
    assert!(Template::parse(&["sh", "./{}"], &places).is_ok());
    let repeats = Places {
        repeats: true,
        ..places
    };
    assert!(Template::parse(&["sh", "./{}"], &repeats).is_ok());
}

#[test]
fn the_worker_puts_its_slot_where_it_belongs() {
    let template = parse(&["x", "{%}", "a{}{%}b{%}"]).unwrap();
    let filled = template.fill(Item::value(b"123"), 1);
    assert_eq!(filled.words, [&b"x"[..], b"", b"a123b"]);
    let slots = [
        SlotPlace::new(1, 0),
        SlotPlace::new(2, 4),
        SlotPlace::new(2, 5),
    ];
    assert_eq!(filled.slots, slots);
}

#[test]
fn other_braces_are_text() {
    assert_eq!(one("{ }{a}{{}}{", "X"), "{ }{a}{X}{");
    assert_eq!(one("${}", "HOME"), "$HOME");
    assert_eq!(one("${path} ${#}", "X"), "${path} ${#}");
    assert_eq!(one("--file={path}", "-X"), "--file=./-X");
}

#[test]
fn f122_text_for_a_shell_has_no_place() {
    for (words, number) in [
        (&["sh", "-c", "echo {}"][..], 2),
        (&["/bin/bash", "-o", "pipefail", "-ec", "a{.}"], 4),
        (&["env", "X=1", "dash", "-c", "{}"], 4),
        (&["sh", "{//}", "{/}"], 1),
        (&["sh", "-{}", "x"], 1),
        (&["sudo", "-u", "sh", "-c", "x", "sh", "{}", "{/}"], 6),
        (&["sh", "-c", "\"$@\"", "sh", "bash", "{}", "{/}"], 5),
    ] {
        let error = parse(words).unwrap_err();
        assert_eq!(error, TemplateError::ShellText(number), "{words:?}");
    }
    for words in [
        &["sh", "-c", "echo \"$1\"", "sh", "{}"][..],
        &["sh", "-c", "echo ${path}", "sh", "{path}"],
        &["sh", "-c", "cp \"$1\" \"$2\"", "sh", "{}", "{.}.bak"],
        &[
            "timeout", "5", "bash", "-eo", "pipefail", "-c", "f \"$@\"", "bash", "{1}", "{2}",
        ],
        &["sh", "{}"],
        &["sh", "./{}", "{}"],
        &["sh", "--", "{}", "{}"],
        &["gzip", "-c", "{}"],
        &["sh"],
    ] {
        assert!(parse(words).is_ok(), "{words:?}");
    }
}

#[test]
fn a_program_without_places_can_be_replaced() {
    let template = parse(&["ls", "{}"]).unwrap();
    assert_eq!(template.program(), Some(&b"ls"[..]));
    let template = template.with_program(b"/bin/ls".to_vec());
    assert_eq!(
        template.fill(Item::value(b"a"), 1).words,
        [b"/bin/ls".to_vec(), b"a".to_vec()]
    );
    assert_eq!(parse(&["./{}"]).unwrap().program(), None);
}

proptest! {
    #[test]
    fn any_bytes_arrive_as_they_are(line in prop::collection::vec(any::<u8>(), 0..100)) {
        let argv = parse(&["x", "{}", "a{}b{}"]).unwrap().fill(Item::value(&line), 1).words;
        prop_assert_eq!(&argv[1], &line);
        let twice = [b"a", &line[..], b"b", &line[..]].concat();
        prop_assert_eq!(&argv[2], &twice);
    }

    #[test]
    fn any_fields_arrive_as_they_are(
        fields in prop::collection::vec(prop::collection::vec(1..=255u8, 0..20), 1..6)) {
        let item = fields.join(&0);
        let template = several(&["x", "{}", "-", "a{}", "{-1}"], true);
        let words = template.fill(Item::new(&item, Fields::Several), 1).words;
        let mut expected = vec![b"x".to_vec()];
        expected.extend(fields.iter().cloned());
        expected.push(b"-".to_vec());
        expected.extend(fields.iter().map(|field| [b"a", &field[..]].concat()));
        expected.extend(fields.last().cloned());
        prop_assert_eq!(words, expected);
    }

    #[test]
    fn what_was_put_in_is_not_looked_at_again(line in "[{}./#%a]{0,12}") {
        prop_assert_eq!(one("<{}>", &line), format!("<{line}>"));
    }
}
