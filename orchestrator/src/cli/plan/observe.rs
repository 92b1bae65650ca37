//! What the options about watching a run mean.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tracing_subscriber::filter::LevelFilter;

use super::super::args::observe::{LevelArg, ObserveArgs};
use super::super::errors::Message;
use super::super::log::Logging;
use crate::run::observe::live::Feed;
use crate::run::observe::watchers::Watching;
use crate::run::text;

/// Who watches, what is logged, if anything, and where there is a page, if there is one.
///
/// # Errors
/// When its address is none, or can be reached from elsewhere; when the log is to be the run
/// file.
pub(super) fn observe(
    args: ObserveArgs,
    words: &[Vec<u8>],
    run_file: Option<&Path>,
) -> Result<(Watching, Option<Logging>, Option<SocketAddr>), Message> {
    let ObserveArgs {
        trace_file,
        log_file,
        log_level,
        dashboard,
    } = args;
    let absolute = |path: &Path| std::path::absolute(path).ok();
    if let (Some(log), Some(run)) = (log_file.as_deref(), run_file)
        && absolute(log) == absolute(run)
    {
        return Err(Message::new("--log-file and --run-file name the same file")
            .tip("a log is a file of its own"));
    }
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
    let dashboard = dashboard.map(|address| loopback(&address)).transpose()?;
    if let Some(first) = words.first().filter(|_| dashboard.is_some())
        && std::str::from_utf8(first).is_ok_and(|word| word.parse::<SocketAddr>().is_ok())
    {
        let word = String::from_utf8_lossy(first);
        let what = format!("the command is `{word}`, which looks like an address");
        return Err(Message::new(what).tip(format!("--dashboard={word}")));
    }
    let watching = Watching {
        trace: trace_file,
        live: dashboard.is_some().then(Feed::default),
    };
    Ok((watching, logging, dashboard))
}

/// An address of this machine that no other one can reach: with a port, or a port alone.
fn loopback(text: &str) -> Result<SocketAddr, Message> {
    let local = |port: &str| port.parse().map(|port| (Ipv4Addr::LOCALHOST, port).into());
    let port = text.strip_prefix("localhost:").unwrap_or(text);
    let address: Option<SocketAddr> = local(port).ok().or_else(|| text.parse().ok());
    let shown = text::quoted(text.as_bytes());
    match address {
        Some(address) if address.ip().is_loopback() => Ok(address),
        Some(_) => Err(Message::new(format!(
            "--dashboard={shown} could be reached from other machines"
        ))
        .tip(
            "a port alone, or 127.0.0.1:PORT; from elsewhere, with ssh -L (see docs/dashboard.md)",
        )),
        None => Err(Message::new(format!("--dashboard={shown} is no address"))
            .tip("a port, or an address with a port such as 127.0.0.1:8080")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{planned, refused};
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
    fn a_page_is_for_this_machine_only() {
        let at = |words: &[&str]| planned(words).dashboard.map(|address| address.to_string());
        assert_eq!(at(&["true"]), None);
        assert_eq!(at(&["--dashboard", "true"]).as_deref(), Some("127.0.0.1:0"));
        for (given, meant) in [
            ("4711", "127.0.0.1:4711"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::1]:0", "[::1]:0"),
            ("127.0.0.9:1", "127.0.0.9:1"),
        ] {
            let option = format!("--dashboard={given}");
            assert_eq!(at(&[&option, "true"]).as_deref(), Some(meant));
        }
        let plan = planned(&["--dashboard", "true"]);
        assert!(plan.batch.watching.is_any() && plan.batch.keep_items);
        for address in [
            "",
            "0.0.0.0:0",
            "[::]:80",
            "[::ffff:127.0.0.1]:1",
            "10.0.0.1:80",
            "localhost",
            "127.0.0.1",
            "127.0.0.1:70000",
            "example.com:80",
            "http://127.0.0.1:80",
            "-1",
        ] {
            assert!(loopback(address).is_err(), "{address}");
        }
    }

    #[test]
    fn a_file_or_a_level_makes_a_log() {
        let log = |words: &[&str]| planned(words).log.unwrap();
        let file = log(&["--log-file", "l", "true"]);
        assert_eq!(
            (file.level, file.file),
            (LevelFilter::INFO, Some("l".into()))
        );
        let said = refused(&["--log-file", "./r", "--run-file", "r", "true"]);
        assert!(
            said.starts_with("error: --log-file and --run-file"),
            "{said}"
        );
        let stderr = log(&["--log-level", "debug", "true"]);
        assert_eq!((stderr.level, stderr.file), (LevelFilter::DEBUG, None));
    }
}
