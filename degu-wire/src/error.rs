//! The errors of the codec: [`RemoteError`] for a fault of the peer, [`LocalError`] for a fault of the caller.
//!
//! Both types are small and `Copy`. The errors hold no bytes of the peer, so an error can be logged as it is. The
//! drivers report errors of the system (sockets, files).

use core::fmt;

/// The error for a peer that broke the protocol or exceeded a limit: the fault and its offset.
///
/// The bytes after the fault cannot be understood. If no response has begun, a server answers with
/// [`status`](Self::status). Then the caller closes the connection.
///
/// ```
/// use degu_wire::{Fault, Limits, head};
///
/// let mut slots = [head::FieldSpan::EMPTY; 16];
/// let error = head::parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", &mut slots, &Limits::DEFAULT).unwrap_err();
/// assert_eq!(error.fault, Fault::FieldName);
/// assert_eq!((error.status(), error.offset), (400, 26));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RemoteError {
    /// The fault.
    pub fault: Fault,
    /// The offset of the offending byte, counted from the first byte of the element that was being read (the head, the
    /// chunk line, the trailer section). 0 if no single byte is at fault.
    pub offset: u32,
}

impl RemoteError {
    /// Returns the error for a fault at a byte of the element that is being read.
    pub const fn at(fault: Fault, offset: usize) -> Self {
        Self { fault, offset: offset as u32 }
    }

    /// Returns the status with which a server answers: 400, or another status for some faults.
    pub const fn status(self) -> u16 {
        self.fault.status()
    }
}

/// Makes an error with offset 0 from a fault for which no single byte is to blame.
impl From<Fault> for RemoteError {
    fn from(fault: Fault) -> Self {
        Self { fault, offset: 0 }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_at(f, self.fault.explain(), self.offset)
    }
}

/// Writes the text of the fault, and the offset unless it is 0.
pub(crate) fn write_at(f: &mut fmt::Formatter<'_>, fault: &str, offset: u32) -> fmt::Result {
    if offset > 0 { write!(f, "{fault} (at byte {offset})") } else { f.write_str(fault) }
}

impl core::error::Error for RemoteError {}

/// Lets `Debug` of errors write the same text as `Display`, because a `main` that returns an error prints it with
/// `Debug`.
macro_rules! debug_as_display {
    ($($error:ty),*) => {$(
        impl core::fmt::Debug for $error {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }
    )*};
}
pub(crate) use debug_as_display;

debug_as_display!(RemoteError, LocalError);

/// Defines an enum of faults. Each variant has a text.
macro_rules! explained {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])+ $variant:ident $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])+ $variant,)*
        }

        impl $name {
            /// All variants, for example to make one counter of each.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the text of the error, which names the fault and, for some faults, the remedy.
            pub const fn explain(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.explain())
            }
        }
    };
}
pub(crate) use explained;

