//! The server's side of a connection.

use core::fmt;

use embedded_io_async::{Read, Write};

use super::buffers::Buffers;
use super::clock::{Clock, Options};
use super::error::Error;
use super::incoming::{Incoming, Input, move_to_front};
use super::link::{Link, State, checked};
use super::reader::BodyReader;
use super::writer::BodyWriter;
use crate::decoder::BodyDecoder;
use crate::exchange::Terms;
use crate::head::{RequestHead, RequestMeta, has_begun, scan_request};
use crate::{Fault, Framing, Limits, LocalError, Method, reason_phrase};

/// The largest number of bytes that the server reads and drops at the end of a request's body to keep the connection.
const DRAIN: u64 = 16 * 1024;

/// A server of one connection at a time, in buffers of the caller: see the [module](super).
#[derive(Debug)]
pub struct Server<'b> {
    buffers: Buffers<'b>,
    limits: Limits,
    options: &'b Options,
}

impl<'b> Server<'b> {
    /// Returns a server without a connection.
    pub fn new(buffers: Buffers<'b>, options: &'b Options) -> Self {
        Self { limits: buffers.bound(&options.limits), buffers, options }
    }

    /// Serves a connection until it is over. Calls the handler with each request.
    ///
    /// A handler answers with [`Request::reply`], or it calls [`Request::respond`] and writes the body. When the
    /// handler returns `Ok`, the body of the response ends. If the handler returns an error, usually from reading the
    /// request, the connection ends. If no response has begun, the server first answers with the
    /// [status](Error::status) of the error. A handler reports an error of its own with a response, and not with an
    /// [`Error`].
    ///
    /// After `Ok` the caller closes the connection.
    ///
    /// # Errors
    ///
    /// The transport failed, or a response is incomplete. The caller must then abort the connection (over TCP with a
    /// reset), so that the client cannot mistake the response for a complete one.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, a message may be incomplete on the connection. The caller must then abort the
    /// connection. The server can serve the next connection.
    pub async fn serve<S, C, H>(
        &mut self,
        io: &mut S,
        clock: &C,
        mut handler: H,
    ) -> Result<End<S::Error>, Error<S::Error>>
    where
        S: Read + Write,
        C: Clock,
        H: AsyncFnMut(&mut Request<'_, S, C>) -> Result<(), Error<S::Error>>,
    {
        let mut state = State::default();
        // The number of bytes at the front of the input that were received, but do not belong to an earlier request.
        let mut received = 0;
        loop {
            let Self { buffers: Buffers { input, fields, output }, limits, options } = self;
            let mut link = Link { io: &mut *io, clock, output, state: &mut state };
            let unread = Input::new(input, received, fields, limits);
            let mut incoming = Incoming { input: unread, body: BodyDecoder::new(limits), of_request: true };
            let mut meta = RequestMeta::default();
            match read_head(&mut link, &mut incoming.input, options, &mut meta).await {
                Ok(true) => {}
                Ok(false) => return link.flush().await.map(|()| End::Done),
                Err(error) => return link.refuse(error, options).await,
            }
            let fields = incoming.input.split_head(meta.common.len, meta.common.fields)?;
            incoming.body.begin(meta.common.framing, limits, false, None);
            link.allow(options.progress);
            let head = RequestHead { fields, meta };
            (link.state.terms, link.state.rest) = (Terms::of(&head), None);
            let mut request = Request { head, incoming: &mut incoming, link };
            let handled = match request.head.method() {
                // This server supports neither CONNECT nor TRACE (RFC 9110 §9.3.6, §9.3.8).
                Method::Connect | Method::Trace => Err(Error::Peer(Fault::MethodNotImplemented.into())),
                _ => handler(&mut request).await,
            };
            if let Some(end) = request.end(handled, options).await? {
                return Ok(end);
            }
            let (head, unused) = (usize::from(meta.common.len), request.incoming.input.unused());
            received = move_to_front(input, head + unused.start..head + unused.end);
        }
    }
}

/// The reason for closing a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<E> {
    /// The connection ended without a fault: the last response was sent, the client closed the connection between two
    /// requests, or no byte of the next request arrived in time.
    Done,
    /// The server answered a request with the status of this error.
    Refused(Error<E>),
}

