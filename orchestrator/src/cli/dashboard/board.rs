//! What the serving thread knows of a run, and what it tells of that. What is told is made when
//! somebody asks, and once for all who ask.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::run::observe::live::{Feed, Told};
use crate::run::observe::stand::Stand;
use crate::run::report::Summary;
use crate::run::view::live::{Base, Cursor, Ended, Live, metrics, status};
use crate::run::view::{Model, live_page, live_parts};

/// See the module.
#[derive(Debug)]
pub(super) struct Board {
    /// A word that no other page has.
    token: String,
    live: Live,
    feed: Feed,
    told: Vec<Told>,
    ended: bool,
    made: Option<Made>,
}

/// What is told, as it stands.
#[derive(Debug)]
struct Made {
    model: Model,
    written: Box<RawValue>,
    title: String,
    parts: Box<RawValue>,
    status: Option<Arc<str>>,
}

/// What a page is told that follows the run.
#[derive(Serialize)]
struct Event<'a, R> {
    run: &'a str,
    ended: bool,
    title: &'a str,
    model: &'a RawValue,
    parts: &'a RawValue,
    rows: R,
}

/// Its parts by their names.
struct Parts(Vec<(&'static str, String)>);

impl Serialize for Parts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, html)| (name, html)))
    }
}

impl Board {
    pub(super) fn new(base: Base, feed: Feed, token: String) -> Board {
        Board {
            token,
            live: Live::new(base),
            feed,
            told: Vec::new(),
            ended: false,
            made: None,
        }
    }

    /// Takes what has happened; how much that was.
    pub(super) fn look(&mut self) -> usize {
        let missed = self.feed.take(&mut self.told);
        let taken = self.told.len();
        if taken > 0 || missed > 0 {
            self.made = None;
            self.live.misses(missed);
            let every = self.live.every();
            self.told.drain(..).for_each(|told| self.live.take(told));
            if self.live.every() != every {
                self.feed.name_every(self.live.every());
            }
        }
        taken
    }

    /// The run stands like this.
    pub(super) fn stands(&mut self, stand: Stand) {
        self.made = None;
        self.live.stands(stand);
    }

    /// The run has come to this, and has ended so.
    pub(super) fn ends(&mut self, summary: &Summary, ended: Ended) {
        self.look();
        self.made = None;
        self.live.ends(summary, ended);
        self.ended = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    fn made(&mut self) -> serde_json::Result<(&mut Made, &Live)> {
        let made = match self.made.take() {
            Some(made) => made,
            None => {
                let model = self.live.model();
                let (title, parts) = live_parts(&model);
                Made {
                    written: to_raw_value(&model)?,
                    parts: to_raw_value(&Parts(parts))?,
                    title,
                    model,
                    status: None,
                }
            }
        };
        Ok((self.made.insert(made), &self.live))
    }

    /// What a page has not been told that has been told so much; and whether that was all,
    /// now and for ever.
    pub(super) fn event(
        &mut self,
        cursor: &mut Cursor,
    ) -> serde_json::Result<(String, bool, bool)> {
        let (ended, token) = (self.ended, self.token.clone());
        let (made, live) = self.made()?;
        let rows = live.more(cursor);
        let more = rows.more;
        let event = Event {
            run: &token,
            ended,
            title: &made.title,
            model: &made.written,
            parts: &made.parts,
            rows,
        };
        Ok((serde_json::to_string(&event)?, !more, !more && ended))
    }

    /// The page as it begins.
    pub(super) fn page(&mut self, nonce: &str) -> serde_json::Result<Vec<u8>> {
        let (made, _) = self.made()?;
        let mut page = Vec::new();
        live_page(&mut page, &made.model, nonce).map_err(serde_json::Error::io)?;
        Ok(page)
    }

    /// How the run stands, for programs.
    pub(super) fn status(&mut self) -> serde_json::Result<Arc<str>> {
        let (made, live) = self.made()?;
        let status = match made.status.take() {
            Some(status) => status,
            None => serde_json::to_string(&status(live, &made.model))?.into(),
        };
        Ok(made.status.insert(status).clone())
    }

    pub(super) fn metrics(&mut self) -> serde_json::Result<String> {
        let (made, live) = self.made()?;
        Ok(metrics(live, &made.model))
    }
}