explained! {
    /// The faults of a peer. Each text continues the words "the peer sent", and can also be used alone.
    #[derive(Debug)]
    pub enum Fault {
        /// The method has a byte that is not allowed in a token (RFC 9110 §9.1).
        Method "a method with a character that is not allowed",
        /// The method is not implemented (RFC 9110 §9.1): CONNECT whose target is neither a path nor `*`, or a method
        /// so long that it fills `Limits::max_head`. Degu's servers also refuse TRACE, and CONNECT with a path, with
        /// this fault.
        MethodNotImplemented "a method that is not implemented",
        /// The request target is empty, relative, in authority-form, or has a byte that is not visible ASCII (RFC 9112
        /// §3.2).
        Target "a malformed request target (send a path that begins with `/`, percent-encoded)",
        /// The request target has a fragment, which is never sent (RFC 9112 §3.2).
        TargetFragment "a request target with a fragment",
        /// The request target alone fills `Limits::max_head` (RFC 9112 §3).
        TargetTooLong "a request target longer than the limit (`max_head`)",
        /// The authority of a target in absolute-form is not `host [":" port]` (RFC 9112 §3.2.2).
        TargetAuthority "a request target with a malformed authority (send `host` or `host:port`)",
        /// The start line has no well-formed version such as `HTTP/1.1` (RFC 9112 §2.3).
        Version "a malformed HTTP version",
        /// The major version is not 1, or a request has HTTP/1.0 although `Limits::allow_http10` is off (RFC 9110
        /// §15.6.6).
        VersionNotSupported "an HTTP version that is not supported",
        /// The status is not three digits from 100 to 999 (RFC 9112 §4).
        Status "a malformed status code",
        /// The reason phrase has a control character other than HTAB (RFC 9112 §4).
        Reason "a reason phrase with a control character",
        /// A line ends with LF alone, or a CR stands alone (RFC 9112 §2.2).
        LineEnd "a line that does not end with CRLF",
        /// A request begins with a byte that can begin neither a method nor an empty line, or with more empty lines
        /// than `Limits::max_leading_lines` (RFC 9112 §2.2).
        LeadingBytes "bytes that do not begin an HTTP message",
        /// A field name is empty, or has a byte that is not allowed in a token, such as a space before the colon (RFC
        /// 9112 §5.1).
        FieldName "a field name that is empty or has a character that is not allowed, such as a space",
        /// A field value has a control character other than HTAB (RFC 9110 §5.5).
        FieldValue "a field value with a control character",
        /// A field line is folded (RFC 9112 §5.2).
        ObsFold "a field value that is folded over several lines",
        /// A message has a field more than once, although it must be unique (RFC 9110 §5.3).
        Repeated "a field more than once, although it must be unique",
        /// A request has no Host (RFC 9112 §3.2).
        HostMissing "a request without Host",
        /// Host is not `uri-host [":" port]` (RFC 9112 §3.2).
        Host "a malformed Host (send `host` or `host:port`, with an IPv6 address in brackets; a client of a Unix socket may send `localhost` or an empty value)",
        /// Content-Length is not `1*DIGIT` of at most 64 bits (RFC 9112 §6.3).
        ContentLength "a malformed Content-Length",
        /// A head has both Content-Length and Transfer-Encoding (RFC 9112 §6.3).
        LengthAndCoding "both Content-Length and Transfer-Encoding",
        /// Transfer-Encoding has another coding before its final `chunked` (RFC 9112 §6.1).
        TransferCoding "a transfer coding that is not implemented",
        /// Transfer-Encoding is not a list of codings that ends with `chunked`, or has `chunked` twice (RFC 9112 §6.3).
        FinalCoding "a Transfer-Encoding that is malformed, or does not end with exactly one `chunked`",
        /// A message of HTTP/1.0, or a 1xx response, has Transfer-Encoding (RFC 9112 §6.1).
        TransferEncoding "Transfer-Encoding in a message of HTTP/1.0 or in a 1xx response",
        /// The value of Expect is not `100-continue` (RFC 9110 §10.1.1).
        Expectation "an Expect field other than `100-continue`",
        /// The head is longer than `Limits::max_head` (RFC 6585 §5). If the request line does not end within the limit,
        /// the fault is [`TargetTooLong`](Self::TargetTooLong) or [`MethodNotImplemented`](Self::MethodNotImplemented).
        HeadTooLarge "a head longer than the limit (`max_head`)",
        /// A head has more fields than `Limits::max_fields`, or a trailer section has more than
        /// `Limits::max_trailer_fields` (RFC 6585 §5).
        TooManyFields "more fields than the limit (`max_fields` or `max_trailer_fields`)",
        /// The chunk size does not consist of 1 to 16 hexadecimal digits (RFC 9112 §7.1).
        ChunkSize "a malformed chunk size",
        /// A chunk extension is malformed (RFC 9112 §7.1.1).
        ChunkExtension "a malformed chunk extension",
        /// A chunk line is longer than `Limits::max_chunk_line`.
        ChunkLineTooLong "a chunk line longer than the limit (`max_chunk_line`)",
        /// The chunk extensions of a body are longer than `Limits::free_extension` and `Limits::extension_budget`
        /// allow.
        ExtensionBudget "chunk extensions longer than the limit (`extension_budget`)",
        /// Chunk data is not followed by CRLF (RFC 9112 §7.1).
        ChunkEnd "chunk data that is not followed by CRLF",
        /// A chunk is longer than `Limits::max_chunk`, and the caller asked for whole chunks.
        ChunkTooLarge "a chunk longer than the limit (`max_chunk`)",
        /// A trailer section has a field that a recipient must know before the body (RFC 9110 §6.5.1).
        TrailerForbidden "a field that is not allowed in trailers",
        /// The trailer section is longer than `Limits::max_trailers`.
        TrailersTooLarge "trailers longer than the limit (`max_trailers`)",
        /// A body is longer than its reader allows.
        BodyTooLarge "a body longer than the limit of its reader",
        /// A line, or an event of an event stream, is longer than its reader allows.
        LineTooLong "a line or an event longer than the limit of its reader",
        /// The connection ended in the middle of a head (RFC 9112 §8).
        TruncatedHead "an incomplete head, because the connection ended",
        /// The connection ended in the middle of a body (RFC 9112 §8).
        TruncatedBody "an incomplete body, because the connection ended",
        /// The connection ended before the first byte of a response.
        NoResponse "no response before the connection ended",
        /// Bytes arrived before the first exchange, between two exchanges, or after the last exchange of the connection.
        UnsolicitedBytes "unsolicited bytes, which belong to no exchange",
        /// The server sent more interim (1xx) responses to a request than `Limits::max_interim`.
        TooManyInterim "more interim (1xx) responses than the limit (`max_interim`)",
        /// The server sent a 101 (Switching Protocols) for a protocol that the request did not offer, or before the
        /// whole request was sent (RFC 9110 §7.8).
        UnexpectedUpgrade "a 101 response for a protocol that the request did not offer, or before the whole request was sent",
        /// A response has status 206 (Partial Content), although the request asked for no range (RFC 9110 §15.3.7).
        UnexpectedPartial "a 206 response although the request had no range",
        /// The Content-Range of a 206 is missing or malformed, or does not match the body or the requested range (RFC
        /// 9110 §14.4).
        ContentRange "a 206 response whose Content-Range is missing or malformed, or does not match the body or the requested range",
    }
}

