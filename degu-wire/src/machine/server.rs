//! The server's role.

use alloc::sync::Arc;
use core::task::Poll;

use bytes::Bytes;

use super::connection::Connection;
use super::head::RequestHead;
use super::receiver::Receiver;
use super::sender::Sender;
use crate::body::{Content, Part};
use crate::exchange::{Said, Terms, put_headers};
use crate::framing::Framing;
use crate::head::{FieldSpan, is_field_value, put_framing, put_line, put_status_line, scan_request};
use crate::headers::Headers;
use crate::{Limits, LocalError, RemoteError, reason_phrase};

/// The role of a [`Connection`] that receives requests and answers them.
#[derive(Debug, Default)]
pub struct Server {
    state: State,
    /// The demands of the request on its response.
    terms: Terms,
    /// True if this exchange, or the next exchange if none is in progress, is the last.
    stopping: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    /// True if a request was returned, and no final response has begun.
    Requested,
    Responding,
    /// True if the connection has switched to another protocol.
    Switched,
    Closed,
}

/// The event that a server's connection waits for, which decides the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// A request of which no byte has arrived.
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a request's body.
    Body,
    /// Nothing from the peer.
    Nothing,
}

impl Connection<Server> {
    /// Returns a new connection. Connections with the same limits can share them.
    pub fn new(limits: impl Into<Arc<Limits>>) -> Self {
        let terms = Terms { persistent: true, ..Terms::default() };
        let role = Server { terms, ..Server::default() };
        Self { receiver: Receiver::new(limits.into()), sender: Sender::default(), role }
    }

    /// Returns the next request. `Ready(None)` means that no request will follow, because the client closed the
    /// connection between two requests, or the last response ended the connection. `Pending` means that more bytes are
    /// needed, or that the previous exchange is not finished.
    ///
    /// # Errors
    ///
    /// A fault of the client. The driver [refuses](Self::refuse) the request and closes the connection.
    pub fn poll_request(&mut self) -> Result<Poll<Option<RequestHead>>, RemoteError> {
        self.end_exchange();
        match self.role.state {
            State::Idle => {}
            State::Closed | State::Switched => return Ok(Poll::Ready(None)),
            State::Requested | State::Responding => return Ok(Poll::Pending),
        }
        let scan = |text: &mut [u8], slots: &mut [FieldSpan], limits: &Limits| scan_request(text, slots, limits);
        let scanned = self.receiver.poll_head(scan, |meta| (meta.len, meta.fields))?;
        let Poll::Ready(mut meta) = scanned else {
            if !self.receiver.eof {
                return Ok(Poll::Pending);
            }
            self.role.state = State::Closed;
            return Ok(Poll::Ready(None));
        };
        if meta.has_zone {
            self.receiver.remove_zone(&mut meta.authority);
        }
        self.receiver.begin_body(meta.framing, false);
        self.role.state = State::Requested;
        self.role.terms = Terms::of(&meta);
        Ok(Poll::Ready(Some(RequestHead { meta, fields: self.receiver.headers() })))
    }

    /// Returns the next part of the request's body; `Ready(None)` at its end. The first call sends `100 Continue` if
    /// the client waits for it (RFC 9110 §10.1.1).
    ///
    /// # Errors
    ///
    /// A fault of the client, which every later call returns again. The driver [refuses](Self::refuse) the request and
    /// closes the connection. [`Fault::TruncatedBody`](crate::Fault::TruncatedBody) if the connection was
    /// [cut](Self::cut) before the end.
    pub fn poll_part(&mut self) -> Result<Poll<Option<Part>>, RemoteError> {
        self.request_body();
        let result = self.receiver.poll_part();
        self.role.terms.persistent &= result.is_ok();
        result
    }

    /// Returns the rest of a body of known length, if it is not empty and all of it has arrived. The end of the body
    /// then follows at once, while [`poll_part`](Self::poll_part) needs one call for the data and one for the end.
    pub fn take_rest(&mut self) -> Option<Bytes> {
        let rest = self.receiver.take_rest();
        // A client that sends its body does not wait any more.
        self.role.terms.continue_pending &= rest.is_none();
        rest
    }

