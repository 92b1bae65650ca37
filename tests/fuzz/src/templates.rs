//! A command's words and a shell's text, with places for a line.
//!
//! Nothing is run here. That shells read such texts as we think they do is for the
//! tests with real ones; here, texts that nobody would think of.

use orchestrator::fuzzing::{Line, Recipe};
use protocol::{CommandSpec, Encoding, Program};

/// The job's number: like nothing else that is filled in.
const NUMBER: u64 = 90_210;

/// How places are written.
const PLACES: [&str; 8] = ["{}", "{.}", "{/}", "{//}", "{/.}", "{#}", "{%}", "{path}"];

/// The first byte says how many words follow, each with a zero byte behind it; what
/// remains is the line. The shell's text is all words with blanks between them.
pub fn templates(data: &[u8]) {
    let Some((&count, rest)) = data.split_first() else {
        return;
    };
    let mut pieces = rest.splitn(2 + usize::from(count % 8), |&byte| byte == 0);
    let mut words: Vec<&[u8]> = pieces.by_ref().collect();
    let Some(line) = words.pop() else { return };
    if let Some(recipe) = Recipe::words(&words) {
        argv(&recipe, &words, line);
    }
    let text = words.join(&b' ');
    several(&words, &text, line, count >= 128);
    match Recipe::text(&text) {
        Ok(recipe) => shell(&recipe, &text, line),
        Err(fault) => {
            assert!(fault.what.chars().all(|c| !c.is_control()), "{fault:?}");
            assert!(!fault.tip.is_empty());
            // It may be the place that a simple command gets at its end.
            assert!(
                fault
                    .column
                    .is_none_or(|at| (1..=text.len() + 2).contains(&at))
            );
        }
    }
}

/// What is run for a line; nothing when no command could hold it.
fn program(recipe: &Recipe, line: &[u8]) -> Option<Program> {
    let prepared = recipe.prepare(NUMBER, &Line::whole(2, line.to_vec().into()));
    if line.contains(&0) {
        assert!(prepared.is_err(), "no argument holds a zero byte");
        return None;
    }
    let job = prepared.expect("any other line is one").expect("a job");
    Some(started(&job.input))
}

/// What is started in a slot without a number.
fn started(input: &[u8]) -> Program {
    let mut spec: CommandSpec = Encoding::Bincode.decode(input).expect("its own");
    spec.fill_slots(b"").expect("the places are there");
    spec.program
}

/// Items of several fields: how many words there are, and what the text says, depends on how many
/// fields there are and not on what they hold.
fn several(words: &[&[u8]], text: &[u8], line: &[u8], repeats: bool) {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
    let others = vec![&b"x"[..]; fields.len()].join(&0);
    let made = |recipe: &Recipe, item: &[u8]| {
        let prepared = recipe.prepare(NUMBER, &Line::whole(2, item.to_vec().into()));
        started(&prepared.expect("an item").expect("a job").input)
    };
    if let Some(recipe) = Recipe::several(Ok(words), repeats) {
        match (made(&recipe, line), made(&recipe, &others)) {
            (Program::Argv(one), Program::Argv(other)) => assert_eq!(one.len(), other.len()),
            other => panic!("words became a text: {other:?}"),
        }
    }
    let Some(recipe) = Recipe::several(Err(text), repeats) else {
        return;
    };
    match (made(&recipe, line), made(&recipe, &others)) {
        (Program::Shell { text: one, args }, Program::Shell { text: other, .. }) => {
            assert_eq!(one, other);
            let first: Vec<&[u8]> = args.iter().take(fields.len()).map(|arg| &arg[..]).collect();
            assert_eq!(first, fields, "$1 and so on are the fields");
        }
        other => panic!("a text became words: {other:?}"),
    }
}

fn argv(recipe: &Recipe, words: &[&[u8]], line: &[u8]) {
    let Some(program) = program(recipe, line) else {
        return;
    };
    let Program::Argv(argv) = program else {
        panic!("words became a text: {program:?}");
    };
    let mut expected: Vec<Vec<u8>> = Vec::new();
    let mut has_place = false;
    for word in words {
        let mut filled = Vec::new();
        let mut at = 0;
        while at < word.len() {
            if let Some((place, length)) = place_at(word, at) {
                filled.extend(value(place, line));
                has_place = true;
                at += length;
            } else {
                filled.push(word[at]);
                at += 1;
            }
        }
        expected.push(filled);
    }
    if !has_place {
        expected.push(line.to_vec());
    }
    assert_eq!(argv, expected);
}

