//! The async connection: one exchange at a time.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use degu_wire::machine::{Content, ResponseHead};
use degu_wire::{Address, Body, BodyKind, BodyOf, Headers, Method, Part, Source};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::exchange::{Exchange, is_part_of};
use crate::options::Base;
use crate::stream::{Silence, Stream, peek};
use crate::timer::Timer;
use crate::{ByteRange, Cause, Client, Error, Fault, Incoming, Peer, Response};

/// A connection to a server: made by [`Client::connect`], or over any stream by [`new`](Self::new).
///
/// It carries one exchange at a time, and a [`Response`] borrows it as long as it is used. A response whose body has not
/// been read to its end when the connection is used again, or looked at, is given up: if all of it has come already the
/// connection stays open, and otherwise it is closed there and then.
pub struct Connection {
    // Only the question whether it is closed locks it: everything else has it for itself.
    link: Mutex<Link>,
    address: Address,
}

/// What an exchange works with: the stream and the machine.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Stream,
    exchange: Exchange,
    timer: Timer,
}

/// Where the parts of a request's body come from, if they do.
pub(crate) type SourceOf<S> = Option<Pin<Box<S>>>;

impl Connection {
    /// A connection over any stream, with the options of `base`, and its Host field, address and nothing else of it: the
    /// stream is connected already. Unasked octets are noticed when they come with a response, not before a request.
    ///
    /// ```
    /// use degu_client::{Address, Client, Connection};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (near, mut far) = tokio::io::duplex(1024);
    /// let mut connection = Connection::new(near, &Client::new(Address::from_host("example.org", 80)?));
    /// far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    /// assert_eq!(connection.get("/").await?.status, 204);
    ///
    /// let mut request = [0; 37];
    /// far.read_exact(&mut request).await?;
    /// assert_eq!(&request, b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n".as_slice());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, base: &Client) -> Self {
        Self::over(Stream::Other(Box::new(io)), Arc::clone(&base.0), base.address().clone())
    }

    pub(crate) fn over(stream: Stream, base: Arc<Base>, address: Address) -> Self {
        let link = Link { stream, exchange: Exchange::new(base), timer: Timer::default() };
        Self { link: Mutex::new(link), address }
    }

    pub(crate) fn link(&mut self) -> &mut Link {
        self.link.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bare stream.
    #[cfg(feature = "hyper-util")]
    pub(crate) fn into_stream(self) -> Stream {
        self.link.into_inner().unwrap_or_else(PoisonError::into_inner).stream
    }

    /// Asks `on_connect`.
    pub(crate) fn admit(mut self) -> Result<Self, Cause> {
        let link = self.link.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let (Some(check), Some(socket)) = (&link.exchange.base.settings.on_connect, link.stream.socket())
            && !check(&Peer::new(&self.address, socket))
        {
            return Err(Cause::Refused);
        }
        Ok(self)
    }

    /// The address that was connected to: of a DNS name, the one that answered.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the connection is closed: after an error, after a body that was dropped unread, or because one side asked
    /// for it. That the server has closed an idle connection is noticed when the next request is about to be sent.
    pub fn is_closed(&self) -> bool {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.settle();
        link.is_closed()
    }

    /// Sends a request, and gives the response as soon as its head has come.
    ///
    /// `uri` is the target as it is sent: a path with an optional query, a whole URI, or `*`. `headers` are added to those
    /// of the options, and replace those of the same name; framing and Host are written here.
    ///
    /// With `expect: 100-continue` among the headers the body is sent when the server says so, or after a second.
    ///
    /// ```no_run
    /// use degu_client::{Body, Connection, Method};
    ///
    /// # async fn example(connection: &mut Connection) -> Result<(), degu_client::Error> {
    /// let response = connection.request(Method::Put, "/notes/1", [("content-type", "text/plain")], "a note").await?;
    /// let found = connection.request("PROPFIND", "/notes/", [("depth", 1)], ()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Whatever went wrong; the connection is closed then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is done closes the connection.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled, if the options have timeouts.
    pub async fn request<'m>(
        &mut self,
        method: impl Into<Method<'m>>,
        uri: &str,
        headers: impl TryInto<Headers, Error: Into<Error>>,
        body: impl Into<Body>,
    ) -> Result<Response<'_>, Error> {
        let link = self.link();
        let source = link.begin(method.into(), uri, headers.try_into().map_err(Into::into), body.into())?;
        Incoming::new(link, source).respond().await
    }
}

