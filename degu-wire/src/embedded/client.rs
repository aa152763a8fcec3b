//! The client's side of a connection.

use core::fmt;

use embedded_io_async::{Read, Write};

use super::buffers::Buffers;
use super::clock::{Clock, Options};
use super::error::Error;
use super::incoming::{Incoming, Input};
use super::link::{Link, State, checked};
use super::reader::BodyReader;
use super::writer::BodyWriter;
use crate::decoder::BodyDecoder;
use crate::exchange::{Asked, Terms, put_request};
use crate::head::{FieldSpan, ResponseHead, ResponseMeta, scan_response};
use crate::{Fault, Framing, Limits, LocalError, Method};

/// A client's end of a connection, in buffers of the caller. While the connection is [reusable](Self::is_reusable), the
/// caller can send one request after another.
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
///     Ok(response.body().read_all(text).await?.len())
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
    /// Returns a client on a new connection.
    pub fn new(io: &'c mut S, clock: &'c C, buffers: Buffers<'c>, options: &'c Options) -> Self {
        let limits = buffers.bound(&options.limits);
        let terms = Terms { persistent: true, ..Terms::default() };
        let state = State { terms, is_between: true, ..State::default() };
        Self { io, clock, buffers, limits, options, state }
    }

    /// Returns whether another request can be sent: the body of the last response has been read to its end, no byte has
    /// arrived after it, both sides want to keep the connection, and no write has failed or been dropped.
    pub const fn is_reusable(&self) -> bool {
        self.state.terms.persistent && self.state.is_between && !self.state.eof && !self.state.is_writing
    }

    /// Sends the head of a request. The caller then writes a body with this `framing`.
    ///
    /// If there is no Host among `fields`, this method writes one. Its value is the authority of the target if the
    /// target is a URI, and `host` otherwise. This method also writes Content-Length or Transfer-Encoding. If there is
    /// no body, `expect: 100-continue` among `fields` is not sent.
    ///
    /// # Errors
    ///
    /// [`Error::Local`] if the head cannot be sent, for example with [`LocalError::State`] if the connection is not
    /// [reusable](Self::is_reusable). After this error, nothing of the request has been sent. [`Error::Io`] if the
    /// transport fails, and [`Error::Timeout`] if the server reads too slowly.
    pub async fn request(
        &mut self,
        method: Method<'_>,
        target: &str,
        host: &str,
        fields: &[(&str, &str)],
        framing: Framing,
    ) -> Result<Call<'_, S, C>, Error<S::Error>> {
        if !self.is_reusable() {
            return Err(LocalError::State.into());
        }
        let Self { io, clock, buffers, limits, options, state } = self;
        let mut link = Link { io: &mut **io, clock: *clock, output: &mut *buffers.output, state };
        link.allow(options.progress);
        // If the last response came early, the end of the last request's body may still be queued. If sending this end
        // fails, the connection is not reusable, because the server would take the next head for the rest of that body.
        link.state.is_between = false;
        link.write_queued().await?;
        link.state.is_between = true;
        let (host, lines) = (host.as_bytes(), checked(fields)?);
        let asked = link.encode_head(|out| put_request(out, method, target, host, lines, framing, false))?;
        link.state.is_between = false;
        link.state.set_rest(asked.framing);
        Ok(Call { input: Input::new(buffers.input, 0, buffers.fields, limits), asked, link })
    }
}

/// A request whose head has been sent. The caller writes the request's body, and then reads the response.
pub struct Call<'r, S, C> {
    input: Input<'r>,
    asked: Asked,
    link: Link<'r, S, C>,
}

impl<'r, S: Read + Write, C: Clock> Call<'r, S, C> {
    /// Returns the writer of the request's body.
    pub const fn body(&mut self) -> BodyWriter<'_, 'r, S, C> {
        BodyWriter { link: &mut self.link }
    }

    /// Waits for the server's answer to `expect: 100-continue`. Returns `true` if the caller may send the body. Returns
    /// `false` if the final response has been received: then the caller must not send the body, and
    /// [`response`](Self::response) returns this response.
    ///
    /// # Errors
    ///
    /// The errors of [`response`](Self::response).
    pub async fn may_send_body(&mut self) -> Result<bool, Error<S::Error>> {
        while self.asked.expects_continue {
            if self.read_head().await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends the request's body, and waits for the final response. Interim responses are skipped.
    ///
    /// # Errors
    ///
    /// A fault of the server; [`Fault::NoResponse`] if the connection ended before the first byte of a response;
    /// [`LocalError::BodyTooShort`] if the caller has written less of the body than announced.
    pub async fn response(mut self) -> Result<Response<'r, S, C>, Error<S::Error>> {
        let is_sent = self.may_send_body().await?;
        if is_sent {
            self.body().finish(&[], &[]).await?;
        }
        let meta = loop {
            if let Some(meta) = self.read_head().await? {
                break meta;
            }
        };
        let Self { mut input, mut asked, link } = self;
        let fields = input.split_head(meta.common.len, meta.common.fields)?;
        let head = ResponseHead { fields, meta };
        let (framing, partial_length) = asked.note_response(&head, |name| fields.get(name))?;
        let mut body = BodyDecoder::new(input.limits);
        body.begin(framing, input.limits, true, partial_length);
        link.state.terms.persistent = asked.persistent && is_sent;
        link.state.is_between = body.has_ended() && input.len() == 0;
        Ok(Response { head, incoming: Incoming { input, body, of_request: false }, link })
    }

    /// Reads the next head. Returns the head of the final response, which stays in the input. Drops an interim
    /// response, and returns `None` for it.
    async fn read_head(&mut self) -> Result<Option<ResponseMeta>, Error<S::Error>> {
        let mut meta = ResponseMeta::default();
        let scan =
            |input: &mut [u8], slots: &mut [FieldSpan], limits: &Limits| scan_response(input, slots, limits, &mut meta);
        if !self.link.read_head(&mut self.input, scan).await? {
            return Err(Error::Peer(Fault::NoResponse.into()));
        }
        match meta.status {
            // The request did not offer another protocol.
            101 => Err(Error::Peer(Fault::UnexpectedUpgrade.into())),
            100..=199 => {
                self.input.skip(meta.common.len.into());
                self.asked.note_interim(meta.status, self.input.limits)?;
                Ok(None)
            }
            _ => Ok(Some(meta)),
        }
    }
}

/// A received response: its head, and the reader of its body.
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

    /// Returns the reader of the body.
    pub const fn body(&mut self) -> BodyReader<'_, 'r, S, C> {
        BodyReader { incoming: &mut self.incoming, link: &mut self.link }
    }
}

impl<S, C> fmt::Debug for Client<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("buffers", &self.buffers).field("state", &self.state).finish_non_exhaustive()
    }
}

impl<S, C> fmt::Debug for Call<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl<S, C> fmt::Debug for Response<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("head", &self.head).finish_non_exhaustive()
    }
}
