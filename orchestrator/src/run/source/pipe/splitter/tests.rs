use proptest::prelude::*;

use super::*;

fn rules(separator: Separator, block: usize) -> Rules {
    Rules {
        separator,
        per_record: NonZero::<usize>::MIN,
        rest_alone: false,
        empty: true,
        records: None,
        block,
        remove: false,
        limit: 1 << 20,
    }
}

/// The blocks of what comes in these pieces.
fn split(rules: &Rules, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new(rules.clone());
    let (mut blocks, mut window) = (Vec::new(), Vec::new());
    let mut pieces = pieces.iter().filter(|piece| !piece.is_empty());
    let mut ended = false;
    loop {
        match splitter.next(&window, ended) {
            Step::Block(size) => {
                assert!(size > 0);
                blocks.push(window.drain(..size).collect());
            }
            Step::More(wanted) => {
                assert!(!ended || wanted <= window.len());
                while window.len() < wanted && !ended {
                    match pieces.next() {
                        Some(piece) => window.extend_from_slice(piece),
                        None => ended = true,
                    }
                }
            }
            Step::End => return blocks,
            Step::TooLarge => panic!("nothing is larger than the limit"),
        }
    }
}

fn shown(rules: &Rules, input: &str) -> Vec<String> {
    let blocks = split(rules, &[input.as_bytes()]);
    let text = |block| String::from_utf8(block).unwrap();
    blocks.into_iter().map(text).collect()
}

fn number(n: usize) -> Option<NonZero<usize>> {
    NonZero::new(n)
}

#[test]
fn a_block_is_as_many_records_as_fit_and_at_least_one() {
    let lines = |block| rules(Separator::text(b"\n", b""), block);
    assert_eq!(
        shown(&lines(5), "1\n2\n3\n44444444\n5\n6"),
        ["1\n2\n", "3\n", "44444444\n", "5\n6"]
    );
    assert_eq!(shown(&lines(4), "1\n2\n3\n4\n"), ["1\n2\n", "3\n4\n"]);
    assert_eq!(shown(&lines(1), "\n\na"), ["\n", "\n", "a"]);
    assert_eq!(shown(&lines(100), ""), [""; 0]);
    assert_eq!(
        shown(&rules(Separator::Nothing, 3), "abcdefgh"),
        ["abc", "def", "gh"]
    );
}

#[test]
fn records_begin_with_their_start() {
    let starts = |block| rules(Separator::text(b"", b">"), block);
    assert_eq!(shown(&starts(1), "pre>a>>b"), ["pre", ">a", ">", ">b"]);
    assert_eq!(shown(&starts(5), ">aa>bb>cc"), [">aa", ">bb", ">cc"]);
    // Whether a record ends with the block only what follows would say.
    assert_eq!(shown(&starts(6), ">aa>bb>cc"), [">aa", ">bb", ">cc"]);
    assert_eq!(shown(&starts(7), ">aa>bb>cc"), [">aa>bb", ">cc"]);
    let both = |block| rules(Separator::text(b"\n", b">"), block);
    assert_eq!(shown(&both(1), ">a\nx>\n>b\n>"), [">a\nx>\n", ">b\n", ">"]);
}

#[test]
fn records_are_counted() {
    let counted = |per_record, records, block| Rules {
        per_record: number(per_record).unwrap(),
        records: number(records),
        ..rules(Separator::text(b"\n", b""), block)
    };
    assert_eq!(
        shown(&counted(1, 3, 1), "1\n2\n3\n4\n5"),
        ["1\n2\n3\n", "4\n5"]
    );
    assert_eq!(
        shown(&counted(2, 2, 1), "1\n2\n3\n4\n5\n"),
        ["1\n2\n3\n4\n", "5\n"]
    );
    // As many records of two lines as fit.
    assert_eq!(
        shown(&counted(2, 0, 9), "1\n2\n3\n4\n5\n6\n7"),
        ["1\n2\n3\n4\n", "5\n6\n7"]
    );
    assert_eq!(
        shown(&counted(2, 0, 1), "1\n2\n3\n4\n5\n"),
        ["1\n2\n", "3\n4\n", "5\n"]
    );
    // What begins a record does not begin it twice.
    let starts = Rules {
        records: number(1),
        ..rules(Separator::text(b"", b"aa"), 1)
    };
    assert_eq!(shown(&starts, "aaaaaxaa"), ["aa", "aaax", "aa"]);
}

