//! What a shell does by itself with the words of a command: built-in commands that read arguments
//! as program text, or as something that they evaluate.
//!
//! In a place there is always data, and it is refused whichever shell reads the text, where any
//! evaluates it. Variables are looked at when the one that reads it does ([`Names`]).

use super::dialect::Dialect;
use super::fault::{self, Why};
use super::names::{Names, name_length, takes_names};
use super::word::{Mark, Word};

/// Commands that read their arguments as program text.
const EVALUATING: [&[u8]; 13] = [
    b"eval",
    b"trap",
    b"alias",
    b"let",
    b"compgen",
    b"complete",
    b"bind",
    b"fc",
    b"enable",
    b"watch",
    b"parallel",
    b"emulate",
    b"sched",
];

/// Built-in commands that take names of variables, and evaluate what looks like
/// an element of an array.
pub(super) const NAMING: [&[u8]; 6] = [
    b"read",
    b"unset",
    b"getopts",
    b"mapfile",
    b"readarray",
    b"wait",
];

/// Built-in commands that make variables.
pub(super) const DECLARING: [&[u8]; 8] = [
    b"export",
    b"readonly",
    b"declare",
    b"typeset",
    b"local",
    b"integer",
    b"float",
    b"nameref",
];

/// Built-in commands that take a number, which all but bash calculate.
const COUNTING: [&[u8]; 7] = [
    b"exit",
    b"return",
    b"break",
    b"continue",
    b"shift",
    b"repeat",
    b"ulimit",
];

/// Operators of a test that compare numbers.
const NUMBER_OPERATORS: [&[u8]; 6] = [b"-eq", b"-ne", b"-lt", b"-le", b"-gt", b"-ge"];

/// Variables whose new value some shells evaluate.
const SPECIAL: [&[u8]; 9] = [
    b"RANDOM",
    b"SRANDOM",
    b"OPTIND",
    b"HISTCMD",
    b"SECONDS",
    b"LINENO",
    b"PS4",
    b"PROMPT_COMMAND",
    // A command substitution in it is run by the next bash.
    b"BASH_ENV",
];

/// And such that are numbers to zsh or a Korn shell.
const SPECIAL_NUMBERS: [&[u8]; 16] = [
    b"BASHPID",
    b"COLUMNS",
    b"EGID",
    b"ERRNO",
    b"EUID",
    b"FUNCNEST",
    b"GID",
    b"HISTSIZE",
    b"KEYTIMEOUT",
    b"LINES",
    b"LISTMAX",
    b"MAILCHECK",
    b"PPID",
    b"SAVEHIST",
    b"TMOUT",
    b"UID",
];

/// What is known where a command stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) text: &'a [u8],
    pub(super) names: &'a Names,
    pub(super) dialect: Dialect,
}

impl Context<'_> {
    /// Data in a word that the shell evaluates: a place, or else a variable.
    fn evaluated(&self, word: &Word, place: &'static Why, variable: &'static Why) -> Option<Mark> {
        word.refused(place)
            .or_else(|| self.variable(word, variable))
    }

    /// A variable in a word that the shell evaluates.
    fn variable(&self, word: &Word, why: &'static Why) -> Option<Mark> {
        let calculates = self.dialect.calculates();
        calculates.then(|| word.held(why)).flatten()
    }

    /// A word with which the shell calculates: what is written in it may be a name.
    fn calculated(&self, word: &Word) -> Option<Mark> {
        // A place in it may have become a number.
        let data = word.held(&fault::CALCULATED);
        let place = data.filter(|mark| word.place == Some((mark.at, mark.length)));
        let place = place.map(|mark| Mark {
            why: &fault::COMPARED,
            ..mark
        });
        let named = || self.named(word.at, word.end);
        place
            .or(data)
            .or_else(named)
            .filter(|_| self.dialect.calculates())
    }

    /// The index of an element.
    fn index(&self, word: &Word) -> Option<Mark> {
        if !word.is_element() {
            return None;
        }
        let text = self.text.get(word.at..word.end)?;
        let from = memchr::memchr(b'[', text)?;
        self.named(
            word.at + from,
            self.value_of_element(word).unwrap_or(word.end),
        )
    }

    /// Where the value of an element begins that a word gives to it.
    fn value_of_element(&self, word: &Word) -> Option<usize> {
        let text = self.text.get(word.at..word.end)?;
        let ends = |end: &[u8]| memchr::memmem::find(text, end);
        let end = ends(b"]=").into_iter().chain(ends(b"]+=")).min()?;
        Some(word.at + end)
    }

    /// A name in a part of the text that may hold data.
    fn named(&self, from: usize, to: usize) -> Option<Mark> {
        let text = self.text.get(from..to)?;
        let (at, length) = self.names.first_in(text)?;
        self.dialect.calculates().then_some(Mark {
            at: from + at,
            length,
            why: &fault::CALCULATED,
        })
    }
}

