//! The client's side of a connection.

use core::fmt;

use embedded_io_async::{Read, Write};

use super::body::{Incoming, Outgoing};
use super::buffers::{Buffers, Window, move_to_front};
use super::clock::{Clock, Options};
use super::error::Error;
use super::link::{Link, State};
use crate::chunk::{Event, Extension};
use crate::exchange::{announced, check_part, put_request};
use crate::head::{
    FieldSpan, Fields, Names, ResponseHead, ResponseMeta, Search, has_begun, put_field, rewrite_response, scan_response,
};
use crate::sink::Sink;
use crate::{Fault, Framing, Limits, LocalError, Method, RemoteError};

/// A client's connection, in buffers of the caller: it takes one request after the other, as long as it
/// [can](Self::is_reusable).
///
/// ```
/// use degu_wire::{Framing, Method};
/// use degu_wire::embedded::{Client, Clock, Error, Memory, Options};
/// use embedded_io_async::{Read, Write};
///
/// /// Asks another device for its temperature.
/// async fn ask<S: Read + Write, C: Clock>(io: &mut S, clock: &C, text: &mut [u8]) -> Result<usize, Error<S::Error>> {
///     let mut memory = Memory::<1024, 16, 256>::new();
///     let mut client = Client::new(io, clock, memory.buffers(), &Options::DEFAULT);
///     let call = client.request(Method::Get, "/temperature", "sensor", &[], Framing::None).await?;
///     let mut response = call.response().await?;
///     assert_eq!(response.head().status(), 200);
///     Ok(response.read_all(text).await?.len())
/// }
/// ```
pub struct Client<'c, S, C> {
    io: &'c mut S,
    clock: &'c C,
    buffers: Buffers<'c>,
    limits: Limits,
    options: &'c Options,
    state: State,
}

impl<'c, S: Read + Write, C: Clock> Client<'c, S, C> {
    /// Returns a client on a connection that is new.
    pub fn new(io: &'c mut S, clock: &'c C, buffers: Buffers<'c>, options: &'c Options) -> Self {
        let limits = buffers.bound(&options.limits);
        let state = State { persistent: true, is_between: true, ..State::default() };
        Self { io, clock, buffers, limits, options, state }
    }

    /// Returns whether another request can be sent: the body of the last response has been read to its end, nothing has come
    /// after it, and both sides want to go on.
    pub const fn is_reusable(&self) -> bool {
        self.state.persistent && self.state.is_between && !self.state.eof
    }

    /// Sends the head of a request. Its body is to be written as `framing` says.
    ///
    /// `host` becomes the Host field if there is none among `fields`. Framing is written here.
    ///
    /// # Errors
    ///
    /// [`Error::Local`] for what cannot be sent, and [`LocalError::State`] where the connection is not
    /// [reusable](Self::is_reusable): nothing has been sent. [`Error::Io`] and [`Error::Timeout`] for the transport.
    pub async fn request(
        &mut self,
        method: Method<'_>,
        target: &str,
        host: &str,
        fields: &[(&str, &str)],
        framing: Framing,
    ) -> Result<Call<'_, S, C>, Error<S::Error>> {
        let method = method.known_as();
        if !self.is_reusable() {
            return Err(LocalError::State.into());
        }
        // RFC 9110 §9.3.8; and nothing but its fields tells where a request ends.
        if framing == Framing::UntilClose || method == Method::Trace && framing != Framing::None {
            return Err(LocalError::BodyNotAllowed.into());
        }
        let framing = announced(method, framing);
        let Self { io, clock, buffers, limits, options, state } = self;
        let mut link = Link { io: &mut **io, clock: *clock, output: &mut *buffers.output, state };
        link.allow(options.progress);
        let lines = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let encoded = link.encode(|out| {
            let said = put_request(out, method, target, host.as_bytes(), lines, put_field, framing, false)?;
            out.put(b"\r\n")?;
            Ok(said)
        });
        let said = encoded.await?;
        (link.state.persistent, link.state.is_between) = (!said.close, false);
        Ok(Call {
            input: &mut *buffers.input,
            fields: &mut *buffers.fields,
            received: 0,
            limits,
            outgoing: Outgoing::new(framing, false),
            expectation: Expectation {
                is_head: method == Method::Head,
                is_ranged: said.names.has(Names::RANGE),
                interim: 0,
                continues: said.expects_continue,
            },
            link,
        })
    }
}

