//! The request, as the app sees it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use degu_wire::machine::RequestHead;
use degu_wire::{Headers, Method, query_pairs};
use smallvec::SmallVec;

use crate::Incoming;
use crate::upgrade::Offer;

/// The segments of a path. Eight segments need no allocation, and nearly every path has fewer.
pub(crate) type Segments<'h> = SmallVec<[&'h str; 8]>;

/// The path of a request, which is split when its segments are first asked for.
pub(crate) struct Path<'h> {
    head: &'h RequestHead,
    segments: OnceCell<Segments<'h>>,
}

impl<'h> Path<'h> {
    pub(crate) const fn of(head: &'h RequestHead) -> Self {
        Self { head, segments: OnceCell::new() }
    }
}

/// A [`Path`] without the lifetime of its head. A [`Request`] borrows the path for a shorter time than that, and the compiler cannot
/// shorten a lifetime inside of a `OnceCell`.
trait Split {
    fn segments(&self) -> &[&str];
}

impl Split for Path<'_> {
    fn segments(&self) -> &[&str] {
        self.segments.get_or_init(|| segments(self.head.path()))
    }
}

/// A request: its head, and a handle for reading its body.
///
/// The head is borrowed from the connection for `'r`, the time of the exchange, and not from the `Request`. So the body can be
/// read inside a `match` on method and path. [`into_owned`](Self::into_owned) is for apps that move the request into another
/// task.
///
/// ```
/// use degu_server::{BoxError, Method, Request, Response, Session};
///
/// async fn app(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
///     Ok(match (request.method(), request.segments()) {
///         (Method::Put, ["notes", name]) => {
///             let text = request.body.read_all(64 * 1024).await?;
///             (200, format!("{} bytes for {name}", text.len())).into()
///         }
///         _ => 404.into(),
///     })
/// }
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(app);
/// ```
pub struct Request<'r> {
    head: &'r RequestHead,
    path: &'r dyn Split,
    shifted: usize,
    /// The body, which the app can read, or send as the body of its response.
    pub body: Incoming,
}

impl<'r> Request<'r> {
    pub(crate) const fn new(path: &'r Path<'_>, body: Incoming) -> Self {
        Self { head: path.head, path, shifted: 0, body }
    }

    /// Returns the method.
    pub fn method(&self) -> Method<'r> {
        self.head.method()
    }

    /// Returns the whole path as it was sent, percent-encoded and without the query. It includes the mount. If the target is a whole
    /// URI, this is the path of the URI.
    pub fn path(&self) -> &'r str {
        self.head.path()
    }

    /// Returns the segments of the path, without the segments that a router has shifted to the mount. `/a/b` has `["a", "b"]`. `/a/`
    /// has `["a", ""]`, and is another resource than `/a`. `/` and `*` have no segments. Segments are as they were sent:
    /// [`decode_segment`](crate::decode_segment) decodes the percent-encoding of a segment.
    pub fn segments(&self) -> &'r [&'r str] {
        &self.path.segments()[self.shifted..]
    }

    /// Returns the segments that routers have shifted off the path: the path under which this app is mounted.
    pub fn mount(&self) -> &'r [&'r str] {
        &self.path.segments()[..self.shifted]
    }

    /// Moves the first of the [segments](Self::segments) to the end of the mount, and returns it. A router does this.
    pub fn shift_path(&mut self) -> Option<&'r str> {
        let first = self.segments().first().copied()?;
        self.shifted += 1;
        Some(first)
    }

    /// Returns the request target as it was sent: a path with an optional query, a whole URI, or `*`.
    pub fn target(&self) -> &'r str {
        self.head.target()
    }

    /// Returns the host and port that the request is for. They are in the target if it is a whole URI, and otherwise in Host. The
    /// text is empty if Host is empty, or if an HTTP/1.0 request has no Host.
    pub fn authority(&self) -> &'r str {
        self.head.authority()
    }

    /// Returns the query, which follows the `?`, as it was sent.
    pub fn query(&self) -> Option<&'r str> {
        self.head.query()
    }

    /// Returns the pairs of a query of the form `name=value&name=value`, in their order. A name without `=` has the empty value.
    /// Names and values are decoded: `+` becomes a space, percent-encoding is decoded, and bytes that are not UTF-8 become U+FFFD.
    ///
    /// ```
    /// use degu_server::{Request, Session};
    ///
    /// /// Returns `text=café au lait` for `/?text=caf%C3%A9+au+lait`.
    /// async fn show(_: &mut Session, request: Request<'_>) -> String {
    ///     request.query_pairs().map(|(name, value)| format!("{name}={value}\n")).collect()
    /// }
    /// # fn is_an_app(_: impl degu_server::App) {}
    /// # is_an_app(show);
    /// ```
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'r, str>, Cow<'r, str>)> + use<'r> {
        query_pairs(self.query().unwrap_or_default())
    }

    /// Returns the first value of this name in the query, decoded as in [`query_pairs`](Self::query_pairs). Nothing is
    /// allocated for a value without encoding.
    pub fn query_value(&self, name: &str) -> Option<Cow<'r, str>> {
        self.query_pairs().find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Returns every value of this name in the query, decoded as in [`query_pairs`](Self::query_pairs).
    pub fn query_values<'n>(&self, name: &'n str) -> impl Iterator<Item = Cow<'r, str>> + use<'r, 'n> {
        self.query_pairs().filter_map(move |(found, value)| (found == name).then_some(value))
    }

    /// Returns the header fields.
    pub fn headers(&self) -> &'r Headers {
        self.head.headers()
    }

    /// Returns the client's offer to switch to this protocol (RFC 9110 §7.8), `websocket` or `tcp` for example. `None` if the
    /// client did not offer it, or uses HTTP/1.0. Names are compared without case.
    pub fn upgrade(&self, protocol: &str) -> Option<Offer> {
        self.head.offers(protocol).then(|| Offer::new(protocol))
    }

    /// Returns whether the client uses HTTP/1.0. This does not change the meaning of the request.
    #[cfg(feature = "proxy")]
    pub(crate) const fn is_http10(&self) -> bool {
        self.head.is_http10()
    }

    /// Returns the head, and the number of segments that were shifted off its path.
    pub(crate) fn into_head(self) -> (RequestHead, usize) {
        (self.head.clone(), self.shifted)
    }

    /// Returns the request as a value that borrows nothing, so another task can own it. Its head shares the received bytes, and
    /// does not copy them.
    pub fn into_owned(self) -> OwnedRequest {
        OwnedRequest { head: self.head.clone(), shifted: self.shifted, body: self.body }
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("head", self.head).field("mount", &self.mount()).finish_non_exhaustive()
    }
}

