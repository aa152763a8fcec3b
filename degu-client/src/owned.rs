//! Exchanges that own their connection: what a proxy needs to pass a response on while it comes.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use degu_wire::machine::Reason;
use degu_wire::{Body, BodyOf, BoxError, ChunkExtensions, Headers, LocalBody, Method, Part, Source};

use crate::connection::{Connection, ConnectionOf};
use crate::driver::Async;
use crate::error::Error;
use crate::link::SourceOf;

/// A response that owns its connection until its body has been read: what [`Connection::exchange`] gives.
///
/// `S` is the kind of source that the request's body came from.
#[derive(Debug)]
#[non_exhaustive]
pub struct OwnedResponse<S: ?Sized = dyn Source + Send> {
    /// The status code, from 200 to 999.
    pub status: u16,
    /// The reason phrase, which is for people.
    pub reason: Reason,
    /// The fields.
    pub headers: Headers,
    /// The body.
    pub body: OwnedIncoming<S>,
}

/// The body of a response, with the connection that it comes from.
///
/// Dropping it before its end closes the connection.
pub struct OwnedIncoming<S: ?Sized = dyn Source + Send> {
    connection: Connection,
    source: SourceOf<S>,
    ended: bool,
}

impl ConnectionOf<Async> {
    /// Sends a request as [`request`](Self::request) does, in an exchange that owns the connection: for those who can not
    /// borrow it, since the response outlives them.
    ///
    /// The body may also be a [`LocalBody`], whose source is not `Send`; the future is not `Send` either then.
    ///
    /// A response without a body is given when the request has gone out in full, too.
    ///
    /// ```no_run
    /// use degu_client::{Body, Client, Connection, Headers, Method};
    /// # use std::sync::{Arc, Mutex};
    ///
    /// # async fn example(client: Client, kept: Arc<Mutex<Option<Connection>>>) -> Result<Body, degu_client::Error> {
    /// let found = kept.lock().unwrap().take();
    /// let connection = match found {
    ///     Some(connection) => connection,
    ///     None => client.connect().await?,
    /// };
    /// let response = connection.exchange(Method::Get, "/feed", Headers::new(), Body::none()).await?;
    /// // The same chunks, extensions and trailers, and afterwards the connection for the next request.
    /// Ok(response.body.into_body(move |connection| *kept.lock().unwrap() = Some(connection)))
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Whatever went wrong; the connection is closed then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Panics
    ///
    /// As [`request`](Self::request).
    pub async fn exchange<'m, S: Source + ?Sized>(
        mut self,
        method: impl Into<Method<'m>>,
        uri: &str,
        headers: impl TryInto<Headers, Error: Into<Error>>,
        body: BodyOf<S>,
    ) -> Result<OwnedResponse<S>, Error> {
        let (content, source) = body.split();
        self.link().begin(method.into(), uri, headers, content)?;
        let mut incoming = OwnedIncoming { connection: self, source, ended: false };
        let head = poll_fn(|cx| incoming.connection.link().poll_head(cx, &mut incoming.source)).await?;
        if incoming.remaining() == Some(0) {
            // Nobody will ask for a body that is none, which is what would send the rest.
            incoming.next_part().await?;
        }
        let (status, reason) = (head.status(), head.reason());
        Ok(OwnedResponse { status, reason, headers: head.into_headers(), body: incoming })
    }
}

impl<S: Source + ?Sized> OwnedIncoming<S> {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let part = ready!(self.connection.link().poll_part(cx, &mut self.source))?;
        self.ended = part.is_none();
        Poll::Ready(Ok(part))
    }

    /// The next part as it comes: see [`Incoming::next_part`](crate::Incoming::next_part).
    ///
    /// # Errors
    ///
    /// Whatever went wrong; what has been given before is a part of the body only.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next_part(&mut self) -> Result<Option<Part>, Error> {
        poll_fn(|cx| self.poll_part(cx)).await
    }

    /// How many octets are still to be read, where the length was announced.
    pub fn remaining(&mut self) -> Option<u64> {
        self.connection.link().exchange().remaining()
    }

    /// The connection back. If the body was not read to its end and has not come in full, it is closed.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// What is sent on, and what it is framed by.
    fn pass<G: FnOnce(Connection)>(mut self, give_back: G) -> Passed<S, G> {
        match self.remaining() {
            Some(0) => {
                if self.ended && !self.connection.is_closed() {
                    give_back(self.connection);
                }
                Passed::Nothing
            }
            Some(length) => Passed::Length(length, Box::pin(Passing::new(self, give_back))),
            None => Passed::Chunked(Box::pin(Passing::new(self, give_back))),
        }
    }
}