/// The conditions under which the response is parsed.
#[derive(Clone, Copy, Debug)]
struct Expectation {
    is_head: bool,
    /// The request asked for ranges.
    is_ranged: bool,
    /// The number of interim responses that have come.
    interim: usize,
    /// The request waits for `100 Continue`.
    continues: bool,
}

/// A request that is being sent.
pub struct Call<'r, S, C> {
    input: &'r mut [u8],
    fields: &'r mut [FieldSpan],
    /// The number of bytes at the front of the input that have come.
    received: usize,
    limits: &'r Limits,
    outgoing: Outgoing,
    expectation: Expectation,
    link: Link<'r, S, C>,
}

impl<'r, S: Read + Write, C: Clock> Call<'r, S, C> {
    /// Sends data of the request's body: where it is chunked, as a chunk.
    ///
    /// # Errors
    ///
    /// Those of [`Exchange::write`](super::Exchange::write).
    pub async fn write(&mut self, data: &[u8]) -> Result<(), Error<S::Error>> {
        self.outgoing.write(&mut self.link, data).await
    }

    /// Sends a chunk with extensions.
    ///
    /// # Errors
    ///
    /// Those of [`Exchange::write_chunk`](super::Exchange::write_chunk).
    pub async fn write_chunk(&mut self, data: &[u8], extensions: &[Extension<'_>]) -> Result<(), Error<S::Error>> {
        self.outgoing.write_chunk(&mut self.link, data, extensions).await
    }

    /// Ends the request's body, with trailers. Without trailers, [`response`](Self::response) ends it.
    ///
    /// # Errors
    ///
    /// Those of [`Exchange::finish`](super::Exchange::finish).
    pub async fn finish(
        &mut self,
        extensions: &[Extension<'_>],
        trailers: &[(&str, &str)],
    ) -> Result<(), Error<S::Error>> {
        self.outgoing.finish(&mut self.link, extensions, trailers).await
    }

    /// Sends all that waits in the output buffer.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub async fn flush(&mut self) -> Result<(), Error<S::Error>> {
        self.link.flush().await
    }

    /// Waits for the server's answer to `expect: 100-continue`: `true` if the body is to be sent, `false` if the final
    /// response has come instead, which [`response`](Self::response) then gives without the body.
    ///
    /// # Errors
    ///
    /// Those of [`response`](Self::response).
    pub async fn may_send_body(&mut self) -> Result<bool, Error<S::Error>> {
        while self.expectation.continues {
            let meta = self.read_head().await?;
            match meta.status {
                100..=199 => self.pass_interim(&meta)?,
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Ends the request's body, and waits for the final response. Interim responses are skipped.
    ///
    /// # Errors
    ///
    /// A fault of the server; [`Fault::NoResponse`] if the connection ended before the first byte.
    /// [`LocalError::BodyTooShort`] where less of the body was written than announced.
    pub async fn response(mut self) -> Result<Response<'r, S, C>, Error<S::Error>> {
        let is_unsent = self.expectation.continues && !self.may_send_body().await?;
        if !is_unsent {
            self.outgoing.finish(&mut self.link, &[], &[]).await?;
        }
        let meta = loop {
            let meta = self.read_head().await?;
            match meta.status {
                // No protocol was offered.
                101 => return Err(Error::Peer(Fault::UnexpectedUpgrade.into())),
                100..=199 => self.pass_interim(&meta)?,
                _ => break meta,
            }
        };
        let Self { input, fields, received, limits, expectation, link, .. } = self;
        let (head, rest) = input.split_at_mut_checked(meta.len.into()).ok_or(LocalError::State)?;
        let (spans, slots) = fields.split_at_mut_checked(meta.fields.into()).ok_or(LocalError::State)?;
        let behind_head = received.saturating_sub(head.len());
        let head = ResponseHead { fields: Fields::new(head, spans), meta };
        let framing = head.framing(if expectation.is_head { Method::Head } else { Method::Get });
        let mut incoming = Incoming::new(Window::new(rest, behind_head), slots, limits, framing, true);
        if meta.status == 206 {
            let fields = head.fields();
            let (range, media_type) = (fields.get("content-range"), fields.get("content-type"));
            incoming.part_left = check_part(expectation.is_ranged, range, media_type, framing)?;
        }
        link.state.persistent &= !is_unsent && meta.keep_alive && framing != Framing::UntilClose;
        link.state.is_between = incoming.rest == Framing::None && incoming.window.len() == 0;
        Ok(Response { head, incoming, link })
    }

    /// Reads a head to the front of the input, where it stays.
    async fn read_head(&mut self) -> Result<ResponseMeta, Error<S::Error>> {
        let mut window = Window::new(self.input, self.received);
        let mut search = Search::default();
        loop {
            let is_all = self.link.state.eof || window.len() >= self.limits.max_head;
            if search.is_due(window.bytes(), is_all)
                && let Some(meta) = scan(window.bytes_mut(), self.fields, self.limits)?
            {
                self.received = window.len();
                return Ok(meta);
            }
            search.searched(window.len());
            if self.link.state.eof {
                let fault = if has_begun(window.bytes()) { Fault::TruncatedHead } else { Fault::NoResponse };
                return Err(Error::Peer(fault.into()));
            }
            self.link.fill(&mut window).await?;
        }
    }

    /// Drops an interim response.
    fn pass_interim(&mut self, meta: &ResponseMeta) -> Result<(), RemoteError> {
        self.received = move_to_front(self.input, meta.len.into()..self.received);
        self.expectation.interim += 1;
        if self.expectation.interim > self.limits.max_interim {
            return Err(Fault::TooManyInterim.into());
        }
        self.expectation.continues &= meta.status != 100;
        Ok(())
    }
}

/// Parses a head as [`parse_response`](crate::head::parse_response) does, and returns no view.
fn scan(input: &mut [u8], fields: &mut [FieldSpan], limits: &Limits) -> Result<Option<ResponseMeta>, RemoteError> {
    loop {
        match scan_response(input, fields, limits) {
            Err(fault) => match rewrite_response(input, limits, fault)? {
                true => {}
                false => return Ok(None),
            },
            scanned => return scanned,
        }
    }
}

/// A response, whose body is read from it.
pub struct Response<'r, S, C> {
    head: ResponseHead<'r>,
    incoming: Incoming<'r>,
    link: Link<'r, S, C>,
}

impl<'r, S: Read + Write, C: Clock> Response<'r, S, C> {
    /// Returns the head, which is a view into the input buffer.
    pub const fn head(&self) -> ResponseHead<'r> {
        self.head
    }

    /// Reads the next event of the body, as [`Exchange::next_event`](super::Exchange::next_event) does; `None` at its end.
    ///
    /// # Errors
    ///
    /// A fault of the server, which every later call returns too; [`Fault::TruncatedBody`] where the connection ended
    /// before the body did. [`Error::Timeout`] where it sent too slowly.
    pub async fn next_event(&mut self) -> Result<Option<Event<'_>>, Error<S::Error>> {
        self.incoming.next(&mut self.link, usize::MAX).await
    }

    /// Reads data of the body into `buffer`, and returns how many bytes of it are filled: 0 at the end of the body.
    ///
    /// # Errors
    ///
    /// Those of [`next_event`](Self::next_event).
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error<S::Error>> {
        self.incoming.read(&mut self.link, buffer).await
    }

    /// Reads the rest of the body into `buffer`, and returns the part of it that is filled.
    ///
    /// # Errors
    ///
    /// Those of [`next_event`](Self::next_event); [`Fault::BodyTooLarge`] where it does not fit.
    pub async fn read_all<'d>(&mut self, buffer: &'d mut [u8]) -> Result<&'d [u8], Error<S::Error>> {
        let length = self.incoming.read_all(&mut self.link, buffer).await?;
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

impl<S, C> fmt::Debug for Client<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("buffers", &self.buffers).field("state", &self.state).finish_non_exhaustive()
    }
}

impl<S, C> fmt::Debug for Call<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("outgoing", &self.outgoing).finish_non_exhaustive()
    }
}

impl<S, C> fmt::Debug for Response<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("head", &self.head).field("incoming", &self.incoming).finish_non_exhaustive()
    }
}
