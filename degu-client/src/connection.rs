//! The async connection: one exchange at a time.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
};

use degu_wire::{Address, Body, Headers, Method};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::exchange::is_part_of;
use crate::link::Link;
use crate::options::Base;
use crate::stream::Stream;
use crate::{ByteRange, Cause, Client, Error, Fault, Incoming, Response};

/// A connection to a server: made by [`Client::connect`], or over any stream by [`new`](Self::new).
///
/// It carries one exchange at a time, and a [`Response`] borrows it as long as it is used. A response whose body has not
/// been read to its end when the connection is used again, or looked at, is given up: if all of it has come already the
/// connection stays open, and otherwise it is closed there and then.
pub struct Connection {
    // Only the question whether it is closed locks it: everything else has it for itself.
    link: Mutex<Link>,
    address: Address,
    #[cfg(feature = "tls")]
    peer: Option<Arc<degu_tls::PeerIdentity>>,
}

impl Connection {
    /// A connection over any stream, with the options of `base`, and its Host field, address and nothing else of it: the
    /// stream is connected already. Unasked octets are noticed when they come with a response, not before a request.
    ///
    /// ```
    /// use degu_client::{Address, Client, Connection};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (near, mut far) = tokio::io::duplex(1024);
    /// let mut connection = Connection::new(near, &Client::new(Address::from_host("example.org", 80)?));
    /// far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    /// assert_eq!(connection.get("/").await?.status, 204);
    ///
    /// let mut request = [0; 37];
    /// far.read_exact(&mut request).await?;
    /// assert_eq!(&request, b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n".as_slice());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, base: &Client) -> Self {
        Self::over(Stream::Other(Box::new(io)), Arc::clone(&base.0), base.address().clone())
    }

    pub(crate) fn over(stream: Stream, base: Arc<Base>, address: Address) -> Self {
        Self {
            #[cfg(feature = "tls")]
            peer: stream.peer(),
            link: Mutex::new(Link::new(stream, base)),
            address,
        }
    }

    pub(crate) fn link(&mut self) -> &mut Link {
        self.link.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bare stream.
    #[cfg(feature = "hyper-util")]
    pub(crate) fn into_stream(self) -> Stream {
        self.link.into_inner().unwrap_or_else(PoisonError::into_inner).into_stream()
    }

    /// Asks `on_connect`.
    pub(crate) fn admit(mut self) -> Result<Self, Cause> {
        let Self { link, address, .. } = &mut self;
        link.get_mut().unwrap_or_else(PoisonError::into_inner).admit(address)?;
        Ok(self)
    }

    /// The address that was connected to: of a DNS name, the one that answered.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whose certificate the server proved to hold the key of, and who vouched for it; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn peer(&self) -> Option<&degu_tls::PeerIdentity> {
        self.peer.as_deref()
    }

    /// Whether the connection is closed: after an error, after a body that was dropped unread, or because one side asked
    /// for it. That the server has closed an idle connection is noticed when the next request is about to be sent.
    pub fn is_closed(&self) -> bool {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.settle();
        link.is_closed()
    }

    /// Sends a request, and gives the response as soon as its head has come.
    ///
    /// `uri` is the target as it is sent: a path with an optional query, a whole URI, or `*`. `headers` are added to those
    /// of the options, and replace those of the same name; framing and Host are written here.
    ///
    /// With `expect: 100-continue` among the headers the body is sent when the server says so, or after a second.
    ///
    /// ```no_run
    /// use degu_client::{Body, Connection, Method};
    ///
    /// # async fn example(connection: &mut Connection) -> Result<(), degu_client::Error> {
    /// let response = connection.request(Method::Put, "/notes/1", [("content-type", "text/plain")], "a note").await?;
    /// let found = connection.request("PROPFIND", "/notes/", [("depth", 1)], ()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Whatever went wrong; the connection is closed then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is done closes the connection.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled, if the options have timeouts.
    pub async fn request<'m>(
        &mut self,
        method: impl Into<Method<'m>>,
        uri: &str,
        headers: impl TryInto<Headers, Error: Into<Error>>,
        body: impl Into<Body>,
    ) -> Result<Response<'_>, Error> {
        let link = self.link();
        let headers = link.headers(headers)?;
        let mut source = link.begin(method.into(), uri, &headers, body.into())?;
        let head = poll_fn(|cx| link.poll_head(cx, &mut source)).await?;
        let (status, reason) = (head.status(), head.reason());
        Ok(Response { status, reason, headers: head.into_headers(), body: Incoming::new(link, source) })
    }
}

/// The short forms of [`request`](Self::request), without headers of their own.
impl Connection {
    /// Asks for what is there (RFC 9110 §9.3.1).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), which also tells about dropping and panics.
    pub async fn get(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Get, uri, (), ()).await
    }

    /// Asks for a part of what is there (RFC 9110 §14.2).
    ///
    /// The server may give the part (206, whose body is as long as its Content-Range says), all of it (200), or say that
    /// there is no such part (416): [`Response::content_range`] tells. A 206 is never given to a request that did not ask
    /// for one.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), and [`Fault::ContentRange`](crate::Fault::ContentRange) for another part than was
    /// asked for.
    pub async fn get_range(&mut self, uri: &str, range: impl Into<ByteRange>) -> Result<Response<'_>, Error> {
        let range = range.into();
        let mut response = self.request(Method::Get, uri, [("range", range)], ()).await?;
        if response.status == 206 && !is_part_of(range, response.content_range()) {
            return Err(response.body.fail(Fault::ContentRange));
        }
        Ok(response)
    }

    /// Asks for what [`get`](Self::get) would give, without the body (RFC 9110 §9.3.2).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn head(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Head, uri, (), ()).await
    }

    /// Puts something there (RFC 9110 §9.3.4).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn put(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Put, uri, (), body).await
    }

    /// Hands something over (RFC 9110 §9.3.3).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn post(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Post, uri, (), body).await
    }

    /// Removes what is there (RFC 9110 §9.3.5).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn delete(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Delete, uri, (), ()).await
    }

    /// Changes what is there (RFC 5789).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn patch(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Patch, uri, (), body).await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}
