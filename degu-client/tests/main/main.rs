//! The clients against servers whose every byte is a test's.

mod allocations;
mod common;
#[cfg(feature = "hyper-util")]
mod connector;
mod exchanges;
mod interruptions;
mod kinds;
mod owned;
mod signals;
mod truncation;
mod upgrade;
mod views;
