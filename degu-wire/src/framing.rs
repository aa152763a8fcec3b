//! Where a message's body ends.

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body.
    None,
    /// The body has so many octets; zero is an empty body, which is not the same as none.
    Length(u64),
    /// The body is a sequence of chunks.
    Chunked,
    /// The body ends with the connection: responses only.
    UntilClose,
}