#[test]
fn a_block_that_is_full_is_cut_whether_or_not_more_comes() {
    for ended in [false, true] {
        let mut splitter = Splitter::new(rules(Separator::text(b";", b""), 3));
        assert_eq!(splitter.next(b"c;d", ended), Step::Block(2));
        let mut splitter = Splitter::new(rules(Separator::text(b";", b""), 3));
        assert_eq!(splitter.next(b"ab;", ended), Step::Block(3));
    }
}

#[test]
fn a_complete_record_waits_for_nothing() {
    let mut splitter = Splitter::new(Rules {
        records: number(1),
        ..rules(Separator::text(b"\n", b""), 1 << 20)
    });
    assert_eq!(splitter.next(b"a", false), Step::More(2));
    assert_eq!(splitter.next(b"a\nb", false), Step::Block(2));
}

#[test]
fn patterns_cut_where_strings_would() {
    let input = "a12b345c6d".repeat(3);
    let pattern = |records, block| Rules {
        records: number(records),
        ..rules(Separator::pattern("[0-9]+", "").unwrap(), block)
    };
    assert_eq!(
        shown(&pattern(1, 1), "a12b345c6d"),
        ["a12", "b345", "c6", "d"]
    );
    assert_eq!(shown(&pattern(0, 7), "a12b345c6d"), ["a12b345", "c6d"]);
    assert_eq!(shown(&pattern(4, 7), &input).concat(), input);
}

#[test]
fn a_record_beyond_the_limit_is_told_however_it_comes() {
    for (limit, end) in [(100, false), (100, true), (1000, false)] {
        let rules = Rules {
            limit,
            ..rules(Separator::text(b"\n", b""), 10)
        };
        let mut splitter = Splitter::new(rules);
        let record = [&vec![b'x'; limit][..], b"\n"].concat();
        let bytes = if end { &record[..] } else { &record[..limit] };
        let step = splitter.next(bytes, false);
        assert_eq!(step == Step::TooLarge, end);
        let long = vec![b'x'; limit + 1];
        assert_eq!(splitter.next(&long, false), Step::TooLarge);
    }
}

