//! The tests of the public interface, in one binary: each further one would link everything again.

#[cfg(feature = "alloc")]
mod address;
#[cfg(feature = "alloc")]
mod alloc;
mod chunk;
#[cfg(feature = "alloc")]
mod connections;
mod corpus;
#[cfg(all(feature = "alloc", feature = "embedded-io-async"))]
mod embedded;
#[cfg(feature = "alloc")]
mod events;
#[cfg(feature = "alloc")]
mod expect;
#[cfg(feature = "alloc")]
mod faults;
#[cfg(feature = "alloc")]
mod heads;
#[cfg(feature = "alloc")]
mod joined;
#[cfg(feature = "alloc")]
mod machines;
#[cfg(feature = "alloc")]
mod partial;
mod properties;
mod ranges;
#[cfg(feature = "alloc")]
mod sending;
#[cfg(feature = "alloc")]
mod sending_bodies;
#[cfg(feature = "alloc")]
mod vocabulary;
mod worlds;