/// The place that begins here, as it would be written without a number, and its length.
fn place_at(text: &[u8], at: usize) -> Option<(&'static str, usize)> {
    let is_variable = at > 0 && text[at - 1] == b'$';
    let fits = |place: &&str| text[at..].starts_with(place.as_bytes());
    let place = PLACES.into_iter().find(fits);
    if let Some(place) = place {
        let is_place = !is_variable || !["{#}", "{path}"].contains(&place);
        return is_place.then_some((place, place.len()));
    }
    // With the number of the only field.
    let inner = text[at..].strip_prefix(b"{")?;
    let length = inner.iter().position(|&byte| byte == b'}')?;
    let inner = std::str::from_utf8(&inner[..length]).ok()?;
    let unsigned = inner.strip_prefix('-').unwrap_or(inner);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = unsigned.split_at(digits);
    let is_first = number.parse() == Ok(1_i32);
    let place = PLACES
        .into_iter()
        .find(|place| place[1..place.len() - 1] == *rest)?;
    let takes_number = !["{#}", "{%}"].contains(&place);
    (is_first && takes_number && !is_variable).then_some((place, length + 2))
}

/// What a line puts into a place, said once more in other words.
fn value(place: &str, line: &[u8]) -> Vec<u8> {
    let slash = line.iter().rposition(|&b| b == b'/');
    let base = slash.map_or(line, |slash| &line[slash + 1..]);
    let stem = match base.iter().rposition(|&b| b == b'.') {
        Some(dot) => &base[..dot],
        None => base,
    };
    let before = &line[..line.len() - base.len()];
    match place {
        "{}" => line.to_vec(),
        "{.}" => [before, stem].concat(),
        "{/}" => base.to_vec(),
        "{/.}" => stem.to_vec(),
        "{#}" => NUMBER.to_string().into_bytes(),
        "{%}" => Vec::new(),
        "{path}" if line.starts_with(b"-") => [b"./", line].concat(),
        "{path}" => line.to_vec(),
        "{//}" => {
            let names = line.split(|&b| b == b'/').filter(|name| !name.is_empty());
            match (names.count(), line.first()) {
                (0, Some(_)) => b"/".to_vec(),
                (0, None) => b".".to_vec(),
                (1, Some(b'/')) => b"/".to_vec(),
                (1, _) => b".".to_vec(),
                (_, _) => directory(line).to_vec(),
            }
        }
        other => panic!("no place: {other}"),
    }
}

/// All that stands before the last of several names, without slashes at its end.
fn directory(line: &[u8]) -> &[u8] {
    let is_name = |byte: &u8| *byte != b'/';
    let last = line.iter().rposition(is_name).expect("there are names");
    let slash = line[..last].iter().rposition(|byte| *byte == b'/');
    let slash = slash.expect("there are several");
    let end = line[..slash].iter().rposition(is_name);
    &line[..=end.expect("there are several")]
}

/// A parameter in a text that was made of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Put {
    /// `"${1}"`
    Quoted,
    /// `${1}`, for a place within double quotes.
    Bare,
    /// `'"${1}"'`, for a place within single quotes.
    Reopened,
}

fn shell(recipe: &Recipe, text: &[u8], line: &[u8]) {
    let Some(program) = program(recipe, line) else {
        return;
    };
    let Program::Shell { text: made, args } = program else {
        panic!("a text became words: {program:?}");
    };
    assert_eq!(args[0], line, "$1 is the line");
    let with_place = [text, b" {}"].concat();
    let (given, puts) = match puts(text, &made, line, &args) {
        Some(puts) => (text, puts),
        // A simple command takes the line at its end.
        None => {
            let puts = puts(&with_place, &made, line, &args);
            (&with_place[..], puts.expect("a text keeps all but places"))
        }
    };
    // Backticks that are still there are none that were understood.
    if is_plain(given) && !made.contains(&b'`') {
        stand_as_they_should(&made, &puts);
    }
}

