//! Apps made of apps: routing, the methods of a resource, checks, and a proxy with what it says of its client.

mod forwarded;
mod methods;
#[cfg(feature = "proxy")]
mod proxy;
mod router;
mod validator;

pub use forwarded::set_forwarded_for;
pub use methods::AllowedMethods;
#[cfg(feature = "proxy")]
pub use proxy::ProxyApp;
pub use router::Router;
pub use validator::{Validator, Violation};
