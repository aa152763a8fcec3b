//! A decoder and an encoder for chunked bodies, with their extensions and trailers.
//!
//! The extensions of a chunk are values that are sent with it, such as a sequence number or a hash. Most decoders skip
//! the extensions and join the chunks. This decoder returns each chunk with its extensions.
//!
//! # The grammar
//!
//! The decoder follows the grammar of RFC 9112 §7.1, and every element is bounded. The deviations are in a
//! [table](crate#where-it-deviates-from-the-standards) on the front page of the crate.
//!
//! ```text
//! chunked-body    = *chunk last-chunk trailer-section CRLF
//! chunk           = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//! chunk-size      = 1*HEXDIG                                  at most 16, leading zeros included
//! last-chunk      = 1*("0") [ chunk-ext ] CRLF                at most 16 zeros, as any size
//! chunk-data      = 1*OCTET
//! chunk-ext       = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
//! chunk-ext-name  = token
//! chunk-ext-val   = token / quoted-string
//! trailer-section = *( field-line CRLF )                      only the line ends are checked here
//! ```
//!
//! - The size has at most sixteen digits, so it always fits into 64 bits. RFC 9112 §7.1 asks that recipients
//!   "anticipate potentially large hexadecimal numerals and prevent parsing errors due to integer conversion
//!   overflows". A sign, a prefix `0x` or a space before the size is refused.
//! - CRLF is the only line end. RFC 9112 §2.2 lets a recipient accept LF alone after start lines and field lines, but
//!   not after chunk lines. A program that accepts LF alone after chunk lines would read another body than other
//!   programs on the path. LF alone is refused in trailers too, as in heads.
//! - Whitespace is accepted only around `;` and `=`, and is never written (RFC 9110 §5.6.3). No rule allows whitespace
//!   between a size and CRLF, but some servers pad the size with spaces. [`Decoder::of_response`] skips whitespace
//!   there. Requests with such whitespace are refused.
//! - A line has at most [`max_chunk_line`](crate::Limits::max_chunk_line) bytes. RFC 9112 §7.1.1 says that a server
//!   "ought to limit the total length of chunk extensions received in a request to an amount reasonable for the
//!   services provided". For each chunk, [`free_extension`](crate::Limits::free_extension) bytes are free, so an
//!   endless stream can number its chunks. Further bytes are taken from a budget of
//!   [`extension_budget`](crate::Limits::extension_budget) bytes, to which each byte of data adds one byte.
//!
//! # The decoder
//!
//! ```text
//!              ┌──────────────── CRLF ─────────────────┐
//!              ▼                                       │
//!   ──▶ ┌────────────┐   size > 0   ┌────────────┐     │
//!       │ chunk line │ ───────────▶ │    data    │ ────┘
//!       └────────────┘    Chunk     └────────────┘
//!              │                      │        ▲
//!              │ size = 0             └─ Data ─┘
//!              │ LastChunk
//!              ▼
//!      ┌───────────────┐  empty line  ┌────────────┐
//!      │ trailer lines │ ───────────▶ │    done    │
//!      └───────────────┘     End      └────────────┘
//! ```
//!
//! The buffer belongs to the caller. [`Decoder::decode`] reads from the beginning of the buffer and returns a [`Step`]:
//! the number of bytes to drop from the beginning, and an [`Event`] that borrows from these bytes. If there is no
//! event, more bytes are needed: append them and call again. A line is consumed when it is complete. Until then, the
//! decoder remembers the number of bytes that it has checked. It does not read these bytes again, and it refuses a bad
//! byte as soon as the byte arrives. Data is returned in the pieces in which it arrives. All other events, and all
//! errors, do not depend on these pieces.
//!
//! # The encoder
//!
//! [`encode_chunk_head`] and [`encode_last_chunk`] write lines into a `&mut [u8]`; the caller writes data, [`CRLF`] and
//! trailers, usually without a copy. A new decoder with the default limits accepts every line that these functions
//! write.
//!
//! ```
//! use degu_wire::{Limits, chunk};
//!
//! let mut line = [0; 64];
//! let length = chunk::encode_chunk_head(&mut line, 5, [("seq", "1")])?;
//! let wire = [&line[..length], b"hello", chunk::CRLF, chunk::LAST_CHUNK].concat();
//!
//! let mut decoder = chunk::Decoder::new(&Limits::DEFAULT);
//! let step = decoder.decode(&wire)?;
//! let Some(chunk::Event::Chunk { size: 5, extensions }) = step.event else { panic!() };
//! assert_eq!(extensions.as_bytes(), b";seq=1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod encode;
mod extension;
mod scan;

pub use decode::{Decoder, Event, Step};
pub use encode::{CRLF, LAST_CHUNK, MAX_CHUNK_LINE, MAX_SIZE_LINE, encode_chunk_head, encode_last_chunk};
pub use extension::{Extension, ExtensionValue, Extensions, Iter};

pub(crate) use encode::{put_extension, put_line};
