//! Both clients with one interface. The blocking client's futures never wait, so that workers are written once.

use std::future::Future;
use std::io::Cursor;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use degu_client::{Body, BoxError, Client, Connection, Error, Part, blocking};
use tokio::time::{Sleep, sleep, timeout};

use crate::ask::{Answer, Ask, Content, Manner};

/// The number of bytes of a body of known length that are sent at once.
const PIECE: usize = 10_000;

/// A connection of a client.
pub(crate) trait End: Sized {
    fn connect(client: &Client) -> impl Future<Output = Result<Self, Error>>;

    /// Performs an exchange, and reads the answer as it is to be read.
    fn perform(&mut self, ask: Ask) -> impl Future<Output = Result<Answer, Error>>;

    fn is_closed(&self) -> bool;

    fn rest(time: Duration) -> impl Future<Output = ()>;
}

/// An exchange of either client, with `.await` or without; `$sleep` is how it pauses.
macro_rules! exchange {
    ($connection:expr, $ask:expr, $body:expr, $sleep:path, [$($wait:tt)*]) => {{
        let response = $connection.request($ask.method, &$ask.target, (), $body)$($wait)*?;
        let (mut answer, mut body) = (Answer::of(response.status, &response.headers), response.body);
        while !$ask.manner.is_enough(answer.bytes) {
            let more = match answer.is_chunked {
                true => body.next_chunk()$($wait)*?.map(|chunk| answer.add_chunk(&chunk)),
                false => body.next_data()$($wait)*?.map(|data| answer.add(&data)),
            };
            if more.is_none() {
                return Ok(answer.end(body.trailers()));
            }
            if let Manner::Slow(pause) = $ask.manner {
                $sleep(pause)$($wait)*;
            }
        }
        Ok(answer.leave())
    }};
}

#[derive(Debug)]
pub(crate) struct Async(Connection);

impl Async {
    async fn exchange(&mut self, ask: Ask) -> Result<Answer, Error> {
        let body = match ask.content {
            Content::Nothing => Body::none(),
            Content::Bytes(bytes) => bytes.into(),
            Content::Streamed(bytes) => {
                let length = bytes.len() as u64;
                let mut pieces = pieces(bytes).map(Part::Data);
                Body::from_source(length, Box::pin(move |_: &mut Context<'_>| Poll::Ready(pieces.next().map(Ok))))
            }
            Content::Chunks(chunks, pause) => Body::chunks_from_source(Box::pin(paced(chunks.into_parts(), pause))),
        };
        exchange!(self.0, ask, body, sleep, [.await])
    }
}

impl End for Async {
    async fn connect(client: &Client) -> Result<Self, Error> {
        Ok(Self(client.connect().await?))
    }

    async fn perform(&mut self, ask: Ask) -> Result<Answer, Error> {
        match ask.manner {
            Manner::Cancel(time) => timeout(time, self.exchange(ask)).await.unwrap_or(Ok(Answer::given_up())),
            _ => self.exchange(ask).await,
        }
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    async fn rest(time: Duration) {
        sleep(time).await;
    }
}

/// Parts with a pause before each.
fn paced(parts: Vec<Part>, pause: Duration) -> impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
    let mut parts = parts.into_iter();
    let mut rest: Option<Pin<Box<Sleep>>> = None;
    move |cx| {
        if !pause.is_zero() {
            ready!(rest.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(cx));
            rest = None;
        }
        Poll::Ready(parts.next().map(Ok))
    }
}

fn pieces(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let piece = bytes.split_to(bytes.len().min(PIECE));
        (!piece.is_empty()).then_some(piece)
    })
}

#[derive(Debug)]
pub(crate) struct Blocking(blocking::Connection);

impl Blocking {
    fn exchange(&mut self, ask: Ask) -> Result<Answer, Error> {
        let body = match ask.content {
            Content::Nothing => blocking::Body::none(),
            Content::Bytes(bytes) => bytes.into(),
            Content::Streamed(bytes) => blocking::Body::from_reader(bytes.len() as u64, Cursor::new(bytes)),
            Content::Chunks(chunks, pause) => {
                blocking::Body::from_chunks(chunks.into_parts().into_iter().inspect(move |_| thread::sleep(pause)))
            }
        };
        exchange!(self.0, ask, body, thread::sleep, [])
    }
}

impl End for Blocking {
    async fn connect(client: &Client) -> Result<Self, Error> {
        Ok(Self(blocking::Client::from(client.clone()).connect()?))
    }

    async fn perform(&mut self, ask: Ask) -> Result<Answer, Error> {
        self.exchange(ask)
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    async fn rest(time: Duration) {
        thread::sleep(time);
    }
}

/// Runs a future that waits for nothing.
///
/// # Panics
///
/// It does wait.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a blocking end has a future that waits"),
    }
}
