//! The framing of a body, which determines the end of the body.

/// The way in which the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body, and no field that describes one.
    #[default]
    None,
    /// The body has this number of bytes: `content-length`. Zero is an empty body, which is not the same as no body.
    Length(u64),
    /// The body is a sequence of chunks: `transfer-encoding: chunked`.
    Chunked,
    /// The body ends with the connection, and no field describes it. Only responses have such bodies.
    UntilClose,
}

impl Framing {
    /// Returns this framing, or [`Framing::None`] for a length of 0, because no byte of the body is left then.
    pub(crate) const fn of_rest(self) -> Self {
        if let Self::Length(0) = self { Self::None } else { self }
    }
}
