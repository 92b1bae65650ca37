//! What is different about an agent that is reached through a launcher: it may be silent
//! for ever without any end being seen, small frames may be held back until something
//! answers the one before, and nothing here tells how it is there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use protocol::ToWorker;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Process, Stage};
use crate::pool::clock;
use crate::pool::news::{News, Order};
use crate::pool::{Agent, Launch, PoolConfig, launch};

/// For so long an acknowledgement waits for anything that can go instead.
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(1);
/// How long a launcher may take to end that was told to.
const TERM: Duration = Duration::from_secs(2);
/// How long it may take to bring a program, which may be some megabytes.
const TRANSFER: Duration = Duration::from_secs(600);
/// How long an agent that has greeted may take until its first worker is ready, which it
/// gives up itself after five minutes.
const READY: Duration = Duration::from_secs(360);
/// How many signs of life there may be in the time in which one is needed.
const BEATS: u32 = 6;

/// A link that may die without a word.
pub(super) struct Remote {
    host: Arc<str>,
    clean_up: Option<Launch>,
    /// What is sent ahead when it is asked for.
    bring: Option<PathBuf>,
    /// Since when nothing has come.
    heard: Instant,
    /// How long that may be.
    silence: Duration,
    next_ping: Instant,
    /// How often it was asked, and whether nothing has come since.
    pings: u64,
    asked: bool,
    /// When it was last told anything, since it may have jobs: it may have heard that.
    told: Option<Instant>,
    /// Until when the agent must have answered, and then be ready, as long as it has not.
    start_due: Option<Instant>,
    /// When it has to be acknowledged that something has come.
    ack_due: Option<Instant>,
    acks: u64,
    /// When a launcher that was told to end is killed.
    kill_due: Option<Instant>,
    /// Why it was ended from here.
    pub(super) verdict: Option<String>,
    /// Held while it connects.
    dialling: Option<OwnedSemaphorePermit>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beat {
    Nothing,
    Ping,
    Ack,
    /// It does not answer at all.
    NoStart,
    /// It was well, and has been silent for too long.
    Silent,
    /// Its launcher does not end.
    Kill,
}

impl Remote {
    pub(super) fn new(
        config: &PoolConfig,
        agent: &Agent,
        now: Instant,
        dialling: Option<OwnedSemaphorePermit>,
    ) -> Remote {
        Remote {
            host: Arc::clone(&agent.host),
            clean_up: agent.clean_up.clone(),
            bring: agent.bring.clone(),
            heard: now,
            silence: config.silence,
            next_ping: now,
            pings: 0,
            asked: false,
            told: None,
            start_due: agent
                .patience
                .and_then(|patience| now.checked_add(patience)),
            ack_due: None,
            acks: 0,
            kill_due: None,
            verdict: None,
            dialling,
        }
    }

    /// When something is to be done next.
    fn due(&self, open: bool) -> Option<Instant> {
        let pulse = open.then(|| self.next_ping.min(self.heard + self.silence));
        let all = [self.start_due, self.ack_due, self.kill_due, pulse];
        all.into_iter().flatten().min()
    }

    fn beat(&mut self, now: Instant, open: bool) -> Beat {
        let passed = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if passed(self.kill_due) {
            self.kill_due = None;
            return Beat::Kill;
        }
        if passed(self.start_due) {
            self.start_due = None;
            return Beat::NoStart;
        }
        if passed(self.ack_due) {
            self.ack_due = None;
            return Beat::Ack;
        }
        if !open || self.kill_due.is_some() {
            return Beat::Nothing;
        }
        if passed(Some(self.heard + self.silence)) {
            return Beat::Silent;
        }
        if passed(Some(self.next_ping)) {
            self.next_ping = now + self.silence / BEATS;
            // One that does not answer may hear: each word would keep it alive.
            if !std::mem::replace(&mut self.asked, true) {
                return Beat::Ping;
            }
        }
        Beat::Nothing
    }

    /// It has answered, and now has to become ready.
    fn greeted(&mut self, now: Instant) {
        self.dialling = None;
        self.start_due = now.checked_add(READY);
    }

    /// Something has come.
    fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.asked = false;
    }

    /// For how long what it ran may go on, when nothing more can be told to it; nothing when
    /// all has ended by now.
    pub(super) fn may_run_for(&self, now: Instant) -> Option<Duration> {
        let end = self.told? + Agent::end_within(self.silence);
        Some(end.saturating_duration_since(now)).filter(|time| !time.is_zero())
    }
}

impl Process {
    /// When the link has to be looked after, if that is needed.
    pub(super) fn pulse_due(&mut self, reading: bool) -> Option<Instant> {
        let open = self.stage == Stage::Open && self.stdin.is_some();
        let remote = self.remote.as_mut()?;
        if !reading && remote.kill_due.is_none() {
            // Nothing can be heard while nobody takes what it prints. It is to hear of us.
            remote.hear(clock::instant());
        }
        remote.due(open)
    }

