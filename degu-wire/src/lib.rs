#![no_std]
//! A strict, sans-IO codec for HTTP/1.1.

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(feature = "alloc")]
mod address;
#[cfg(feature = "alloc")]
mod body;
pub mod chunk;
mod error;
mod framing;
pub mod head;
#[cfg(feature = "alloc")]
mod headers;
mod limits;
#[cfg(feature = "alloc")]
pub mod machine;
mod method;
mod octets;
mod range;
mod status;

#[cfg(feature = "alloc")]
pub use address::{Address, AddressError, AddressFault, AddressKind, Zone};
#[cfg(feature = "alloc")]
pub use body::{Body, BodyKind, BodyOf, BoxError, Chunk, ChunkExtensions, LocalBody, Part, Source};
pub use error::{Fault, LocalError, RemoteError};
pub use framing::Framing;
#[cfg(feature = "alloc")]
pub use headers::{Headers, Trailers};
pub use limits::Limits;
pub use method::Method;
pub use range::{ByteRange, ContentRange, RangeError};
pub use status::reason_phrase;
