//! What the options about watching a run mean.

use tracing_subscriber::filter::LevelFilter;

use super::super::args::observe::{LevelArg, ObserveArgs};
use super::super::log::Logging;
use crate::run::observe::watchers::Watching;

/// Who watches, and what is logged, if anything.
pub(super) fn observe(args: ObserveArgs) -> (Watching, Option<Logging>) {
    let ObserveArgs {
        trace_file,
        log_file,
        log_level,
    } = args;
    let wanted = log_file.is_some() || log_level.is_some();
    let level = match log_level.unwrap_or(LevelArg::Info) {
        LevelArg::Error => LevelFilter::ERROR,
        LevelArg::Warn => LevelFilter::WARN,
        LevelArg::Info => LevelFilter::INFO,
        LevelArg::Debug => LevelFilter::DEBUG,
        LevelArg::Trace => LevelFilter::TRACE,
    };
    let logging = wanted.then_some(Logging {
        level,
        file: log_file,
    });
    (Watching { trace: trace_file }, logging)
}

#[cfg(test)]
mod tests {
    use super::super::tests::planned;
    use super::*;

    #[test]
    fn nobody_watches_unless_asked_to() {
        let plan = planned(&["true"]);
        assert!(!plan.batch.watching.is_any() && plan.log.is_none());
        assert!(!plan.batch.keep_items);
        let plan = planned(&["--trace", "t", "true"]);
        assert_eq!(plan.batch.watching.trace, Some("t".into()));
        assert!(plan.batch.keep_items, "slices are called by them");
    }

    #[test]
    fn a_file_or_a_level_makes_a_log() {
        let log = |words: &[&str]| planned(words).log.unwrap();
        let file = log(&["--log-file", "l", "true"]);
        assert_eq!(
            (file.level, file.file),
            (LevelFilter::INFO, Some("l".into()))
        );
        let stderr = log(&["--log-level", "debug", "true"]);
        assert_eq!((stderr.level, stderr.file), (LevelFilter::DEBUG, None));
    }
}
