//! The connection of either client: one exchange at a time.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use degu_wire::Address;

use crate::link::{Driver, Link};
use crate::options::Base;

/// A connection to a server. `connect` of a [client](crate::ClientOf) makes a connection. `new` makes a connection over
/// any stream.
///
/// A connection carries one exchange at a time. A response borrows the connection while the response exists. The caller
/// may drop a response without having read the whole body. The next request, or [`is_closed`](Self::is_closed), then
/// ends that exchange. If the whole body has been received, the connection stays open. Otherwise the connection is
/// closed.
///
/// # Cancel safety
///
/// If the future of a request is dropped before it has returned the response, the async connection is closed.
///
/// # Panics
///
/// An async connection panics outside of a tokio runtime with I/O and time enabled.
pub struct ConnectionOf<D: Driver> {
    // Methods on `&self` lock the link. Methods on `&mut self` need no lock.
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

    /// Sets how long each later exchange of this connection may take as a whole, instead of
    /// [`timeout`](crate::OptionsOf::timeout) of the options. `None` means no limit.
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

    /// Returns the address to which the connection was made. For a DNS name the result is the IP address that accepted
    /// the connection.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the verified certificate of the server, with its CA; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.peer.as_deref()
    }

    /// Returns whether the connection is closed: after an error, after a body that was dropped unread, or after
    /// `connection: close` from either side. If the server closes an idle connection, this method still returns
    /// `false`, because the client checks the socket only before it sends the next request.
    pub fn is_closed(&self) -> bool {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.settle();
        link.is_closed()
    }
}

impl<D: Driver> fmt::Debug for ConnectionOf<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Defines the methods that send a request over a connection: with `async` and `.await` for the async client, without
/// them for the blocking client. [`Connection`](crate::blocking::Connection) of each client has examples.
macro_rules! requests {
    ($driver:ty, $source:ty, $wait:path, [$($async:tt)?], [$($await:tt)*]) => {
        impl crate::connection::ConnectionOf<$driver> {
            /// Sends a request, and returns the response as soon as its head has been received.
            ///
            /// `uri` is the target as it is sent: a path with an optional query, a whole URI, or `*`. `headers` are
            /// added to the fields of the options, and replace fields with the same name. The client adds Host if
            /// `headers` have none, and the fields for framing. `body` is any value that is
            /// [`IntoBody`](crate::IntoBody): `()`, text, bytes, or a body.
            ///
            /// If the headers contain `expect: 100-continue`, the client sends the body when the server asks for it, or
            /// after 1 s. If the body is known to be empty, this field is not sent.
            ///
            /// # Errors
            ///
            /// Any error of the exchange. After most errors the connection is closed. The connection stays open if the
            /// request [cannot be sent](crate::ErrorKind::Local) or its [body cannot be made](crate::ErrorKind::Body),
            /// because no byte of the request was written. [`field`](crate::Error::field) of the error names the field
            /// at fault, if there is one.
            pub $($async)? fn request<'m>(
                &mut self,
                method: impl Into<crate::Method<'m>>,
                uri: &str,
                headers: impl TryInto<crate::Headers, Error: Into<crate::Error>>,
                body: impl crate::IntoBody<$source>,
            ) -> Result<Response<'_>, crate::Error> {
                let link = self.link();
                let mut source = link.begin(method.into(), uri, headers, body, None)?;
                $wait(|cx| link.poll_head(cx, &mut source)) $($await)* ?;
                let head = link.take_head()?;
                let lent = Lent(crate::incoming::Lender::Connection(link));
                Ok(Response::new(head, |head| Incoming::new(lent, source, head)))
            }

            /// Sends a request that offers to switch to another protocol (RFC 9110 §7.8), such as `websocket` or `tcp`.
            /// Returns the server's answer as soon as its head has been received.
            ///
            /// The client adds the fields `connection` and `upgrade`. Everything else is as for
            /// [`request`](Self::request). If the server accepts, the caller gets the byte stream, and the connection
            /// counts as closed.
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request), and
            /// [`Fault::UnexpectedUpgrade`](crate::Fault::UnexpectedUpgrade) if a 101 names another protocol, or comes
            /// before the whole request has been sent.
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
                $wait(|cx| link.poll_head(cx, &mut source)) $($await)* ?;
                let head = link.take_head()?;
                if let Some((stream, first)) = link.take_switched() {
                    let (response, tunnel) = (crate::ResponseOf::new(head, |_| ()), Tunnel::new(stream, first));
                    return Ok(Upgrade::Switched { response, tunnel });
                }
                let lent = Lent(crate::incoming::Lender::Connection(link));
                Ok(Upgrade::Declined(Response::new(head, |head| Incoming::new(lent, source, head))))
            }
        }

        crate::short_forms::short_forms!(
            crate::connection::ConnectionOf<$driver>, [&mut], Response<'_>, $source, [$($async)?], [$($await)*]
        );
    };
}

pub(crate) use requests;