/// Where parameters were put, if that, backslashes before places, and `$(…)` for
/// backticks that hold places are all that differs between two texts.
fn puts(
    given: &[u8],
    made: &[u8],
    line: &[u8],
    args: &[serde_bytes::ByteBuf],
) -> Option<Vec<(usize, Put)>> {
    let mut puts = Vec::new();
    let mut backticks_end = None;
    let (mut at, mut out) = (0, 0);
    while at < given.len() {
        // What was put there never begins as a place does.
        if given.get(at) == made.get(out) {
            at += 1;
            out += 1;
            continue;
        }
        let escapes = given[at] == b'\\' && given.get(at + 1) == Some(&b'{');
        if escapes && made.get(out) == Some(&b'{') {
            at += 1;
            continue;
        }
        if backticks_end == Some(at) {
            (made.get(out) == Some(&b')')).then_some(())?;
            at += 1;
            out += 1;
            continue;
        }
        if given[at] == b'`' {
            let content = &given[at + 1..];
            let content = &content[..content.iter().position(|&byte| byte == b'`')?];
            // Two parentheses would calculate.
            let opens: &[u8] = if content.starts_with(b"(") {
                b"$( "
            } else {
                b"$("
            };
            let holds_place = (0..content.len()).any(|i| place_at(content, i).is_some());
            if !holds_place || content.contains(&b'\\') || !made[out..].starts_with(opens) {
                return None;
            }
            backticks_end = Some(at + 1 + content.len());
            at += 1;
            out += opens.len();
            continue;
        }
        let (place, written) = place_at(given, at)?;
        let (put, length, number) = put_at(&made[out..])?;
        assert_eq!(args[number - 1], value(place, line), "{place}");
        puts.push((out, put));
        at += written;
        out += length;
    }
    (out == made.len()).then_some(puts)
}

fn put_at(made: &[u8]) -> Option<(Put, usize, usize)> {
    let forms = [
        (Put::Reopened, "'\"${", "}\"'"),
        (Put::Quoted, "\"${", "}\""),
        (Put::Bare, "${", "}"),
    ];
    forms.into_iter().find_map(|(put, before, behind)| {
        let rest = made.strip_prefix(before.as_bytes())?;
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        rest[digits..].starts_with(behind.as_bytes()).then_some((
            put,
            before.len() + digits + behind.len(),
            number,
        ))
    })
}

/// Whether [`stand_as_they_should`] knows all that is in a text.
fn is_plain(text: &[u8]) -> bool {
    let unknown = ["<<", "${", "$((", "$'", "$\"", "$[", "case"];
    let text = String::from_utf8_lossy(text);
    // What is joined by backslashes at the ends of lines may be any of them.
    let joined = text.replace("\\\n", "");
    unknown.iter().all(|word| !joined.contains(word))
}

/// What a place in a text of quotes, comments and substitutions can stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Outside of quotes: in all of the text, or in parentheses.
    Words,
    /// The same in `$(…)`.
    Substitution,
    Single,
    Double,
}

/// Follows the quotes as a shell does, by nothing but their simplest rules: every
/// parameter must stand in double quotes.
fn stand_as_they_should(made: &[u8], puts: &[(usize, Put)]) {
    let mut states = vec![State::Words];
    let mut in_word = false;
    let mut puts = puts.iter().peekable();
    let mut at = 0;
    while at < made.len() {
        let state = *states.last().expect("the outermost is never closed");
        let quoted = matches!(state, State::Single | State::Double);
        if let Some((_, put)) = puts.next_if(|(start, _)| *start == at) {
            let stands = match put {
                Put::Quoted => !quoted,
                Put::Bare => state == State::Double,
                Put::Reopened => state == State::Single,
            };
            let text = String::from_utf8_lossy(made);
            assert!(stands, "{put:?} at {at} in {state:?} of {text}");
            at += put_at(&made[at..]).expect("it was seen").1;
            in_word = true;
            continue;
        }
        let byte = made[at];
        at += 1;
        let next = made.get(at).copied();
        match (state, byte) {
            (State::Single, b'\'') | (State::Double, b'"') => drop(states.pop()),
            (State::Single, _) => {}
            (_, b'\\') => {
                in_word |= next != Some(b'\n');
                at += 1;
            }
            // The shell's own number, whatever follows.
            (_, b'$') if next == Some(b'$') => {
                in_word = true;
                at += 1;
            }
            (_, b'$') if next == Some(b'(') => {
                states.push(State::Substitution);
                in_word = false;
                at += 1;
            }
            (State::Double, _) => {}
            (_, b'\'' | b'"') => {
                let single = byte == b'\'';
                states.push(if single { State::Single } else { State::Double });
                in_word = true;
            }
            (_, b'(') => {
                states.push(State::Words);
                in_word = false;
            }
            (_, b')') => {
                // What stands behind a substitution belongs to the same word. The whole
                // text is not closed by anything.
                in_word = state == State::Substitution;
                if states.len() > 1 {
                    states.pop();
                }
            }
            (_, b'#') if !in_word => {
                let rest = made[at..].iter();
                at += rest.take_while(|&&b| b != b'\n').count();
            }
            (_, byte) => in_word = !b" \t\n;&|<>".contains(&byte),
        }
    }
    assert_eq!(puts.next(), None, "a parameter stands nowhere");
}
