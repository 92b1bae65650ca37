//! All of GNU parallel's options.

use super::Kind;
use super::Means::{self, Count, Each, Idle, Own, Refused, Same};
use super::Opt;
use super::Takes::{Maybe, MaybeNumber, Nothing, Value};

const fn flag(names: &'static [&'static str], means: Means) -> Opt {
    Opt {
        names,
        takes: Nothing,
        means,
    }
}

const fn value(names: &'static [&'static str], means: Means) -> Opt {
    Opt {
        names,
        takes: Value,
        means,
    }
}

/// Why options about the output of nothing but this program have no effect.
const NO_NOTICE: Means = Idle("there is no citation notice");
const TOTAL: Means = Idle("jobs are counted when the input has ended");
const PERL: Means = Refused("no Perl runs here: compute it in the command, e.g. with sed or awk");
const REMOTE: Means = Refused(
    "`orchestrator run --hosts [N/]HOST,...` runs jobs on other machines, see docs/hosts.md",
);
const TRANSFER: Means =
    Refused("no files are copied: they are shared, or the command copies them, e.g. with rsync");
const SEMAPHORE: Means = Refused("there is no semaphore: `flock FILE COMMAND` makes a mutex");
const SQL: Means = Refused("jobs are kept in a run file: `orchestrator run --run-file FILE`");
const SCREEN: Means = Refused("jobs have no terminal: tmux or xargs -o can give one");
const COLOUR: Means = Refused("output is not coloured: --tag says whose a line is");
const FILES: Means = Idle("temporary files are not compressed; --tmpdir says where they are");
const CPUS: Means = Refused("CPUs are those that this process may use: -j 50% takes half of them");
const ABOUT: Means = Refused("`nproc` and `lscpu` tell about CPUs, `getconf ARG_MAX` about lines");
const SHEBANG: Means = Refused("a script may call `orchestrator parallel ... < FILE` itself");
const RETIRED: Means = Refused("GNU parallel has retired it, too");

