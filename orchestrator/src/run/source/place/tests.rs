use proptest::prelude::*;

use super::super::item::Fields;
use super::*;

fn plus() -> Places {
    Places {
        plus: true,
        ..Places::default()
    }
}

#[track_caller]
fn place(written: &str, places: &Places) -> Place {
    match places.at(written.as_bytes(), None) {
        Found::Place(length, place) if length == written.len() => place,
        other => panic!("{written}: {other:?}"),
    }
}

fn put(place: &Place, line: &[u8]) -> String {
    let mut word = Vec::new();
    place.fill(Item::value(line), 7, &mut word);
    String::from_utf8(word).unwrap()
}

/// What the place that is written so puts in.
fn one(written: &str, line: &[u8]) -> Vec<u8> {
    let place = place(written, &Places::default());
    let mut word = Vec::new();
    place.fill(Item::value(line), 7, &mut word);
    word
}

#[test]
fn gnu_forms_have_gnu_meanings() {
    for (line, no_ext, base, dir, base_no_ext) in [
        (
            "dir/file.tar.gz",
            "dir/file.tar",
            "file.tar.gz",
            "dir",
            "file.tar",
        ),
        ("sub.dir/file", "sub.dir/file", "file", "sub.dir", "file"),
        ("file", "file", "file", ".", "file"),
        ("/file.c", "/file", "file.c", "/", "file"),
        ("a//b.c", "a//b", "b.c", "a", "b"),
        ("a/b/", "a/b/", "", "a", ""),
        ("foo.", "foo", "foo.", ".", "foo"),
        (".bashrc", "", ".bashrc", ".", ""),
        ("", "", "", ".", ""),
        ("/", "/", "", "/", ""),
    ] {
        for (written, what) in [
            ("{}", line),
            ("{.}", no_ext),
            ("{/}", base),
            ("{//}", dir),
            ("{/.}", base_no_ext),
            ("{#}", "7"),
        ] {
            let put = one(written, line.as_bytes());
            assert_eq!(put, what.as_bytes(), "{written} of {line:?}");
        }
    }
}

#[test]
fn f123_a_file_whose_name_begins_with_a_dash_is_no_option() {
    for (line, path) in [
        ("-rf", "./-rf"),
        ("--", "./--"),
        ("-", "./-"),
        ("a-b", "a-b"),
        ("/-a", "/-a"),
        ("./-a", "./-a"),
        ("+x", "+x"),
        ("", ""),
    ] {
        assert_eq!(one("{path}", line.as_bytes()), path.as_bytes(), "{line:?}");
    }
}

#[test]
fn what_a_shell_calls_a_parameter_is_no_place() {
    let places = plus();
    for written in ["{#}", "{path}", "{1}", "{#x}", "{/a/b}", "{:-x}"] {
        assert_ne!(places.at(written.as_bytes(), Some(b'x')), Found::Nothing);
        assert_eq!(places.at(written.as_bytes(), Some(b'$')), Found::Nothing);
    }
    assert_ne!(places.at(b"{}", Some(b'$')), Found::Nothing);
}

