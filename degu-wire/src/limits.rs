//! Every bound of the codec, with its default and the values of other implementations.

/// The bounds on the messages of a peer, and two switches, `allow_http10` and `allow_missing_host`, that widen the
/// grammar.
///
/// All sizes are in bytes. If a peer exceeds a limit, the result is a [`RemoteError`](crate::RemoteError) that names
/// the limit. Nothing is truncated. The struct is plain data: take the default, and change single fields. Later
/// versions may have more fields, so write `..` even if you set all fields.
///
/// After each default, the documentation gives the values of other implementations. One of them, Degu 0.18, is the
/// Python library from which this library takes its ideas.
///
/// ```
/// let limits = degu_wire::Limits { max_head: 8 * 1024, ..Default::default() };
/// assert_eq!(limits.max_fields, 128);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest head: start line, field lines and the empty line. A value above [`Limits::MAX_HEAD`] counts as
    /// [`Limits::MAX_HEAD`]. A request with a longer head gets 431, 414 if the request line fills the limit, or 501 if
    /// the method fills the limit (RFC 9112 §3).
    ///
    /// Default 32 KiB (Degu 0.18: 32 KiB, nginx: 4 × 8 KiB, Node: 16 KiB, hyper: about 400 KiB).
    pub max_head: usize,
    /// The most field lines in a head.
    ///
    /// Default 128 (Degu 0.18: 20, hyper and Apache: 100, Node: 2,000).
    pub max_fields: usize,
    /// The most empty lines skipped before a request line (RFC 9112 §2.2 asks for at least one).
    ///
    /// Default 8 (llhttp: unbounded, Go: 0).
    pub max_leading_lines: usize,
    /// The longest chunk line that is received: size, extensions and CRLF. A value above 65,535 counts as 65,535. A
    /// line without extensions is always accepted. A line that is sent has at most 4 KiB, whatever this limit is, so a
    /// proxy with a higher limit cannot forward every line that it accepts.
    ///
    /// Default 4 KiB (Degu 0.18: 4 KiB, Go: 4 KiB, hyper: 16 KiB of extensions in the whole body).
    pub max_chunk_line: usize,
    /// The number of bytes of extensions that are free in every chunk: they do not reduce
    /// [`extension_budget`](Self::extension_budget).
    ///
    /// Default 128: every chunk of an endless stream can have a sequence number or a hash.
    pub free_extension: usize,
    /// The number of bytes of extensions that a whole body may have, in addition to the
    /// [`free_extension`](Self::free_extension) bytes of each chunk. Every byte of chunk data adds one byte to the
    /// budget, so the budget grows with the body.
    ///
    /// Default 16 KiB (Go: 16 KiB of overhead in a body, Node: 16 KiB of extensions a chunk).
    pub extension_budget: usize,
    /// The longest chunk that is collected in memory for a caller that asks for whole chunks. Larger chunks can be read
    /// piece by piece.
    ///
    /// Default 16 MiB (Degu 0.18: 16 MiB).
    pub max_chunk: usize,
    /// The longest trailer section, with its empty line. A value above [`Limits::MAX_HEAD`] counts as
    /// [`Limits::MAX_HEAD`]. A section without fields is always accepted, so 0 means that no trailers are accepted.
    ///
    /// Default 16 KiB (nginx: unbounded until 1.27, Node: 16 KiB).
    pub max_trailers: usize,
    /// The most trailer fields.
    ///
    /// Default 64.
    pub max_trailer_fields: usize,
    /// The most interim (1xx) responses before the final response.
    ///
    /// Default 16 (Go: bounded by the head's size, curl: unbounded).
    pub max_interim: usize,
    /// True if requests of HTTP/1.0 are served, with or without Host. The responses to such requests have no chunks,
    /// and no interim responses precede them. The connection is kept only if the client asks for keep-alive and the
    /// length of the response is known. If false, the server answers such a request with 505.
    ///
    /// Default on, because these clients send HTTP/1.0 by default: `ab`, HAProxy's health checks, nginx before 1.29.7,
    /// and older versions of MicroPython's module `requests`.
    pub allow_http10: bool,
    /// True if requests without Host are served. Default off, because RFC 9112 §3.2 demands 400. Switch this option on
    /// if clients of Degu 0.18 connect over Unix sockets: such clients send no Host.
    pub allow_missing_host: bool,
}

impl Limits {
    /// The longest head that can be represented, in bytes. Offsets into a head are 16 bits wide.
    pub const MAX_HEAD: usize = u16::MAX as usize;
    /// The default limits, as a constant. Unlike [`default`](Self::default), this constant can be used in other
    /// constants.
    pub const DEFAULT: Self = Self {
        max_head: 32 * 1024,
        max_fields: 128,
        max_leading_lines: 8,
        max_chunk_line: 4 * 1024,
        free_extension: 128,
        extension_budget: 16 * 1024,
        max_chunk: 16 * 1024 * 1024,
        max_trailers: 16 * 1024,
        max_trailer_fields: 64,
        max_interim: 16,
        allow_http10: true,
        allow_missing_host: false,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
