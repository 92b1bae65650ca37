//! Which shell reads a text: what signs it knows, and where it calculates with what variables hold.

/// Kinds of shells that differ in this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// They know what POSIX says, and calculate with numbers only: `dash`, `ash`, `yash`.
    Plain,
    Bash,
    Zsh,
    Ksh93,
    /// And what else comes from the public-domain Korn shell.
    Mksh,
    /// Nobody knows.
    Other,
}

/// The shell that reads a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// For which one the text is written.
    written: Kind,
    /// Which one it is.
    read: Kind,
}

impl Default for Dialect {
    fn default() -> Dialect {
        Dialect::of(b"sh", b"dash")
    }
}

impl Dialect {
    /// A shell by the path by which it is called, and by that of the file which this leads to. What
    /// is called `sh` is given texts for any `sh`, whichever it is.
    pub(crate) fn of(called: &[u8], file: &[u8]) -> Dialect {
        let read = kind(base(file));
        let written = match base(called) {
            b"sh" => Kind::Plain,
            b"ksh" => read,
            other => kind(other),
        };
        Dialect { written, read }
    }

    /// Whether it takes what a variable holds for an expression where it calculates, so that
    /// `a[$(…)]` in it runs a command.
    pub(super) fn calculates(self) -> bool {
        self.read != Kind::Plain
    }

    /// Whether that is so for `[ x -gt 1 ]`, too.
    pub(super) fn calculates_in_tests(self) -> bool {
        matches!(self.read, Kind::Ksh93 | Kind::Mksh | Kind::Other)
    }

    /// Whether that is so wherever a built-in command wants a number: `exit x`, `printf %d x`.
    pub(super) fn calculates_everywhere(self) -> bool {
        self.calculates() && self.read != Kind::Bash
    }

    /// Whether it knows `[[ … ]]`, `((…))`, arrays and `declare`.
    pub(super) fn knows_brackets(self) -> bool {
        !matches!(self.written, Kind::Plain | Kind::Other)
    }

    /// Whether it knows `<<<`.
    pub(super) fn knows_here_strings(self) -> bool {
        self.knows_brackets()
    }

    /// Whether it knows `<(…)` and `>(…)`.
    pub(super) fn knows_processes(self) -> bool {
        matches!(self.written, Kind::Bash | Kind::Zsh | Kind::Ksh93)
    }

    /// Whether it knows `&>`.
    pub(super) fn knows_both_streams(self) -> bool {
        matches!(self.written, Kind::Bash | Kind::Zsh)
    }

    /// Whether it knows `$[…]`.
    pub(super) fn knows_dollar_brackets(self) -> bool {
        matches!(self.written, Kind::Bash | Kind::Zsh)
    }

    /// Whether what stands in quotes behind `=~` is compared as it is.
    pub(super) fn compares_quoted(self) -> bool {
        self.written == Kind::Bash
    }

    /// Whether `$x[n]` is an element of an array.
    pub(super) fn has_bare_elements(self) -> bool {
        matches!(self.read, Kind::Zsh | Kind::Other)
    }
}

fn base(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..])
}

fn kind(name: &[u8]) -> Kind {
    const KINDS: [(&[u8], Kind); 10] = [
        (b"dash", Kind::Plain),
        (b"ash", Kind::Plain),
        (b"busybox", Kind::Plain),
        (b"yash", Kind::Plain),
        (b"bash", Kind::Bash),
        (b"zsh", Kind::Zsh),
        (b"ksh93", Kind::Ksh93),
        (b"mksh", Kind::Mksh),
        (b"lksh", Kind::Mksh),
        (b"oksh", Kind::Other),
    ];
    // There are `zsh5` and `mksh-static`.
    let known = KINDS.iter().find(|(known, _)| name.starts_with(known));
    known.map_or(Kind::Other, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_what_its_name_leads_to() {
        let plain = Dialect::default();
        assert!(!plain.calculates() && !plain.knows_brackets());
        let bash = Dialect::of(b"/usr/bin/bash", b"/usr/bin/bash");
        assert!(bash.calculates() && bash.knows_brackets() && bash.knows_processes());
        // It reads as bash does, but a text for `sh` is to work with any.
        let sh = Dialect::of(b"/bin/sh", b"/usr/bin/bash");
        assert!(sh.calculates() && !sh.knows_brackets() && !sh.knows_both_streams());
        let ksh = Dialect::of(b"ksh", b"/bin/mksh");
        assert!(ksh.knows_brackets() && !ksh.knows_processes() && ksh.calculates_in_tests());
        let unknown = Dialect::of(b"posh", b"/bin/posh");
        assert!(unknown.calculates() && !unknown.knows_brackets());
        assert!(!Dialect::of(b"sh", b"/bin/busybox").calculates());
    }
}
