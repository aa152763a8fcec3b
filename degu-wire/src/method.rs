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

    /// The methods that are not extension methods.
    pub(crate) const KNOWN: [Method<'static>; 9] = [
        Method::Get,
        Method::Head,
        Method::Put,
        Method::Post,
        Method::Delete,
        Method::Patch,
        Method::Options,
        Method::Connect,
        Method::Trace,
    ];

    /// Returns the position in [`KNOWN`](Self::KNOWN) of the method with this name, or 9 for an extension method.
    #[inline]
    pub(crate) const fn position(name: &[u8]) -> u8 {
        match name {
            b"GET" => 0,
            b"HEAD" => 1,
            b"PUT" => 2,
            b"POST" => 3,
            b"DELETE" => 4,
            b"PATCH" => 5,
            b"OPTIONS" => 6,
            b"CONNECT" => 7,
            b"TRACE" => 8,
            _ => 9,
        }
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
        Self::KNOWN.get(usize::from(Self::position(name.as_bytes()))).copied().unwrap_or(Self::Extension(name))
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
        assert_eq!(Method::KNOWN.map(Method::as_str), names);
        for (position, name) in names.into_iter().enumerate() {
            assert_eq!(usize::from(Method::position(name.as_bytes())), position, "{name}");
        }
    }
}
