#![no_std]
//! A strict, sans-IO codec for HTTP/1.1.

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod chunk;
mod error;
mod limits;
mod method;
mod octets;

pub use error::{Fault, LocalError, RemoteError};
pub use limits::Limits;
pub use method::Method;
