//! The client's role.

use alloc::{borrow::Cow, sync::Arc, vec::Vec};
use core::task::Poll;

use bytes::Bytes;

use super::connection::{Connection, State, with_upgrade};
use super::head::ResponseHead;
use super::sender::Sender;
use crate::body::{Content, Part};
use crate::exchange::{Asked, put_headers, put_request, request_framing};
use crate::framing::Framing;
use crate::head::{Facts, FieldSpan, ResponseMeta, is_host, scan_response};
use crate::headers::Headers;
use crate::{Fault, Limits, LocalError, Method, RemoteError};

/// The role of a [`Connection`] that sends requests and receives responses.
#[derive(Debug, Default)]
pub struct Client {
    asked: Asked,
    /// The framing of the response's body.
    framing: Framing,
    /// A body in memory that is sent after `100 Continue`.
    withheld: Option<Bytes>,
    /// The fields of the request, if the request offered another protocol.
    offered: Option<Headers>,
}

impl Connection<Client> {
    /// Returns a new connection. Connections can share one `Arc` of limits.
    pub fn new(limits: impl Into<Arc<Limits>>) -> Self {
        let asked = Asked { persistent: true, ..Asked::default() };
        Self::with_role(Client { asked, ..Client::default() }, limits.into())
    }

    /// Begins an exchange: writes the request's head, and its body if the body is in memory. Other bodies are sent with
    /// [`send_part`](Self::send_part) and [`finish_body`](Self::finish_body). If the headers have `expect:
    /// 100-continue`, a body in memory is held back until [`may_send_body`](Self::may_send_body) returns true. If the
    /// body is known to be empty, this field is not sent.
    ///
    /// If the headers have no Host, this method writes one. Its value is the authority of the target if the target is a
    /// URI, and `host` otherwise. This method also writes the framing field. The headers may contain `content-length`
    /// or `transfer-encoding`, as in a forwarded request. These fields must match the content. With `connection: close`
    /// among the headers, this exchange is the last. A caller that may send the content again passes a reference to the
    /// content.
    ///
    /// # Errors
    ///
    /// The error names the rule that the request breaks. After an error nothing has been written. [`LocalError::State`]
    /// if the connection is not [reusable](Self::is_reusable).
    pub fn request<'c>(
        &mut self,
        method: Method<'_>,
        target: &str,
        host: &str,
        headers: &Headers,
        content: impl Into<Cow<'c, Content>>,
    ) -> Result<(), LocalError> {
        self.begin(method, target, host, headers, content.into(), false)
    }

    /// Begins an exchange whose request offers to switch to another protocol (RFC 9110 §7.8). If the server accepts, it
    /// responds with 101, and the connection has [switched](Self::has_switched). Any other final response means that
    /// the server declined, and is read as usual.
    ///
    /// This method writes the fields `connection` and `upgrade`.
    ///
    /// ```
    /// use core::task::Poll;
    /// use degu_wire::machine::{Client, Connection, Content};
    /// use degu_wire::{Headers, Limits, Method};
    ///
    /// let mut client = Connection::<Client>::new(Limits::default());
    /// client.upgrade(Method::Post, "/containers/1/attach", "localhost", &Headers::new(), "tcp", Content::None)?;
    /// client.transmitted(client.pending().bytes());
    ///
    /// let received = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst bytes";
    /// client.receive_buffer().extend_from_slice(received);
    /// let Poll::Ready(response) = client.poll_response()? else { panic!("the head is there") };
    /// assert!(response.status() == 101 && client.has_switched());
    /// assert_eq!(client.take_buffered(), "first bytes");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`request`](Self::request). [`LocalError::Protocol`] if `protocol` is empty or a list,
    /// [`LocalError::FieldNotAllowed`] if the headers already contain `upgrade`.
    pub fn upgrade<'c>(
        &mut self,
        method: Method<'_>,
        target: &str,
        host: &str,
        headers: &Headers,
        protocol: &str,
        content: impl Into<Cow<'c, Content>>,
    ) -> Result<(), LocalError> {
        if protocol.is_empty() || protocol.contains(',') {
            return Err(LocalError::Protocol);
        }
        let headers = with_upgrade(headers, protocol)?;
        self.begin(method, target, host, &headers, content.into(), true)?;
        self.role.offered = Some(headers);
        Ok(())
    }

    fn begin(
        &mut self,
        method: Method<'_>,
        target: &str,
        host: &str,
        headers: &Headers,
        content: Cow<'_, Content>,
        offers: bool,
    ) -> Result<(), LocalError> {
        if !self.is_reusable() {
            return Err(LocalError::State);
        }
        let (host, framing) = (host.as_bytes(), content.framing());
        let asked =
            self.sender.put_head(|out| put_request(out, method, target, host, headers.lines(), framing, offers))?;
        let (content, withheld) = match &*content {
            Content::Bytes(bytes) if asked.expects_continue => (Content::None.into(), Some(bytes.clone())),
            _ => (content, None),
        };
        self.sender.begin_body(asked.framing, content);
        self.state = State::Requested;
        self.role = Client { asked, withheld, ..Client::default() };
        Ok(())
    }

    /// Returns the name of the field that makes [`request`](Self::request) refuse these headers, or `None` if there is
    /// no such field. The name is for error texts. `framing` is the framing of the body.
    ///
    /// ```
    /// use degu_wire::{Framing, Headers, Method, machine::{Client, Connection}};
    ///
    /// let headers = Headers::try_from([("accept", "*/*"), ("connection", "upgrade")])?;
    /// let refused = Connection::<Client>::refused_field(Method::Get, &headers, Framing::None);
    /// assert_eq!(refused, Some("connection"));
    /// # Ok::<(), degu_wire::FieldError>(())
    /// ```
    pub fn refused_field<'h>(method: Method<'_>, headers: &'h Headers, framing: Framing) -> Option<&'h str> {
        let framing = request_framing(method.known_as(), framing);
        let mut last = None;
        let lines = headers.lines().inspect(|(name, _)| last = Some(*name));
        match put_headers(&mut Vec::new(), lines, framing, false, false) {
            Err(_) => core::str::from_utf8(last?).ok(),
            Ok(facts) if facts.has(Facts::UPGRADE) => Some("upgrade"),
            Ok(_) => headers.get_bytes("host").filter(|host| !is_host(host)).map(|_| "host"),
        }
    }

    /// Returns the head of the final response. Interim responses are skipped. After `100 Continue`, the body may be
    /// sent.
    ///
    /// A response may arrive while the request's body is still being sent: see [`stops_sending`](Self::stops_sending).
    ///
    /// # Errors
    ///
    /// A fault of the server, which every later call returns again. [`Fault::NoResponse`] if the connection ended
    /// before the first byte.
    pub fn poll_response(&mut self) -> Result<Poll<ResponseHead>, RemoteError> {
        match self.state {
            State::Requested => {}
            State::Closed => return Err(self.receiver.fault.unwrap_or(Fault::NoResponse.into())),
            State::Idle | State::Responding | State::Switched => return Ok(Poll::Pending),
        }
        self.read_response().map_err(|fault| self.fail(fault))
    }

    fn read_response(&mut self) -> Result<Poll<ResponseHead>, RemoteError> {
        loop {
            let mut meta = ResponseMeta::default();
            let scan = |text: &mut [u8], slots: &mut [FieldSpan], limits: &Limits| {
                Ok(scan_response(text, slots, limits, &mut meta)?.then_some((meta.common.len, meta.common.fields)))
            };
            if !self.receiver.take_head(scan)? {
                return if self.receiver.eof { Err(Fault::NoResponse.into()) } else { Ok(Poll::Pending) };
            }
            let head = ResponseHead { meta, fields: self.receiver.headers() };
            if self.begin_response(&head)? {
                return Ok(Poll::Ready(head));
            }
        }
    }

    /// Changes the state according to a response head. Returns whether this is the head of the final response.
    fn begin_response(&mut self, head: &ResponseHead) -> Result<bool, RemoteError> {
        match head.status() {
            101 if self.accepts_offer(head) => {
                (self.state, self.role.asked.persistent) = (State::Switched, false);
                return Ok(true);
            }
            101 => return Err(Fault::UnexpectedUpgrade.into()),
            status @ 100..=199 => {
                self.role.asked.note_interim(status, &self.receiver.limits)?;
                if status == 100 {
                    self.send_body_anyway();
                }
                return Ok(false);
            }
            _ => {}
        }
        let field = |name: &str| head.headers().get_bytes(name);
        let (framing, partial_length) = self.role.asked.note_response(head, field)?;
        self.receiver.body.begin(framing, &self.receiver.limits, true, partial_length);
        self.role.framing = framing;
        self.state = State::Responding;
        Ok(true)
    }

    /// Returns whether a 101 response accepts the offered protocol, and has arrived after the whole request was sent.
    fn accepts_offer(&self, head: &ResponseHead) -> bool {
        let Some(offered) = &self.role.offered else { return false };
        let mut protocols = head.headers().get_all("upgrade").map(core::str::from_utf8);
        let (Some(Ok(protocol)), None) = (protocols.next(), protocols.next()) else { return false };
        !head.is_http10()
            && !self.is_sending()
            && self.is_flushed()
            && head.headers().has_member("connection", "upgrade")
            && offered.has_member("upgrade", protocol)
    }

    /// Closes the machine after a fault of the server, because the bytes after the fault cannot be understood.
    #[cold]
    fn fail(&mut self, fault: RemoteError) -> RemoteError {
        self.receiver.fault.get_or_insert(fault);
        self.close();
        fault
    }

    /// Returns the framing of the response's body. The value is valid after [`poll_response`](Self::poll_response) has
    /// returned the response.
    pub const fn framing(&self) -> Framing {
        self.role.framing
    }

    /// Returns the next part of the response's body; `Ready(None)` at its end.
    ///
    /// # Errors
    ///
    /// A fault of the server, which every later call returns again; [`Fault::TruncatedBody`] if the connection ended,
    /// or was [closed](Self::close), before the end of the body.
    pub fn poll_part(&mut self) -> Result<Poll<Option<Part>>, RemoteError> {
        if self.state == State::Requested {
            return Ok(Poll::Pending);
        }
        self.receiver.poll_part().map_err(|fault| self.fail(fault))
    }

    /// Takes the rest of a body of known length, if the rest is not empty and all of it has arrived. The body has then
    /// ended. This call replaces two calls of [`poll_part`](Self::poll_part), for the data and for the end.
    pub fn take_rest(&mut self) -> Option<Bytes> {
        if self.state == State::Responding { self.receiver.take_rest() } else { None }
    }

    /// Returns whether the body of the request may be sent now: the request does not wait for `100 Continue`, the
    /// server has sent this response, or the caller has called [`send_body_anyway`](Self::send_body_anyway).
    pub fn may_send_body(&self) -> bool {
        !self.role.asked.expects_continue
    }

    /// Allows the body to be sent although `100 Continue` has not arrived in time (RFC 9110 §10.1.1).
    pub fn send_body_anyway(&mut self) {
        self.role.asked.expects_continue = false;
        if let Some(bytes) = self.role.withheld.take() {
            // The body has the announced length, so `send_part` cannot fail.
            let _ = self.sender.send_part(Part::Data(bytes));
        }
    }

    /// Returns whether the caller should stop sending the request, because the server will not read the rest of it (RFC
    /// 9112 §9.5). Returns true if the final response has arrived before the whole request was sent, and if one of
    /// these is true: the response has an error status, the response ends the connection, or the client still waited
    /// for `100 Continue`. Bytes that are [pending](Self::pending) count as not sent.
    pub fn stops_sending(&self, response: &ResponseHead) -> bool {
        let unsent = self.is_sending() || !self.is_flushed();
        unsent && (response.status() >= 400 || !response.keep_alive() || self.role.asked.expects_continue)
    }

    /// Stops sending the request, if it has not been sent completely. The driver then need not write the pending bytes,
    /// and the connection cannot be used again. Does nothing if the whole request has been sent.
    pub fn abandon_request_body(&mut self) {
        if self.is_sending() || !self.is_flushed() {
            self.sender.body = Framing::None;
            self.role.withheld = None;
            self.role.asked.persistent = false;
        }
    }

    /// Returns whether another request can be sent: the exchange is over on both sides, both sides want to keep the
    /// connection, and no unsolicited bytes have arrived.
    pub fn is_reusable(&self) -> bool {
        matches!(self.state, State::Idle | State::Responding)
            && !self.is_sending()
            && !self.is_receiving()
            && self.role.asked.persistent
            && !self.receiver.eof
            && self.buffered().is_empty()
    }

    /// Returns whether no exchange is in progress, and no further request can be sent on the connection. The result is
    /// false after a [switch](Self::has_switched).
    pub fn is_closed(&self) -> bool {
        match self.state {
            State::Closed => true,
            State::Requested | State::Switched => false,
            State::Idle => !self.is_reusable(),
            State::Responding => !self.is_sending() && !self.is_receiving() && !self.is_reusable(),
        }
    }

    /// Ends the connection in any state. Drops all received bytes, and all bytes that wait to be written.
    pub fn close(&mut self) {
        self.state = State::Closed;
        self.sender = Sender::default();
        self.receiver.discard_all();
    }
}
