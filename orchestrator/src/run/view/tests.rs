//! A record with every kind of verdict, by the run's own writer, as a page.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::{gather, lines, unfinished as unfinished_lines, write};
use crate::run::report::Summary;
use crate::run::runfile::{History, Light, LightRequest, Purpose, state};
use crate::run::sink::render::Format;
use crate::run::sink::render::tests::{renderer, report, ticket};
use crate::run::source::work::Ticket;
use crate::scheduler::Verdict;

#[tokio::test]
async fn every_kind_of_verdict_is_in_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let request = LightRequest {
        history: History::of(Some(dir.path().into()), None).unwrap(),
        purpose: Purpose {
            words: Vec::new(),
            cwd: "/".into(),
        },
        arguments: Vec::new(),
    };
    let renderer = renderer(Format::Text, None);
    let room = Arc::clone(&renderer.room);
    let mut light = Light::new(request, SystemTime::UNIX_EPOCH, room);
    let mut summary = Summary::default();
    for verdict in Verdict::each() {
        let ticket = Ticket {
            item: Some(Bytes::from(format!("of {}", verdict.word()))),
            ..ticket(&[b"x"])
        };
        let report = report(&renderer, verdict, b"", b"");
        summary.count(&report);
        if verdict != Verdict::Ok {
            light.put(&ticket, &report);
        }
    }
    let path = light.finish(&summary, true, None).await.unwrap().path;
    let model = gather(&path, "last", 1).unwrap();
    let mut page = Vec::new();
    write(&mut page, &model, "n").unwrap();
    let page = String::from_utf8(page).unwrap();
    let state = state(&path).unwrap();
    let (verdicts, unfinished) = (state.verdicts, state.unfinished);
    let open = unfinished_lines(&model);
    for verdict in Verdict::each() {
        let word = verdict.word();
        // Whoever was told to end, or was lost, is run again.
        let ends = !matches!(
            verdict,
            Verdict::Interrupted | Verdict::Cancelled | Verdict::Lost
        );
        let legend = format!("<li data-verdict=\"{word}\" data-jobs=\"1\">");
        assert!(page.contains(&legend), "{word}");
        let counted = (word.into(), 1);
        assert_eq!(verdicts.contains(&counted), ends, "{verdicts:?}");
        assert_eq!(unfinished.contains(&counted), !ends, "{unfinished:?}");
        let said = format!("  of {word} (line ");
        assert_eq!(open.contains(&said), !ends, "{open}");
        if verdict != Verdict::Ok {
            assert!(
                page.contains(&format!("<td class=\"job\">of {word}<")),
                "{word}"
            );
        }
    }
    assert!(!page.contains("data-verdict=\"no result\""));
    let said = "3 jobs have no result (1 cancelled, 1 interrupted, 1 lost): the run was stopped.";
    assert!(page.contains(said));
    // Of a light record, there is no more to be said in lines.
    assert_eq!(lines(&model), "");
}
