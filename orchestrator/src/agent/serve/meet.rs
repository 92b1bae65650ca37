//! Introductions, before anybody works.

use std::time::Duration;

use bytes::Bytes;
use protocol::{Hello, ToWorker};

use super::End;
use crate::agent::link::Link;

/// The same, with a client that is missed after so long, if that was said: the link may have
/// died without a word.
pub(super) async fn meet(
    link: &mut Link,
    silence: Option<Duration>,
) -> Result<(Hello, Option<Bytes>), End> {
    let Some(silence) = silence else {
        return introductions(link).await;
    };
    let met = tokio::time::timeout(silence, introductions(link)).await;
    met.unwrap_or(Err(End::Silence(silence)))
}

/// Introductions, and data for the workers' start.
async fn introductions(link: &mut Link) -> Result<(Hello, Option<Bytes>), End> {
    // Nobody there is as good as an end.
    link.greet().await.map_err(|_| End::Good)?;
    let hello = match first(link).await? {
        ToWorker::Hello(hello) => hello,
        _ => return Err(violation("the first message is not hello")),
    };
    if !hello.init {
        return Ok((hello, None));
    }
    match first(link).await? {
        ToWorker::Init(data) => Ok((hello, Some(data))),
        ToWorker::Bye => Err(End::Good),
        _ => Err(violation("init does not follow hello, as announced")),
    }
}

async fn first(link: &mut Link) -> Result<ToWorker, End> {
    loop {
        match link.input.next() {
            Ok(Some(message)) => return Ok(message),
            Ok(None) => {}
            Err(e) => return Err(End::Violation(e.to_string())),
        }
        if let Ok(0) | Err(_) = link.input.read().await {
            return Err(End::Good);
        }
    }
}

fn violation(what: &str) -> End {
    End::Violation(what.into())
}
