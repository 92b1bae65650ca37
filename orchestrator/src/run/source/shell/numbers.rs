//! Commands that print numbers, or nothing at all, whatever they are given: what `$(…)` makes of
//! data is none then.

use super::command::name_at;
use super::word::Word;

/// Commands that print nothing.
const SILENT: [&[u8]; 9] = [
    b"test", b"[", b"[[", b":", b"true", b"false", b"read", b"exit", b"shift",
];

/// Whether a command may print anything but numbers, and what stands in the text itself.
pub(super) fn prints_data(words: &[Word], has_input: bool) -> bool {
    let start = name_at(words);
    let Some((name, arguments)) = words[start..].split_first() else {
        // `$(< file)`.
        return has_input;
    };
    if name.data.is_some() || name.known.is_some() {
        return true;
    }
    let operands = || {
        let mut ended = false;
        arguments.iter().filter(move |word| {
            let is_option = !ended && word.value.starts_with(b"-") && word.value.len() > 1;
            ended |= word.value == b"--";
            !is_option
        })
    };
    let has_data = arguments.iter().any(Word::holds);
    let is_fixed = |word: &Word| word.known.is_none();
    match &name.value[..] {
        value if SILENT.contains(&value) => false,
        b"done" | b"fi" | b"esac" | b"for" | b"case" => false,
        b"echo" | b"printf" => has_data,
        b"nproc" | b"id" | b"sleep" => has_data,
        // With a file it prints its name.
        b"wc" => operands().next().is_some() || !arguments.iter().all(is_fixed),
        b"tr" => !keeps_digits(arguments),
        b"expr" => !adds(arguments),
        b"stat" => match arguments {
            [option, format, file @ ..] => {
                let asks = option.is_one_of(&[b"-c", b"--format", b"-Lc"]) && is_fixed(format);
                // An option cannot be the only file.
                let is_file = file.len() == 1 || file.first().is_some_and(|w| w.value == b"--");
                !asks || !is_file || !is_format(&format.value, b'%', b"sYXZWhugibBdo")
            }
            _ => true,
        },
        b"date" => {
            let format = |word: &&Word| word.value.starts_with(b"+");
            let known = arguments.iter().find(format).filter(|word| is_fixed(word));
            !known.is_some_and(|word| is_format(&word.value[1..], b'%', b"sYmdHMSNjuy"))
        }
        b"grep" => {
            let counts = |word: &Word| {
                let letters = word.value.strip_prefix(b"-").unwrap_or_default();
                is_fixed(word) && !letters.starts_with(b"-") && letters.contains(&b'c')
            };
            let is_quiet = |word: &Word| word.is_one_of(&[b"-q", b"-qs", b"-qF", b"-qE", b"-Fq"]);
            let first = arguments.first();
            let no_option = |word: &Word| !word.may_turn_out();
            let ended = arguments.iter().any(|word| word.value == b"--");
            let is_plain = ended || operands().all(no_option);
            let is_count = first.is_some_and(counts) && is_plain && operands().count() <= 2;
            !is_count && !first.is_some_and(is_quiet)
        }
        _ => true,
    }
}

/// Whether `tr` leaves nothing but digits and signs.
fn keeps_digits(arguments: &[Word]) -> bool {
    let [options @ .., set] = arguments else {
        return false;
    };
    let letters: Vec<u8> = options.iter().flat_map(|w| w.value.clone()).collect();
    let is_both = letters.contains(&b'd') && letters.iter().any(|b| b"cC".contains(b));
    let others = |b: &u8| !b"-dcC".contains(b);
    let rest = |set: &[u8]| {
        set.iter()
            .all(|b| b.is_ascii_digit() || b"-+.\n".contains(b))
    };
    let classes = set.value.strip_prefix(b"[:digit:]");
    let classes = classes.unwrap_or(&set.value);
    let plain = classes.strip_suffix(b"\\n").unwrap_or(classes);
    is_both && !letters.iter().any(others) && set.known.is_none() && rest(plain)
}

/// Whether `expr` is to calculate: it prints a number then, or nothing.
fn adds(arguments: &[Word]) -> bool {
    let is_operator = |word: &Word| word.is_one_of(&[b"+", b"-", b"*", b"/", b"%"]);
    matches!(arguments, [a, operator, b]
        if is_operator(operator) && !a.is_loose && !b.is_loose)
}

/// Whether of a format nothing but these remains.
fn is_format(format: &[u8], sign: u8, letters: &[u8]) -> bool {
    let mut pieces = format.split(|&byte| byte == sign);
    let first = pieces.next().unwrap_or_default();
    let fits = |piece: &[u8]| {
        matches!(piece, [letter, rest @ ..]
        if letters.contains(letter) && rest.iter().all(|b| b" .:_-+\n".contains(b)))
    };
    first.is_empty() && pieces.all(fits)
}
