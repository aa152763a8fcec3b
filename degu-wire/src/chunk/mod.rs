//! Chunked bodies: chunks, their extensions, and where the trailers end.
//!
//! A chunk is a unit that both sides see, and its extensions are values that travel with it: a sequence number, a hash,
//! a mark that says what the data is. So this decoder gives them all, where most skip them.
//!
//! # The grammar
//!
//! RFC 9112 §7.1, with nothing left unbounded. Its deviations are in the [table](crate#where-it-deviates-from-the-standards)
//! of the crate.
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
//! trailer-section = *( field-line CRLF )                      its line ends; fields are parsed as those of a head
//! ```
//!
//! - The size has at most sixteen digits, so that it fits into 64 bits whatever they are. RFC 9112 §7.1 asks that
//!   recipients "anticipate potentially large hexadecimal numerals and prevent parsing errors due to integer conversion
//!   overflows". A sign, a prefix `0x` or a space before the size is no digit.
//! - CRLF is the only line end. RFC 9112 §2.2 lets a recipient take a LF alone for one after start lines and field
//!   lines, not after chunk lines: a reader that does it there reads another body than the others on the way. So it is refused
//!   in trailers too, as it is in heads.
//! - Whitespace stands around `;` and `=` only, and is never written (RFC 9110 §5.6.3). Between a size and CRLF no rule has
//!   it, but some servers pad with it: [`Decoder::of_response`] skips it there, and requests are refused.
//! - A line has at most [`max_chunk_line`](crate::Limits::max_chunk_line) bytes. RFC 9112 §7.1.1 says that a server
//!   "ought to limit the total length of chunk extensions received in a request to an amount reasonable for the
//!   services provided": a chunk has [`free_extension`](crate::Limits::free_extension) bytes free, which lets a feed
//!   number its chunks for as long as it lives; what is beyond is paid from a balance of
//!   [`extension_budget`](crate::Limits::extension_budget) bytes, to which each byte of data adds one.
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
//! The buffer is the caller's. [`Decoder::decode`] reads from its front and returns a [`Step`]: how many bytes to drop
//! from there, and an [`Event`] that borrows from them. Without an event more bytes are needed: append and call again.
//! A line is consumed when it is whole; until then the decoder knows how much of it is good, does not read that again,
//! and refuses a bad byte as soon as it comes. The same input gives the same events and errors however it is cut,
//! except that data comes in as many pieces as the input does.
//!
//! # The encoder
//!
//! [`encode_chunk_head`] and [`encode_last_chunk`] write lines into a `&mut [u8]`; data, [`CRLF`] and trailers are for
//! the caller to write, most often without a copy. What they write decodes to itself.
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

#[cfg(feature = "alloc")]
pub(crate) use encode::put_extension;
#[cfg(feature = "embedded-io-async")]
pub(crate) use encode::put_line;
