//! Every bound of the codec, with its default and what others use.

/// The bounds of what a peer may send, and the two switches that widen the grammar.
///
/// All sizes are in bytes. A limit that is exceeded is a [`RemoteError`](crate::RemoteError) that names it; nothing is
/// truncated. The struct is plain data: take the default and change what differs. Later versions may have more fields, so
/// write `..` even where all are set.
///
/// ```
/// let limits = degu_wire::Limits { max_head: 8 * 1024, ..Default::default() };
/// assert_eq!(limits.max_fields, 128);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest head: start line, field lines and the empty line. Never more than [`Limits::MAX_HEAD`], whatever is
    /// set here. A request with a longer head gets 431, or 414 if its target alone fills the limit (RFC 9112 §3).
    ///
    /// Default 32 KiB (Degu 0.18: 32 KiB, nginx: 4 × 8 KiB, Node: 16 KiB, hyper: about 400 KiB).
    pub max_head: usize,
    /// The most field lines in a head.
    ///
    /// Default 128 (Degu 0.18: 20, hyper and Apache: 100, Node: 2,000 by default of its option).
    pub max_fields: usize,
    /// The most empty lines skipped before a request line (RFC 9112 §2.2 asks for at least one).
    ///
    /// Default 8 (llhttp: unbounded, Go: 0).
    pub max_leading_lines: usize,
    /// The longest chunk line that is received: size, extensions and CRLF. Never more than 65,535. One that is sent has at
    /// most 4 KiB whatever this says, so that a proxy with a higher limit cannot pass all on that it takes.
    ///
    /// Default 4 KiB (Degu 0.18: 4 KiB, Go: 4 KiB, hyper: 16 KiB of extensions in the whole body).
    pub max_chunk_line: usize,
    /// Bytes of extensions that every chunk may have without touching [`extension_budget`](Self::extension_budget).
    ///
    /// Default 128: a sequence number or a hash on every chunk costs nothing, for as long as the feed lives.
    pub free_extension: usize,
    /// The bytes that a whole body may spend on extensions above [`free_extension`](Self::free_extension) a chunk.
    /// Every byte of chunk data adds one to it, so that extensions can never be most of what is sent.
    ///
    /// Default 16 KiB (Go: 16 KiB of overhead in a body, Node: 16 KiB of extensions a chunk).
    pub extension_budget: usize,
    /// The longest chunk that is put together in memory for a caller that asks for whole chunks. Larger chunks can be
    /// read piece by piece.
    ///
    /// Default 16 MiB (Degu 0.18: 16 MiB).
    pub max_chunk: usize,
    /// The longest trailer section, with its empty line. Never more than [`Limits::MAX_HEAD`], and never so little that a
    /// section without fields would be too long: 0 is for no trailers at all.
    ///
    /// Default 16 KiB (nginx: unbounded until 1.27, Node: 16 KiB).
    pub max_trailers: usize,
    /// The most trailer fields.
    ///
    /// Default 64.
    pub max_trailer_fields: usize,
    /// The most interim (1xx) responses before a final one.
    ///
    /// Default 16 (Go: bounded by the head's size, curl: unbounded).
    pub max_interim: usize,
    /// Requests of HTTP/1.0 are served: without chunks and without interim responses, over a connection that is kept only
    /// where the client asks for it and the length of the response is known, and with or without Host. Where this is off,
    /// such a request is answered with 505.
    ///
    /// Default on, because nginx, `ab`, HAProxy's health checks and MicroPython send them as they come.
    pub allow_http10: bool,
    /// A request without Host is served. Off by default, since RFC 9112 §3.2 demands 400; on for Degu 0.18 clients
    /// over Unix sockets, which send none.
    pub allow_missing_host: bool,
}

impl Limits {
    /// The longest head that can be represented: offsets into a head are 16 bits wide.
    pub const MAX_HEAD: usize = u16::MAX as usize;
    /// The defaults, for constants.
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
