//! Why a text is refused, and what to write instead.

use crate::run::text;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where, in bytes from the beginning.
    pub(super) at: usize,
    /// What stands there, or the command that it is about.
    pub(super) shown: Vec<u8>,
    /// What is wrong with it.
    pub(super) why: &'static Why,
}

/// What can be wrong. Every kind has one sentence and one way out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Why {
    /// Whether it matters at all.
    pub(super) weight: Weight,
    /// What comes behind "… at column 7".
    what: &'static str,
    tip: &'static str,
}

/// When something is a reason to refuse a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Always.
    Always,
    /// The same, even where it is in doubt how the text is read.
    Certain,
    /// When there is a place in the text: what becomes of it is in doubt. In a
    /// text without one, it is between its author and the shell.
    Doubt,
}

impl Why {
    /// What is wrong, as the end of a sentence.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// What to write instead.
    pub(crate) fn tip(&self) -> &'static str {
        self.tip
    }
}

impl Fault {
    /// There is no place for the line.
    pub(super) fn no_place() -> Fault {
        Fault {
            at: 0,
            shown: Vec::new(),
            why: &NO_PLACE,
        }
    }

    /// Both streams are redirected here, in a way that few shells know.
    pub(super) fn both_streams(at: usize) -> Fault {
        Fault {
            at,
            shown: b"&>".to_vec(),
            why: &BOTH_STREAMS,
        }
    }

    /// What is wrong, on one line.
    pub(crate) fn what(&self) -> String {
        if *self.why == NO_PLACE {
            return self.why.what.into();
        }
        let shown = text::quoted(&self.shown);
        let column = self.at + 1;
        format!("{shown} at column {column} {}", self.why.what)
    }

    /// The column, from 1, unless it is about all of the text.
    pub(crate) fn column(&self) -> Option<usize> {
        (*self.why != NO_PLACE).then_some(self.at + 1)
    }

    /// What to write instead.
    pub(crate) fn tip(&self) -> &'static str {
        self.why.tip
    }

    /// Whether another shell would read it as it is meant.
    pub(crate) fn is_of_shell(&self) -> bool {
        let of_shell = [
            &BOTH_STREAMS,
            &DOUBLE_BRACKET,
            &DOUBLE_PARENTHESIS,
            &HERE_STRING,
            &DECLARE,
        ];
        of_shell.contains(&self.why)
    }

    /// Whether the way out is a text without places.
    pub(crate) fn is_for_parameter(&self) -> bool {
        self.why.tip == SAY_PARAMETER
    }
}

pub(in crate::run::source) const fn always(what: &'static str, tip: &'static str) -> Why {
    Why {
        weight: Weight::Always,
        what,
        tip,
    }
}

const fn certain(what: &'static str, tip: &'static str) -> Why {
    Why {
        weight: Weight::Certain,
        what,
        tip,
    }
}

const fn doubt(what: &'static str, tip: &'static str) -> Why {
    Why {
        weight: Weight::Doubt,
        what,
        tip,
    }
}

const DIGITS: &str = "take its digits alone: m=$(printf %s \"$n\" | tr -cd 0-9); … $((m + 1)); or let a program calculate: expr \"$n\" + 1; or let dash read the text (--shell, or the variable PARALLEL_SHELL)";
const USE_VARIABLE: &str = "give the line a name first: x={}; … \"$x\" …";
const HAND_OVER: &str = "hand the line over as a parameter: sh -c '… \"$1\" …' sh {}";
const SAY_PARAMETER: &str =
    "write \"$1\" instead of {}: text without places is left as it is, and $1 is the line";

pub(super) static NO_PLACE: Why = always(
    "there is no place for the line in the shell text",
    "write {} where it belongs, or add -n0 where no command needs it",
);
pub(super) static BOTH_STREAMS: Why = always(
    "is known to bash and zsh only: to another shell it ends the command, which goes on in the background",
    "write > FILE 2>&1 instead, or name the shell that it is for",
);
pub(super) static UNCLOSED: Why = always(
    "is not closed",
    "put a backslash before it if it is meant as a character",
);

// Places where the line would not stay data.

pub(super) static ARITHMETIC: Why = always(
    "stands in arithmetic, and a shell evaluates what stands there",
    "let a program calculate: expr {} + 1",
);
pub(super) static COMPARED: Why = always(
    "is to be a number here, and the shell that reads this text evaluates it as arithmetic",
    "bash and dash read [ {} -gt 3 ] and exit {} as they are meant: --shell names one, or the variable PARALLEL_SHELL",
);
pub(super) static PARAMETER: Why = always(
    "stands within ${…}",
    "give the line a name first: x={}; … ${x%.*} …",
);
pub(super) static BACKTICKS: Why = always(
    "stands in backticks, where quotes have other meanings",
    "write $(…) instead of `…`",
);
pub(super) static DOLLAR_QUOTES: Why = always(
    "stands in quotes behind a dollar sign, which not every shell knows",
    "close the quotes before it: $'…'{}",
);
pub(super) static HERE_DOCUMENT: Why = always(
    "stands in a here-document",
    "pipe it instead: printf '%s\\n' {} | …",
);
pub(super) static SHELL_TEXT: Why = always(
    "stands in the text of another shell, which would read the line as program text",
    HAND_OVER,
);
pub(super) static EVALUATED: Why = always(
    "would be read as program text by the command that it is given to",
    "give the line a name, and let the text say the name: x={}; trap 'rm \"$x\"' EXIT",
);
pub(super) static RUN_AGAIN: Why = always(
    "would be read as program text by `eval`",
    "leave out eval: the shell reads the rest of the text anyway; to run lines that are commands, give no command",
);
pub(super) static VARIABLE_NAME: Why = always(
    "would be the name of a variable, which some shells evaluate",
    "write the name yourself: x={}",
);
pub(super) static SPECIAL_VARIABLE: Why = always(
    "would be the value of a variable that some shells evaluate",
    "use a variable with another name",
);
pub(super) static FORMAT: Why = always(
    "stands where printf looks for options, which some shells evaluate",
    "give the format yourself: printf '%s\\n' {}",
);
pub(super) static TEST: Why = always(
    "would be the name of a variable for a test, which some shells evaluate",
    "compare strings, one with another: [ {} = … ]",
);
pub(super) static COMMAND_NAME: Why = always(
    "names the command, and the line is in its arguments too: together they could be program text",
    "write the command yourself, or a slash before it: ./{}",
);
pub(super) static REMOTE: Why = always(
    "is part of a command that a shell on another machine reads",
    "send it as input: printf '%s\\n' {} | ssh HOST 'IFS= read -r x; … \"$x\" …'",
);

