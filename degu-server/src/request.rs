//! The request that an app gets.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use degu_wire::machine::RequestHead;
use degu_wire::{Headers, Method, query_pairs};
use smallvec::SmallVec;

use crate::Incoming;
use crate::upgrade::Offer;

/// The segments of a path. A path of up to eight segments needs no allocation, and few paths have more.
pub(crate) type Segments<'h> = SmallVec<[&'h str; 8]>;

/// The path of a request. It is split into segments at the first call of [`Split::segments`].
pub(crate) struct Path<'h> {
    head: &'h RequestHead,
    segments: OnceCell<Segments<'h>>,
}

impl<'h> Path<'h> {
    pub(crate) const fn of(head: &'h RequestHead) -> Self {
        Self { head, segments: OnceCell::new() }
    }
}

/// A [`Path`] whose type does not contain the lifetime of the head. A [`Request`] needs a shorter lifetime, and the compiler
/// cannot shorten a lifetime inside of a `OnceCell`.
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
/// The lifetime `'r` is the duration of the exchange. Methods return references to the head with this lifetime, and do not
/// borrow the `Request`. The body can therefore be read inside a `match` on method and path. An app that moves the request
/// into another task calls [`into_owned`](Self::into_owned).
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

    /// Returns the whole path as it was sent, with its percent-encoding and without the query. The path includes the
    /// [mount](Self::mount). If the target is a whole URI, this is the path of the URI.
    pub fn path(&self) -> &'r str {
        self.head.path()
    }

    /// Returns the segments of the path, without the segments of the [mount](Self::mount).
    ///
    /// The segments of `/a/b` are `["a", "b"]`. The segments of `/a/` are `["a", ""]`, because `/a/` and `/a` are different
    /// resources. `/` and `*` have no segments. Segments are not decoded: [`decode_segment`](crate::decode_segment) decodes
    /// their percent-encoding.
    pub fn segments(&self) -> &'r [&'r str] {
        &self.path.segments()[self.shifted..]
    }

    /// Returns the path under which this app is mounted: the segments that routers have shifted off the path.
    pub fn mount(&self) -> &'r [&'r str] {
        &self.path.segments()[..self.shifted]
    }

    /// Moves the first of the [segments](Self::segments) to the end of the [mount](Self::mount), and returns the segment.
    /// Routers call this method.
    pub fn shift_path(&mut self) -> Option<&'r str> {
        let first = self.segments().first().copied()?;
        self.shifted += 1;
        Some(first)
    }

    /// Returns the request target as it was sent: a path with an optional query, a whole URI, or `*`.
    pub fn target(&self) -> &'r str {
        self.head.target()
    }

    /// Returns the host, with an optional port, to which the client sent the request. The value comes from the target if the
    /// target is a whole URI, otherwise from the field Host. The value is empty if Host is empty, or if an HTTP/1.0 request has
    /// no Host.
    pub fn authority(&self) -> &'r str {
        self.head.authority()
    }

    /// Returns the part of the target after the `?`, as it was sent, or `None` if there is no `?`.
    pub fn query(&self) -> Option<&'r str> {
        self.head.query()
    }

    /// Returns the names and values of a query of the form `name=value&name=value`, in their order. The value of a name without
    /// `=` is empty. `+` becomes a space, percent-encoding is decoded, and bytes that are not UTF-8 become U+FFFD.
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

    /// Returns the first value of this name in the query, decoded as in [`query_pairs`](Self::query_pairs). A value without
    /// encoding needs no allocation.
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

    /// Returns the client's offer to switch to this protocol, such as `websocket` (RFC 9110 §7.8). Returns `None` if the client
    /// did not offer the protocol, or uses HTTP/1.0. Names are compared without case.
    pub fn upgrade(&self, protocol: &str) -> Option<Offer> {
        self.head.offers(protocol).then(|| Offer::new(protocol))
    }

    /// Returns whether the version of the request is HTTP/1.0.
    #[cfg(any(feature = "http", feature = "proxy"))]
    pub(crate) const fn is_http10(&self) -> bool {
        self.head.is_http10()
    }

    /// Returns the request as a value without a lifetime, which another task of the same thread can own. The head shares the
    /// received bytes, and is not copied.
    pub fn into_owned(self) -> OwnedRequest {
        OwnedRequest { head: self.head.clone(), shifted: self.shifted, body: self.body }
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("head", self.head).field("mount", &self.mount()).finish_non_exhaustive()
    }
}

/// A [`Request`] without a lifetime, for another task of the same thread: see [`Request::into_owned`].
#[derive(Debug)]
pub struct OwnedRequest {
    pub(crate) head: RequestHead,
    pub(crate) shifted: usize,
    /// The body. It can be read until the response has been sent.
    pub body: Incoming,
}

/// Implements the accessors of an owned request type. The type must have the fields `head` and `shifted`.
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

            /// Returns the path under which this app is mounted: see [`Request::mount`](crate::Request::mount).
            pub fn mount(&self) -> Vec<&str> {
                crate::request::segments(self.head.path())[..self.shifted].to_vec()
            }

            /// Returns the request target as it was sent.
            pub fn target(&self) -> &str {
                self.head.target()
            }

            /// Returns the host to which the client sent the request: see [`Request::authority`](crate::Request::authority).
            pub fn authority(&self) -> &str {
                self.head.authority()
            }

            /// Returns the part of the target after the `?`, as it was sent.
            pub fn query(&self) -> Option<&str> {
                self.head.query()
            }

            /// Returns the names and values of the query, decoded: see [`Request::query_pairs`](crate::Request::query_pairs).
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

/// Returns the segments of a path, including the segments of the mount.
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
