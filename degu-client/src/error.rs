//! The errors of connections and exchanges.

use std::{convert::Infallible, fmt, io, sync::Arc, time::Duration};

use degu_wire::{Address, AddressError, BoxError, Fault, FieldError, LocalError, RemoteError, reason_phrase};

/// The error of an exchange, or of an attempt to connect.
///
/// An error says [what happened and whose fault it is](ErrorKind), in [which phase](Phase) it happened, and whether the
/// request [may be sent again](Self::is_retryable).
///
/// After most errors the connection is closed. These errors leave the connection open:
///
/// - The client refused the request before it wrote a byte: [`ErrorKind::Local`] or [`ErrorKind::Body`] in
///   [`Phase::Requesting`].
/// - The status of the response is not 2xx, and its body is shorter than 4 KiB: [`ErrorKind::Status`].
/// - The body of the response does not have the form that the caller asked for: [`ErrorKind::Content`]. The client may
///   notice this before it has received the whole body, for example if the content-type is wrong. If the caller then
///   drops the response before its whole body has been received, the connection is closed.
///
/// `Debug` writes the same text as `Display`, because a `main` that returns an error prints it in that form.
///
/// # Sending again
///
/// A server may close an idle connection at any time, even while the next request is on its way. A [`Connection`] then
/// returns an error. A [pool](crate::PoolOf) sends the request again, once, over a new connection, if this is safe.
/// After other errors the caller decides whether to send the request again. [`is_retryable`](Self::is_retryable) helps
/// to decide.
///
/// [`Connection`]: crate::ConnectionOf
// In a box, because otherwise every result of an exchange would be larger.
#[derive(Clone)]
pub struct Error(Box<Failure>);

#[derive(Clone)]
struct Failure {
    // The kind is shared, because a pool returns one error to all requests that wait.
    kind: Arc<ErrorKind>,
    phase: Phase,
    retryable: bool,
    /// The address of the server, if no connection could be made, or if no connection of a pool became free.
    address: Option<Address>,
    /// The name of the header field that the client refused to send.
    field: Option<Box<str>>,
    /// The beginning of the response's body, for [`ErrorKind::Status`].
    text: Option<Box<str>>,
    /// The part of `text` that `Display` writes.
    summary: Option<Box<str>>,
}

/// The kind of an [`Error`]: what happened, and whose fault it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server violated the protocol, or exceeded a limit of the client.
    Remote(RemoteError),
    /// The caller asked for something that cannot be sent.
    Local(LocalError),
    /// The body of the request cannot be produced: the source of the body returned this error, or a value could not be
    /// [made into a body](crate::IntoBody).
    Body(BoxError),
    /// The address cannot be used.
    Address(AddressError),
    /// The operating system returned this error for a socket, a DNS name or a network interface.
    System(io::Error),
    /// TLS failed: one side refused the other, or the policy cannot be applied to this address. Under TLS 1.3, a
    /// refusal by the server may arrive after the handshake, while the client waits for the response.
    /// [`alert`](degu_tls::Error::alert) is the server's reason.
    #[cfg(feature = "tls")]
    Tls(degu_tls::Error),
    /// The response has this status, which is not 2xx, and [`success`](crate::ResponseOf::success) was called.
    Status(u16),
    /// The body of the response cannot be returned in the form that the caller asked for. The body is not UTF-8, is not
    /// valid JSON, or does not fit the type. Or there is nothing to parse: the response has no body, its content-type
    /// is not JSON, or the body is empty or was read before.
    Content(BoxError),
    /// A timeout expired.
    Timeout(Timeout),
    /// The caller interrupted the connection with [`Interrupter::interrupt`](crate::blocking::Interrupter::interrupt).
    Interrupted,
    /// `on_connect` refused the connection.
    Refused,
    /// The connection was closed before this call. There are four possible reasons: an earlier error, a response that
    /// was dropped before its whole body had been received, `connection: close` from either side, or a server that
    /// closed the idle connection.
    Closed,
}