impl OwnedIncoming {
    /// The body, to be sent on: length, chunk boundaries, extensions and trailers stay as they are. A body without either
    /// length or chunks, which ends with its connection, is sent on in chunks.
    ///
    /// `give_back` gets the connection when the body has come in full, if it can serve another request. The body that is
    /// dropped before closes it.
    pub fn into_body(self, give_back: impl FnOnce(Connection) + Send + 'static) -> Body {
        match self.pass(give_back) {
            Passed::Nothing => Body::none(),
            Passed::Length(length, source) => Body::from_source(length, source),
            Passed::Chunked(source) => Body::from_chunks(source),
        }
    }
}

impl OwnedIncoming<dyn Source> {
    /// The body, to be sent on by what need not be `Send`: as the other [`into_body`](OwnedIncoming::into_body).
    pub fn into_body(self, give_back: impl FnOnce(Connection) + 'static) -> LocalBody {
        match self.pass(give_back) {
            Passed::Nothing => LocalBody::none(),
            Passed::Length(length, source) => LocalBody::from_source(length, source),
            Passed::Chunked(source) => LocalBody::from_chunks(source),
        }
    }
}

enum Passed<S: ?Sized, G> {
    Nothing,
    Length(u64, Pin<Box<Passing<S, G>>>),
    Chunked(Pin<Box<Passing<S, G>>>),
}

/// A response's body as the source of another message.
struct Passing<S: ?Sized, G> {
    /// Taken at the end.
    passing: Option<(OwnedIncoming<S>, G)>,
    /// Whether parts must be chunks, and what is left of the current one.
    chunked: bool,
    chunk_left: u64,
}

impl<S: Source + ?Sized, G: FnOnce(Connection)> Passing<S, G> {
    fn new(mut incoming: OwnedIncoming<S>, give_back: G) -> Self {
        let chunked = incoming.remaining().is_none();
        Self { passing: Some((incoming, give_back)), chunked, chunk_left: 0 }
    }

    /// Data outside of any chunk becomes one.
    fn framed(&mut self, part: Part) -> Part {
        match part {
            Part::Data(data) if self.chunked && self.chunk_left == 0 => {
                Part::Chunk { size: data.len() as u64, extensions: ChunkExtensions::new(), data }
            }
            Part::Data(data) => {
                self.chunk_left = self.chunk_left.saturating_sub(data.len() as u64);
                Part::Data(data)
            }
            Part::Chunk { size, extensions, data } => {
                self.chunk_left = size - data.len() as u64;
                Part::Chunk { size, extensions, data }
            }
            last => last,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        let Some((incoming, _)) = &mut self.passing else { return Poll::Ready(Ok(None)) };
        let part = ready!(incoming.poll_part(cx))?;
        // Who has got the last part does not come back for the end of it.
        let at_end = part.is_some() && incoming.connection.link().exchange().is_complete();
        if at_end {
            let _ = incoming.poll_part(cx)?;
        }
        if let Some((incoming, give_back)) = self.passing.take_if(|(incoming, _)| incoming.ended)
            && !incoming.connection.is_closed()
        {
            give_back(incoming.connection);
        }
        Poll::Ready(Ok(part.map(|part| self.framed(part))))
    }
}

impl<S: Source + ?Sized, G: FnOnce(Connection)> Source for Passing<S, G> {
    fn poll_part(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        self.get_mut().poll_next(cx).map(|part| part.map_err(BoxError::from).transpose())
    }
}

// Nothing is ever pinned in place: the request's source is in a box of its own.
impl<S: ?Sized, G> Unpin for Passing<S, G> {}

impl<S: ?Sized> fmt::Debug for OwnedIncoming<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedIncoming").field("connection", &self.connection).field("ended", &self.ended).finish()
    }
}
