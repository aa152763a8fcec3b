//! The server's role.

use alloc::sync::Arc;
use core::task::Poll;

use bytes::Bytes;

use super::connection::{Connection, State, with_upgrade};
use super::head::RequestHead;
use crate::body::{Content, Part};
use crate::exchange::{Terms, put_headers};
use crate::framing::Framing;
use crate::head::{Facts, FieldSpan, RequestMeta, has_begun, put_status_line, scan_request};
use crate::headers::Headers;
use crate::{Limits, LocalError, RemoteError, reason_phrase};

/// The role of a [`Connection`] that receives requests and answers them.
#[derive(Debug, Default)]
pub struct Server {
    /// The properties of the request that determine the form of its response, and whether the connection is kept.
    terms: Terms,
    /// True after [`Connection::stop`]: the next response that begins is the last.
    stopping: bool,
}

/// The event that a server's connection waits for. The driver sets a deadline that depends on this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// The first byte of a request. Empty lines before the request do not count.
    Request,
    /// The rest of a request's head. At least one byte of the head has arrived.
    Head,
    /// The rest of a request's body.
    Body,
    /// Nothing from the peer.
    Nothing,
}

impl Connection<Server> {
    /// Returns a new connection. Connections can share one `Arc` of limits.
    pub fn new(limits: impl Into<Arc<Limits>>) -> Self {
        let terms = Terms { persistent: true, ..Terms::default() };
        Self::with_role(Server { terms, stopping: false }, limits.into())
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
        match self.state {
            State::Idle => {}
            State::Closed | State::Switched => return Ok(Poll::Ready(None)),
            State::Requested | State::Responding => return Ok(Poll::Pending),
        }
        let mut meta = RequestMeta::default();
        let scan = |text: &mut [u8], slots: &mut [FieldSpan], limits: &Limits| {
            Ok(scan_request(text, slots, limits, &mut meta)?.then_some((meta.common.len, meta.common.fields)))
        };
        if !self.receiver.take_head(scan).map_err(|fault| self.fail(fault))? {
            if !self.receiver.eof {
                return Ok(Poll::Pending);
            }
            self.state = State::Closed;
            return Ok(Poll::Ready(None));
        }
        if meta.common.facts.has(Facts::ZONE) {
            // The head was just received, so it has no clones.
            if let Some(lines) = self.receiver.head.as_mut().and_then(Arc::get_mut) {
                lines.remove_zone(&mut meta.authority);
            }
        }
        self.receiver.body.begin(meta.common.framing, &self.receiver.limits, false, None);
        self.state = State::Requested;
        let head = RequestHead { meta, fields: self.receiver.headers() };
        self.role.terms = Terms::of(&head);
        Ok(Poll::Ready(Some(head)))
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
        self.send_continue();
        self.receiver.poll_part().map_err(|fault| self.fail(fault))
    }

    /// Stores a fault of the client. Every later read returns the fault again, and the connection ends with this
    /// exchange, because the bytes after the fault cannot be understood.
    #[cold]
    fn fail(&mut self, fault: RemoteError) -> RemoteError {
        self.role.terms.persistent = false;
        *self.receiver.fault.insert(fault)
    }

    /// Takes the rest of a body of known length, if the rest is not empty and all of it has arrived. The body has then
    /// ended. This call replaces two calls of [`poll_part`](Self::poll_part), for the data and for the end.
    pub fn take_rest(&mut self) -> Option<Bytes> {
        let rest = self.receiver.take_rest();
        // A client that sends its body no longer waits for `100 Continue`.
        self.role.terms.continue_pending &= rest.is_none();
        rest
    }

