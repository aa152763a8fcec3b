//! What can go wrong in an exchange: by whose fault, and what was being done.

use std::{convert::Infallible, fmt, io, time::Duration};

use degu_wire::{Address, AddressError, BoxError, Fault, FieldError, LocalError, RemoteError};

/// An exchange that failed, or a connection that could not be made.
///
/// It says [whose fault](Cause) it is, [what was being done](Doing), and whether the request [may be sent
/// again](Self::is_retryable). The connection is closed after it, unless the request was refused before anything of it was
/// written ([`Cause::Local`] while [`Doing::Requesting`]): then it is as it was.
///
/// # Sending again
///
/// A server may close a connection that is idle at any time, also while the next request is on its way. A caller that keeps
/// connections sends such a request again, once, on a new one:
///
/// ```no_run
/// use degu_client::{Bytes, blocking::{Client, Connection, Error}};
///
/// fn fetch(client: &Client, kept: &mut Option<Connection>, uri: &str) -> Result<Bytes, Error> {
///     loop {
///         let reused = kept.is_some();
///         let mut connection = match kept.take() {
///             Some(connection) => connection,
///             None => client.connect()?,
///         };
///         match connection.get(uri).and_then(|response| response.body.read_all(64 * 1024)) {
///             Ok(text) => {
///                 *kept = Some(connection).filter(|connection| !connection.is_closed());
///                 return Ok(text);
///             }
///             Err(error) if reused && error.is_retryable() => {}
///             Err(error) => return Err(error),
///         }
///     }
/// }
/// ```
// In a box, since every result of an exchange has room for one.
#[derive(Debug)]
pub struct Error(Box<Failure>);

#[derive(Debug)]
struct Failure {
    cause: Cause,
    doing: Doing,
    retryable: bool,
    /// The address to which a connection could not be made.
    address: Option<Address>,
    /// The field that was refused.
    field: Option<Box<str>>,
}

/// The party at fault for an [`Error`], and what happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The server broke the protocol, or a limit of ours.
    Remote(RemoteError),
    /// The caller asked for something that cannot be sent.
    Local(LocalError),
    /// The body of the request failed: what its source says.
    Body(BoxError),
    /// The address cannot be used.
    Address(AddressError),
    /// The system: sockets, name lookup, interfaces.
    System(io::Error),
    /// TLS: one side refused the other, which an alert may say only in place of the response; or the policy cannot be
    /// applied to this address. [`alert`](degu_tls::Error::alert) is what the server said.
    #[cfg(feature = "tls")]
    Tls(degu_tls::Error),
    /// A deadline passed.
    Timeout(Deadline),
    /// `on_connect` refused the connection.
    Refused,
    /// The connection is closed: by an earlier error, a body that was dropped unread, or because either side asked for it.
    Closed,
}

/// The phase in which an [`Error`] came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Doing {
    /// Making a connection.
    Connecting,
    /// Sending a request, or checking before that the connection is in order.
    Requesting,
    /// Awaiting the head of the response.
    AwaitingResponse,
    /// Reading the body of the response.
    ReadingBody,
}

/// A deadline, with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deadline {
    /// The connection was not made in time: [`OptionsOf::connect_timeout`](crate::OptionsOf::connect_timeout).
    Connect(Duration),
    /// The head of the response did not come in time: [`OptionsOf::head_timeout`](crate::OptionsOf::head_timeout).
    Head(Duration),
    /// A body stood still: [`OptionsOf::body_idle`](crate::OptionsOf::body_idle).
    BodyIdle(Duration),
    /// A timeout of the stream itself, of which nothing more is known.
    Stream,
}

impl Error {
    #[cold]
    pub(crate) fn new(cause: impl Into<Cause>, doing: Doing) -> Self {
        Self(Box::new(Failure { cause: cause.into(), doing, retryable: false, address: None, field: None }))
    }

    pub(crate) fn connecting(cause: impl Into<Cause>, address: &Address) -> Self {
        let mut error = Self::new(cause, Doing::Connecting);
        error.0.address = Some(address.clone());
        error
    }

    pub(crate) fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// Notes the field because of which the request was refused.
    pub(crate) fn of_field(mut self, name: Option<&str>) -> Self {
        self.0.field = name.map(Into::into);
        self
    }

    /// Returns the name of the field because of which the request was refused, if that is what happened.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Returns the address to which a connection could not be made, if that is what happened.
    pub fn address(&self) -> Option<&Address> {
        self.0.address.as_ref()
    }

    /// Returns whose fault it is.
    pub const fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// Returns what was being done.
    pub const fn doing(&self) -> Doing {
        self.0.doing
    }

