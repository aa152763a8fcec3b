//! The integration tests, in one binary: each further one would link the server again.

mod common;
#[cfg(feature = "hyper")]
mod kit;

mod applib;
mod blocking;
mod bodies;
mod bounds;
mod early_answers;
mod error_body;
mod errors;
mod exchanges;
mod failures;
mod forms;
mod gone;
mod hostile;
#[cfg(feature = "http")]
mod http;
mod http10;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "hyper")]
mod hyper_responses;
#[cfg(feature = "hyper")]
mod hyper_upgrades;
mod lifecycle;
mod on_response;
mod programs;
#[cfg(feature = "proxy")]
mod proxy;
mod room;
#[cfg(feature = "signal")]
mod signals;
mod tunnel;