    /// Sends `100 Continue` if the client waits for it and no final response has begun. [`poll_part`](Self::poll_part)
    /// does this too. A driver calls this method before a response whose body is made from the request's body, because
    /// that response begins before the request's body is read.
    pub fn send_continue(&mut self) {
        if self.role.terms.continue_pending && self.state == State::Requested {
            self.role.terms.continue_pending = false;
            // `100 Continue` is not needed if bytes of the body have arrived already (RFC 9110 §10.1.1).
            if self.receiver.buffer.is_empty() {
                self.sender.out.put(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
    }

    /// Notes that the server reads no more of the request's body. If the rest of the body has at most `drain` bytes, the
    /// driver has to read and drop this rest after the response. If the rest is longer, the connection ends with this
    /// exchange. If the length of the rest is unknown, the connection is kept only if at least 1 and at most `drain`
    /// unread bytes have been received. The connection also ends if the client still waits for `100 Continue`.
    pub fn abandon_request_body(&mut self, drain: u64) {
        let buffered = self.receiver.buffer.len();
        self.role.terms.abandon_body(self.body_remaining(), buffered, drain);
    }

    /// Answers the request: writes the head, and the body if the body is in memory. Other bodies are sent with
    /// [`send_part`](Self::send_part) and [`finish_body`](Self::finish_body), as long as
    /// [`is_sending`](Self::is_sending) returns true.
    ///
    /// This method writes the fields for framing and persistence. The headers may contain `content-length` or
    /// `transfer-encoding`, as in a forwarded response. These fields must match the content. A client of HTTP/1.0 gets
    /// no `transfer-encoding`. With `connection: close` among the headers, this exchange is the last. A response to
    /// HEAD has the framing field of `content`, and no body. `date` becomes the field Date if the headers have none.
    ///
    /// # Errors
    ///
    /// The error names the rule that the response breaks. After an error nothing has been written, and the caller can
    /// send another response.
    pub fn respond(
        &mut self,
        status: u16,
        reason: impl AsRef<[u8]>,
        headers: &Headers,
        content: Content,
        date: Option<&str>,
    ) -> Result<(), LocalError> {
        if self.state != State::Requested {
            return Err(LocalError::State);
        }
        let mut terms = Terms { persistent: self.is_persistent(), ..self.role.terms };
        let (reason, framing) = (reason.as_ref(), content.framing());
        let framing =
            self.sender.put_head(|out| terms.put_reply(out, status, reason, headers.lines(), framing, date))?;
        self.sender.begin_body(framing, content.into());
        self.role.terms.persistent = terms.persistent;
        self.state = State::Responding;
        Ok(())
    }

    /// Switches to another protocol (RFC 9110 §7.8): answers the request with 101, and accepts no further request. The
    /// bytes that have been [received](Self::take_buffered) and all later bytes belong to the new protocol.
    ///
    /// This method writes the fields `connection` and `upgrade`, and adds `headers`.
    ///
    /// # Errors
    ///
    /// [`LocalError::NotOffered`] if the request did not offer this protocol. [`LocalError::State`] if its body has not
    /// been read to the end, or a response has begun. Another [`LocalError`] if `headers` cannot be sent. After an
    /// error nothing has been written, and the caller can still answer the request.
    pub fn switch(&mut self, request: &RequestHead, protocol: &str, headers: &Headers) -> Result<(), LocalError> {
        if self.state != State::Requested || self.is_receiving() {
            return Err(LocalError::State);
        }
        if !request.offers(protocol) {
            return Err(LocalError::NotOffered);
        }
        let headers = with_upgrade(headers, protocol)?;
        self.sender.put_head(|out| {
            put_status_line(out, 101, reason_phrase(101).as_bytes())?;
            put_headers(out, headers.lines(), Framing::None, false, false)
        })?;
        (self.state, self.role.terms.persistent) = (State::Switched, false);
        Ok(())
    }

    /// Ends the connection because of an error. If no final response has begun, first writes a response with this
    /// status, with `text` as its body, `media_type` as its Content-Type, and `date` as its Date. A response to HEAD has
    /// no body. A `media_type` that cannot be sent is left out. Returns the length of the written body in bytes, or
    /// `None` if no response was written.
    ///
    /// All received bytes are dropped, because the bytes after an error cannot be understood.
    pub fn refuse(&mut self, status: u16, media_type: &str, text: &str, date: Option<&str>) -> Option<usize> {
        let is_head = match self.state {
            State::Requested => self.role.terms.is_head,
            // No head was returned, so a faulty or incomplete head is still in the buffer. The first bytes of this head
            // tell whether the method may be HEAD.
            _ => {
                let begun = self.receiver.buffer.trim_ascii_start();
                begun.starts_with(b"HEAD ") || !begun.is_empty() && b"HEAD ".starts_with(begun)
            }
        };
        let can_answer = matches!(self.state, State::Idle | State::Requested);
        self.cut();
        if !can_answer {
            return None;
        }
        let mut headers = Headers::new();
        if !text.is_empty() {
            // A media type that cannot be sent is left out.
            let _ = headers.set("content-type", media_type);
        }
        let content = Content::Bytes(Bytes::copy_from_slice(text.as_bytes()));
        self.role.terms = Terms { is_head, ..Terms::default() };
        self.state = State::Requested;
        let written = self.respond(status, reason_phrase(status), &headers, content, date);
        self.state = State::Closed;
        written.ok().map(|()| if is_head { 0 } else { text.len() })
    }

    /// Ends the connection without a response. The driver can still write the pending bytes of earlier responses.
    pub fn cut(&mut self) {
        self.state = State::Closed;
        self.role.terms.persistent = false;
        self.sender.body = Framing::None;
        self.receiver.discard_all();
    }

    /// Stops the connection gracefully. The next response that begins is the last, and has `connection: close`. If no
    /// exchange is in progress, and no byte of a request has arrived, the connection ends at once.
    pub fn stop(&mut self) {
        self.role.stopping = true;
        self.end_exchange();
        if self.state == State::Idle && !has_begun(&self.receiver.buffer) {
            self.state = State::Closed;
        }
    }

    /// Returns the event that the connection waits for.
    pub fn awaits(&self) -> Awaits {
        match self.state {
            State::Idle if has_begun(&self.receiver.buffer) => Awaits::Head,
            State::Idle => Awaits::Request,
            State::Closed | State::Switched => Awaits::Nothing,
            _ if self.is_receiving() => Awaits::Body,
            _ => Awaits::Nothing,
        }
    }

    /// Returns whether the final response to the current request has begun, and the exchange has not ended.
    pub fn has_responded(&self) -> bool {
        self.state == State::Responding
    }

    /// Returns whether the connection is kept after this exchange, as far as the server knows now.
    pub fn is_persistent(&self) -> bool {
        self.role.terms.persistent && !self.role.stopping && self.state != State::Closed
    }

    fn end_exchange(&mut self) {
        if self.state == State::Responding && !self.is_sending() {
            if !self.role.terms.persistent {
                self.state = State::Closed;
            } else if !self.is_receiving() {
                self.state = State::Idle;
            }
        }
    }
}
