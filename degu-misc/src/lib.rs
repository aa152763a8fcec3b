//! Servers, certificates and messages for tests of programs that use Degu. They are not for production: they panic if a
//! test cannot go on, and a server that is dropped closes its open connections.
//!
//! [`TempServer`] serves an app over a real socket for as long as a test lives. Its blocking client needs no runtime:
//!
//! ```
//! use degu_misc::TempServer;
//! use degu_server::{Address, Request, Session};
//!
//! async fn app(_: &mut Session, _: Request<'_>) -> &'static str {
//!     "hello"
//! }
//!
//! let server = TempServer::new(Address::IPV6_LOOPBACK, app);
//! let mut connection = server.client().connect()?;
//! assert_eq!(connection.get("/")?.body.read_all(1024)?, "hello");
//! # Ok::<(), degu_client::blocking::Error>(())
//! ```
//!
//! `TempSSLServer` does the same under TLS, with certificates of a `TempPki`. [`mkuri`], [`mkreq`], [`parse_headers`]
//! and [`format_headers`] write and parse messages as bytes, for tests that use a socket themselves.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `tls` (default) | `TempPki` and `TempSSLServer`, which need rcgen, and degu-tls with ring |
//!
//! # What it never does
//!
//! This crate is a dev-dependency, and never a part of a program that is shipped. A server that is dropped does not
//! wait for its clients. No file is left after a test.

#[cfg(feature = "tls")]
mod temp_pki;
mod temp_server;
#[cfg(feature = "tls")]
mod temp_ssl_server;
mod text;

#[cfg(feature = "tls")]
pub use temp_pki::{Leaf, TempPki};
pub use temp_server::TempServer;
#[cfg(feature = "tls")]
pub use temp_ssl_server::TempSSLServer;
pub use text::{format_headers, mkreq, mkuri, parse_headers};

/// The pages of `docs` and the README files. The doctests compile and run the blocks of Rust code in them.
#[cfg(doctest)]
mod documentation {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../degu-wire/README.md")]
    mod wire {}
    #[doc = include_str!("../../degu-server/README.md")]
    mod server {}
    #[doc = include_str!("../../degu-client/README.md")]
    mod client {}
    #[cfg(feature = "tls")]
    #[doc = include_str!("../../degu-tls/README.md")]
    mod tls {}
    #[doc = include_str!("../README.md")]
    mod misc {}

    #[doc = include_str!("../../docs/tutorial/1-server-and-client.md")]
    mod server_and_client {}
    #[doc = include_str!("../../docs/tutorial/2-who-is-calling.md")]
    mod who_is_calling {}
    #[doc = include_str!("../../docs/tutorial/3-apps-of-apps.md")]
    mod apps_of_apps {}
    #[doc = include_str!("../../docs/tutorial/4-bodies.md")]
    mod bodies {}
    #[cfg(feature = "tls")]
    #[doc = include_str!("../../docs/tutorial/5-certificates.md")]
    mod certificates {}
    #[doc = include_str!("../../docs/tutorial/6-running-it.md")]
    mod running_it {}
    #[doc = include_str!("../../docs/deployment.md")]
    mod deployment {}

    #[doc = include_str!("../../docs/from-degu-0.18.md")]
    mod from_degu {}
    #[doc = include_str!("../../docs/from-hyper.md")]
    mod from_hyper {}
    #[doc = include_str!("../../docs/from-reqwest.md")]
    mod from_reqwest {}
    #[doc = include_str!("../../docs/from-tonic.md")]
    mod from_tonic {}
    #[doc = include_str!("../../docs/from-tiny_http.md")]
    mod from_tiny_http {}
}