/// The short forms of [`request`](Self::request), without headers of their own.
impl Connection {
    /// Asks for what is there (RFC 9110 §9.3.1).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), which also tells about dropping and panics.
    pub async fn get(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Get, uri, (), ()).await
    }

    /// Asks for a part of what is there (RFC 9110 §14.2).
    ///
    /// The server may give the part (206, whose body is as long as its Content-Range says), all of it (200), or say that
    /// there is no such part (416): [`Response::content_range`] tells. A 206 is never given to a request that did not ask
    /// for one.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), and [`Fault::ContentRange`](crate::Fault::ContentRange) for another part than was
    /// asked for.
    pub async fn get_range(&mut self, uri: &str, range: impl Into<ByteRange>) -> Result<Response<'_>, Error> {
        let range = range.into();
        let mut response = self.request(Method::Get, uri, [("range", range)], ()).await?;
        if response.status == 206 && !is_part_of(range, response.content_range()) {
            return Err(response.body.fail(Fault::ContentRange));
        }
        Ok(response)
    }

    /// Asks for what [`get`](Self::get) would give, without the body (RFC 9110 §9.3.2).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn head(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Head, uri, (), ()).await
    }

    /// Puts something there (RFC 9110 §9.3.4).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn put(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Put, uri, (), body).await
    }

    /// Hands something over (RFC 9110 §9.3.3).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn post(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Post, uri, (), body).await
    }

    /// Removes what is there (RFC 9110 §9.3.5).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn delete(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Delete, uri, (), ()).await
    }

    /// Changes what is there (RFC 5789).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn patch(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Patch, uri, (), body).await
    }
}

impl Link {
    /// Writes a request into the machine, and gives the source of its body.
    pub(crate) fn begin<S: ?Sized>(
        &mut self,
        method: Method<'_>,
        uri: &str,
        headers: Result<Headers, Error>,
        body: BodyOf<S>,
    ) -> Result<SourceOf<S>, Error> {
        self.settle();
        self.look();
        let content = Content::from(body.kind());
        headers
            .and_then(|headers| self.exchange.begin(method, uri, &headers, content))
            .inspect_err(|_| self.close())?;
        Ok(match body.into_kind() {
            BodyKind::Length(_, source) | BodyKind::Chunked(source) => Some(source),
            _ => None,
        })
    }

    /// Whether the server has closed, or has sent what nobody asked for and would become the next answer.
    fn look(&mut self) {
        if let Some(socket) = self.stream.socket().filter(|_| self.exchange.is_worth_a_look()) {
            match peek(socket) {
                Silence::Kept => {}
                Silence::Ended => self.exchange.machine.receive_eof(),
                // One octet stands for all: there will be no exchange any more.
                Silence::Broken => self.exchange.machine.receive_buffer().extend_from_slice(b"?"),
            }
        }
    }

