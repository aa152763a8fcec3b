//! The blocking connection: one exchange at a time.

use std::{
    fmt,
    io::{Read, Write},
    sync::{Arc, Mutex, PoisonError},
};

use degu_wire::{Address, Headers, Method};

use super::link::Link;
use super::stream::Stream;
use super::{Body, Client, Incoming, Response};
use crate::exchange::is_part_of;
use crate::options::Base;
use crate::{ByteRange, Cause, Error, Fault};

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
    /// stream is connected already.
    ///
    /// Nothing is known of the stream but how to read and write, so that the request is sent in full before the response
    /// is read, and deadlines are those of the stream itself. A server that answers before it has read a large request
    /// may then wait for us while we wait for it: such an exchange wants a socket. Unasked octets are noticed when they
    /// come with a response, not before a request.
    pub fn new(io: impl Read + Write + Send + 'static, base: &Client) -> Self {
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

    /// Sets what the socket needs to know, and asks `on_connect`.
    pub(super) fn admit(mut self) -> Result<Self, Cause> {
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
    /// use degu_client::{Method, blocking::Connection};
    ///
    /// # fn example(connection: &mut Connection) -> Result<(), degu_client::Error> {
    /// let response = connection.request(Method::Put, "/notes/1", [("content-type", "text/plain")], "a note")?;
    /// let found = connection.request("PROPFIND", "/notes/", [("depth", 1)], ())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Whatever went wrong; the connection is closed then.
    pub fn request<'m>(
        &mut self,
        method: impl Into<Method<'m>>,
        uri: &str,
        headers: impl TryInto<Headers, Error: Into<Error>>,
        body: impl Into<Body>,
    ) -> Result<Response<'_>, Error> {
        let link = self.link.get_mut().unwrap_or_else(PoisonError::into_inner);
        let headers = link.headers(headers)?;
        let mut parts = link.begin(method.into(), uri, &headers, body.into())?;
        let head = link.wait_for_head(&mut parts)?;
        let (status, reason) = (head.status(), head.reason());
        Ok(Response { status, reason, headers: head.into_headers(), body: Incoming::new(link, parts) })
    }
}

/// The short forms of [`request`](Self::request), without headers of their own.
impl Connection {
    /// Asks for what is there (RFC 9110 §9.3.1).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn get(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Get, uri, (), ())
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
    pub fn get_range(&mut self, uri: &str, range: impl Into<ByteRange>) -> Result<Response<'_>, Error> {
        let range = range.into();
        let mut response = self.request(Method::Get, uri, [("range", range)], ())?;
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
    pub fn head(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Head, uri, (), ())
    }

    /// Puts something there (RFC 9110 §9.3.4).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn put(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Put, uri, (), body)
    }

    /// Hands something over (RFC 9110 §9.3.3).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn post(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Post, uri, (), body)
    }

    /// Removes what is there (RFC 9110 §9.3.5).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn delete(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Delete, uri, (), ())
    }

    /// Changes what is there (RFC 5789).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn patch(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Patch, uri, (), body)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}