#[test]
fn plus_gives_what_gnu_parallel_gives() {
    for (written, line, becomes) in [
        ("{..}", "a/b.c.d.e", "a/b.c"),
        ("{..}", "a.b/c.d", "a.b/c.d"),
        ("{...}", "a/b.c.d.e", "a/b"),
        ("{...}", ".bash.x", ".bash.x"),
        ("{..}", ".bash.x", ""),
        ("{..}", "a/.b.c", "a/"),
        ("{..}", "a..b", "a"),
        ("{..}", "a.b.", "a"),
        ("{..}", "foo.", "foo."),
        ("{..}", "a...b", "a."),
        ("{+..}", "a...b", ".b"),
        ("{/..}", "a/..b", ""),
        ("{+/}", "a/b.c", "a"),
        ("{+/}", "x", ""),
        ("{+/}", "/x", ""),
        ("{+/}", "a/b/", "a/b"),
        ("{+.}", "a/b.c.d.e", "e"),
        ("{+.}", "a.", ""),
        ("{+..}", "a/b.c.d.e", "d.e"),
        ("{+...}", "a/b.c.d.e", "c.d.e"),
        ("{/..}", "a/b.c.d.e", "b.c"),
        ("{/...}", "a/b.c.d.e", "b"),
        ("{:-dflt}", "", "dflt"),
        ("{:-dflt}", "a", "a"),
        ("{:2}", "abcdefg", "cdefg"),
        ("{:9}", "abcdefg", ""),
        ("{:2:3}", "abcdefg", "cde"),
        ("{:2:30}", "abcdefg", "cdefg"),
        ("{#a.*b}", "axbybz", "ybz"),
        ("{##a.*b}", "axbybz", "z"),
        ("{#b}", "abb", "abb"),
        ("{%b.*b}", "zbybxb", "zby"),
        ("{%%b.*b}", "zbybxb", "z"),
        ("{%b.*b}", "axbybz", "axbybz"),
        ("{%\\..*}", "a.tar.gz", "a.tar"),
        ("{%%\\..*}", "a.tar.gz", "a"),
        ("{/a+/[$1]}", "aabxx", "[$1]bxx"),
        ("{/(a)(b)/$2$1}", "aabxx", "a$2$1xx"),
        ("{//x/}", "aabxx", "aab"),
        ("{/a/}", "aabxx", "abxx"),
        ("{//a/b/c}", "a/a", "b/c/b/c"),
        ("{^a}", "abba", "Abba"),
        ("{^b}", "abba", "abba"),
        ("{^^b}", "abba", "aBBa"),
        ("{^[ab]}", "aabAXX", "AabAXX"),
        ("{^^[ab]}", "aabAXX", "AABAXX"),
        ("{,A}", "AbA", "abA"),
        ("{,,A}", "AbA", "aba"),
        ("{1:2}", "x/y.z", "y.z"),
        ("{-1/x/y}", "x/y.z", "y/y.z"),
        ("{1..}", "a.b.c", "a"),
    ] {
        let place = place(written, &plus());
        assert_eq!(put(&place, line.as_bytes()), becomes, "{written} of {line}");
        assert_eq!(
            Places::default().at(written.as_bytes(), None),
            Found::Nothing,
            "{written}"
        );
    }
    for text in ["{/x}", "{//x}", "{:1:-1}", "{x}", "{+}", "{0}", "{2}"] {
        assert_eq!(plus().at(text.as_bytes(), None), Found::Nothing, "{text}");
    }
    for (text, length) in [
        ("{##}", 4),
        ("{0#}", 4),
        ("{uniq}x", 6),
        ("{host}", 6),
        ("{#(}", 4),
    ] {
        let found = plus().at(text.as_bytes(), None);
        assert!(
            matches!(found, Found::Unoffered(n, _) if n == length),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn a_pattern_is_of_any_bytes() {
    let places = plus();
    let Found::Place(9, place) = places.at(b"{/\xff+\xc3\xa4/x}", None) else {
        panic!("it is one")
    };
    assert_eq!(put(&place, b"a\xff\xff\xc3\xa4b"), "axb");
    let Found::Place(_, place) = places.at(b"{%a.b}", None) else {
        panic!("it is one")
    };
    assert_eq!(put(&place, b"xa\nb"), "x");
}

#[test]
fn fields_are_called_by_their_numbers_and_names() {
    let places = Places {
        several: true,
        names: ["name", "na", "", "path"]
            .map(|name| name.as_bytes().to_vec())
            .to_vec(),
        ..Places::default()
    };
    let item = Item::new(b"a/b.c\0x y\0\0p", Fields::Several);
    for (written, becomes) in [
        ("{1}", "a/b.c"),
        ("{2}", "x y"),
        ("{-1}", "p"),
        ("{-4/.}", "b"),
        ("{1.}", "a/b"),
        ("{1/}", "b.c"),
        ("{1//}", "a"),
        ("{1/.}", "b"),
        ("{name}", "a/b.c"),
        ("{name/.}", "b"),
        ("{na}", "x y"),
        ("{path}", "p"),
        ("{5}", ""),
        ("{}", "a/b.c x y  p"),
        ("{/.}", "b x y  p"),
    ] {
        let mut word = Vec::new();
        place(written, &places).fill(item, 7, &mut word);
        assert_eq!(String::from_utf8(word).unwrap(), becomes, "{written}");
    }
    for text in ["{nam}", "{names}", "{1x}", "{0}", "{-}", "{99999999999}"] {
        assert_eq!(places.at(text.as_bytes(), None), Found::Nothing, "{text}");
    }
}

#[test]
fn the_number_of_all_jobs_is_put_in_where_it_is_known() {
    let total = Total::default();
    let places = Places {
        plus: true,
        total: Some(total.clone()),
        ..Places::default()
    };
    assert!(!total.is_wanted());
    let all = [place("{##}", &places), place("{0#}", &places)];
    assert!(total.is_wanted());
    for (jobs, put_in) in [(1, "1 7"), (11, "11 07"), (1000, "1000 0007")] {
        total.set(jobs);
        let words = all.iter().map(|place| put(place, b"x"));
        assert_eq!(words.collect::<Vec<_>>().join(" "), put_in);
    }
}

#[test]
fn counting_from_the_end_goes_round_once_in_gnu_parallel() {
    let places = Places {
        several: true,
        ours: false,
        ..Places::default()
    };
    for (item, becomes) in [("a.x", "a.x a  "), ("a.x\0b.y", "b.y a b.y a.x")] {
        let item = Item::new(item.as_bytes(), Fields::Several);
        let words = ["{-1}", "{-2.}", "{-3}", "{-4}"].map(|written| {
            let mut word = Vec::new();
            place(written, &places).fill(item, 7, &mut word);
            String::from_utf8(word).unwrap()
        });
        assert_eq!(words.join(" "), becomes);
    }
}

#[test]
fn places_can_be_written_in_other_ways() {
    let mut places = Places::default();
    places.rename(Plain::Whole, b",,".to_vec()).unwrap();
    places.rename(Plain::NoExtension, b",,.".to_vec()).unwrap();
    places.rename(Plain::Number, b"{seq}".to_vec()).unwrap();
    assert_eq!(put(&place(",,.", &places), b"a.b"), "a");
    assert_eq!(put(&place(",,", &places), b"a.b"), "a.b");
    assert_eq!(put(&place("{seq}", &places), b"a.b"), "7");
    for text in ["{}", "{.}", "{#}", "{1}"] {
        assert_eq!(places.at(text.as_bytes(), None), Found::Nothing, "{text}");
    }
    // GNU parallel makes the numbered ones of any in braces.
    let mut places = Places::default();
    places.rename(Plain::Base, b"{b}".to_vec()).unwrap();
    assert_eq!(put(&place("{1b}", &places), b"a/b"), "b");
    for bad in ["", "a b", "'", "$x", "{}"] {
        assert!(
            places.rename(Plain::Slot, bad.as_bytes().to_vec()).is_err(),
            "{bad}"
        );
    }
}

proptest! {
    #[test]
    fn parts_of_any_line_are_bytes_of_it(line in prop::collection::vec(any::<u8>(), 0..30)) {
        prop_assert_eq!(&one("{}", &line), &line);
        for written in ["{.}", "{/}", "{/.}"] {
            let part = one(written, &line);
            prop_assert!(part.is_empty() || memchr::memmem::find(&line, &part).is_some());
        }
    }
}
