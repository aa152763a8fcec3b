//! The async and the blocking client with one interface, so their callers have one code for both. The futures of the
//! blocking client are ready at the first poll. The program of `cargo xtask interop` shares this file.

use std::thread;
use std::time::Duration;

use degu_client::{Body, Client, Error, Headers, Method, blocking};
use degu_simulation::{Message, Seen};
use tokio::time::sleep;

/// A connection of either client.
#[derive(Debug)]
pub(crate) enum Connection {
    Async(degu_client::Connection),
    Blocking(blocking::Connection),
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    #[allow(dead_code, reason = "the program of `cargo xtask interop` reads it")]
    pub(crate) headers: Headers,
    pub(crate) seen: Seen,
}

/// Performs an exchange with either client. `$wait` is `.await` or nothing, and `$sleep` is the function that pauses.
macro_rules! exchange {
    ($request:expr, $pause:expr, $goes_on:expr, $sleep:path, [$($wait:tt)*]) => {{
        let response = $request$($wait)*?;
        let mut body = response.body;
        let mut answer = Answer { status: response.status, headers: response.headers, seen: Seen::default() };
        while $goes_on(&answer.seen) {
            if !$pause.is_zero() {
                $sleep($pause)$($wait)*;
            }
            match body.next_part()$($wait)*? {
                Some(part) => answer.seen.part(&part),
                None => {
                    answer.seen.end(body.last_extensions(), body.trailers());
                    return Ok(Some(answer));
                }
            }
        }
        Ok(None)
    }};
}

impl Connection {
    pub(crate) async fn open(client: &Client, is_blocking: bool) -> Result<Self, Error> {
        Ok(match is_blocking {
            true => Self::Blocking(blocking::Client::from(client.clone()).connect()?),
            false => Self::Async(client.connect().await?),
        })
    }

    /// Performs an exchange. Pauses before each part that it sends or reads. Abandons the
    /// response, and returns `None`, if `goes_on` returns false.
    pub(crate) async fn perform(
        &mut self,
        method: Method<'_>,
        target: &str,
        headers: &Headers,
        message: &Message,
        pause: Duration,
        mut goes_on: impl FnMut(&Seen) -> bool,
    ) -> Result<Option<Answer>, Error> {
        match self {
            Self::Async(connection) => {
                let request = connection.request(method, target, headers, body(message, pause));
                exchange!(request, pause, goes_on, sleep, [.await])
            }
            Self::Blocking(connection) => {
                let parts = message.parts().into_iter().inspect(move |_| thread::sleep(pause));
                let body: blocking::Body = message.body(Box::pin(parts.map(Ok)));
                let request = connection.request(method, target, headers, body);
                exchange!(request, pause, goes_on, thread::sleep, [])
            }
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Async(connection) => connection.is_closed(),
            Self::Blocking(connection) => connection.is_closed(),
        }
    }
}

/// Returns the body for the async client or a server. The body pauses before each part.
pub(crate) fn body(message: &Message, pause: Duration) -> Body {
    let parts = Body::try_unfold(message.parts(), move |mut parts| async move {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        Ok(parts.pop_front().map(|part| (part, parts)))
    });
    parts.split().1.map_or_else(Body::none, |source| message.body(source))
}
