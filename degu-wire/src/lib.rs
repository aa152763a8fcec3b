#![no_std]
#![cfg_attr(
    not(feature = "alloc"),
    allow(
        rustdoc::broken_intra_doc_links,
        reason = "this page describes all three levels, even if the features leave out some of them"
    )
)]
#![cfg_attr(
    not(all(feature = "alloc", feature = "embedded-io-async")),
    allow(
        dead_code,
        unused_imports,
        reason = "without these features, nothing uses some parts of the core, which only the machines and the embedded drivers need"
    )
)]
//! A strict, sans-IO codec for HTTP/1.1: it parses received bytes into heads and bodies, and writes heads and bodies as
//! bytes.
//!
//! The crate has no sockets, no clock and no runtime. It is for code that moves bytes itself: a server, a proxy, a
//! device or a test. It accepts input that RFC 9110 and RFC 9112 allow and that ordinary peers send. It refuses input
//! that two programs could understand differently, because request smuggling depends on such input. It exposes parts of
//! HTTP that other libraries hide: chunk boundaries, the extensions of every chunk, trailers.
//!
//! There are three levels. The core needs no other level. The machine uses the core and the vocabulary. Take the lowest
//! level that does all that you need.
//!
//! | level | feature | memory | what it does |
//! | --- | --- | --- | --- |
//! | core: [`head`], [`chunk`], [`ByteRange`] | none | slices of the caller | parses the received part of a head or a chunk, encodes into slices |
//! | vocabulary: [`Address`], [`Headers`], [`Chunk`], [`Body`], … | `alloc` | owned values | the types that degu-server and degu-client share |
//! | machine: [`machine`] | `alloc` | its own buffers, bounded | both roles of a whole connection |
//!
//! Without features the crate has no dependency and needs no allocator.
//!
//! | feature | adds |
//! | --- | --- |
//! | `std` (default) | conversions to and from types of std, and bodies that block; includes `alloc` |
//! | `alloc` | vocabulary and machine |
//! | `embedded-io-async` | `embedded`: a server and a client for microcontrollers. They use the core over any transport with the traits of `embedded-io-async`, in buffers of the caller, without an allocator |
//! | `json` | bodies from values that serde can serialize, and such values from bodies |
//! | `tokio` | bodies from async streams, and a channel |
//! | `io` | `tokio`, and bodies from async files and readers |
//! | `spin` | `Spinner`: decides whether a driver busy-polls its socket before it blocks |
//!
//! # Core: a request from a slice, a response into a slice
//!
//! Nothing is allocated. A head is parsed from the received bytes. `None` means that more bytes are needed. The parsed
//! head has the framing of the body.
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
//! [`machine::Connection`] owns the buffers, and decides which message may come next. It handles keep-alive,
//! pipelining, `100 Continue`, HEAD, half-closed connections, and the end of the last exchange. A driver appends
//! received bytes to the machine's buffer, writes the machine's pending bytes to the peer, and keeps the deadlines. The
//! page of [`machine`] has an example: a server and a client, joined in memory.
//!
//! # The grammar
//!
//! There is one grammar. Only two fields of [`Limits`] change it: `allow_http10` and `allow_missing_host`. Rows that
//! begin with "responses" are only about responses.
//!
//! | accepted | refused | rule |
//! | --- | --- | --- |
//! | a token as field name; values of visible bytes, obs-text, spaces and tabs, the whitespace around them trimmed | a CR or LF that is not CRLF, NUL and other controls, folded lines, a space before the colon, an empty name | RFC 9112 §2.2, §5; RFC 9110 §5.5 |
//! | any token as method | CONNECT in authority-form (501) | RFC 9110 §9.1; RFC 9112 §3.2.3 |
//! | a path, also with `//`; an http(s) URI, whose authority replaces Host; `*` for OPTIONS | a fragment, controls, non-ASCII, userinfo, anything relative | RFC 9112 §3.2; RFC 9110 §4.2.4 |
//! | Host: empty, or a name, IPv4 or bracketed IPv6 address with an optional port | no Host in HTTP/1.1, two Hosts, or one with userinfo, path, comma, space or non-ASCII | RFC 9112 §3.2; RFC 3986 §3.2.2 |
//! | list fields in several lines | more than once: Host, Content-Length, Transfer-Encoding, Content-Type, Authorization, Range, Content-Range, Expect | RFC 9110 §5.3 |
//! | Content-Length: `1*DIGIT` up to 64 bits | signs, lists, spaces, overflow; together with Transfer-Encoding | RFC 9112 §6.3 |
//! | Transfer-Encoding: `chunked` | other codings before it (501); a value in which `chunked` is not the last coding; Transfer-Encoding in HTTP/1.0 | RFC 9112 §6.1, §6.3 |
//! | chunk sizes of 1 to 16 digits, every form of extension | lines over 4 KiB, extensions over their budget | RFC 9112 §7.1 |
//! | trailer fields | trailers that decide framing, routing, authentication or how content is read | RFC 9110 §6.5.1 |
//! | up to 8 empty lines before a request | a byte that cannot begin a message, as soon as it arrives | RFC 9112 §2.2 |
//! | HTTP/1.1, 1.2 to 1.9 as 1.1, 1.0 (unless switched off) | HTTP/0.9, 2.0 and its preface (505) | RFC 9112 §2.3 |
//! | `Expect: 100-continue` | other expectations (417) | RFC 9110 §10.1.1 |
//! | responses: a bounded number of interim responses (1xx), which are skipped; 101 if the request offered the protocol; no reason phrase, with or without its space | 101 without such an offer, controls in a reason phrase | RFC 9112 §4; RFC 9110 §15.2 |
//! | responses: a folded value, each fold as one space; blanks before a colon, skipped | folds and such blanks in Content-Length, Transfer-Encoding, Connection, Content-Range, Upgrade, and in trailers | RFC 9112 §5.1, §5.2 |
//! | responses: more than once: Content-Type and other fields that a request may have only once | Content-Length, Transfer-Encoding or Content-Range more than once | RFC 9110 §5.3 |
//! | responses: blanks between a chunk size and the end of its line; 204 with Transfer-Encoding, after which the connection ends | blanks after an extension; Transfer-Encoding in 1xx | RFC 9112 §6.1, §7.1 |
//!
//! # Where it deviates from the standards
//!
//! | element | the standard | here | because |
//! | --- | --- | --- | --- |
//! | line ends | a recipient may accept LF alone (RFC 9112 §2.2) | only CRLF ends a line | intermediaries disagree about LF alone |
//! | request target | a path and a query of `pchar` (RFC 3986 §3.3) | any visible ASCII except `#` | peers send `[`, `|` and a `%` that encodes nothing, and none of these ends the target |
//! | absolute-form | any URI | `http` and `https`, with a host | a server of HTTP can serve no other URI |
//! | CONNECT | authority-form (RFC 9112 §3.2.3) | 400 for `*`, and 501 for any other target that is not a path; a path is accepted, and degu-server answers with 501 | Degu opens no tunnels |
//! | Host | `uri-host [ ":" port ]` (RFC 9110 §7.2) | no comma in a name | two joined fields look like a name with a comma |
//! | Host | IPvFuture (RFC 3986 §3.2.2) | refused | no such address exists |
//! | Host | a port after an empty name | refused | the value names no host (RFC 9110 §4.2.1) |
//! | Host | no zone (RFC 6874 §4) | a zone in brackets, after `%` or `%25`, is read; the server's machine removes the zone, and Degu sends none | Node and aiohttp send the zone of their address |
//! | Content-Length | equal values may be merged (RFC 9112 §6.3) | only one is accepted | a proxy on the path may have used the other value |
//! | Transfer-Encoding | a list with empty elements (RFC 9110 §5.6.1.2) | no empty element | implementations disagree about empty elements |
//! | Transfer-Encoding | codings with parameters (RFC 9112 §7) | no parameters | no registered coding has parameters |
//! | chunk size | `1*HEXDIG` (RFC 9112 §7.1) | at most 16 digits | the size must fit into 64 bits |
//! | field value | controls other than CR, LF and NUL may be kept (RFC 9110 §5.5) | HTAB is the only control | logs and terminals act on controls |
//! | status line | a space before an absent reason phrase (RFC 9112 §4) | the space may be missing | many servers leave out the space, and the line still has only one meaning |
//! | field value of a response | a folded value is read (RFC 9112 §5.2), and so are blanks before a colon (§5.1) | refused in Content-Length, Transfer-Encoding, Connection, Content-Range and Upgrade | a program that overlooks the field would find another end of the message |
//! | chunk size of a response | no blanks after the size (RFC 9112 §7.1) | blanks before the end of the line are skipped | some servers write the size in a field of fixed width |
//! | fields of a response | a field that is not a list comes once (RFC 9110 §5.3) | several times, except Content-Length, Transfer-Encoding and Content-Range | devices repeat Content-Type, which does not decide framing |
//!
//! Tests compare the codec with a second implementation, which follows the grammar of the standards and this table.
//! They compare the results for request lines, field lines, chunk lines, and values of Transfer-Encoding and Host. The
//! inputs are all texts up to a certain length, over an alphabet with one byte of each class.
//!
//! # What it never does
//!
//! The crate opens no socket and reads no clock. Without `alloc` it allocates nothing. It has no `unsafe` code. It
//! accepts no input that could mean two things.
//!
//! # Errors
//!
//! There is an error type for each side that can be at fault. [`RemoteError`] is a fault of the peer, with the offset
//! of the fault and the status with which a server answers. [`LocalError`] is a fault of the caller. Both are `Copy`
//! and contain no bytes of the peer.

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
mod decoder;
#[cfg(feature = "embedded-io-async")]
pub mod embedded;
mod error;
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