    /// Looks after the link.
    pub(super) async fn look_after(&mut self) {
        let open = self.stage == Stage::Open && self.stdin.is_some();
        let Some(remote) = &mut self.remote else {
            return;
        };
        match remote.beat(clock::instant(), open) {
            Beat::Nothing => {}
            Beat::Ping => {
                remote.pings += 1;
                let n = remote.pings;
                self.outgoing.say(ToWorker::Ping(n));
            }
            Beat::Ack => self.acknowledge(),
            Beat::Kill => {
                // Already reaped is as good.
                self.child.start_kill().ok();
                self.signal(Signal::SIGKILL);
            }
            Beat::NoStart => {
                let what = match self.stage {
                    Stage::Hello => "has greeted and was not ready in time",
                    _ => "gave no sign of life in time",
                };
                remote.verdict = Some(what.into());
                self.kill();
            }
            Beat::Silent => {
                remote.verdict = Some(format!("said nothing for {:?}", remote.silence));
                // It gets no more jobs; those that it has are given to others when its launcher has ended.
                self.unheard().await;
                self.kill();
            }
        }
    }

    /// Something has come from it.
    pub(super) fn heard_from(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.hear(clock::instant());
        }
    }

    /// It has greeted: the next one may be dialled.
    pub(super) fn has_greeted(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.greeted(clock::instant());
        }
    }

    /// It is ready: from now on it is heard or lost.
    pub(super) fn is_ready(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.start_due = None;
        }
    }

    /// How long the rest of a frame may take to come. One whose link is cut in the middle of
    /// a frame is lost when it is silent for too long, and not before: it may still run jobs.
    pub(super) fn frame_timeout(&self) -> Duration {
        let timeout = self.config.frame_timeout;
        self.remote
            .as_ref()
            .map_or(timeout, |remote| timeout.max(remote.silence))
    }

    /// It has not greeted. If it asks for the program that it lacks, that is sent.
    pub(super) fn bring(&mut self) {
        let need = Agent::NEED.as_bytes();
        let asks = |inbox: &[u8]| inbox.windows(need.len()).any(|window| window == need);
        let Some(remote) = &mut self.remote else {
            return;
        };
        if remote.bring.is_none() || !asks(&self.inbox) {
            return;
        }
        let program = remote.bring.take().map(std::fs::read);
        remote.start_due = clock::instant().checked_add(TRANSFER);
        match program {
            Some(Ok(program)) => self.outgoing.bring(program.into()),
            Some(Err(e)) => {
                remote.verdict = Some(format!(
                    "lacks this program, which cannot be read here: {e}"
                ));
                self.kill();
            }
            None => {}
        }
    }

    /// Answers have come: whoever has sent them wants to hear of it soon.
    pub(super) fn acknowledge_soon(&mut self) {
        if let Some(remote) = &mut self.remote
            && remote.ack_due.is_none()
        {
            remote.ack_due = clock::instant().checked_add(ACK_DELAY);
        }
    }

    /// What is being sent tells it that.
    pub(super) fn acknowledged(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.ack_due = None;
            if self.stage == Stage::Open {
                remote.told = Some(clock::instant());
            }
        }
    }

    /// Says nothing but that something has come; what is on its way says the same.
    pub(super) fn acknowledge(&mut self) {
        if let Some(remote) = &mut self.remote
            && self.outgoing.is_empty()
        {
            remote.acks += 1;
            let n = remote.acks;
            self.outgoing.say(ToWorker::Ack(n));
        }
    }

    /// What a launcher or its agent says before all is well, or when it is not any more, is told in one line with what is
    /// wrong; between, it is about something else.
    pub(super) async fn pass_on_launcher(&mut self) {
        let lines = self.printed.lines();
        let host = self.remote.as_ref().map(|remote| Arc::clone(&remote.host));
        if let Some(host) = host.filter(|_| self.stage == Stage::Open && !lines.is_empty()) {
            let named = |line: Bytes| Bytes::from([host.as_bytes(), b": ", &line[..]].concat());
            self.tell(News::Printed(lines.into_iter().map(named).collect()))
                .await;
        }
    }

    /// Ends the launcher. It is asked to, so that it can take what it has started along.
    pub(super) fn end_launcher(&mut self) {
        if let Some(remote) = &mut self.remote
            && remote.kill_due.is_none()
        {
            remote.kill_due = clock::instant().checked_add(TERM);
            remote.start_due = None;
            remote.ack_due = None;
            self.signal(Signal::SIGTERM);
        }
    }

    /// The launcher has ended: it may have left something behind.
    pub(super) async fn clean_up(&mut self) {
        let clean_up = self
            .remote
            .as_mut()
            .and_then(|remote| remote.clean_up.take());
        if let Some(launch) = clean_up.filter(|_| !self.bye) {
            launch::clean_up(&launch).await;
        }
    }

    /// To all of its process group, which it leads as long as it was not reaped.
    fn signal(&self, signal: Signal) {
        if self.child.id().is_some() && self.pid != 0 {
            killpg(Pid::from_raw(self.pid.cast_signed()), signal).ok();
        }
    }
}

