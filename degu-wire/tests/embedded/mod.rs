//! The driver for microcontrollers.

mod alike;
mod client;
mod drivers;
mod kit;
mod server;
