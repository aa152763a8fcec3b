//! The driver for microcontrollers.

mod alike;
mod client;
mod kit;
mod server;