    /// Sends `100 Continue` if the client waits for it and no final response has begun. Call it before a response with
    /// a body that depends on the request's body. [`poll_part`](Self::poll_part) calls it by itself.
    pub fn request_body(&mut self) {
        if self.role.terms.continue_pending && self.role.state == State::Requested {
            self.role.terms.continue_pending = false;
            // `100 Continue` is not needed if bytes of the body have arrived already (RFC 9110 §10.1.1).
            if self.receiver.buffer.is_empty() {
                self.sender.out.put(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
    }

    /// Notes that the server reads no more of the request's body. If the rest is longer than `drain` bytes, or its
    /// length is unknown and it has not arrived yet, the connection ends with this exchange. Otherwise the driver has
    /// to read and drop the rest after the response.
    pub fn abandon_request_body(&mut self, drain: u64) {
        let buffered = self.receiver.buffer.len();
        self.role.terms.abandon_body(self.receiver.body_remaining(), buffered, drain);
    }

    /// Answers the request: writes the head, and the body if it is in memory. Otherwise the driver then calls
    /// [`send_part`](Self::send_part) and [`finish_body`](Self::finish_body), as long as
    /// [`is_sending`](Self::is_sending) returns true.
    ///
    /// This method writes the fields for framing and persistence. `content-length`, `transfer-encoding` and
    /// `connection: close` among the headers are understood, so a proxy can forward them. A field that contradicts the
    /// content is refused. A response to HEAD has the framing of `content` but none of its bytes. `date` becomes the
    /// field Date if the headers have none.
    ///
    /// # Errors
    ///
    /// The rule that the response breaks. Nothing has been written, and the caller can send another response.
    pub fn respond(
        &mut self,
        status: u16,
        reason: impl AsRef<[u8]>,
        headers: &Headers,
        content: Content,
        date: Option<&str>,
    ) -> Result<(), LocalError> {
        if self.role.state != State::Requested {
            return Err(LocalError::State);
        }
        let terms = Terms { persistent: self.is_persistent(), ..self.role.terms };
        let reply = terms.reply(status, content.framing())?;
        let mut persistent = false;
        self.sender.message(content, reply.body, |out| {
            let lines = headers.lines();
            let (said, goes_on) = terms.put_reply(out, status, reason.as_ref(), lines, put_line, reply, date)?;
            persistent = goes_on;
            // In a response the field has no meaning.
            Ok(Said { expects_continue: false, ..said })
        })?;
        self.role.terms.persistent = persistent;
        self.role.state = State::Responding;
        Ok(())
    }

    /// Switches to another protocol (RFC 9110 §7.8): answers the request with 101, and accepts no further request. The
    /// bytes that have been [received](Self::take_buffered) and all later bytes belong to the new protocol.
    ///
    /// This method writes the fields `connection` and `upgrade`. `headers` are further fields.
    ///
    /// # Errors
    ///
    /// [`LocalError::NotOffered`] if the request did not offer this protocol. [`LocalError::State`] if its body has not
    /// been read to the end, or a response has begun. Another [`LocalError`] if `headers` cannot be sent. Nothing has
    /// been written, and the caller can still answer the request.
    pub fn switch(&mut self, request: &RequestHead, protocol: &str, headers: &Headers) -> Result<(), LocalError> {
        if self.role.state != State::Requested || self.is_receiving() {
            return Err(LocalError::State);
        }
        if !request.offers(protocol) {
            return Err(LocalError::NotOffered);
        }
        if headers.contains("upgrade") {
            return Err(LocalError::FieldNotAllowed);
        }
        let mut headers = headers.clone();
        headers.append("upgrade", protocol)?;
        self.sender.message(Content::None, Framing::None, |out| {
            put_status_line(out, 101, reason_phrase(101).as_bytes())?;
            put_headers(out, headers.lines(), put_line, Framing::None, false)
        })?;
        (self.role.state, self.role.terms.persistent) = (State::Switched, false);
        Ok(())
    }

    /// Returns whether the connection has [switched](Self::switch) to another protocol.
    pub fn has_switched(&self) -> bool {
        self.role.state == State::Switched
    }

    /// Ends the connection because of an error. If no final response has begun, a response with this status is written;
    /// its body is `text` of this media type. Otherwise no response is written. Returns the length of the body in bytes
    /// if there is a response to write. The text is not sent to a client whose request is HEAD, and a media type that
    /// cannot be a field's value is not sent at all.
    ///
    /// All received bytes are dropped, because nothing after them can be understood.
    pub fn refuse(&mut self, status: u16, media_type: &str, text: &str) -> Option<usize> {
        let is_head = match self.role.state {
            State::Requested => self.role.terms.is_head,
            // A faulty or incomplete head is still in the buffer.
            _ => {
                let begun = self.receiver.buffer.trim_ascii_start();
                begun.starts_with(b"HEAD ") || !begun.is_empty() && b"HEAD ".starts_with(begun)
            }
        };
        let can_answer = matches!(self.role.state, State::Idle | State::Requested) && (200..=999).contains(&status);
        self.cut();
        if !can_answer {
            return None;
        }
        // Writing cannot fail, because the status is in range, and the other values are made here.
        let mut message = alloc::vec::Vec::with_capacity(128 + text.len());
        let _ = put_status_line(&mut message, status, reason_phrase(status).as_bytes());
        if !text.is_empty() && is_field_value(media_type.as_bytes()) {
            let _ = put_line(&mut message, b"content-type", media_type.as_bytes());
        }
        let _ = put_framing(&mut message, Framing::Length(text.len() as u64));
        let _ = put_line(&mut message, b"connection", b"close");
        message.extend_from_slice(b"\r\n");
        let body = if is_head { "" } else { text };
        message.extend_from_slice(body.as_bytes());
        self.sender.out.put(&message);
        Some(body.len())
    }

    /// Ends the connection without a response. The driver can still write pending bytes of earlier responses.
    pub fn cut(&mut self) {
        self.role.state = State::Closed;
        self.role.terms.persistent = false;
        self.sender.body = Framing::None;
        self.receiver.discard_all();
    }

    /// Makes the next response to begin the last response. If no request is in progress, no further request is
    /// accepted.
    pub fn stop(&mut self) {
        self.role.stopping = true;
        self.end_exchange();
        if self.role.state == State::Idle && !self.receiver.head_begun() {
            self.role.state = State::Closed;
        }
    }

    /// Returns the event that the connection waits for.
    pub fn awaits(&self) -> Awaits {
        match self.role.state {
            State::Idle if self.receiver.head_begun() => Awaits::Head,
            State::Idle => Awaits::Request,
            State::Closed | State::Switched => Awaits::Nothing,
            _ if self.is_receiving() => Awaits::Body,
            _ => Awaits::Nothing,
        }
    }

    /// Returns whether a final response to the request has begun.
    pub fn has_responded(&self) -> bool {
        self.role.state == State::Responding
    }

    /// Returns whether the connection is kept after this exchange, as far as the server knows now.
    pub fn is_persistent(&self) -> bool {
        self.role.terms.persistent && !self.role.stopping && self.role.state != State::Closed
    }

    fn end_exchange(&mut self) {
        if self.role.state == State::Responding && !self.is_sending() {
            if !self.role.terms.persistent {
                self.role.state = State::Closed;
            } else if !self.is_receiving() {
                self.role.state = State::Idle;
            }
        }
    }
}