/// Variables whose value some shells evaluate, and elements of arrays, whose index they do; the
/// first so many words are in front of the command.
pub(super) fn assignments(words: &[Word], start: usize, context: &Context<'_>) -> Vec<Mark> {
    let mark = |(number, word): (usize, &Word)| {
        let is_one_of = |names: &[&[u8]]| word.assigned().is_some_and(|n| names.contains(&n));
        if is_one_of(&SPECIAL) {
            let (place, variable) = (&fault::SPECIAL_VARIABLE, &fault::SPECIAL_HOLDS);
            let named = || context.calculated(word);
            return context.evaluated(word, place, variable).or_else(named);
        }
        if is_one_of(&SPECIAL_NUMBERS) && context.dialect.calculates_everywhere() {
            return word
                .held(&fault::SPECIAL_HOLDS)
                .or_else(|| context.calculated(word));
        }
        if !word.is_element() {
            return None;
        }
        let value = context.value_of_element(word);
        let index = || {
            context
                .index(word)
                .filter(|_| value.is_some() && number <= start)
        };
        let is_value = |at: usize| value.is_some_and(|value| value <= at);
        let place = word.refused(&fault::VARIABLE_NAME);
        let knows = context.dialect.knows_brackets();
        place
            .filter(|mark| !(knows && is_value(mark.at)))
            .or_else(index)
    };
    words.iter().enumerate().filter_map(mark).collect()
}

/// Elements of an array that name the place where they go.
pub(super) fn elements(words: &[Word], context: &Context<'_>) -> Vec<Mark> {
    let places = words.iter().filter(|word| {
        let is_index = word.value.starts_with(b"[") || word.is_open();
        is_index && memchr::memmem::find(&word.value, b"]=").is_some()
    });
    let mark = |word: &Word| {
        let end = memchr::memmem::find(&context.text[word.at..word.end], b"]=");
        let end = end.map_or(word.end, |end| word.at + end);
        word.refused(&fault::VARIABLE_NAME)
            .or_else(|| context.named(word.at, end))
    };
    places.filter_map(mark).collect()
}

/// What the shell does by itself.
pub(super) fn by_name(name: &Word, arguments: &[Word], context: &Context<'_>) -> Vec<Mark> {
    let both = |place, variable| {
        let mark = |word: &Word| context.evaluated(word, place, variable);
        arguments.iter().filter_map(mark).collect::<Vec<_>>()
    };
    if name.place.is_some() {
        return Vec::new();
    }
    let mut marks = match &name.value[..] {
        b"let" => {
            let mut marks = both(&fault::EVALUATED, &fault::CALCULATED);
            marks.extend(arguments.iter().filter_map(|w| context.calculated(w)));
            marks
        }
        b"compgen" | b"complete" | b"bind" | b"fc" | b"enable" => {
            both(&fault::EVALUATED, &fault::CALCULATED)
        }
        value if EVALUATING.contains(&value) => {
            let why = match value {
                b"eval" => &fault::RUN_AGAIN,
                _ => &fault::EVALUATED,
            };
            let program = |w: &Word| w.as_program(why);
            arguments.iter().filter_map(program).collect()
        }
        value if NAMING.contains(&value) => both(&fault::VARIABLE_NAME, &fault::NAME_HOLDS),
        value if DECLARING.contains(&value) => declare(name, arguments, context),
        b"function" => vec![name.marked(&fault::FUNCTION)],
        b"shift" => vec![name.marked(&fault::PARAMETERS)],
        b"set" if sets_parameters(arguments) => vec![name.marked(&fault::PARAMETERS)],
        b"for" if arguments.first().is_some_and(|w| w.is_one_of(&SPECIAL)) => {
            both(&fault::SPECIAL_VARIABLE, &fault::SPECIAL_HOLDS)
        }
        b"at" | b"batch" => vec![name.marked(&fault::SHELL_INPUT)],
        b"printf" | b"print" => format(name, arguments, context),
        b"test" | b"[" => test(arguments, context),
        _ => Vec::new(),
    };
    if takes_names(&name.value) {
        marks.extend(arguments.iter().filter_map(|word| context.index(word)));
    }
    if context.dialect.calculates_everywhere() && name.is_one_of(&COUNTING) {
        marks.extend(arguments.iter().filter_map(|word| context.calculated(word)));
    }
    marks
}

/// A command that makes variables. Some of them are numbers, and some other names for variables.
fn declare(name: &Word, arguments: &[Word], context: &Context<'_>) -> Vec<Mark> {
    let plain = name.is_one_of(&[b"export", b"readonly"]);
    let is_option = |word: &Word| matches!(word.value.first(), Some(b'-' | b'+'));
    let options = || arguments.iter().filter(|word| is_option(word));
    let makes_names = name.value == b"nameref"
        || options().any(|word| word.value.iter().any(|b| b"nT".contains(b)));
    if !plain && (!context.dialect.knows_brackets() || makes_names) {
        return vec![name.marked(&fault::DECLARE)];
    }
    let of = |word: &Word| {
        let name = &word.value[..name_length(&word.value)];
        if context.names.is_calculated(name) && context.dialect.calculates() {
            // It may be given data anywhere in the text.
            let data = word.held(&fault::NUMBER);
            return data.or(Some(word.marked(&fault::NUMBER)));
        }
        let evaluated = || context.evaluated(word, &fault::VARIABLE_NAME, &fault::NAME_HOLDS);
        (!word.is_assignment()).then(evaluated).flatten()
    };
    arguments.iter().filter_map(of).collect()
}

