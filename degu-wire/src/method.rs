//! The request method.

use core::fmt;

/// A request method (RFC 9110 §9): a case-sensitive token.
///
/// The type is small and `Copy`, so `match (request.method(), request.path())` reads well. Methods without a variant
/// are [`Extension`](Self::Extension). A later version may add a variant for such a method. So compare a method with
/// `Method::from(name)`, which is right in every version.
///
/// ```
/// use degu_wire::Method;
///
/// assert_eq!(Method::from("GET"), Method::Get);
/// assert_eq!(Method::from("PROPFIND"), Method::Extension("PROPFIND"));
/// assert_eq!(Method::Extension("PROPFIND").as_str(), "PROPFIND");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method<'a> {
    /// GET
    Get,
    /// HEAD
    Head,
    /// PUT
    Put,
    /// POST
    Post,
    /// DELETE
    Delete,
    /// PATCH (RFC 5789)
    Patch,
    /// OPTIONS
    Options,
    /// CONNECT, which Degu's server refuses with 501
    Connect,
    /// TRACE, which Degu's server refuses with 501
    Trace,
    /// Any other token. A parsed method is always a token. A method to send is checked when it is encoded.
    Extension(&'a str),
}

impl<'a> Method<'a> {
    /// Returns the method as it is sent.
    pub const fn as_str(self) -> &'a str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Extension(name) => name,
        }
    }

    /// Returns the method with this name, if it is not an extension method.
    pub(crate) const fn known(name: &[u8]) -> Option<Method<'static>> {
        Some(match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"PUT" => Method::Put,
            b"POST" => Method::Post,
            b"DELETE" => Method::Delete,
            b"PATCH" => Method::Patch,
            b"OPTIONS" => Method::Options,
            b"CONNECT" => Method::Connect,
            b"TRACE" => Method::Trace,
            _ => return None,
        })
    }

    /// Returns the same method. An [`Extension`](Self::Extension) with the name of a known method becomes that method's
    /// variant.
    #[inline]
    pub(crate) fn known_as(self) -> Self {
        if let Self::Extension(name) = self { Self::from(name) } else { self }
    }

    /// Returns whether the method is idempotent: sending a request twice has the same effect as sending it once (RFC
    /// 9110 §9.2.2).
    pub const fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace)
    }

    /// Returns whether a request with this method usually has content. Without content such a request has
    /// `content-length: 0` (RFC 9110 §8.6).
    pub const fn expects_content(self) -> bool {
        matches!(self, Self::Put | Self::Post | Self::Patch)
    }
}

impl<'a> From<&'a str> for Method<'a> {
    fn from(name: &'a str) -> Self {
        Self::known(name.as_bytes()).unwrap_or(Self::Extension(name))
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn known_methods_have_the_names_that_are_sent() {
        let names = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
        assert!(
            names.into_iter().all(|name| Method::known(name.as_bytes()).is_some_and(|known| known.as_str() == name))
        );
    }
}