/// Waits for a request's head, and stores it in `meta`. Returns false if the connection ended, or the time ran out,
/// before a request began.
async fn read_head<S: Read + Write, C: Clock>(
    link: &mut Link<'_, S, C>,
    input: &mut Input<'_>,
    options: &Options,
    meta: &mut RequestMeta,
) -> Result<bool, Error<S::Error>> {
    let read = async {
        if input.len() == 0 {
            link.allow(options.idle);
            link.fill(input).await?;
        }
        link.allow(options.head);
        link.read_head(input, |bytes, slots, limits| scan_request(bytes, slots, limits, meta)).await
    };
    match read.await {
        Err(Error::Timeout) if !has_begun(input.head_mut().0) => Ok(false),
        read => read,
    }
}

impl<S: Read + Write, C: Clock> Link<'_, S, C> {
    /// Encodes the head of a response into the output buffer, as [`encode`](Self::encode) does. Returns the framing of
    /// the body that follows the head.
    fn put_reply(&mut self, status: u16, fields: &[(&str, &str)], framing: Framing) -> Result<Framing, LocalError> {
        let (mut terms, lines, reason) = (self.state.terms, checked(fields)?, reason_phrase(status).as_bytes());
        let framing = self.encode_head(|out| terms.put_reply(out, status, reason, lines, framing, None))?;
        self.state.terms = terms;
        Ok(framing)
    }

    /// Answers with the status of the error and without a body, and drops the bytes that the peer still sends. Then
    /// returns `Ok(End::Refused(error))`. If the error has no status, or the response cannot be sent, returns
    /// `Err(error)`.
    async fn refuse(&mut self, error: Error<S::Error>, options: &Options) -> Result<End<S::Error>, Error<S::Error>> {
        let Some(status) = error.status() else { return Err(error) };
        self.allow(options.progress);
        let is_written = self.write_queued().await.is_ok();
        self.state.terms = Terms::default();
        let encoded = self.put_reply(status, &[], Framing::None);
        if !is_written || encoded.is_err() || self.flush().await.is_err() {
            // The caller gets the error for which the request was refused, not the error for which the response could
            // not be sent.
            return Err(error);
        }
        self.linger(options.linger).await;
        Ok(End::Refused(error))
    }
}

/// The argument of a handler: a request, which the handler reads and answers.
///
/// [`reply`](Self::reply) sends a whole response. [`respond`](Self::respond) sends the head, and the handler then
/// writes the body. A handler may alternate between reading the [request's body](Self::body) and writing the
/// [response's body](Self::response_body).
pub struct Request<'x, S, C> {
    head: RequestHead<'x>,
    incoming: &'x mut Incoming<'x>,
    link: Link<'x, S, C>,
}