/// A [`Request`] that borrows nothing.
pub struct OwnedRequest {
    head: RequestHead,
    shifted: usize,
    /// The body. It can be read until the exchange is over, that is until the response has been sent.
    pub body: Incoming,
}

/// Defines the methods of a request that borrows nothing and has the fields `head` and `shifted`.
macro_rules! owned_head {
    ($request:ty) => {
        impl $request {
            /// Returns the method.
            pub fn method(&self) -> crate::Method<'_> {
                self.head.method()
            }

            /// Returns the path as it was sent: see [`Request::path`](crate::Request::path).
            pub fn path(&self) -> &str {
                self.head.path()
            }

            /// Returns the segments of the path, without the mount: see [`Request::segments`](crate::Request::segments).
            pub fn segments(&self) -> Vec<&str> {
                crate::request::segments(self.head.path())[self.shifted..].to_vec()
            }

            /// Returns the segments that routers have shifted off the path: see [`Request::mount`](crate::Request::mount).
            pub fn mount(&self) -> Vec<&str> {
                crate::request::segments(self.head.path())[..self.shifted].to_vec()
            }

            /// Returns the request target as it was sent.
            pub fn target(&self) -> &str {
                self.head.target()
            }

            /// Returns the host and port that the request is for.
            pub fn authority(&self) -> &str {
                self.head.authority()
            }

            /// Returns the query, which follows the `?`, as it was sent.
            pub fn query(&self) -> Option<&str> {
                self.head.query()
            }

            /// Returns the pairs of the query, decoded: see [`Request::query_pairs`](crate::Request::query_pairs).
            pub fn query_pairs(&self) -> impl Iterator<Item = (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)> {
                degu_wire::query_pairs(self.query().unwrap_or_default())
            }

            /// Returns the first value of this name in the query, decoded: see
            /// [`Request::query_value`](crate::Request::query_value).
            pub fn query_value(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
                self.query_pairs().find_map(|(found, value)| (found == name).then_some(value))
            }

            /// Returns every value of this name in the query, decoded: see
            /// [`Request::query_values`](crate::Request::query_values).
            pub fn query_values<'n>(
                &self,
                name: &'n str,
            ) -> impl Iterator<Item = std::borrow::Cow<'_, str>> + use<'_, 'n> {
                self.query_pairs().filter_map(move |(found, value)| (found == name).then_some(value))
            }

            /// Returns the header fields.
            pub fn headers(&self) -> &crate::Headers {
                self.head.headers()
            }
        }
    };
}

pub(crate) use owned_head;

owned_head!(OwnedRequest);

impl fmt::Debug for OwnedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedRequest").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Returns the segments of a whole path.
pub(crate) fn segments(path: &str) -> Segments<'_> {
    let mut segments = Segments::new();
    let Some(mut rest) = path.strip_prefix('/').filter(|rest| !rest.is_empty()) else { return segments };
    // Segments are short, so a search byte by byte is faster than `str::find`.
    while let Some(end) = rest.bytes().position(|byte| byte == b'/') {
        segments.push(&rest[..end]);
        rest = &rest[end + 1..];
    }
    segments.push(rest);
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_segments() {
        for (path, expected) in [
            ("/", &[][..]),
            ("*", &[]),
            ("/a", &["a"]),
            ("/a/", &["a", ""]),
            ("/a/b", &["a", "b"]),
            ("//", &["", ""]),
            ("/a//b", &["a", "", "b"]),
            ("/%2F", &["%2F"]),
        ] {
            assert_eq!(&segments(path)[..], expected, "{path}");
        }
    }
}
