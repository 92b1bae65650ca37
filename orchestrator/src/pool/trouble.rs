//! What is wrong with a host, in one line: made of what its launcher has left behind.

use protocol::PROTOCOL_VERSION;

use super::news::{Ending, StartFailure};

/// What a launcher that cannot be started is called in the last words of what was to become it.
const NO_LAUNCHER: &str = "the launcher ";

/// A predicate about a host whose agent has ended like this, and nobody wanted that.
pub(super) fn what(how: &str, ending: &Ending) -> String {
    let Some(start) = &ending.start else {
        return match how.starts_with("ended ") || how.starts_with("was killed ") {
            true => format!("was lost: its launcher {how}"),
            false => format!("was lost: it {how}"),
        };
    };
    match start {
        StartFailure::Spawn(e) => format!("cannot be reached: its launcher cannot be started: {e}"),
        // It has asked for the program, and something was wrong then.
        StartFailure::NotAWorker(printed) if printed.contains("orchestrator-bootstrap") => {
            died(how, ending)
        }
        StartFailure::NotAWorker(printed) => {
            format!(
                "printed {printed} and no greeting of an agent{}",
                last(ending)
            )
        }
        StartFailure::Version(theirs) => format!(
            "has an orchestrator that speaks protocol {theirs}, and this one speaks \
             {PROTOCOL_VERSION}: the same version is needed there (--bootstrap brings it)"
        ),
        StartFailure::Died | StartFailure::Wanting => died(how, ending),
    }
}

fn died(how: &str, ending: &Ending) -> String {
    let said = |text: &str| ending.stderr.contains(text);
    let last = last(ending);
    if said("Host key verification failed") || said("HOST IDENTIFICATION HAS CHANGED") {
        return format!("has another host key than is known{last}");
    }
    if said("No space left on device") || said("no space left on device") {
        return format!("has no space left on a disk{last}");
    }
    // What it was ended for from here says more than what its launcher made of that.
    if how.starts_with("lacks ") {
        return how.to_owned();
    }
    if how.starts_with("gave no sign") {
        return format!("cannot be reached: it {how}{last}");
    }
    if how.starts_with("has greeted") {
        return format!("{how}{last}");
    }
    match ending.status {
        (Some(127), _) if said(NO_LAUNCHER) => format!("cannot be reached{last}"),
        (Some(126), _) => format!("has an orchestrator that cannot be executed there{last}"),
        (Some(127), _) => format!(
            "has no program orchestrator (copy it there, name it with --agent, or bring it with \
             --bootstrap){last}"
        ),
        // What ssh ends with when it is ssh that failed.
        (Some(255), _) => format!("cannot be reached{last}"),
        _ => format!("has no agent: its launcher {how}{last}"),
    }
}

/// The last line that says something. What to try next, as this program and others advise, says
/// little without the line before it.
fn last(ending: &Ending) -> String {
    let advises = |line: &str| line.starts_with("tip: ") || line.starts_with("Try ");
    let mut lines = ending.stderr.lines().map(str::trim);
    match lines.rfind(|line| !line.is_empty() && !advises(line)) {
        Some(line) => format!(": {line}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::Blame;

    fn ending(start: Option<StartFailure>, code: i32, stderr: &str) -> Ending {
        Ending {
            blame: Blame::Running,
            how: format!("ended with status {code}"),
            status: (Some(code), None),
            bye: false,
            out_of_memory: false,
            killed: false,
            stderr: stderr.into(),
            start,
        }
    }

    #[test]
    fn one_line_says_what_is_wrong_and_what_to_do() {
        let died = |code, stderr| ending(Some(StartFailure::Died), code, stderr);
        for (ending, said) in [
            (
                died(
                    255,
                    "ssh: connect to host h9 port 22: No route to host\r\n\n",
                ),
                "cannot be reached: ssh: connect to host h9 port 22: No route to host",
            ),
            (
                died(255, "@@@\nHost key verification failed.\n"),
                "has another host key than is known: Host key verification failed.",
            ),
            (
                died(127, "sh: 1: exec: orchestrator: not found\n"),
                "has no program orchestrator (copy it there, name it with --agent, or bring it \
                 with --bootstrap): sh: 1: exec: orchestrator: not found",
            ),
            (
                died(
                    127,
                    "the launcher `ssh` cannot be started: no such file or directory\n",
                ),
                "cannot be reached: the launcher `ssh` cannot be started: no such file or directory",
            ),
            (
                died(1, "head: write error: No space left on device"),
                "has no space left on a disk: head: write error: No space left on device",
            ),
            (
                died(
                    125,
                    "error: 20 files may be open here\n  tip: raise the limit: ulimit -n\n",
                ),
                "has no agent: its launcher ended with status 125: error: 20 files may be open here",
            ),
            (
                died(
                    255,
                    "srun: unrecognized option '--part'\nTry \"srun --help\" for more information\n",
                ),
                "cannot be reached: srun: unrecognized option '--part'",
            ),
            (
                died(2, ""),
                "has no agent: its launcher ended with status 2",
            ),
            (
                ending(None, 0, "whatever"),
                "was lost: its launcher ended with status 0",
            ),
        ] {
            assert_eq!(what(&ending.how, &ending), said);
        }
        let silent = ending(None, 0, "");
        assert_eq!(
            what("said nothing for 30s", &silent),
            "was lost: it said nothing for 30s"
        );
        let slow = died(255, "Terminated\n");
        assert_eq!(
            what("has greeted and was not ready in time", &slow),
            "has greeted and was not ready in time: Terminated"
        );
        let old = ending(Some(StartFailure::Version(3)), 0, "");
        assert!(what(&old.how, &old).contains("speaks protocol 3, and this one speaks"));
    }
}
