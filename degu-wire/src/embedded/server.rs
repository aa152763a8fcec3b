//! The server's side of a connection.

use core::fmt;
use core::ops::Range;

use embedded_io_async::{Read, Write};

use super::body::{Incoming, Outgoing};
use super::buffers::{Buffers, Window, move_to_front};
use super::clock::{Clock, Options};
use super::error::Error;
use super::link::{Link, State};
use crate::chunk::{Event, Extension};
use crate::exchange::Terms;
use crate::head::{
    FieldSpan, Fields, RequestHead, RequestMeta, Search, has_begun, put_field, put_framing, put_line, put_status_line,
    scan_request,
};
use crate::sink::Sink;
use crate::{Fault, Framing, Limits, LocalError, Method, reason_phrase};

/// The longest rest of a request's body that is read and dropped to keep the connection.
const DRAIN: u64 = 16 * 1024;

/// A server of one connection at a time, in buffers of the caller: see the [module](super).
#[derive(Debug)]
pub struct Server<'b> {
    buffers: Buffers<'b>,
    limits: Limits,
    options: &'b Options,
}

impl<'b> Server<'b> {
    /// Returns a server that holds no connection.
    pub fn new(buffers: Buffers<'b>, options: &'b Options) -> Self {
        Self { limits: buffers.bound(&options.limits), buffers, options }
    }

    /// Serves a connection until it is over: the handler is called with each exchange.
    ///
    /// A handler answers by [`Exchange::reply`], or by [`Exchange::respond`] and what follows it; one that returns `Ok`
    /// has ended the body of its response. An error that the handler returns, most often one of the exchange, ends the
    /// connection, with the [status](Error::status) of the error where no response has begun. A handler answers its own
    /// errors with a response.
    ///
    /// After `Ok` the caller closes the connection.
    ///
    /// # Errors
    ///
    /// The transport failed, or a response was cut: the caller aborts the connection (with a reset, over TCP), so that the
    /// client cannot take the response for a whole one.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves the transport in the middle of a message: abort the connection. The server can
    /// serve the next connection.
    pub async fn serve<S, C, H>(
        &mut self,
        io: &mut S,
        clock: &C,
        mut handler: H,
    ) -> Result<End<S::Error>, Error<S::Error>>
    where
        S: Read + Write,
        C: Clock,
        H: AsyncFnMut(&mut Exchange<'_, S, C>) -> Result<(), Error<S::Error>>,
    {
        let mut state = State::default();
        // The number of bytes at the front of the input that were received and not used.
        let mut received = 0;
        loop {
            let Self { buffers: Buffers { input, fields, output }, limits, options } = self;
            let mut link = Link { io: &mut *io, clock, output, state: &mut state };
            let mut window = Window::new(input, received);
            let meta = match read_head(&mut link, &mut window, fields, limits, options).await {
                Ok(Some(meta)) => meta,
                Ok(None) => return link.flush().await.map(|()| End::Done),
                Err(error) => return link.refuse(error, options).await,
            };
            let behind_head = window.len().saturating_sub(meta.len.into());
            // Both are where the head was found, so that they can be split there.
            let (head, rest) = input.split_at_mut_checked(meta.len.into()).ok_or(LocalError::State)?;
            let (spans, slots) = fields.split_at_mut_checked(meta.fields.into()).ok_or(LocalError::State)?;
            link.allow(options.progress);
            let mut exchange = Exchange {
                head: RequestHead { fields: Fields::new(head, spans), meta },
                incoming: Incoming::new(Window::new(rest, behind_head), slots, limits, meta.framing, false),
                outgoing: Outgoing::new(Framing::None, false),
                terms: Terms::of(&meta),
                has_responded: false,
                link,
            };
            let handled = match exchange.head.method() {
                // Neither makes sense to a device (RFC 9110 §9.3.6, §9.3.8).
                Method::Connect | Method::Trace => Err(Error::Peer(Fault::MethodNotImplemented.into())),
                _ => handler(&mut exchange).await,
            };
            let unused = match exchange.end(handled, options).await? {
                Ended::Persistent(unused) => unused,
                Ended::Last(end) => return Ok(end),
            };
            let behind_head = usize::from(meta.len);
            received = move_to_front(input, behind_head + unused.start..behind_head + unused.end);
        }
    }
}

/// The reason for which a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<E> {
    /// The client closed or paused between two requests, or the last response was sent.
    Done,
    /// A request was answered with the status of this error.
    Refused(Error<E>),
}

