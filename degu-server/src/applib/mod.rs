//! Ready-made apps: a router, filters for methods and hosts, a validator of responses, and a proxy.

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
pub use validator::Validator;
