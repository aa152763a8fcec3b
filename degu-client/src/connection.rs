//! The connection of either client: one exchange at a time.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use degu_wire::Address;

use crate::link::{Driver, Link};
use crate::options::Base;

/// A connection to a server. `connect` of a [client](crate::ClientOf) makes one; `new` makes one over any stream.
///
/// A connection carries one exchange at a time, and a response borrows the connection while the response exists. A
/// caller may drop a response before it has read the whole body. The next use of the connection, or
/// [`is_closed`](Self::is_closed), then ends that exchange: if the whole body has been received the connection stays
/// open, and otherwise it is closed.
///
/// # Cancel safety
///
/// Dropping the future of a request closes an async connection, unless the future has returned the response.
///
/// # Panics
///
/// An async connection panics outside of a tokio runtime with I/O and time enabled.
pub struct ConnectionOf<D: Driver> {
    // Locked only by methods on `&self`.
    link: Mutex<Link<D>>,
    address: Address,
    #[cfg(feature = "tls")]
    peer: Option<Arc<degu_tls::PeerIdentity>>,
}

impl<D: Driver> ConnectionOf<D> {
    pub(crate) fn over(stream: Box<D::Stream>, base: Arc<Base>, address: Address) -> Self {
        Self {
            #[cfg(feature = "tls")]
            peer: crate::stream::Stream::peer(&*stream).cloned(),
            link: Mutex::new(Link::new(stream, base)),
            address,
        }
    }

    pub(crate) fn link(&mut self) -> &mut Link<D> {
        self.link.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn locked(&self) -> MutexGuard<'_, Link<D>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of bytes of a response's body that are still to be received, if it is known.
    #[cfg(feature = "async")]
    pub(crate) fn body_remaining(&self) -> Option<u64> {
        self.locked().exchange.machine.body_remaining()
    }

    /// Sets how long each exchange from the next on may take as a whole, instead of
    /// [`timeout`](crate::OptionsOf::timeout) of the options.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # fn example(connection: &mut degu_client::blocking::Connection) -> Result<(), degu_client::Error> {
    /// connection.set_timeout(Duration::from_secs(2));
    /// let status = connection.get("/status")?.body.read_all(1024)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_timeout(&mut self, limit: impl Into<Option<Duration>>) {
        self.link().timeout = limit.into();
    }

    /// Returns the address to which the connection was made. For a DNS name it is the IP address that accepted the
    /// connection.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the identity in the server's certificate, with the CA that vouched for it; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.peer.as_deref()
    }

    /// Returns whether the connection is closed: after an error, after a body that was dropped unread, or because one
    /// side asked for it. If the server closes an idle connection, the client notices only before it sends the next
    /// request.
    pub fn is_closed(&self) -> bool {
        let mut link = self.locked();
        link.settle();
        link.is_closed()
    }
}

impl<D: Driver> fmt::Debug for ConnectionOf<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Defines the requests of a connection: with `async` and `.await` for the async client, without them for the blocking
/// one. [`Connection`](crate::blocking::Connection) of each client has examples.
macro_rules! requests {
    ($driver:ty, $source:ty, $wait:path, [$($async:tt)?], [$($await:tt)*]) => {
        impl crate::connection::ConnectionOf<$driver> {
            /// Sends a request, and returns the response as soon as its head has been received.
            ///
            /// `uri` is the target as it is sent: a path with an optional query, a whole URI, or `*`. `headers` are
            /// added to the fields of the options, and replace fields with the same name. The client writes framing and
            /// Host. `body` is any value that is [`IntoBody`](crate::IntoBody): `()`, text, bytes, a body.
            ///
            /// If the headers contain `expect: 100-continue`, the client sends the body when the server asks for it, or
            /// after a second.
            ///
            /// # Errors
            ///
            /// Any error of the exchange. After most errors the connection is closed. It stays open after two kinds of
            /// errors, because no byte of the request was written: if the request [cannot be
            /// sent](crate::ErrorKind::Local), where [`field`](crate::Error::field) of the error says which field is
            /// wrong; and if [no body](crate::ErrorKind::Body) could be made.
            pub $($async)? fn request<'m>(
                &mut self,
                method: impl Into<crate::Method<'m>>,
                uri: &str,
                headers: impl TryInto<crate::Headers, Error: Into<crate::Error>>,
                body: impl crate::IntoBody<$source>,
            ) -> Result<Response<'_>, crate::Error> {
                let link = self.link();
                let mut source = link.begin(method.into(), uri, headers, body, None)?;
                let head = $wait(|cx| link.poll_head(cx, &mut source)) $($await)* ?;
                let body = Incoming::new(link, source, &head);
                Ok(Response::new(head, body))
            }

            /// Sends a request that offers to switch to another protocol (RFC 9110 §7.8), such as `websocket` or `tcp`.
            /// Returns the server's answer as soon as its head has been received.
            ///
            /// The client writes the fields `connection` and `upgrade`; everything else is as for
            /// [`request`](Self::request). If the server accepts, the stream leaves the connection, and the connection
            /// is closed.
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request), and
            /// [`Fault::UnexpectedUpgrade`](crate::Fault::UnexpectedUpgrade) for a 101 that names another protocol, or
            /// that comes before the whole request has been sent.
            pub $($async)? fn upgrade<'m>(
                &mut self,
                method: impl Into<crate::Method<'m>>,
                uri: &str,
                protocol: &str,
                headers: impl TryInto<crate::Headers, Error: Into<crate::Error>>,
                body: impl crate::IntoBody<$source>,
            ) -> Result<Upgrade<'_>, crate::Error> {
                let link = self.link();
                let mut source = link.begin(method.into(), uri, headers, body, Some(protocol))?;
                let head = $wait(|cx| link.poll_head(cx, &mut source)) $($await)* ?;
                Ok(match link.take_switched() {
                    Some((stream, first)) => Upgrade::Switched {
                        response: crate::ResponseOf::new(head, ()),
                        tunnel: crate::TunnelOf::new(stream, first),
                    },
                    None => {
                        let body = Incoming::new(link, source, &head);
                        Upgrade::Declined(Response::new(head, body))
                    }
                })
            }
        }

        crate::short_forms::short_forms!(
            crate::connection::ConnectionOf<$driver>, [&mut], Response<'_>, $source, [$($async)?], [$($await)*]
        );
    };
}

pub(crate) use requests;