/// The phase of an exchange in which an [`Error`] occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Making a connection, or waiting for a connection of a [pool](crate::PoolOf).
    Connecting,
    /// Checking the request and the connection. No byte of the request has been sent.
    Requesting,
    /// Sending the request, or waiting for the head of the response.
    AwaitingResponse,
    /// Reading the body of the response.
    ReadingBody,
}

/// The timeout that expired, with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// No connection was made within [`OptionsOf::connect_timeout`](crate::OptionsOf::connect_timeout).
    Connect(Duration),
    /// The head of the response was not complete within [`OptionsOf::head_timeout`](crate::OptionsOf::head_timeout).
    Head(Duration),
    /// A body made no progress for [`OptionsOf::body_timeout`](crate::OptionsOf::body_timeout).
    Body(Duration),
    /// The exchange did not end, or a call of `connect` made no connection, within
    /// [`OptionsOf::timeout`](crate::OptionsOf::timeout).
    Exchange(Duration),
    /// No connection of the [pool](crate::PoolOf) became free within [`OptionsOf::timeout`](crate::OptionsOf::timeout):
    /// all `max_connections` connections were in use.
    Pool(Duration),
    /// A timeout of a stream that the caller brought. The client does not know how long this timeout is.
    Stream,
}

impl Error {
    #[cold]
    pub(crate) fn new(kind: impl Into<ErrorKind>, phase: Phase) -> Self {
        Self(Box::new(Failure {
            kind: Arc::new(kind.into()),
            phase,
            retryable: false,
            address: None,
            field: None,
            text: None,
            summary: None,
        }))
    }

    /// Returns an error of an attempt to connect to this address. The error is retryable if its kind is temporary.
    pub(crate) fn connecting(kind: impl Into<ErrorKind>, address: &Address) -> Self {
        let mut error = Self::new(kind, Phase::Connecting);
        error.0.retryable = error.0.kind.is_temporary();
        error.0.address = Some(address.clone());
        error
    }

    /// Replaces the phase of the error by `phase`, if `phase` is not `None`. A pool passes the phase in which the first
    /// attempt of a request failed.
    pub(crate) fn in_phase(mut self, phase: Option<Phase>) -> Self {
        self.0.phase = phase.unwrap_or(self.0.phase);
        self
    }

    /// Returns the error for a response with this status, whose body begins with `text`. `summary` is the part of the
    /// body for people to read; the default is the first line.
    #[cold]
    pub(crate) fn of_status(status: u16, text: &str, summary: Option<&str>) -> Self {
        let mut error = Self::new(ErrorKind::Status(status), Phase::ReadingBody);
        let summary = summary.or_else(|| text.trim_start().lines().next());
        // The summary is short, because errors go into logs.
        error.0.summary = summary.map(|summary| summary.chars().take(200).collect());
        error.0.text = Some(text.into());
        error
    }

    /// Sets the result of [`is_retryable`](Self::is_retryable).
    pub(crate) fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// Sets the name of the field that made the client refuse the request.
    pub(crate) fn of_field(mut self, name: Option<&str>) -> Self {
        self.0.field = name.map(Into::into);
        self
    }

    /// Returns the name of the header field that the client refused to send. Returns `None` if the error has another
    /// reason.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Returns the address of the server, if connecting failed or if a [pool](crate::PoolOf) had no free connection.
    pub fn address(&self) -> Option<&Address> {
        self.0.address.as_ref()
    }

    /// Returns the status of the response, if [`success`](crate::ResponseOf::success) returned this error.
    pub fn status(&self) -> Option<u16> {
        if let ErrorKind::Status(status) = *self.kind() { Some(status) } else { None }
    }

    /// Returns the first 4 KiB of the response's body, if [`success`](crate::ResponseOf::success) returned this error.
    /// Bytes that are not UTF-8 are replaced by U+FFFD. The text comes from the server: escape it before you write it
    /// to a log.
    ///
    /// `Display` writes up to 200 characters of the text, escaped. These characters are the first line or, with the
    /// feature `json`, the `detail` or the `title` of a problem (`application/problem+json`, RFC 9457).
    pub fn text(&self) -> Option<&str> {
        self.0.text.as_deref()
    }