impl<'x, S: Read + Write, C: Clock> Request<'x, S, C> {
    /// Returns the head, which is a view into the input buffer.
    pub const fn head(&self) -> RequestHead<'x> {
        self.head
    }

    /// Returns the reader of the request's body.
    pub const fn body(&mut self) -> BodyReader<'_, 'x, S, C> {
        BodyReader { incoming: self.incoming, link: &mut self.link }
    }

    /// Makes this exchange the last exchange of its connection, as `connection: close` among the fields of the response
    /// does. The handler must call this method before it sends the response, because the response has the field
    /// `connection: close`.
    pub const fn end_connection(&mut self) {
        self.link.state.terms.persistent = false;
    }

    /// Sends a response with a body in memory. The unread rest of the request's body is dropped. The connection ends
    /// after the response if one of these is true:
    ///
    /// - The rest is longer than 16 KiB.
    /// - The length of the rest is not known, and no byte of the rest has arrived yet.
    /// - The client waits for `100 Continue`.
    ///
    /// # Errors
    ///
    /// The errors of [`respond`](Self::respond).
    pub async fn reply(&mut self, status: u16, fields: &[(&str, &str)], body: &[u8]) -> Result<(), Error<S::Error>> {
        self.abandon_body();
        let framing = if body.is_empty() { Framing::None } else { Framing::Length(body.len() as u64) };
        self.respond(status, fields, framing).await?;
        // `BodyWriter::write` would take 800 bytes more of flash, because it can also send chunks.
        if !self.link.state.terms.is_head {
            self.link.put(body).await?;
        }
        self.link.state.set_rest(Framing::None);
        Ok(())
    }

    /// Sends the head of the response, and returns the writer of its body. The handler then writes a body with this
    /// `framing`. A client of HTTP/1.0 gets the data of a chunked body without chunks.
    ///
    /// This method writes the fields for framing and persistence. `fields` may have `content-length`,
    /// `transfer-encoding` and `connection: close`. A field that contradicts `framing` is refused. A response to HEAD
    /// has the framing fields but no body. If the handler writes a body for such a response, the bytes are dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Local`] if the response cannot be sent, for example [`LocalError::BufferTooSmall`] if the head does not
    /// fit into the output buffer. Then nothing has been sent, and the handler can send another response.
    pub async fn respond(
        &mut self,
        status: u16,
        fields: &[(&str, &str)],
        framing: Framing,
    ) -> Result<BodyWriter<'_, 'x, S, C>, Error<S::Error>> {
        if self.has_responded() {
            return Err(LocalError::State.into());
        }
        self.link.write_queued().await?;
        let framing = self.link.put_reply(status, fields, framing)?;
        self.link.state.set_rest(framing);
        Ok(self.response_body())
    }

    /// Returns the writer of the response's body. Until the head has been sent with [`respond`](Self::respond), writing
    /// fails.
    pub const fn response_body(&mut self) -> BodyWriter<'_, 'x, S, C> {
        BodyWriter { link: &mut self.link }
    }

    const fn has_responded(&self) -> bool {
        self.link.state.rest.is_some()
    }

    /// Notes that the handler reads no more of the request's body. If the unread rest is too long, the connection ends
    /// after this exchange (see [`Terms::abandon_body`]).
    fn abandon_body(&mut self) {
        self.link.state.terms.abandon_body(self.incoming.body.remaining(), self.incoming.input.len(), DRAIN);
    }

    /// Ends the exchange. Returns `None` if the connection can carry the next request. Otherwise returns the [`End`]
    /// that [`Server::serve`] returns. An error means that the response is incomplete.
    async fn end(
        &mut self,
        handled: Result<(), Error<S::Error>>,
        options: &Options,
    ) -> Result<Option<End<S::Error>>, Error<S::Error>> {
        let ended = match handled {
            Ok(()) if self.has_responded() => self.response_body().finish(&[], &[]).await,
            // The handler has not answered.
            Ok(()) => Err(LocalError::State.into()),
            failed => failed,
        };
        match ended {
            Ok(()) => {}
            Err(error) if self.has_responded() => return Err(error),
            Err(error) => return self.link.refuse(error, options).await.map(Some),
        }
        if !self.incoming.body.has_ended() {
            self.abandon_body();
            let is_persistent = self.link.state.terms.persistent && self.body().drain(DRAIN).await;
            self.link.state.terms.persistent = is_persistent;
        }
        if self.link.state.terms.persistent {
            return Ok(None);
        }
        self.link.flush().await?;
        if !self.incoming.body.has_ended() || self.incoming.input.len() > 0 {
            self.link.linger(options.linger).await;
        }
        Ok(Some(End::Done))
    }
}

impl<S, C> fmt::Debug for Request<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("head", &self.head).finish_non_exhaustive()
    }
}