/// Waits for a head at the front of the window. `None`: the connection is over before one has begun.
async fn read_head<S: Read + Write, C: Clock>(
    link: &mut Link<'_, S, C>,
    window: &mut Window<'_>,
    fields: &mut [FieldSpan],
    limits: &Limits,
    options: &Options,
) -> Result<Option<RequestMeta>, Error<S::Error>> {
    let mut search = Search::default();
    let mut is_idle = window.len() == 0;
    link.allow(if is_idle { options.idle } else { options.head });
    loop {
        let input = window.bytes();
        let is_all = link.state.eof || input.len() >= limits.max_head;
        if search.is_due(input, is_all)
            && let Some(meta) = scan_request(input, fields, limits)?
        {
            return Ok(Some(meta));
        }
        search.searched(input.len());
        if link.state.eof {
            return if has_begun(input) { Err(Error::Peer(Fault::TruncatedHead.into())) } else { Ok(None) };
        }
        match link.fill(window).await {
            Ok(_) => {}
            Err(Error::Timeout) if !has_begun(window.bytes()) => return Ok(None),
            Err(error) => return Err(error),
        }
        if is_idle {
            is_idle = false;
            link.allow(options.head);
        }
    }
}

impl<S: Read + Write, C: Clock> Link<'_, S, C> {
    /// Answers with the status of the error and without a body, drops what the peer still sends, and returns the reason.
    /// An error without a status is returned at once.
    async fn refuse(&mut self, error: Error<S::Error>, options: &Options) -> Result<End<S::Error>, Error<S::Error>> {
        let Some(status) = error.status() else { return Err(error) };
        self.allow(options.progress);
        let encoded = self.encode(|out| {
            put_status_line(out, status, reason_phrase(status).as_bytes())?;
            put_framing(out, Framing::Length(0))?;
            put_line(out, b"connection", b"close")?;
            out.put(b"\r\n")
        });
        if encoded.await.is_err() || self.flush().await.is_err() {
            // The reason for which the connection ends is the first one.
            return Err(error);
        }
        self.linger(options.linger).await;
        Ok(End::Refused(error))
    }
}

/// The argument of a handler: a request, and the response that it gets.
///
/// The body of the request is read by [`next_event`](Self::next_event), [`read`](Self::read) or
/// [`read_all`](Self::read_all). A client that waits for `100 Continue` gets it when the body is asked for. The response is
/// sent whole by [`reply`](Self::reply); or its head by [`respond`](Self::respond), and then its body by
/// [`write`](Self::write), [`write_chunk`](Self::write_chunk) and [`finish`](Self::finish). Reading and writing may alternate.
pub struct Exchange<'x, S, C> {
    head: RequestHead<'x>,
    incoming: Incoming<'x>,
    outgoing: Outgoing,
    terms: Terms,
    has_responded: bool,
    link: Link<'x, S, C>,
}