    /// Returns the kind of the error: what happened, and whose fault it is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Returns the phase in which the error occurred.
    pub const fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Returns whether the client could not connect, or got no connection of a [pool](crate::PoolOf) in time. Then no
    /// byte of a request was sent. If a timeout was the reason, [`is_timeout`](Self::is_timeout) is true as well.
    pub fn is_connect(&self) -> bool {
        self.0.phase == Phase::Connecting
    }

    /// Returns whether a timeout expired: a timeout of the options, of a stream that the caller brought, or of the
    /// system (`ETIMEDOUT`).
    pub fn is_timeout(&self) -> bool {
        match self.kind() {
            ErrorKind::Timeout(_) => true,
            ErrorKind::System(error) => error.kind() == io::ErrorKind::TimedOut,
            #[cfg(feature = "tls")]
            ErrorKind::Tls(error) => {
                let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
                source.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
            }
            _ => false,
        }
    }

    /// Returns whether the request may be sent again without harm, on a new connection. The result is `true` in two
    /// cases:
    ///
    /// - **No connection was made** ([`is_connect`](Self::is_connect)), for a temporary reason, such as a restart of
    ///   the server: connections are refused, the Unix socket does not exist, there is no route, the connection ended
    ///   during the handshake, or a timeout expired. Nothing was sent, so sending again is safe for every method. Pause
    ///   before the next attempt, because the failed attempt may have taken no time.
    /// - **The connection ended before a byte of a response came**, and either no byte of the request was sent or the
    ///   method is idempotent. If no byte was sent, the server cannot have acted on the request. If the method is
    ///   idempotent, the server may act on the request twice (RFC 9110 §9.2.2).
    ///
    /// The result is `false` if another attempt would fail too, or might do harm. Examples are a denied permission, an
    /// address that cannot be used, a name that cannot be resolved, a refusal by either side (a certificate,
    /// `on_connect`), a process without a free descriptor, a timeout after the request was sent, and a malformed
    /// response.
    pub const fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Returns the fault of the server, if the kind is [`ErrorKind::Remote`].
    pub fn remote(&self) -> Option<RemoteError> {
        if let ErrorKind::Remote(error) = *self.kind() { Some(error) } else { None }
    }

    /// Returns the mistake of the caller, if the kind is [`ErrorKind::Local`].
    pub fn local(&self) -> Option<LocalError> {
        if let ErrorKind::Local(error) = *self.kind() { Some(error) } else { None }
    }

    /// Returns the error of TLS, if the kind is [`ErrorKind::Tls`].
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&degu_tls::Error> {
        if let ErrorKind::Tls(error) = self.kind() { Some(error) } else { None }
    }

    /// Returns the timeout that expired, if the kind is [`ErrorKind::Timeout`].
    pub fn timeout(&self) -> Option<Timeout> {
        if let ErrorKind::Timeout(timeout) = *self.kind() { Some(timeout) } else { None }
    }
}

impl ErrorKind {
    /// Returns whether another attempt to connect may succeed after this error.
    fn is_temporary(&self) -> bool {
        use io::ErrorKind::{
            ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
            NotFound, TimedOut,
        };
        match self {
            Self::Timeout(_) => true,
            // The standard library makes some errors itself, for example for a name without addresses. These errors are
            // permanent.
            Self::System(error) if error.raw_os_error().is_none() => false,
            Self::System(error) => matches!(
                error.kind(),
                ConnectionAborted
                    | ConnectionRefused
                    | ConnectionReset
                    | HostUnreachable
                    | NetworkDown
                    | NetworkUnreachable
                    | NotFound
                    | TimedOut
            ),
            #[cfg(feature = "tls")]
            Self::Tls(error) => matches!(error.kind(), degu_tls::error::Kind::Closed | degu_tls::error::Kind::Io),
            _ => false,
        }
    }
}