/// All of them, below what they are about.
pub(in super::super) const GROUPS: &[(&str, &[Opt])] = &[
    (
        "Input",
        &[
            flag(&["0", "null"], Own(Kind::Null)),
            value(&["a", "arg-file", "argfile"], Each("--arg-file")),
            value(&["arg-sep", "argsep"], Own(Kind::ArgSep)),
            value(&["arg-file-sep", "argfilesep"], Own(Kind::ArgFileSep)),
            flag(
                &["_pipe-means-argfiles"],
                Refused("name files with -a or ::::"),
            ),
            value(&["d", "delimiter"], Own(Kind::Delimiter)),
            value(&["C", "colsep", "col-sep"], Same("--colsep")),
            flag(&["csv"], Same("--csv")),
            value(&["header"], Same("--header")),
            flag(
                &["link", "linkinputsource", "xapply", "xapplyinputsource"],
                Same("--link"),
            ),
            value(&["E"], Same("-E")),
            Opt {
                names: &["e", "eof"],
                takes: Maybe,
                means: Own(Kind::Eof),
            },
            value(&["trim"], Same("--trim")),
            flag(
                &["r", "no-run-if-empty", "norunifempty"],
                Same("--no-run-if-empty"),
            ),
            flag(&["shuf"], Same("--shuf")),
            value(&["filter"], PERL),
            flag(
                &["skip-first-line", "skipfirstline"],
                Refused("`tail -n +2 FILE |` in front does it"),
            ),
            value(&["n", "max-args", "maxargs"], Count("--max-args")),
            value(&["N", "max-replace-args", "maxreplaceargs"], Count("-N")),
            value(&["L"], Count("-L")),
            Opt {
                names: &["l", "max-lines", "maxlines"],
                takes: MaybeNumber,
                means: Own(Kind::Lines),
            },
            flag(&["X"], Same("-X")),
            flag(&["m"], Same("-m")),
            flag(&["xargs"], Same("--xargs")),
            value(&["s", "max-chars", "maxchars"], Count("--max-chars")),
            flag(&["x", "exit"], Same("--exit")),
        ],
    ),
    (
        "Places",
        &[
            value(&["I"], Same("-I")),
            Opt {
                names: &["i", "replace"],
                takes: Maybe,
                means: Own(Kind::Replace),
            },
            value(&["extensionreplace", "er", "U"], Same("--extensionreplace")),
            value(&["basenamereplace", "bnr"], Same("--basenamereplace")),
            value(&["dirnamereplace", "dnr"], Same("--dirnamereplace")),
            value(
                &["basenameextensionreplace", "bner"],
                Same("--basenameextensionreplace"),
            ),
            value(&["seqreplace"], Same("--seqreplace")),
            value(&["slotreplace"], Same("--slotreplace")),
            flag(&["plus"], Same("--plus")),
            value(&["rpl"], PERL),
            value(&["parens"], PERL),
            value(
                &["template", "tmpl"],
                Refused("fill the file in the command, e.g. with sed"),
            ),
        ],
    ),
    (
        "Command",
        &[
            flag(&["q", "quote"], Own(Kind::Quote)),
            flag(&["dry-run", "dryrun"], Same("--dry-run")),
            flag(
                &["shell-quote", "shellquote", "shell_quote"],
                Refused("`printf %q` of bash quotes words"),
            ),
            flag(
                &["p", "interactive"],
                Refused("nobody is asked; `xargs -p` does"),
            ),
            value(&["env"], Each("--env")),
            flag(
                &["record-env", "recordenv"],
                Refused("jobs get all that is exported"),
            ),
            flag(&["session"], Refused("jobs get all that is exported")),
            value(&["workdir", "work-dir", "wd"], Same("--wd")),
            value(
                &["process-slot-var", "processslotvar"],
                Same("--process-slot-var"),
            ),
        ],
    ),
    (
        "Control",
        &[
            value(&["j", "jobs", "P", "max-procs", "maxprocs"], Same("--jobs")),
            value(&["delay"], Own(Kind::Delay)),
            value(&["load"], Same("--load")),
            value(&["memfree"], Same("--memfree")),
            value(
                &["memsuspend"],
                Refused("no job is suspended: --memfree starts none when memory is short"),
            ),
            flag(
                &["noswap"],
                Refused("--memfree starts no job when memory is short"),
            ),
            value(&["limit"], Refused("--load and --memfree hold jobs back")),
            value(&["nice"], Same("--nice")),
            value(&["timeout"], Own(Kind::Timeout)),
            value(&["retries"], Own(Kind::Retries)),
            value(&["halt", "halt-on-error", "haltonerror"], Own(Kind::Halt)),
            value(&["term-seq", "termseq"], Same("--termseq")),
            flag(
                &["use-cores-instead-of-threads", "usecoresinsteadofthreads"],
                CPUS,
            ),
            flag(
                &[
                    "use-sockets-instead-of-threads",
                    "usesocketsinsteadofthreads",
                    "use-cpus-instead-of-cores",
                    "usecpusinsteadofcores",
                ],
                CPUS,
            ),
            flag(&["ctrlc", "ctrl-c"], Idle("Ctrl-C always ends the jobs")),
            flag(
                &["noctrlc", "no-ctrlc", "no-ctrl-c"],
                Refused("`setsid` in front keeps the terminal's Ctrl-C away"),
            ),
        ],
    ),
    (
        "Output",
        &[
            flag(&["k", "keep-order", "keeporder"], Same("--keep-order")),
            flag(
                &["no-keep-order", "nokeeporder", "no-k", "nok"],
                Own(Kind::NoKeepOrder),
            ),
            flag(&["group"], Own(Kind::Group)),
            flag(&["u", "ungroup"], Own(Kind::Ungroup)),
            flag(
                &[
                    "lb",
                    "line-buffer",
                    "line-buffered",
                    "linebuffer",
                    "linebuffered",
                ],
                Own(Kind::LineBuffer),
            ),
            flag(
                &["ll", "latest-line", "latestline"],
                Refused("--line-buffer shows lines as they come"),
            ),
            flag(&["tag"], Own(Kind::Tag)),
            value(&["tagstring", "tag-string"], Own(Kind::TagString)),
            flag(&["ctag"], COLOUR),
            value(&["ctagstring", "ctag-string"], COLOUR),
            flag(&["color", "colour"], COLOUR),
            flag(
                &[
                    "color-failed",
                    "colour-failed",
                    "colorfailed",
                    "colourfailed",
                    "color-fail",
                    "colour-fail",
                    "colorfail",
                    "colourfail",
                    "cf",
                ],
                COLOUR,
            ),
            flag(&["v"], Same("-v")),
            flag(&["t", "verbose"], Same("--verbose")),
            flag(&["silent"], Own(Kind::Silent)),
            flag(
                &["files", "output-as-files", "outputasfiles"],
                Same("--files"),
            ),
            value(&["results", "result", "res"], Same("--results")),
            value(&["joblog", "jl"], Own(Kind::JobLog)),
            flag(&["resume"], Own(Kind::Resume)),
            flag(&["resume-failed", "resumefailed"], Own(Kind::ResumeFailed)),
            flag(
                &["retry-failed", "retryfailed"],
                Refused("--resume-failed, with the same input, runs them again"),
            ),
            flag(&["bar"], Same("--bar")),
            flag(&["eta"], Same("--eta")),
            flag(&["progress"], Same("--bar")),
            value(&["total-jobs", "totaljobs", "total"], TOTAL),
            value(&["tmpdir", "tempdir"], Same("--tmpdir")),
            flag(&["compress"], FILES),
            value(
                &[
                    "compress-program",
                    "compressprogram",
                    "use-compress-program",
                    "usecompressprogram",
                ],
                FILES,
            ),
            value(
                &[
                    "decompress-program",
                    "decompressprogram",
                    "use-decompress-program",
                    "usedecompressprogram",
                ],
                FILES,
            ),
            flag(&["tmux"], SCREEN),
            flag(&["tmuxpane", "tmux-pane"], SCREEN),
            flag(&["tty"], SCREEN),
            flag(&["o", "open-tty"], SCREEN),
        ],
    ),
    (
        "Pipe",
        &[
            flag(&["pipe", "spreadstdin"], Same("--pipe")),
            flag(
                &["pipe-part", "pipepart"],
                Refused("--pipe --block cuts what comes on standard input: `< FILE`"),
            ),
            value(&["block", "block-size", "blocksize"], Same("--block")),
            value(
                &["block-timeout", "blocktimeout", "bt"],
                Refused("a block waits until it is full: --block makes it smaller"),
            ),
            value(&["recstart"], Same("--recstart")),
            value(&["recend"], Same("--recend")),
            flag(&["regexp", "regex"], Same("--regexp")),
            flag(
                &["remove-rec-sep", "removerecsep", "rrs"],
                Same("--remove-rec-sep"),
            ),
            flag(
                &["round-robin", "roundrobin", "round"],
                Own(Kind::RoundRobin),
            ),
            flag(&["tee"], Refused("`tee >(A) >(B)` gives all of it to each")),
            flag(
                &["cat"],
                Refused("the command may keep it: `cat > FILE; COMMAND FILE`"),
            ),
            flag(
                &["fifo"],
                Refused("the command may read /dev/stdin as a file"),
            ),
            value(
                &["shard"],
                Refused("sort by the key in front, or split with awk"),
            ),
            value(
                &["bin"],
                Refused("sort by the key in front, or split with awk"),
            ),
            value(
                &["group-by", "groupby"],
                Refused("sort by the key in front, or split with awk"),
            ),
        ],
    ),
    (
        "Other machines",
        &[
            value(&["S", "sshlogin"], REMOTE),
            value(&["sshloginfile", "slf"], REMOTE),
            value(&["ssh"], REMOTE),
            value(&["ssh-delay", "sshdelay"], REMOTE),
            flag(&["M", "controlmaster"], REMOTE),
            flag(&["onall"], REMOTE),
            flag(&["nonall"], REMOTE),
            flag(&["hostgroups", "hostgroup", "hgrp"], REMOTE),
            flag(&["filter-hosts", "filter-host", "filterhosts"], REMOTE),
            flag(&["transfer"], TRANSFER),
            value(
                &[
                    "transferfile",
                    "transfer-file",
                    "transferfiles",
                    "transfer-files",
                    "tf",
                ],
                TRANSFER,
            ),
            value(&["return"], TRANSFER),
            value(&["trc"], TRANSFER),
            flag(&["cleanup"], TRANSFER),
            value(&["basefile", "bf"], TRANSFER),
            value(&["rsync-opts", "rsyncopts"], TRANSFER),
        ],
    ),
    (
        "Semaphore",
        &[
            flag(&["semaphore"], SEMAPHORE),
            value(&["semaphore-name", "semaphorename", "id"], SEMAPHORE),
            value(&["semaphore-timeout", "semaphoretimeout", "st"], SEMAPHORE),
            flag(&["bg"], SEMAPHORE),
            flag(&["fg"], SEMAPHORE),
            flag(&["wait"], SEMAPHORE),
        ],
    ),
    (
        "Database",
        &[
            value(&["sql"], SQL),
            value(&["sqlmaster", "sql-master"], SQL),
            value(&["sqlworker", "sql-worker"], SQL),
            value(&["sqlandworker", "sql-and-worker"], SQL),
        ],
    ),
    (
        "Options from elsewhere",
        &[
            value(&["J", "profile"], Own(Kind::Profile)),
            flag(&["plain"], Own(Kind::Plain)),
        ],
    ),
    (
        "About the program",
        &[
            flag(&["h", "help"], Own(Kind::Help)),
            flag(&["V", "version"], Own(Kind::Version)),
            value(&["minversion"], Own(Kind::MinVersion)),
            flag(&["will-cite", "willcite"], NO_NOTICE),
            flag(&["nn", "no-notice", "nonotice"], NO_NOTICE),
            flag(&["gnu"], Idle("this is GNU parallel's command line")),
            flag(
                &["bug"],
                Refused("report bugs of this program to its own issues"),
            ),
            flag(&["number-of-cpus", "numberofcpus"], ABOUT),
            flag(&["number-of-cores", "numberofcores"], ABOUT),
            flag(&["number-of-sockets", "numberofsockets"], ABOUT),
            flag(&["number-of-threads", "numberofthreads"], ABOUT),
            flag(&["max-line-length-allowed", "maxlinelengthallowed"], ABOUT),
            flag(&["show-limits", "showlimits"], ABOUT),
            flag(
                &["embed"],
                Refused("the program is one file: copy it beside the script"),
            ),
            flag(
                &[
                    "shebang",
                    "hashbang",
                    "shebang-wrap",
                    "shebangwrap",
                    "hashbang-wrap",
                ],
                SHEBANG,
            ),
            value(
                &["shell-completion", "shellcompletion"],
                Refused("`orchestrator completions bash|zsh|fish` writes them"),
            ),
            value(
                &["_parset"],
                Refused("read the output into an array: `mapfile -t a < <(...)`"),
            ),
            flag(&["_test"], Refused("it is for GNU parallel's own tests")),
            value(
                &["D", "debug"],
                Refused("`orchestrator run` says what it does with -v"),
            ),
            flag(&["tollef"], RETIRED),
            flag(&["g"], RETIRED),
            flag(&["T"], RETIRED),
            flag(&["Y"], RETIRED),
            value(&["B"], RETIRED),
            value(&["H"], RETIRED),
            value(&["W"], RETIRED),
        ],
    ),
];