    /// Returns whether the request may be sent again, on a new connection, without harm: the connection ended before
    /// a byte of a response came, and either no byte of the request had gone out, so that it was not acted on, or the
    /// method is idempotent, so that it may be acted on twice (RFC 9110 §9.2.2).
    ///
    /// `false` for a connection that could not be made, since there was no request.
    pub const fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Returns what the server did wrong, if that is what happened.
    pub const fn remote(&self) -> Option<RemoteError> {
        if let Cause::Remote(error) = self.0.cause { Some(error) } else { None }
    }

    /// Returns what the caller did wrong, if that is what happened.
    pub const fn local(&self) -> Option<LocalError> {
        if let Cause::Local(error) = self.0.cause { Some(error) } else { None }
    }

    /// Returns the error of TLS, if that is what went wrong.
    #[cfg(feature = "tls")]
    pub const fn tls(&self) -> Option<&degu_tls::Error> {
        if let Cause::Tls(error) = &self.0.cause { Some(error) } else { None }
    }

    /// Returns the deadline that passed, if that is what happened.
    pub const fn timeout(&self) -> Option<Deadline> {
        if let Cause::Timeout(deadline) = self.0.cause { Some(deadline) } else { None }
    }
}

/// Writes a clause: "while connecting".
impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "while connecting",
            Self::Requesting => "before or while the request was sent",
            Self::AwaitingResponse => "while the response was awaited",
            Self::ReadingBody => "while the response's body was read",
        })
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(limit) => write!(f, "no connection within {limit:?}"),
            Self::Head(limit) => write!(f, "no whole response head within {limit:?}"),
            Self::BodyIdle(limit) => write!(f, "no progress of the body within {limit:?}"),
            Self::Stream => f.write_str("the stream's own timeout passed"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(error) => write!(f, "the server sent {error}"),
            Self::Local(error) => write!(f, "the request cannot be sent: {error}"),
            Self::Body(error) => write!(f, "the request's body failed: {error}"),
            Self::Address(error) => write!(f, "the address cannot be used: {error}"),
            Self::System(error) => write!(f, "the system reports: {error}"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => f.write_str(&error.explain()),
            Self::Timeout(deadline) => deadline.fmt(f),
            Self::Refused => f.write_str("on_connect refused the server"),
            Self::Closed => f.write_str("the connection is closed"),
        }
    }
}

/// Writes one line: what happened, by whose fault, and what was being done.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { cause, doing, address, field, .. } = &*self.0;
        match (cause, field) {
            (Cause::Local(rule), Some(name)) => write!(f, "the request cannot be sent: field {name:?}: {rule}")?,
            _ => cause.fmt(f)?,
        }
        write!(f, ", {doing}")?;
        address.as_ref().map_or(Ok(()), |address| write!(f, " to {address}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.cause {
            Cause::Remote(error) => Some(error),
            Cause::Local(error) => Some(error),
            Cause::Body(error) => Some(&**error),
            Cause::Address(error) => Some(error),
            Cause::System(error) => Some(error),
            #[cfg(feature = "tls")]
            Cause::Tls(error) => Some(error),
            Cause::Timeout(_) | Cause::Refused | Cause::Closed => None,
        }
    }
}

macro_rules! causes {
    ($($variant:ident($source:ty)),*) => {$(
        impl From<$source> for Cause {
            fn from(source: $source) -> Self {
                Self::$variant(source)
            }
        }
    )*};
}

causes!(Remote(RemoteError), Local(LocalError), Body(BoxError), Address(AddressError), Timeout(Deadline));

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        #[cfg(feature = "tls")]
        let error = match error.downcast::<degu_tls::Error>() {
            Ok(error) => return Self::Tls(error),
            Err(error) => error,
        };
        Self::System(error)
    }
}

#[cfg(feature = "tls")]
impl From<degu_tls::Error> for Cause {
    fn from(error: degu_tls::Error) -> Self {
        Self::Tls(error)
    }
}

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        Self::Remote(fault.into())
    }
}

/// Converts the error of headers that the caller gave.
impl From<LocalError> for Error {
    fn from(error: LocalError) -> Self {
        Self::new(error, Doing::Requesting)
    }
}

/// Converts the error of headers that the caller gave, with the field that is wrong.
impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::from(error.rule()).of_field(Some(error.name()))
    }
}

/// Lets `Headers` stand where headers are converted, which cannot fail.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Converts the error for the views of a body as a reader.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.cause() {
            Cause::Remote(RemoteError { fault: Fault::TruncatedBody, .. }) => io::ErrorKind::UnexpectedEof,
            Cause::Remote(_) => io::ErrorKind::InvalidData,
            Cause::Local(_) | Cause::Address(_) => io::ErrorKind::InvalidInput,
            Cause::System(error) => error.kind(),
            #[cfg(feature = "tls")]
            Cause::Tls(_) => io::ErrorKind::ConnectionRefused,
            Cause::Timeout(_) => io::ErrorKind::TimedOut,
            Cause::Body(_) => io::ErrorKind::Other,
            Cause::Refused => io::ErrorKind::ConnectionRefused,
            Cause::Closed => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}