#[test]
fn a_long_record_is_looked_through_once() {
    for separator in [
        Separator::text(b"\r\n", b""),
        Separator::pattern("\\r\\n", "").unwrap(),
    ] {
        let mut splitter = Splitter::new(Rules {
            limit: 64 << 20,
            ..rules(separator, 100)
        });
        let record = [vec![b'x'; 8 << 20], b"\r\n".to_vec()].concat();
        let (mut seen, mut steps) = (0, 0);
        let size = loop {
            steps += 1;
            match splitter.next(&record[..seen], seen == record.len()) {
                Step::More(wanted) => seen = (seen + (64 << 10)).max(wanted).min(record.len()),
                Step::Block(size) => break size,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(size, record.len());
        assert!(steps < 200, "{steps}");
    }
}

/// Separators, some of which overlap with themselves.
fn separator() -> impl Strategy<Value = Separator> {
    let text = || prop::sample::select(vec!["", "\n", "a", "ab", "aa", "aba", "\0"]);
    let pattern = || prop::sample::select(vec!["", "a+", "[ab]\\n", "b|ba", "a{2}"]);
    prop_oneof![
        (text(), text()).prop_map(|(e, s)| Separator::text(e.as_bytes(), s.as_bytes())),
        (pattern(), pattern()).prop_map(|(e, s)| Separator::pattern(e, s).unwrap()),
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    (separator(), 1usize..4, 0usize..4, 1usize..40).prop_map(
        |(separator, lines, records, block)| Rules {
            per_record: number(lines).unwrap(),
            records: number(records),
            ..rules(separator, block)
        },
    )
}

/// Where records end, from left to right.
fn record_ends(rules: &Rules, data: &[u8]) -> Vec<usize> {
    let (mut at, mut cuts) = (0, Vec::new());
    while let Ok(found) = rules.separator.find(data, at, true) {
        if found.cut < data.len() {
            cuts.push(found.cut);
        }
        at = found.next();
    }
    let per_record = rules.per_record.get();
    cuts.into_iter()
        .skip(per_record - 1)
        .step_by(per_record)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn blocks_are_the_input_cut_at_records_however_it_comes(
        rules in any_rules(),
        data in prop::collection::vec(prop_oneof![
            4 => Just(b'a'), 2 => Just(b'b'), 2 => Just(b'\n'), 1 => Just(0), 1 => any::<u8>(),
        ], 0..200),
        cuts in prop::collection::vec(0usize..200, 0..20),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(data.len())).collect();
        cuts.extend([0, data.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &data[w[0]..w[1]]).collect();
        let blocks = split(&rules, &pieces);
        prop_assert_eq!(&split(&rules, &[&data]), &blocks);
        let bytes: Vec<&[u8]> = data.chunks(1).collect();
        prop_assert_eq!(&split(&rules, &bytes), &blocks);
        prop_assert_eq!(blocks.concat(), &data[..]);
        let mut at = 0;
        for block in &blocks[..blocks.len().saturating_sub(1)] {
            at += block.len();
            check_end(&rules, &data, at)?;
        }
        if let Some(records) = rules.records {
            let ends = record_ends(&rules, &data);
            let ends: Vec<usize> =
                ends.into_iter().skip(records.get() - 1).step_by(records.get()).collect();
            let mut at = 0;
            let found: Vec<usize> = blocks.iter().map(|block| { at += block.len(); at }).collect();
            let inner = &found[..found.len().saturating_sub(1)];
            if rules.separator.is_fixed() {
                prop_assert_eq!(inner, &ends[..]);
            }
        } else {
            for (block, next) in blocks.iter().zip(&blocks[1.min(blocks.len())..]) {
                // It is as large as it can be, or holds one record.
                let too_large = block.len() > rules.block;
                let one = [&block[..], next].concat();
                if too_large && rules.separator.look() == 0 {
                    prop_assert!(record_ends(&rules, block).is_empty(), "{:?}", one);
                }
            }
        }
    }

    #[test]
    fn what_is_removed_is_separators(
        (separator, block) in (separator(), prop::collection::vec(prop_oneof![
            4 => Just(b'a'), 2 => Just(b'b'), 2 => Just(b'\n'),
        ], 0..60)),
    ) {
        let kept = separator.remove(&block);
        prop_assert!(kept.len() <= block.len());
        // What is left is in order.
        let mut rest = block.iter();
        prop_assert!(kept.iter().all(|byte| rest.any(|other| other == byte)));
    }
}

/// A record ends here: one before and another one behind.
fn check_end(rules: &Rules, data: &[u8], at: usize) -> Result<(), TestCaseError> {
    let is_end = match &rules.separator {
        Separator::Nothing => true,
        separator @ Separator::Text(_) => {
            // Somewhere before it begins what is found.
            (0..=at).any(|from| {
                separator
                    .find(data, from, true)
                    .is_ok_and(|found| found.cut == at)
            })
        }
        separator @ Separator::Pattern(_) => (0..=at).any(|from| {
            separator
                .find(data, from, true)
                .is_ok_and(|found| found.cut == at)
        }),
    };
    prop_assert!(is_end, "no record ends at {at}");
    Ok(())
}
