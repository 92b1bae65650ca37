//! Standard input, cut into blocks between records.

use orchestrator::fuzzing::Rules;

use crate::cut::cut;

/// Nothing is larger than this.
const NO_LIMIT: usize = 1 << 30;

/// The first byte says how the input is cut into reads; the second one whether records end with patterns, how many
/// separators a record has and how many records a block; the third one how large a block is. Then
/// what ends a record, a slash, what begins one, a slash, and the input.
pub fn blocks(data: &[u8]) {
    let [seed, options, block, rest @ ..] = data else {
        return;
    };
    let mut parts = rest.splitn(3, |&byte| byte == b'/');
    let (Some(end), Some(start), Some(input)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let is_pattern = options % 2 == 1;
    let per_record = 1 + usize::from(options / 2 % 4);
    let records = usize::from(options / 8 % 8);
    let block = 1 + usize::from(*block);
    let rules = |limit| {
        Rules::new(
            (end, start),
            is_pattern,
            (per_record, records),
            (block, limit),
        )
    };
    let Some(unlimited) = rules(NO_LIMIT) else {
        return;
    };
    let (blocks, whole) = unlimited.blocks([input]);
    assert!(whole);
    assert_eq!(unlimited.blocks(cut(input, *seed)), (blocks.clone(), true));
    assert_eq!(blocks.concat(), input);
    assert!(blocks.iter().all(|block| !block.is_empty()));
    for block in &blocks {
        assert!(unlimited.without_separators(block).len() <= block.len());
    }
    // With a limit nothing else comes of it, up to where it ends.
    let limited = rules(block).expect("they were rules without a limit");
    let (before, _) = limited.blocks(cut(input, *seed));
    assert!(blocks.starts_with(&before) && before.iter().all(|one| one.len() <= block));
    let cuts = !end.is_empty() || !start.is_empty();
    if cuts && !is_pattern {
        between_records(&blocks, (end, start), input);
        if records > 0 {
            counted(&blocks, (end, start), per_record * records);
        }
    }
}

/// Blocks end behind what ends a record and before what begins one.
fn between_records(blocks: &[Vec<u8>], (end, start): (&[u8], &[u8]), input: &[u8]) {
    let mut at = 0;
    let inner = blocks.split_last().map_or(&[][..], |(_, inner)| inner);
    for block in inner {
        at += block.len();
        assert!(input[..at].ends_with(end) && input[at..].starts_with(start));
    }
}

/// Each block but the last has so many separators, the last of them at its end.
fn counted(blocks: &[Vec<u8>], (end, start): (&[u8], &[u8]), separators: usize) {
    let joined = [end, start].concat();
    let mut begun = 0;
    for (number, block) in blocks.iter().enumerate() {
        let next = blocks.get(number + 1).map_or(&[][..], |next| next);
        let all = [&block[..], next].concat();
        let (mut at, mut found) = (begun, 0);
        while at + joined.len() <= all.len() && at + end.len() <= block.len() {
            if !all[at..].starts_with(&joined) {
                at += 1;
                continue;
            }
            found += usize::from(at + end.len() > 0);
            at += joined.len();
        }
        begun = start.len();
        match next {
            [] => assert!(found <= separators),
            _ => assert_eq!(found, separators),
        }
    }
}
