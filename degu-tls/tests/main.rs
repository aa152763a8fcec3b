//! All integration tests in one binary, because each further binary links the TLS stack again.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]

mod kit;

mod basics;
mod drive;
mod limbo;
mod log;
mod policies;
mod reload;
mod secured;
mod table;
