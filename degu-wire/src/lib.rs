#![no_std]
#![cfg_attr(
    not(feature = "alloc"),
    allow(rustdoc::broken_intra_doc_links, reason = "this page is about all three levels, whatever there is of them")
)]
//! A strict, sans-IO codec for HTTP/1.1: bytes in, meaning out, and the other way round.
//!
//! No sockets, no clock, no runtime: this crate is for code that has bytes of its own, in a server, a proxy, a device or
//! a test. It understands what RFC 9110 and RFC 9112 allow and sane peers send, and refuses what two readers could
//! understand in two ways, which is what request smuggling is made of. What others skip is exposed: chunk boundaries,
//! every chunk's extensions, trailers.
//!
//! There are three levels. Each uses the one before it; take the lowest that does what you need.
//!
//! | level | feature | memory | what it does |
//! | --- | --- | --- | --- |
//! | core: [`head`], [`chunk`], [`ByteRange`] | none | yours | parses complete slices, encodes into slices |
//! | machine: [`machine`] | `alloc` | its own buffers, bounded | both roles of a whole connection |
//! | vocabulary: [`Address`], [`Headers`], [`Chunk`], [`Body`], … | `alloc` | owned values | what the server and the client of this family share |
//!
//! On a microcontroller, `embedded` (feature `embedded-io-async`) drives the core over any transport of rust-embedded: a server
//! and a client, in buffers of yours, without an allocator.
//!
//! `std` (the default) adds conversions to and from the types that only std has, `json` bodies out of values of serde and back, `tokio`
//! bodies out of files, readers and streams that are awaited, and a channel.
//! With no feature at all the crate has no dependency and needs no allocator.
//!
//! # Core: a request out of a slice, an answer into a slice
//!
//! Nothing is allocated. A head is parsed from whatever has come: `None` means that more is needed. Where the body ends
//! is decided by then.
//!
//! ```
//! use degu_wire::chunk::{Decoder, Event};
//! use degu_wire::head::{self, FieldSpan};
//! use degu_wire::{Framing, Limits, Method};
//!
//! let input = b"POST /log?level=2 HTTP/1.1\r\nHost: device\r\nTransfer-Encoding: chunked\r\n\r\n\
//!               5;seq=1\r\nhello\r\n0\r\nX-Checksum: 9\r\n\r\n";
//!
//! // The head: offsets of up to 16 fields go into storage of ours.
//! let mut slots = [FieldSpan::EMPTY; 16];
//! let limits = Limits::DEFAULT;
//! let request = head::parse_request(input, &mut slots, &limits)?.expect("the whole head is there");
//! assert_eq!((request.method(), request.path(), request.query()), (Method::Post, "/log", Some("level=2")));
//! assert_eq!(request.fields().get("host"), Some(&b"device"[..]));
//! assert_eq!(request.framing(), Framing::Chunked);
//!
//! // The body: events that borrow from the input.
//! let mut rest = &input[request.head_len()..];
//! let mut decoder = Decoder::new(&limits);
//! let mut length = 0;
//! while !decoder.is_done() {
//!     let step = decoder.decode(rest)?;
//!     rest = &rest[step.consumed..];
//!     match step.event.expect("the whole body is there") {
//!         Event::Chunk { extensions, .. } => assert!(extensions.find("seq").is_some_and(|seq| seq.value.unwrap() == "1")),
//!         Event::Data(data) => length += data.len(),
//!         Event::LastChunk { .. } => {}
//!         Event::End { trailers } => {
//!             let mut slots = [FieldSpan::EMPTY; 4];
//!             let trailers = head::parse_trailers(trailers, &mut slots, &limits)?;
//!             assert_eq!(trailers.get("x-checksum"), Some(&b"9"[..]));
//!         }
//!     }
//! }
//! assert_eq!(length, 5);
//!
//! // The answer.
//! let mut output = [0; 128];
//! let fields = [("content-type", "text/plain")];
//! let len = head::encode_response(&mut output, 200, "OK", fields, Framing::Length(6))?;
//! output[len..][..6].copy_from_slice(b"logged");
//! assert!(output.starts_with(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nlogged"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Machine: a whole connection
//!
//! [`machine::Connection`] holds the buffers and knows what may follow what: keep-alive, pipelining, `100 Continue`, HEAD,
//! half-closed ends, the end of the last exchange. A driver reads into it, writes out of it, and brings the deadlines. The
//! module's page joins a server and a client in memory.
//!
//! # The grammar
//!
//! One, without switches for lenience; the two that widen it are in [`Limits`]. What it accepts in responses alone is in the
//! last rows.
//!
//! | accepted | refused | by |
//! | --- | --- | --- |
//! | a token as field name; values of visible bytes, obs-text, spaces and tabs, the whitespace around them trimmed | a CR or LF that is not CRLF, NUL and other controls, folded lines, a space before the colon, an empty name | RFC 9112 §2.2, §5; RFC 9110 §5.5 |
//! | any token as method | CONNECT in authority-form (501) | RFC 9110 §9.1; RFC 9112 §3.2.3 |
//! | a path, percent-encoded as sent, `//` included; an http(s) URI, whose authority stands in place of Host; `*` for OPTIONS | a fragment, controls, non-ASCII, userinfo, anything relative | RFC 9112 §3.2; RFC 9110 §4.2.4 |
//! | Host: empty, or a name, IPv4 or bracketed IPv6 address with an optional port | none, two, or one with userinfo, path, comma, space or non-ASCII | RFC 9112 §3.2; RFC 3986 §3.2.2 |
//! | lists in several lines | twice: Host, Content-Length, Transfer-Encoding, Content-Type, Authorization, Range, Content-Range, Expect | RFC 9110 §5.3 |
//! | Content-Length: `1*DIGIT` up to 64 bits | signs, lists, spaces, overflow; together with Transfer-Encoding | RFC 9112 §6.3 |
//! | Transfer-Encoding: `chunked` | other codings before it (501), anything in which it is not the last one, with HTTP/1.0 | RFC 9112 §6.1, §6.3 |
//! | chunk sizes of 1 to 16 digits, every form of extension | lines over 4 KiB, extensions over their budget | RFC 9112 §7.1 |
//! | trailer fields | those that decide framing, routing, authentication or how content is read | RFC 9110 §6.5.1 |
//! | up to 8 empty lines before a request | a byte that begins no message, at once | RFC 9112 §2.2 |
//! | HTTP/1.1, 1.2 to 1.9 as 1.1, 1.0 (unless switched off) | HTTP/0.9, 2.0 and its preface (505) | RFC 9112 §2.3 |
//! | `Expect: 100-continue` | other expectations (417) | RFC 9110 §10.1.1 |
//! | responses: 1xx read over, a bounded number of times; no reason phrase, with or without its space | 101, controls in a reason | RFC 9112 §4; RFC 9110 §15.2 |
//! | responses: a folded value, each fold as one space; blanks before a colon, skipped | either in Content-Length, Transfer-Encoding, Connection, Content-Range, Upgrade, and in trailers | RFC 9112 §5.1, §5.2 |
//! | responses: fields twice that must be unique | Content-Length, Transfer-Encoding or Content-Range twice | RFC 9110 §5.3 |
//! | responses: blanks between a chunk size and the end of its line; 204 with Transfer-Encoding, after which the connection ends | blanks after an extension; Transfer-Encoding in 1xx | RFC 9112 §6.1, §7.1 |
//!
//! # Where it deviates from the standards
//!
//! | element | the standard | here | because |
//! | --- | --- | --- | --- |
//! | line ends | a LF alone may be taken for one (RFC 9112 §2.2) | only CRLF ends a line | intermediaries disagree about it |
//! | request target | a path and a query of `pchar` (RFC 3986 §3.3) | any visible ASCII but `#` | peers send `[`, `|` and a `%` that encodes nothing, and none of them ends the target |
//! | absolute-form | any URI | `http` and `https`, with a host | nothing else can be served |
//! | CONNECT | authority-form (RFC 9112 §3.2.3) | 501, whatever the target is; with a path it is for the server to refuse | no tunnel is built here |
//! | Host | `uri-host [ ":" port ]` (RFC 9110 §7.2) | no comma in a name | two fields that were joined look like it |
//! | Host | IPvFuture (RFC 3986 §3.2.2) | refused | there is none |
//! | Host | a port after an empty name | refused | it names no host (RFC 9110 §4.2.1) |
//! | Host | no zone (RFC 6874 §4) | a zone in brackets, behind `%` or `%25`, is read; the server's machine removes it, and none is sent | Node and aiohttp send the one that they were given |
//! | Content-Length | equal values may be merged (RFC 9112 §6.3) | once | a proxy in front may have taken another |
//! | Transfer-Encoding | a list with empty elements (RFC 9110 §5.6.1.2) | no empty element | readers disagree about it |
//! | Transfer-Encoding | codings with parameters (RFC 9112 §7) | no parameters | no registered coding has any |
//! | chunk size | `1*HEXDIG` (RFC 9112 §7.1) | at most 16 digits | it must fit into 64 bits |
//! | field value | controls other than CR, LF and NUL may be kept (RFC 9110 §5.5) | HTAB alone | logs and terminals act on them |
//! | status line | a space before an absent reason phrase (RFC 9112 §4) | it may be missing | many servers leave it out, and nothing else can be meant |
//! | field value of a response | a folded value is read (RFC 9112 §5.2), and so are blanks before a colon (§5.1) | refused in Content-Length, Transfer-Encoding, Connection, Content-Range and Upgrade | a reader that overlooks the field would find another end |
//! | chunk size of a response | no blanks behind it (RFC 9112 §7.1) | blanks before the end of the line are skipped | some servers write it in a field of fixed width |
//! | fields of a response | a field once that is no list (RFC 9110 §5.3) | several times, but for Content-Length, Transfer-Encoding and Content-Range | devices repeat Content-Type, and it frames nothing |
//!
//! All request lines, field lines, chunk lines, and values of Transfer-Encoding and Host up to a length, over an alphabet
//! with a byte of each class, are compared with a second implementation that has this table and nothing else of this crate.
//!
//! # What it never does
//!
//! It opens no socket, reads no clock, and without `alloc` allocates nothing. It has no `unsafe` code. It gives no meaning
//! to what could have two.
//!
//! # Errors
//!
//! By whose fault it is: [`RemoteError`] for the peer, with the status a server answers and an offset; [`LocalError`] for
//! the caller. Both are `Copy` and hold no bytes of the peer.

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod abnf;
#[cfg(feature = "alloc")]
mod address;
#[cfg(feature = "alloc")]
mod body;
pub mod chunk;
mod credentials;
#[cfg(feature = "embedded-io-async")]
pub mod embedded;
mod error;
#[cfg(any(feature = "alloc", feature = "embedded-io-async"))]
mod exchange;
mod framing;
pub mod head;
#[cfg(feature = "alloc")]
mod headers;
#[cfg(feature = "json")]
mod json;
mod limits;
#[cfg(feature = "alloc")]
mod lines;
#[cfg(feature = "alloc")]
pub mod machine;
mod method;
mod range;
mod reason;
mod sink;
#[cfg(feature = "spin")]
mod spin;
#[cfg(feature = "alloc")]
pub mod sse;
#[cfg(feature = "alloc")]
mod target;

#[cfg(all(feature = "std", unix))]
pub use address::SocketName;
#[cfg(feature = "std")]
pub use body::BlockingBody;
#[cfg(feature = "tokio")]
pub use body::{BodyDropped, BodySender};
pub use credentials::Credentials;
pub use error::{Fault, LocalError, RemoteError};
pub use framing::Framing;
#[cfg(feature = "json")]
pub use json::{Json, JsonError};
pub use limits::Limits;
pub use method::Method;
pub use range::{ByteRange, ContentRange, RangeError};
pub use reason::{reason_phrase, status};
#[cfg(feature = "spin")]
pub use spin::{Spin, Spinner, Step};
#[cfg(feature = "alloc")]
pub use {
    address::{Address, AddressError, AddressFault, AddressKind, Zone},
    body::{Body, BodyOf, BoxError, Chunk, ChunkExtensions, IntoBody, LocalBody, Part, Source},
    headers::{FieldError, Headers, Trailers},
    lines::Lines,
    target::{Target, decode_segment, query_pairs},
};