impl Fault {
    /// Returns the status with which a server answers.
    pub const fn status(self) -> u16 {
        match self {
            Self::ChunkTooLarge | Self::BodyTooLarge | Self::LineTooLong => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => 431,
            Self::MethodNotImplemented | Self::TransferCoding => 501,
            Self::VersionNotSupported => 505,
            _ => 400,
        }
    }
}

explained! {
    /// The error for a message, or a part of a message, that the caller may not send. A connection writes nothing of
    /// such a message or part. An encoder may leave an incomplete text in the caller's buffer.
    pub enum LocalError {
        /// The method is not a token (RFC 9110 §9.1), or is CONNECT, which the codec does not implement.
        Method "the method is empty, has a character that is not allowed, or is CONNECT, which is not implemented",
        /// The request target is not an absolute path, an http(s) URI, or `*` with OPTIONS (RFC 9112 §3.2), or it has a
        /// fragment or a byte that is not visible ASCII.
        Target "the request target must be an absolute path, an http(s) URI, or `*` with OPTIONS, and must be visible ASCII without a fragment",
        /// The status is not from 100 to 999, or the status of a final response is below 200.
        Status "a status must be from 100 to 999, and the status of a final response from 200 to 999",
        /// The reason phrase has a control character other than HTAB.
        Reason "the reason phrase has a control character",
        /// A field name is not a token (RFC 9110 §5.1).
        FieldName "a field name is empty, or has a character that is not allowed, such as a space",
        /// A field value has a control character other than HTAB, or begins or ends with whitespace (RFC 9110 §5.5). Or
        /// the value of Host is malformed (RFC 9110 §7.2).
        FieldValue "a field value has a control character, or begins or ends with whitespace, or the value of `host` is malformed",
        /// The fields together do not fit into a head (65,535 bytes).
        HeadTooLarge "the head is over 65,535 bytes",
        /// A message has a field more than once, although it must be unique (RFC 9110 §5.3).
        FieldRepeated "the message has a field more than once, although it must be unique",
        /// The caller set a field that the library itself writes, and the value differs. Such a field determines the
        /// end of the body or the use of the connection. In Connection, only `close` and `keep-alive` are allowed.
        FieldNotAllowed "the library itself sets this field: remove it (in `connection` only `close` and `keep-alive` are allowed)",
        /// Content-Length was set to a value other than the length of the body.
        ContentLength "`content-length` differs from the length of the body",
        /// The field is not allowed in trailers (RFC 9110 §6.5.1).
        TrailerForbidden "this field is not allowed in trailers: send it as a header",
        /// The name of a chunk extension is not a token, its value has a control character other than HTAB, or the
        /// chunk line is over 4 KiB.
        ChunkExtension "a chunk extension has a malformed name or a control character, or the chunk line is over 4 KiB",
        /// A TRACE request (RFC 9110 §9.3.8) and a response with status 1xx, 204, 205 or 304 (RFC 9112 §6.3) cannot have a
        /// body. The body of a request cannot end with the connection.
        BodyNotAllowed "a body is not allowed in a TRACE request, or in a response with status 1xx, 204, 205 or 304; the body of a request needs a length or chunks",
        /// The body is longer than its announced length.
        BodyTooLong "the body is longer than its announced length",
        /// The body is shorter than its announced length.
        BodyTooShort "the body is shorter than its announced length",
        /// A chunk is empty, or its data is longer or shorter than its announced size.
        ChunkLength "a chunk is empty, or its data is longer or shorter than its announced size",
        /// The name of the protocol to switch to is empty or a list (RFC 9110 §7.8).
        Protocol "the protocol to switch to must be one name, such as `websocket`",
        /// The request did not offer this protocol, so the connection cannot switch to it (RFC 9110 §7.8).
        NotOffered "the request did not offer to switch to this protocol",
        /// The buffer of the caller is too small for the encoded message.
        BufferTooSmall "the buffer is too small for the encoded message",
        /// The call is not possible in this state of the connection.
        State "this call is not allowed now: the connection is closed or busy with another message, the head or body was already sent, or the part is for another kind of body",
    }
}

impl core::error::Error for LocalError {}