// Variables that may hold the line, where the shell evaluates what they hold.

pub(super) static CALCULATED: Why = certain(
    "may hold what the line says, and the shell that reads this text runs what stands in $(…) there, since it calculates here",
    DIGITS,
);
pub(super) static INDIRECT: Why = certain(
    "may hold what the line says, and is evaluated here by the shell that reads this text",
    "write the name itself, or ask in `case`: case $x in a) y=$a;; b) y=$b;; esac",
);
pub(super) static NUMBER: Why = certain(
    "is made a number here, and may be given what the line says: the shell that reads this text would run what stands in $(…) there",
    "leave out -i, or take digits alone: m=$(printf %s \"$n\" | tr -cd 0-9)",
);
pub(super) static NAME_HOLDS: Why = certain(
    "may hold what the line says, and would be the name of a variable, which the shell that reads this text evaluates",
    "write the name yourself",
);
pub(super) static SPECIAL_HOLDS: Why = certain(
    "may hold what the line says, and would be the value of a variable that the shell that reads this text evaluates",
    "use a variable with another name",
);
pub(super) static FORMAT_HOLDS: Why = certain(
    "may hold what the line says, and stands where printf looks for options, which the shell that reads this text evaluates",
    "give the format yourself: printf '%s\\n' \"$x\"",
);
pub(super) static COMMAND_HOLDS: Why = doubt(
    "may hold what the line says and names the command, without quotes or with more of it behind: together they could be program text",
    "write the command yourself; to run lines that are commands, leave out -c",
);
pub(super) static LOOSE: Why = certain(
    "may hold what the line says, of which without quotes a test takes words for operators (-v evaluates)",
    "put it in quotes: [ \"$x\" = … ]",
);
pub(super) static BACKTICKS_HOLD: Why = certain(
    "may hold what the line says, and stands in backticks with a backslash between them, in which nothing is followed",
    "write $(…) instead of `…`",
);
pub(super) static PATTERN: Why = always(
    "would be read as a pattern, in quotes or not, unless the shell is bash",
    "compare strings: [[ $x == *{}* ]]",
);

// Text that is read differently by different shells, or that may hand the line
// on to where it is no data.

pub(super) static CASE: Why = doubt(
    "stands within $(…), where its parentheses cannot be told from the end",
    SAY_PARAMETER,
);
pub(super) static DOUBLE_BRACKET: Why = doubt(
    "is not known to every shell, and evaluates what stands in it",
    "write [ … ] instead",
);
pub(super) static DOUBLE_PARENTHESIS: Why = doubt(
    "is arithmetic for some shells, which evaluate what stands in it",
    "write $((…)), or ( ( with a blank for two shells within each other",
);
pub(super) static PARENTHESIS: Why = doubt(
    "begins a function, whose $1 is not the line, or something that not every shell knows",
    SAY_PARAMETER,
);
pub(super) static FUNCTION: Why =
    doubt("begins a function, whose $1 is not the line", SAY_PARAMETER);
pub(super) static HERE_STRING: Why = doubt(
    "is not known to every shell",
    "pipe it instead: printf '%s\\n' {} | …",
);
pub(super) static LEFT_OPEN: Why = doubt(
    "ends backticks in which something is not closed",
    "close it before, or write $(…) instead of `…`",
);
pub(super) static UNCLEAR: Why = doubt("can be read in more than one way", SAY_PARAMETER);
pub(super) static PARAMETERS: Why = doubt(
    "changes the positional parameters, of which {} is one",
    USE_VARIABLE,
);
pub(super) static DECLARE: Why = doubt(
    "is not known to every shell, and may make variables that evaluate what they are given",
    "a plain assignment is enough: x={}",
);
pub(super) static OPTION: Why = doubt(
    "stands where options are looked for, and could be one that makes program text of the line",
    "put -- before it",
);
pub(super) static HANDED_ON: Why = doubt(
    "is read as program text, and what it holds may come from the line",
    HAND_OVER,
);
pub(super) static SHELL_INPUT: Why = doubt(
    "reads its program from what is piped into it, which may be the line",
    "to run lines that are commands, leave out -c: orchestrator run < FILE",
);
