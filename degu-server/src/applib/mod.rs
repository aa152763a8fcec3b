//! Apps made of apps: routing, the methods of a resource, checks, and a proxy.

mod methods;
#[cfg(feature = "proxy")]
mod proxy;
mod router;
mod validator;

pub use methods::AllowedMethods;
#[cfg(feature = "proxy")]
pub use proxy::ProxyApp;
pub use router::Router;
pub use validator::{Validator, Violation};
