//! Apps made of apps: routing, the methods of a resource, the hosts of a server, checks, and a proxy with what it says of its client.

mod forwarded;
mod hosts;
mod methods;
#[cfg(feature = "proxy")]
mod proxy;
mod router;
mod validator;

pub use forwarded::set_forwarded_for;
pub use hosts::Hosts;
pub use methods::AllowedMethods;
#[cfg(feature = "proxy")]
pub use proxy::ProxyApp;
pub use router::Router;
pub use validator::{Validator, Violation};