impl<'x, S: Read + Write, C: Clock> Exchange<'x, S, C> {
    /// Returns the request's head, which is a view into the input buffer.
    pub const fn head(&self) -> RequestHead<'x> {
        self.head
    }

    /// Makes this exchange the last one of its connection, as `connection: close` among the fields of the response
    /// does. To be called before the response, because the response announces it.
    pub const fn end_connection(&mut self) {
        self.terms.persistent = false;
    }

    /// Reads the next event of the request's body: data as it comes, and for chunked bodies what is around it. `None` at the
    /// end. The trailers of [`Event::End`] have been checked, and can be taken apart by
    /// [`parse_trailers`](crate::head::parse_trailers).
    ///
    /// # Errors
    ///
    /// A fault of the client, which every later call returns too; [`Fault::TruncatedBody`] where the connection ended
    /// before the body did. [`Error::Timeout`] where it sent too slowly.
    pub async fn next_event(&mut self) -> Result<Option<Event<'_>>, Error<S::Error>> {
        self.ask_for_body().await?;
        self.incoming.next(&mut self.link, usize::MAX).await
    }

    /// Reads data of the request's body into `buffer`, and returns how many bytes of it are filled: 0 at the end of the body.
    ///
    /// # Errors
    ///
    /// Those of [`next_event`](Self::next_event).
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error<S::Error>> {
        self.ask_for_body().await?;
        self.incoming.read(&mut self.link, buffer).await
    }

    /// Reads the rest of the request's body into `buffer`, and returns the part of it that is filled.
    ///
    /// # Errors
    ///
    /// Those of [`next_event`](Self::next_event); [`Fault::BodyTooLarge`] where it does not fit, which is answered with 413.
    pub async fn read_all<'d>(&mut self, buffer: &'d mut [u8]) -> Result<&'d [u8], Error<S::Error>> {
        // Refused before the client sends it, if it asks.
        if self.incoming.remaining().is_some_and(|remaining| remaining > buffer.len() as u64) {
            return Err(Error::Peer(Fault::BodyTooLarge.into()));
        }
        self.ask_for_body().await?;
        let length = self.incoming.read_all(&mut self.link, buffer).await?;
        Ok(buffer.get(..length).unwrap_or_default())
    }

    async fn ask_for_body(&mut self) -> Result<(), Error<S::Error>> {
        if core::mem::take(&mut self.terms.continue_pending) && !self.has_responded && self.incoming.window.len() == 0 {
            // It need not be sent when the body is coming already (RFC 9110 §10.1.1).
            self.link.put(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        Ok(())
    }

    /// Sends a response whose body is in memory. What is left of the request's body is dropped: the connection ends after it
    /// where that is more than 16 KiB.
    ///
    /// # Errors
    ///
    /// Those of [`respond`](Self::respond).
    pub async fn reply(&mut self, status: u16, fields: &[(&str, &str)], body: &[u8]) -> Result<(), Error<S::Error>> {
        self.terms.abandon_body(self.incoming.remaining(), self.incoming.window.len(), DRAIN);
        let framing = if body.is_empty() { Framing::None } else { Framing::Length(body.len() as u64) };
        self.respond(status, fields, framing).await?;
        self.outgoing.write(&mut self.link, body).await
    }

    /// Sends the head of the response. Its body is to be written as `framing` says; a client of HTTP/1.0 gets a chunked one
    /// without its chunks.
    ///
    /// Framing and persistence are written here. `content-length`, `transfer-encoding` and `connection: close` among the
    /// fields are understood, and refused where they contradict `framing`. A response to HEAD has the framing and none of the
    /// bytes, which may be written all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Local`] for what cannot be sent, [`LocalError::BufferTooSmall`] where the head does not fit into the output
    /// buffer among them: nothing has been sent, and another response can be.
    pub async fn respond(
        &mut self,
        status: u16,
        fields: &[(&str, &str)],
        framing: Framing,
    ) -> Result<(), Error<S::Error>> {
        if self.has_responded {
            return Err(LocalError::State.into());
        }
        let reply = self.terms.reply(status, framing)?;
        let lines = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let reason = reason_phrase(status).as_bytes();
        let terms = self.terms;
        let encoded = self.link.encode(|out| {
            let (_, persistent) = terms.put_reply(out, status, reason, lines, put_field, reply, None)?;
            out.put(b"\r\n")?;
            Ok(persistent)
        });
        self.terms.persistent = encoded.await?;
        self.outgoing = Outgoing::new(reply.body, self.terms.is_head);
        self.has_responded = true;
        Ok(())
    }

    /// Sends data of the response's body: where it is chunked, as a chunk. It waits in the output buffer for more, or for
    /// [`flush`](Self::flush), if it is short.
    ///
    /// # Errors
    ///
    /// [`LocalError::BodyTooLong`] where it is more than was announced; [`Error::Timeout`] where the client takes it too
    /// slowly.
    pub async fn write(&mut self, data: &[u8]) -> Result<(), Error<S::Error>> {
        self.outgoing.write(&mut self.link, data).await
    }

    /// Sends a chunk with extensions. A client of HTTP/1.0 gets its data alone.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write); [`LocalError::State`] where the body is not chunked, [`LocalError::ChunkLength`] without
    /// data, [`LocalError::ChunkExtension`] for extensions that cannot be sent.
    pub async fn write_chunk(&mut self, data: &[u8], extensions: &[Extension<'_>]) -> Result<(), Error<S::Error>> {
        self.outgoing.write_chunk(&mut self.link, data, extensions).await
    }

    /// Ends the response's body, with trailers. A handler without trailers need only return.
    ///
    /// # Errors
    ///
    /// [`LocalError::BodyTooShort`] where it was announced to be longer, and what cannot be sent.
    pub async fn finish(
        &mut self,
        extensions: &[Extension<'_>],
        trailers: &[(&str, &str)],
    ) -> Result<(), Error<S::Error>> {
        self.outgoing.finish(&mut self.link, extensions, trailers).await
    }

    /// Sends all that waits in the output buffer: between the parts of a feed, for example. Reading does so by itself,
    /// and so does the end of the handler.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub async fn flush(&mut self) -> Result<(), Error<S::Error>> {
        self.link.flush().await
    }

    /// Ends the exchange.
    async fn end(
        mut self,
        handled: Result<(), Error<S::Error>>,
        options: &Options,
    ) -> Result<Ended<S::Error>, Error<S::Error>> {
        let ended = match handled {
            Ok(()) if self.has_responded => self.outgoing.finish(&mut self.link, &[], &[]).await,
            // The handler has not answered.
            Ok(()) => Err(LocalError::State.into()),
            failed => failed,
        };
        match ended {
            Ok(()) => {}
            Err(error) if self.has_responded => return Err(error),
            Err(error) => return self.link.refuse(error, options).await.map(Ended::Last),
        }
        let incoming = &mut self.incoming;
        if incoming.rest != Framing::None {
            self.terms.abandon_body(incoming.remaining(), incoming.window.len(), DRAIN);
            self.terms.persistent = self.terms.persistent && incoming.drain(&mut self.link, DRAIN).await;
        }
        if self.terms.persistent {
            return Ok(Ended::Persistent(incoming.window.unused()));
        }
        self.link.flush().await?;
        if incoming.rest != Framing::None || incoming.window.len() > 0 {
            self.link.linger(options.linger).await;
        }
        Ok(Ended::Last(End::Done))
    }
}

impl<S, C> fmt::Debug for Exchange<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("head", &self.head)
            .field("incoming", &self.incoming)
            .field("outgoing", &self.outgoing)
            .finish_non_exhaustive()
    }
}

/// The continuation after an exchange.
enum Ended<E> {
    /// The next one, of which these bytes behind the head have come.
    Persistent(Range<usize>),
    Last(End<E>),
}