    pub(crate) fn poll_head<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
    ) -> Poll<Result<(), Error>> {
        let head = self.poll_exchange(cx, source, Exchange::poll_head);
        if head.is_ready() && self.exchange.is_over() {
            self.end();
        }
        self.close_if_failed(head)
    }

    /// The head that has come.
    pub(crate) fn take_head(&mut self) -> Result<ResponseHead, Error> {
        self.exchange.take_head()
    }

    /// The next part of the response's body. `None` comes when the exchange is over on both sides.
    pub(crate) fn poll_part<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
    ) -> Poll<Result<Option<Part>, Error>> {
        if self.has_failed() {
            return Poll::Ready(Err(self.exchange.error(Cause::Closed)));
        }
        let mut part = self.poll_exchange(cx, source, Exchange::poll_part);
        if let Poll::Ready(Ok(None)) = part {
            // The server has answered in full, and still reads: what it is sent must not be cut.
            match self.poll_rest(cx, source) {
                Poll::Ready(Ok(())) => self.end(),
                Poll::Ready(Err(error)) => part = Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.close_if_failed(part)
    }

    fn close_if_failed<T>(&mut self, result: Poll<Result<T, Error>>) -> Poll<Result<T, Error>> {
        if let Poll::Ready(Err(_)) = result {
            self.close();
        }
        result
    }

    /// Sends what can be sent and reads what has come, until `step` has something to give.
    fn poll_exchange<S: Source + ?Sized, T>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
        step: impl Fn(&mut Exchange) -> Result<Poll<T>, Error>,
    ) -> Poll<Result<T, Error>> {
        loop {
            let _ = self.poll_send(cx, source)?;
            if let Poll::Ready(given) = step(&mut self.exchange)? {
                self.timer.stop();
                return Poll::Ready(Ok(given));
            }
            match self.stream.poll_read(cx, self.exchange.machine.receive_buffer()) {
                Poll::Ready(Ok(octets)) => self.exchange.received(octets),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.exchange.error(error))),
                Poll::Pending => ready!(self.poll_overdue(cx))?,
            }
        }
    }

    /// Sends the rest of the request.
    fn poll_rest<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
    ) -> Poll<Result<(), Error>> {
        while self.poll_send(cx, source)?.is_pending() {
            ready!(self.poll_overdue(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what can be sent now; ready when nothing is left. A write that fails is no error here: the server may have
    /// answered before it closed.
    fn poll_send<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
    ) -> Poll<Result<(), Error>> {
        loop {
            self.take_parts(cx, source)?;
            let flushed = self.exchange.machine.is_flushed();
            let written = match flushed {
                true => self.stream.poll_flush(cx).map_ok(|()| 0),
                false => self.stream.poll_write(cx, self.exchange.machine.pending()),
            };
            match ready!(written) {
                Ok(_) if flushed && self.exchange.machine.is_sending() => return Poll::Pending,
                Ok(_) if flushed => return Poll::Ready(Ok(())),
                Ok(octets) => {
                    self.exchange.transmitted(octets);
                    self.timer.sent();
                }
                Err(_) => {
                    self.exchange.stop_sending();
                    *source = None;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Takes as many parts from the source as there is room for.
    fn take_parts<S: Source + ?Sized>(&mut self, cx: &mut Context<'_>, source: &mut SourceOf<S>) -> Result<(), Error> {
        while self.exchange.takes_parts()? {
            let Some(parts) = source else { break };
            match parts.as_mut().poll_part(cx) {
                Poll::Ready(Some(Ok(part))) => self.exchange.send_part(Some(part))?,
                Poll::Ready(Some(Err(error))) => return Err(self.exchange.error(error)),
                Poll::Ready(None) => self.exchange.send_part(None)?,
                Poll::Pending => break,
            }
        }
        if !self.exchange.machine.is_sending() {
            *source = None;
        }
        Ok(())
    }

    /// Ready when what is waited for has taken too long: with an error, or with another thing to try.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(wait) = self.exchange.waits_for() else {
            self.timer.stop();
            return Poll::Pending;
        };
        let Some(limit) = self.exchange.limit(wait) else { return Poll::Pending };
        self.timer.poll(cx, wait, limit).map(|()| self.exchange.overdue(wait))
    }

    /// The exchange is over.
    fn end(&mut self) {
        self.exchange.end();
        if !self.exchange.is_reusable() {
            self.close();
        }
    }

    /// An exchange that was left where it is comes to its end, or the connection does.
    fn settle(&mut self) {
        if self.exchange.is_open() {
            let whole = self.exchange.skip();
            if !whole || !self.exchange.is_reusable() {
                self.close();
            }
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.stream, Stream::Closed)
    }

    /// Whether the exchange ended in an error, after which a body has no end.
    fn has_failed(&self) -> bool {
        self.is_closed() && self.exchange.is_open()
    }

    pub(crate) fn close(&mut self) {
        self.exchange.machine.close();
        self.stream = Stream::Closed;
    }

    pub(crate) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// An error of the caller or the server that shows in what was read.
    pub(crate) fn fail(&mut self, cause: impl Into<Cause>) -> Error {
        self.close();
        self.exchange.error(cause)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}
