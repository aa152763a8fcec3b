//! Exchanges that own their connection, for a proxy that forwards a response while it is received.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use degu_wire::machine::ResponseHead;
use degu_wire::{Body, BodyOf, BoxError, Chunk, Headers, LocalBody, Method, Part, Source};

use super::{Async, Connection, Tunnel};
use crate::connection::ConnectionOf;
use crate::error::Error;
use crate::incoming::{Hold, IncomingOf, ResponseOf};
use crate::link::Link;
use crate::tunnel::UpgradeOf;

/// A response that owns its connection, returned by [`Connection::exchange`].
///
/// `S` is the type of the source of the request's body.
pub type OwnedResponse<S = dyn Source + Send> = ResponseOf<OwnedIncoming<S>>;

/// The [body](IncomingOf) of a response, with the connection that sends the body. The body is read like any other body.
///
/// Dropping the body closes the connection. [`into_connection`](OwnedIncoming::into_connection) returns the connection
/// instead.
pub type OwnedIncoming<S = dyn Source + Send> = IncomingOf<Async, Connection, S>;

impl Hold<Async> for Connection {
    fn link(&mut self) -> Option<&mut Link<Async>> {
        Some(self.link())
    }
}

impl ConnectionOf<Async> {
    /// Sends a request as [`request`](Self::request) does. The response owns the connection, so the response can
    /// outlive the caller.
    ///
    /// The body may also be a [`LocalBody`], whose source is not `Send`. Then the future is not `Send` either.
    ///
    /// If the response has no body, the response is returned only after the whole request has been sent.
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
    /// // Forwards the same chunks, extensions and trailers. Then keeps the connection for the next request.
    /// Ok(response.body.into_body(move |connection| *kept.lock().unwrap() = Some(connection)))
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Any error of the exchange. After an error the connection is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime with I/O and time enabled.
    pub async fn exchange<'m, S: Source + ?Sized>(
        self,
        method: impl Into<Method<'m>>,
        uri: &str,
        headers: impl TryInto<Headers, Error: Into<Error>>,
        body: BodyOf<S>,
    ) -> Result<OwnedResponse<S>, Error> {
        let (head, incoming) = self.begin(method.into(), uri, None, headers, body).await?;
        Ok(ResponseOf::new(head, |_| incoming))
    }

    /// Sends a request that offers to switch to another protocol, as [`upgrade`](Self::upgrade) does. The answer owns
    /// the connection.
    ///
    /// # Errors
    ///
    /// The errors of [`upgrade`](Self::upgrade). After an error the connection is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime with I/O and time enabled.
    pub async fn exchange_upgrade<'m, S: Source + ?Sized>(
        self,
        method: impl Into<Method<'m>>,
        uri: &str,
        protocol: &str,
        headers: impl TryInto<Headers, Error: Into<Error>>,
        body: BodyOf<S>,
    ) -> Result<UpgradeOf<Tunnel, OwnedIncoming<S>>, Error> {
        let (head, mut incoming) = self.begin(method.into(), uri, Some(protocol), headers, body).await?;
        if let Some((stream, first)) = incoming.hold.link().take_switched() {
            return Ok(UpgradeOf::Switched {
                response: ResponseOf::new(head, |_| ()),
                tunnel: Tunnel::new(stream, first),
            });
        }
        Ok(UpgradeOf::Declined(ResponseOf::new(head, |_| incoming)))
    }

    async fn begin<S: Source + ?Sized>(
        mut self,
        method: Method<'_>,
        uri: &str,
        protocol: Option<&str>,
        headers: impl TryInto<Headers, Error: Into<Error>>,
        body: BodyOf<S>,
    ) -> Result<(ResponseHead, OwnedIncoming<S>), Error> {
        let mut source = self.link().begin(method, uri, headers, body, protocol)?;
        poll_fn(|cx| self.link().poll_head(cx, &mut source)).await?;
        let head = self.link().take_head()?;
        let mut incoming = IncomingOf::new(self, source, &head);
        if incoming.remaining() == Some(0) {
            // A caller does not read a body that is empty, so the rest of the request would never be sent.
            incoming.next_part().await?;
        }
        Ok((head, incoming))
    }
}