/// Whether `set` is given anything but options.
fn sets_parameters(arguments: &[Word]) -> bool {
    let mut is_value = false;
    !arguments.iter().all(|word| {
        let is_option = !word.is_open() && word.value.len() > 1 && b"-+".contains(&word.value[0]);
        let fits = is_value || (is_option && word.value != b"--");
        is_value = !is_value && is_option && word.value.ends_with(b"o");
        fits
    })
}

/// The first argument of `printf`, where bash has an option that takes the name
/// of a variable; and numbers, which zsh and Korn shells calculate.
fn format(name: &Word, arguments: &[Word], context: &Context<'_>) -> Vec<Mark> {
    let Some(first) = arguments.first() else {
        return Vec::new();
    };
    let names_variable = first.value.starts_with(b"-v");
    let suspects = match (
        first.may_be_option() || first.may_turn_out(),
        names_variable,
    ) {
        (true, _) => &arguments[..1],
        (false, true) => &arguments[..arguments.len().min(2)],
        (false, false) => &[],
    };
    let mark = |w: &Word| match name.value == b"printf" {
        true => context.evaluated(w, &fault::FORMAT, &fault::FORMAT_HOLDS),
        false => context.variable(w, &fault::FORMAT_HOLDS),
    };
    let mut marks: Vec<Mark> = suspects.iter().filter_map(mark).collect();
    if names_variable {
        marks.extend(arguments.iter().take(2).filter_map(|w| context.index(w)));
    }
    let format = arguments.iter().find(|word| word.value.contains(&b'%'));
    let has_numbers = |word: &Word| {
        let mut kinds = word.value.split(|&byte| byte == b'%').skip(1);
        kinds.any(|rest| {
            let letter = rest.iter().find(|b| b.is_ascii_alphabetic() || **b == b'*');
            letter.is_none_or(|letter| !b"sbqc".contains(letter))
        })
    };
    let calculates = context.dialect.calculates_everywhere();
    if calculates && format.is_some_and(has_numbers) {
        marks.extend(arguments.iter().filter_map(|word| context.calculated(word)));
    }
    marks
}

/// The operands of a test: `-v NAME` evaluates the name in bash, and Korn shells
/// evaluate the operands of a comparison of numbers.
fn test(arguments: &[Word], context: &Context<'_>) -> Vec<Mark> {
    let mut marks = match context.dialect.calculates_in_tests() {
        true => numbers(arguments, context),
        false => Vec::new(),
    };
    let pairs = arguments.windows(2).filter(|pair| {
        let is_number = pair[0].value == b"-t" && context.dialect.calculates_everywhere();
        is_number || pair[0].is_one_of(&[b"-v", b"-R"]) || pair[0].may_be_option()
    });
    let mark = |pair: &[Word]| context.evaluated(&pair[1], &fault::TEST, &fault::NAME_HOLDS);
    marks.extend(pairs.filter_map(mark));
    // Without quotes, it may become any operator, and its operand.
    let loose = arguments.iter().filter(|word| word.is_loose);
    marks.extend(loose.filter_map(|word| context.variable(word, &fault::LOOSE)));
    marks
}

/// What is compared as numbers.
fn numbers(arguments: &[Word], context: &Context<'_>) -> Vec<Mark> {
    let compares = |word: &Word| word.is_one_of(&NUMBER_OPERATORS);
    let operand = |pair: &[Word]| match (compares(&pair[0]), compares(&pair[1])) {
        (true, _) => context.calculated(&pair[1]),
        (_, true) => context.calculated(&pair[0]),
        (false, false) => None,
    };
    arguments.windows(2).filter_map(operand).collect()
}

/// What stands between double brackets: what is an operator there, is written in the text.
pub(super) fn double_brackets(arguments: &[Word], context: &Context<'_>) -> Vec<Mark> {
    let mut marks = numbers(arguments, context);
    for pair in arguments.windows(2) {
        let is = |names: &[&[u8]]| names.iter().any(|name| pair[0].is_bare(name));
        let is_number = is(&[b"-t"]) && context.dialect.calculates_everywhere();
        if is_number || is(&[b"-v", b"-R"]) {
            let mark = context.evaluated(&pair[1], &fault::TEST, &fault::NAME_HOLDS);
            marks.extend(mark.or_else(|| context.index(&pair[1])));
        }
        if is(&[b"=~"]) && !context.dialect.compares_quoted() {
            marks.extend(pair[1].refused(&fault::PATTERN));
        }
    }
    marks
}
