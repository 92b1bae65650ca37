//! What a link needs that may die without a word: to be told that something has come, since
//! it may hold back what follows, and an end when nothing has come for long. No I/O, no clock.

use std::time::{Duration, Instant};

use protocol::LinkKind;

use crate::pool::ACK_DELAY;

/// On a local link, all of it does nothing.
#[derive(Debug)]
pub(super) struct Watch {
    remote: bool,
    /// Since when the client has given no sign of life.
    heard: Instant,
    silence: Duration,
    /// When it has to be told that jobs have come, unless it is told anything before.
    ack_due: Option<Instant>,
    acks: u64,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Nothing,
    /// The client is to be told that something has come; the so-manieth time.
    Acknowledge(u64),
    /// It has been silent for so long.
    Silence(Duration),
}

impl Watch {
    pub(super) fn new(kind: LinkKind, silence: Duration, now: Instant) -> Watch {
        Watch {
            remote: kind == LinkKind::Remote,
            heard: now,
            silence,
            ack_due: None,
            acks: 0,
        }
    }

    pub(super) fn is_remote(&self) -> bool {
        self.remote
    }

    /// Its workers are ready: from now on the client has something to say.
    pub(super) fn is_ready(&mut self, now: impl FnOnce() -> Instant) {
        self.heard(now);
    }

    /// Something was read.
    pub(super) fn heard(&mut self, now: impl FnOnce() -> Instant) {
        if self.remote {
            self.heard = now();
        }
    }

    /// Something was written, and whoever has read it knows that what they said has come.
    /// While the client did not read, it may not have been read from either, and this is its sign
    /// of life; else it is none, as there may be much room on the way to where nobody is.
    pub(super) fn wrote(&mut self, was_full: bool, now: impl FnOnce() -> Instant) {
        self.ack_due = None;
        if self.remote && was_full {
            self.heard = now();
        }
    }

    /// Jobs have come.
    pub(super) fn has_come(&mut self, now: impl FnOnce() -> Instant) {
        if self.remote && self.ack_due.is_none() {
            self.ack_due = now().checked_add(ACK_DELAY);
        }
    }

    /// When to look. Before it is `ready`, the client has nothing to say.
    pub(super) fn due(&self, ready: bool) -> Option<Instant> {
        if !self.remote {
            return None;
        }
        let silence = ready
            .then(|| self.heard.checked_add(self.silence))
            .flatten();
        [self.ack_due, silence].into_iter().flatten().min()
    }

    pub(super) fn look(&mut self, now: Instant) -> Look {
        if self.ack_due.is_some_and(|due| due <= now) {
            self.ack_due = None;
            self.acks += 1;
            return Look::Acknowledge(self.acks);
        }
        let silent = now.saturating_duration_since(self.heard);
        match silent >= self.silence {
            true => Look::Silence(silent),
            false => Look::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::instant;

    const S: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn silence_ends_it_and_any_word_does_not() {
        let begun = instant();
        let mut watch = Watch::new(LinkKind::Remote, 18 * S, begun);
        assert_eq!(watch.due(false), None, "workers may take long to start");
        watch.is_ready(|| begun + 100 * S);
        assert_eq!(watch.due(true), Some(begun + 118 * S));
        let mut watch = Watch::new(LinkKind::Remote, 18 * S, begun);
        assert_eq!(watch.due(true), Some(begun + 18 * S));
        assert_eq!(watch.look(begun + 17 * S), Look::Nothing);
        watch.heard(|| begun + 17 * S);
        assert_eq!(watch.look(begun + 34 * S), Look::Nothing);
        assert_eq!(watch.look(begun + 35 * S), Look::Silence(18 * S));
    }

    #[test]
    fn an_answer_in_time_is_as_good_as_an_acknowledgement() {
        let begun = instant();
        let mut watch = Watch::new(LinkKind::Remote, 18 * S, begun);
        watch.has_come(|| begun);
        watch.wrote(false, || unreachable!());
        assert_eq!(watch.due(true), Some(begun + 18 * S));
        watch.wrote(true, || begun + S);
        assert_eq!(watch.due(true), Some(begun + 19 * S));
        watch.has_come(|| begun);
        watch.has_come(|| begun + MS);
        assert_eq!(watch.due(true), Some(begun + ACK_DELAY));
        assert_eq!(watch.look(begun + ACK_DELAY), Look::Acknowledge(1));
        assert_eq!(watch.look(begun + ACK_DELAY), Look::Nothing);
    }

    #[test]
    fn a_local_link_needs_nothing() {
        let begun = instant();
        let mut watch = Watch::new(LinkKind::Local, S, begun);
        watch.has_come(|| unreachable!());
        watch.wrote(true, || unreachable!());
        assert_eq!(watch.due(true), None);
    }
}