impl<S: Source + ?Sized> OwnedIncoming<S> {
    /// Sets how long the rest of this body may make no progress, instead of
    /// [`body_timeout`](crate::OptionsOf::body_timeout). Use `None` for a body that may pause for long, such as a
    /// stream of events.
    pub fn set_body_timeout(&mut self, limit: impl Into<Option<Duration>>) {
        self.hold.link().exchange.body_timeout = limit.into();
    }

    /// Returns the connection. If the body has been neither read to its end nor received in full, the returned
    /// connection is closed.
    pub fn into_connection(self) -> Connection {
        self.hold
    }

    /// Turns the body into a body that can be sent. `boxed` boxes the source of the new body. If no byte is left, the
    /// result has no source, and `give_back` gets the connection if the connection can be used again.
    fn pass<G: FnOnce(Connection), T: ?Sized>(
        self,
        give_back: G,
        boxed: impl FnOnce(Passing<S, G>) -> Pin<Box<T>>,
    ) -> BodyOf<T> {
        let length = self.remaining();
        if length == Some(0) {
            if !self.hold.is_closed() {
                give_back(self.hold);
            }
            return BodyOf::none();
        }
        let source = boxed(Passing { passing: Some((self, give_back)), lacks_chunks: length.is_none() });
        match length {
            Some(length) => BodyOf::from_source(length, source),
            None => BodyOf::chunks_from_source(source),
        }
    }
}

impl OwnedIncoming {
    /// Turns the body into a body that can be sent. The length, the chunk boundaries, the extensions and the trailers
    /// stay as they are. A body without a length and without chunks, which ends with its connection, is sent in chunks.
    ///
    /// When the whole body has been received, `give_back` gets the connection, if the connection can carry another
    /// request. If the returned body is dropped before its end, the connection is closed.
    pub fn into_body(self, give_back: impl FnOnce(Connection) + Send + 'static) -> Body {
        self.pass(give_back, |source| Box::pin(source) as _)
    }
}

impl OwnedIncoming<dyn Source> {
    /// Turns the body into a [`LocalBody`], for a task that need not be `Send`: see the other
    /// [`into_body`](OwnedIncoming::into_body).
    pub fn into_body(self, give_back: impl FnOnce(Connection) + 'static) -> LocalBody {
        self.pass(give_back, |source| Box::pin(source) as _)
    }
}

/// A response's body as the source of another message's body.
struct Passing<S: ?Sized, G> {
    /// The body, and the function `give_back`, which gets the connection after the end of the body if the connection is
    /// still open. `None` after the end of the body.
    passing: Option<(OwnedIncoming<S>, G)>,
    /// True if the body has neither a length nor chunks, so each piece of data is sent as a chunk. Before the first
    /// part has been received, the value is true for every body without a length.
    lacks_chunks: bool,
}

impl<S: Source + ?Sized, G: FnOnce(Connection)> Passing<S, G> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        let Some((incoming, _)) = &mut self.passing else { return Poll::Ready(Ok(None)) };
        let mut part = ready!(incoming.poll_part(cx))?;
        // The sender possibly does not poll again after the last part, so this poll also takes the end of the body.
        // `give_back` then gets the connection.
        let at_end = part.is_some() && incoming.hold.link().exchange.is_complete();
        if at_end {
            let _ = incoming.poll_part(cx)?;
        }
        if let Some((incoming, give_back)) = self.passing.take_if(|(incoming, _)| incoming.ended)
            && !incoming.hold.is_closed()
        {
            give_back(incoming.hold);
        }
        match part {
            Some(Part::Data(data)) if self.lacks_chunks => part = Some(Chunk::new(data).into()),
            _ => self.lacks_chunks = false,
        }
        Poll::Ready(Ok(part))
    }
}

impl<S: Source + ?Sized, G: FnOnce(Connection)> Source for Passing<S, G> {
    fn poll_part(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        self.get_mut().poll_next(cx).map(|part| part.map_err(BoxError::from).transpose())
    }
}

// Moving the value moves no pinned data, because the source of the request's body is pinned in its own box.
impl<S: ?Sized, G> Unpin for Passing<S, G> {}
