//! What is answered.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::watch;

use super::board::Board;
use super::guard::guard;
use crate::cli::page::nonce;
use crate::run::view::live::Cursor;

/// What answers are made of.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    board: Arc<Mutex<Board>>,
    /// Changes when there is more to tell; has a receiver for everybody who follows.
    pub(super) news: watch::Sender<()>,
    told: Arc<AtomicU64>,
}

type Events = Sse<Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>>;

impl Desk {
    pub(super) fn new(board: Board) -> Desk {
        Desk {
            board: Arc::new(Mutex::new(board)),
            news: watch::Sender::new(()),
            told: Arc::default(),
        }
    }

    /// How much those who follow have been told, together.
    pub(super) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    /// The board; only the serving thread takes it, so nobody waits for it.
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that is served at this address.
pub(super) fn router(desk: Desk, address: SocketAddr) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/events", get(follow))
        .route("/metrics", get(metrics))
        .route("/api/status", get(status))
        .route("/api/events", get(statuses))
        // Browsers ask for it.
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .with_state(desk)
        .layer(middleware::from_fn_with_state(address, guard))
}

fn answer(kind: &'static str, made: serde_json::Result<impl IntoResponse>) -> Response {
    match made {
        Ok(body) => ([(CONTENT_TYPE, kind)], body).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")).into_response(),
    }
}

async fn page(State(desk): State<Desk>) -> Response {
    let nonce = match nonce() {
        Ok(nonce) => nonce,
        Err(e) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")).into_response(),
    };
    let mut response = answer("text/html; charset=utf-8", desk.board().page(&nonce));
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response
            .headers_mut()
            .insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn status(State(desk): State<Desk>) -> Response {
    let status = desk.board().status();
    answer("application/json", status.map(|status| status.to_string()))
}

async fn metrics(State(desk): State<Desk>) -> Response {
    answer(
        "text/plain; version=0.0.4; charset=utf-8",
        desk.board().metrics(),
    )
}

/// Somebody who follows the run.
struct Follower {
    desk: Desk,
    news: watch::Receiver<()>,
    cursor: Cursor,
    /// Whether there is more to be told at once.
    behind: bool,
    done: bool,
}

impl Follower {
    fn new(desk: Desk) -> Follower {
        Follower {
            news: desk.news.subscribe(),
            desk,
            cursor: Cursor::default(),
            behind: true,
            done: false,
        }
    }

    /// Waits until there is something to tell. Nobody asks for that who has not taken what was
    /// told before, so whoever is slow is told less often.
    async fn wait(&mut self) -> Option<()> {
        if self.done {
            return None;
        }
        if !std::mem::take(&mut self.behind) {
            self.news.changed().await.ok()?;
        }
        self.news.mark_unchanged();
        self.desk.told.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    /// What a page is told next.
    async fn event(mut self) -> Option<(String, Follower)> {
        self.wait().await?;
        let told = self.desk.board().event(&mut self.cursor);
        let (event, is_all, is_last) = told.ok()?;
        (self.behind, self.done) = (!is_all, is_last);
        Some((event, self))
    }

    /// What a program is told next.
    async fn status(mut self) -> Option<(String, Follower)> {
        self.wait().await?;
        let mut board = self.desk.board();
        let (status, ended) = (board.status().ok()?, board.has_ended());
        drop(board);
        self.done = ended;
        Some((status.to_string(), self))
    }
}

async fn follow(State(desk): State<Desk>) -> Events {
    told(stream::unfold(Follower::new(desk), Follower::event))
}

async fn statuses(State(desk): State<Desk>) -> Events {
    told(stream::unfold(Follower::new(desk), Follower::status))
}

fn told(events: impl Stream<Item = String> + Send + 'static) -> Events {
    let events = events.map(|data| Ok(Event::default().data(data)));
    Sse::new(Box::pin(events))
}
