//! The clients against servers whose every byte is a test's. Without the feature `async`, the blocking one alone.

#[cfg(feature = "async")]
mod allocations;
mod common;
#[cfg(feature = "hyper-util")]
mod connector;
#[cfg(feature = "async")]
mod descriptors;
mod exchanges;
mod interruptions;
#[cfg(feature = "async")]
mod kinds;
#[cfg(feature = "async")]
mod owned;
#[cfg(feature = "async")]
mod pool;
mod signals;
#[cfg(feature = "async")]
mod truncation;
#[cfg(feature = "async")]
mod upgrade;
#[cfg(feature = "async")]
mod views;