/// Writes a phrase, such as "while connecting".
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "while connecting",
            Self::Requesting => "before the request was sent",
            Self::AwaitingResponse => "while sending the request or waiting for the response",
            Self::ReadingBody => "while reading the body of the response",
        })
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(limit) => write!(f, "connecting took longer than {limit:?}"),
            Self::Head(limit) => write!(f, "the response's head was not complete within {limit:?}"),
            Self::Body(limit) => write!(f, "the body made no progress for {limit:?}"),
            Self::Exchange(limit) => write!(f, "the `timeout` of {limit:?} expired"),
            Self::Pool(limit) => write!(f, "no connection of the pool became free within {limit:?}"),
            Self::Stream => f.write_str("the stream that the caller brought reached its own timeout"),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(error) => write!(f, "the server sent {error}"),
            Self::Local(error) => write!(f, "the request cannot be sent: {error}"),
            Self::Body(error) => write!(f, "the body of the request cannot be produced: {error}"),
            Self::Address(error) => write!(f, "the address cannot be used: {error}"),
            Self::System(error) => write!(f, "the operating system returned an error: {error}"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => f.write_str(&error.explain()),
            Self::Status(status) => write!(f, "the server answered {status} {}", reason_phrase(*status)),
            Self::Content(error) => write!(f, "the body of the response is not as expected: {error}"),
            Self::Timeout(timeout) => timeout.fmt(f),
            Self::Interrupted => f.write_str("the caller interrupted the connection"),
            Self::Refused => f.write_str("`on_connect` refused the server"),
            Self::Closed => f.write_str("the connection was already closed"),
        }
    }
}

/// Writes one line: what happened, by whose fault, and in which phase.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { kind, phase, address, field, summary, .. } = &*self.0;
        match (&**kind, address, field) {
            (ErrorKind::System(error), Some(address), _) => return write_unreachable(f, error, address),
            (ErrorKind::Status(_), ..) => {
                kind.fmt(f)?;
                // The summary is escaped, because its text comes from the server.
                let summary = summary.as_deref().filter(|summary| !summary.is_empty());
                return summary.map_or(Ok(()), |summary| write!(f, ": {summary:?}"));
            }
            (ErrorKind::Local(rule), _, Some(name)) => {
                write!(f, "the request cannot be sent: field {name:?}: {rule}")?;
            }
            _ => kind.fmt(f)?,
        }
        write!(f, ", {phase}")?;
        address.as_ref().map_or(Ok(()), |address| write!(f, " to {address}"))
    }
}

/// Writes why the system could not connect to the address.
fn write_unreachable(f: &mut fmt::Formatter<'_>, error: &io::Error, address: &Address) -> fmt::Result {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => write!(f, "no server listens at {address}: connection refused"),
        io::ErrorKind::NotFound if address.is_unix() => {
            write!(f, "no such socket: {address}: the server is not running, or listens at another address")
        }
        io::ErrorKind::PermissionDenied if address.is_unix() => {
            write!(f, "permission denied at {address}: check the mode of the socket and of its folders")
        }
        _ => write!(f, "cannot connect to {address}: {error}"),
    }
}

/// Writes the same text as `Display`.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            ErrorKind::Remote(error) => Some(error),
            ErrorKind::Local(error) => Some(error),
            ErrorKind::Body(error) | ErrorKind::Content(error) => Some(&**error),
            ErrorKind::Address(error) => Some(error),
            ErrorKind::System(error) => Some(error),
            #[cfg(feature = "tls")]
            ErrorKind::Tls(error) => Some(error),
            _ => None,
        }
    }
}

macro_rules! causes {
    ($($variant:ident($source:ty)),*) => {$(
        impl From<$source> for ErrorKind {
            fn from(source: $source) -> Self {
                Self::$variant(source)
            }
        }
    )*};
}

causes!(Remote(RemoteError), Local(LocalError), Body(BoxError), Address(AddressError), Timeout(Timeout));
#[cfg(feature = "tls")]
causes!(Tls(degu_tls::Error));

impl From<io::Error> for ErrorKind {
    fn from(error: io::Error) -> Self {
        #[cfg(feature = "tls")]
        let error = match error.downcast::<degu_tls::Error>() {
            Ok(error) => return Self::Tls(error),
            Err(error) => error,
        };
        Self::System(error)
    }
}

impl From<Fault> for ErrorKind {
    fn from(fault: Fault) -> Self {
        Self::Remote(fault.into())
    }
}