/// Waits until an agent may be dialled. Nothing when it was told to end before.
pub(super) async fn turn_to_dial(
    agent: &Agent,
    dialling: Arc<Semaphore>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Option<Option<OwnedSemaphorePermit>> {
    if !agent.dialled {
        return Some(None);
    }
    let turn = dialling.acquire_owned();
    let told_to_end = async {
        loop {
            match orders.recv().await {
                None | Some(Order::Close | Order::Kill) => return,
                // Whatever it is, it is about a worker that there is not yet.
                Some(_) => {}
            }
        }
    };
    tokio::select! {
        biased;
        () = told_to_end => None,
        // Nobody closes it.
        permit = turn => Some(permit.ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn remote(now: Instant) -> Remote {
        let agent = Agent {
            host: "h".into(),
            learns_name: false,
            launch: Launch::program("/ssh"),
            unset: Vec::new(),
            patience: Some(60 * S),
            clean_up: None,
            bring: None,
            dialled: false,
        };
        let config = PoolConfig::new(Launch::program("/w"));
        Remote::new(&config, &agent, now, None)
    }

    #[test]
    fn who_says_nothing_is_asked_once_and_given_up_after_half_a_minute() {
        let begun = clock::instant();
        let mut link = remote(begun);
        link.start_due = None;
        let mut pings = 0;
        let lost = (0..100).find(|&second| {
            let now = begun + second * S;
            match link.beat(now, true) {
                Beat::Ping => pings += 1,
                Beat::Silent => return true,
                Beat::Nothing => {}
                other => panic!("{other:?}"),
            }
            assert!(link.due(true).is_some_and(|due| due > now));
            false
        });
        assert_eq!((lost, pings), (Some(30), 1));
        // One word, and all is well.
        link.hear(begun + 30 * S);
        assert_eq!(link.beat(begun + 59 * S, true), Beat::Ping);
        assert_eq!(link.beat(begun + 60 * S, true), Beat::Silent);
    }

    #[test]
    fn who_is_not_listened_to_is_told_again_and_again_that_we_are_there() {
        let begun = clock::instant();
        let mut link = remote(begun);
        link.start_due = None;
        let mut pings = 0;
        for second in 0..60 {
            let now = begun + second * S;
            // As in each turn in which nothing is read.
            link.hear(now);
            assert!(link.due(true).is_some_and(|due| due <= now + 5 * S));
            match link.beat(now, true) {
                Beat::Ping => pings += 1,
                other => assert_eq!(other, Beat::Nothing),
            }
        }
        assert_eq!(pings, 12);
    }

    #[test]
    fn who_answers_is_asked_again_and_again() {
        let begun = clock::instant();
        let mut link = remote(begun);
        link.start_due = None;
        for second in 0..60 {
            let now = begun + second * S;
            match (second % 5, link.beat(now, true)) {
                (0, Beat::Ping) => link.hear(now),
                (1.., Beat::Nothing) => {}
                (_, other) => panic!("{second}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_ran_there_has_ended_twenty_seconds_after_the_last_word() {
        let begun = clock::instant();
        let mut link = remote(begun);
        assert_eq!(link.may_run_for(begun), None, "it had no jobs");
        link.told = Some(begun);
        assert_eq!(link.may_run_for(begun + 5 * S), Some(15 * S));
        assert_eq!(link.may_run_for(begun + 20 * S), None);
    }

    #[test]
    fn before_it_is_ready_only_its_start_has_a_deadline() {
        let begun = clock::instant();
        let mut link = remote(begun);
        assert_eq!(link.due(false), Some(begun + 60 * S));
        assert_eq!(link.beat(begun + 59 * S, false), Beat::Nothing);
        assert_eq!(link.beat(begun + 60 * S, false), Beat::NoStart);
        assert_eq!(link.due(false), None);
        // One that has greeted and is lost before it is ready is not waited for for ever.
        link.greeted(begun);
        assert_eq!(link.due(false), Some(begun + READY));
        assert_eq!(link.beat(begun + 300 * S, false), Beat::Nothing);
        assert_eq!(link.beat(begun + READY, false), Beat::NoStart);
    }
}
