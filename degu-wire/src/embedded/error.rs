//! The errors of an exchange or a connection.

use core::fmt;

use embedded_io_async::ErrorKind;

use crate::{LocalError, RemoteError};

/// The reason why an exchange failed. The variants name the party at fault. `E` is the error of the transport.
///
/// ```
/// use degu_wire::{Fault, embedded::Error};
///
/// let error = Error::<core::convert::Infallible>::Peer(Fault::HeadTooLarge.into());
/// assert_eq!(error.status(), Some(431));
/// assert_eq!(error.to_string(), "the peer sent a head longer than the limit (`max_head`)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The transport failed.
    Io(E),
    /// The peer violated the protocol, or exceeded a limit.
    Peer(RemoteError),
    /// The handler or the caller tried to send something that cannot be sent, or a buffer is too small.
    Local(LocalError),
    /// The peer took longer than [`Options`](super::Options) allows.
    Timeout,
}

impl<E> Error<E> {
    /// Returns the status with which a server answers if no response has begun. Returns `None` if the transport failed.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Io(_) => None,
            Self::Peer(error) => Some(error.status()),
            Self::Local(_) => Some(500),
            Self::Timeout => Some(408),
        }
    }
}

impl<E> From<RemoteError> for Error<E> {
    fn from(error: RemoteError) -> Self {
        Self::Peer(error)
    }
}

impl<E> From<LocalError> for Error<E> {
    fn from(error: LocalError) -> Self {
        Self::Local(error)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the transport failed: {error}"),
            Self::Peer(error) => write!(f, "the peer sent {error}"),
            Self::Local(error) => error.fmt(f),
            Self::Timeout => f.write_str("the peer took longer than the options allow (`head` or `progress`)"),
        }
    }
}

impl<E: core::error::Error> core::error::Error for Error<E> {}

/// The readers and writers of bodies implement traits of `embedded_io_async`, which require this trait of their error
/// type.
impl<E: embedded_io_async::Error> embedded_io_async::Error for Error<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::Peer(_) => ErrorKind::InvalidData,
            Self::Local(_) => ErrorKind::InvalidInput,
            Self::Timeout => ErrorKind::TimedOut,
        }
    }
}