/// Converts an error that the caller's header fields caused. The phase is [`Phase::Requesting`].
impl From<LocalError> for Error {
    fn from(error: LocalError) -> Self {
        Self::new(error, Phase::Requesting)
    }
}

/// Converts an error that one of the caller's header fields caused. [`Error::field`] then returns the name of this
/// field.
impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::from(error.rule()).of_field(Some(error.name()))
    }
}

/// Lets a caller pass `Headers`. The methods take any value that can be converted to `Headers`, and the conversion of
/// `Headers` itself cannot fail.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Converts an error that occurred while a [`Reader`](crate::Reader) read a body.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Remote(RemoteError { fault: Fault::TruncatedBody, .. }) => io::ErrorKind::UnexpectedEof,
            ErrorKind::Remote(_) | ErrorKind::Content(_) => io::ErrorKind::InvalidData,
            ErrorKind::Local(_) | ErrorKind::Address(_) => io::ErrorKind::InvalidInput,
            ErrorKind::System(error) => error.kind(),
            ErrorKind::Timeout(_) => io::ErrorKind::TimedOut,
            #[cfg(feature = "tls")]
            ErrorKind::Tls(_) if error.is_timeout() => io::ErrorKind::TimedOut,
            #[cfg(feature = "tls")]
            ErrorKind::Tls(_) => io::ErrorKind::ConnectionRefused,
            ErrorKind::Body(_) | ErrorKind::Status(_) => io::ErrorKind::Other,
            // `io::ErrorKind::Interrupted` would be wrong here, because many callers repeat a read after that kind.
            ErrorKind::Interrupted => io::ErrorKind::ConnectionAborted,
            ErrorKind::Refused => io::ErrorKind::ConnectionRefused,
            ErrorKind::Closed => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn unreachable_address_gives_reason_and_is_retryable_or_not() {
        let socket = Address::unix("/run/app.sock");
        let tcp: Address = "10.0.0.1:80".parse().unwrap();
        for (errno, address, is_retryable, text) in [
            (Errno::ECONNREFUSED, &socket, true, "no server listens at unix:/run/app.sock: connection refused"),
            (Errno::ECONNREFUSED, &tcp, true, "no server listens at 10.0.0.1:80: connection refused"),
            (
                Errno::ENOENT,
                &socket,
                true,
                "no such socket: unix:/run/app.sock: the server is not running, or listens at another address",
            ),
            (
                Errno::EACCES,
                &socket,
                false,
                "permission denied at unix:/run/app.sock: check the mode of the socket and of its folders",
            ),
            (Errno::EACCES, &tcp, false, "cannot connect to 10.0.0.1:80: SYSTEM"),
            (Errno::EHOSTUNREACH, &tcp, true, "cannot connect to 10.0.0.1:80: SYSTEM"),
            (Errno::ECONNRESET, &tcp, true, "cannot connect to 10.0.0.1:80: SYSTEM"),
            (Errno::ENAMETOOLONG, &socket, false, "cannot connect to unix:/run/app.sock: SYSTEM"),
        ] {
            let error = io::Error::from(errno);
            // The C library determines the text of a system error.
            let text = text.replace("SYSTEM", &error.to_string());
            let error = Error::connecting(error, address);
            assert_eq!((error.to_string(), error.is_retryable()), (text, is_retryable));
            assert!(error.is_connect() && !error.is_timeout(), "{error}");
        }
    }

    #[test]
    fn a_name_without_an_address_is_not_tried_again() {
        let error = io::Error::new(io::ErrorKind::NotFound, "the host name has no IP address");
        let error = Error::connecting(error, &Address::from_host("example.org", 80).unwrap());
        assert!(!error.is_retryable());
        assert_eq!(error.to_string(), "cannot connect to example.org:80: the host name has no IP address");
    }

    #[test]
    fn a_main_that_returns_an_error_prints_its_sentence() {
        let error: BoxError = Error::new(Timeout::Head(Duration::from_secs(2)), Phase::AwaitingResponse).into();
        assert_eq!(
            format!("{error:?}"),
            "the response's head was not complete within 2s, while sending the request or waiting for the response"
        );
    }
}
