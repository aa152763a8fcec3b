//! The async and the blocking client with one interface, so the code of a worker is the same for both. The futures of
//! the blocking client are always ready at the first poll.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::Duration;

use degu_client::{Body, BoxError, Chunk, Client, Error, Part, blocking};
use tokio::time::{Sleep, sleep, timeout};

use crate::content::Sum;
use crate::exchange::{Answer, Content, Exchange, Reading};

/// A connection of a client.
pub(crate) trait Connection: Sized {
    async fn connect(client: &Client) -> Result<Self, Error>;

    /// Performs an exchange. Returns `None` if the response was abandoned.
    async fn perform(&mut self, exchange: Exchange) -> Result<Option<Answer>, Error>;

    fn is_closed(&self) -> bool;

    async fn pause(time: Duration);
}

/// Performs an exchange with either client. `$wait` is `.await` or nothing, and `$sleep` is the function that pauses.
macro_rules! exchange {
    ($connection:expr, $exchange:expr, $body:expr, $sleep:path, [$($wait:tt)*]) => {{
        let response = $connection.request($exchange.method, &$exchange.target, (), $body)$($wait)*?;
        let is_chunked = response.headers.contains("transfer-encoding");
        let mut answer = Answer { status: response.status, sum: Sum::EMPTY, bytes: 0 };
        let mut body = response.body;
        while !matches!($exchange.reading, Reading::Abandon(bytes) if answer.bytes >= bytes) {
            let chunk = match is_chunked {
                true => body.next_chunk()$($wait)*?,
                false => body.next_data()$($wait)*?.map(Chunk::new),
            };
            match chunk {
                Some(Chunk { extensions, data, .. }) => {
                    answer.bytes += data.len() as u64;
                    if is_chunked { answer.sum.add_chunk(&extensions, &data) } else { answer.sum.add(&data) }
                }
                None => {
                    body.trailers().into_iter().for_each(|trailers| answer.sum.add_trailers(trailers));
                    return Ok(Some(answer));
                }
            }
            if let Reading::Slow(pause) = $exchange.reading {
                $sleep(pause)$($wait)*;
            }
        }
        Ok(None)
    }};
}

impl Connection for degu_client::Connection {
    async fn connect(client: &Client) -> Result<Self, Error> {
        client.connect().await
    }

    async fn perform(&mut self, exchange: Exchange) -> Result<Option<Answer>, Error> {
        let reading = exchange.reading;
        let performed = async {
            let body = match exchange.content {
                Content::Nothing => Body::none(),
                Content::Bytes(bytes) => bytes.into(),
                Content::Pieces(bytes) => {
                    Body::from_source(bytes.len() as u64, source(Content::pieces(&bytes), Duration::ZERO))
                }
                Content::Chunks(parts, pause) => Body::chunks_from_source(source(parts, pause)),
            };
            exchange!(self, exchange, body, sleep, [.await])
        };
        match reading {
            Reading::Cancel(time) => timeout(time, performed).await.unwrap_or(Ok(None)),
            _ => performed.await,
        }
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }

    async fn pause(time: Duration) {
        sleep(time).await;
    }
}

type NextPart = Poll<Option<Result<Part, BoxError>>>;

/// Returns a source of these parts. It pauses before each part.
fn source(parts: Vec<Part>, pause: Duration) -> Pin<Box<impl FnMut(&mut Context<'_>) -> NextPart + Send>> {
    let mut parts = parts.into_iter();
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    Box::pin(move |cx: &mut Context<'_>| {
        if !pause.is_zero() {
            ready!(timer.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(cx));
            timer = None;
        }
        Poll::Ready(parts.next().map(Ok))
    })
}

impl Connection for blocking::Connection {
    async fn connect(client: &Client) -> Result<Self, Error> {
        blocking::Client::from(client.clone()).connect()
    }

    async fn perform(&mut self, exchange: Exchange) -> Result<Option<Answer>, Error> {
        let body = match exchange.content {
            Content::Nothing => blocking::Body::none(),
            Content::Bytes(bytes) => bytes.into(),
            Content::Pieces(bytes) => blocking::Body::from_reader(bytes.len() as u64, std::io::Cursor::new(bytes)),
            Content::Chunks(parts, pause) => {
                blocking::Body::from_chunks(parts.into_iter().inspect(move |_| thread::sleep(pause)))
            }
        };
        exchange!(self, exchange, body, thread::sleep, [])
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }

    async fn pause(time: Duration) {
        thread::sleep(time);
    }
}

/// Runs a future of the blocking client, which must be ready at the first poll.
///
/// # Panics
///
/// The future is not ready.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a future of the blocking client is not ready"),
    }
}
