//! TLS policy over rustls and webpki: who may call, who vouched for the caller, and what to say when it is refused.
//!
//! Two policies, [`ServerTls`] and [`ClientTls`], are built from an [`Identity`] (a certificate with its key) and [`Cas`]
//! (the authorities that vouch for peers). A connection made with them has a [`PeerIdentity`]; one that cannot be made
//! has an [`Error`] that names the file or the certificate and says what to do. The sockets and HTTP are the business of
//! degu-server and degu-client, which come in through [`drive`].
//!
//! ```
//! use degu_tls::{Cas, ClientTls, Identity, ServerTls};
//!
//! /// Two devices that know only each other's CA.
//! fn policies() -> Result<(ServerTls, ClientTls), degu_tls::Error> {
//!     let identity = Identity::from_pem_files("device.pem", "device.key")?;
//!     let peers = Cas::from_pem_file("peers.pem")?.with_crl_file("peers.crl")?;
//!     let server = ServerTls::builder(identity.clone()).require_clients(peers.clone()).build()?;
//!     let client = ClientTls::private(peers).without_name_check().identity(identity).build()?;
//!     Ok((server, client))
//! }
//! # let error = policies().unwrap_err();
//! # assert!(error.explain().starts_with("device.pem cannot be read: "));
//! ```
//!
//! # What is verified
//!
//! For private CAs, one routine judges servers and clients: webpki builds the path, and this crate adds what it leaves
//! out (weak keys, the sanity of the CAs themselves) and tells which CA vouched. [`rfc5280`] compares both with RFC 5280
//! section by section, and lists what is accepted that a reader may not expect. It runs again when a session is resumed,
//! which rustls alone would not do: a certificate that has expired since is refused. [`handshakes`] is a table of what
//! becomes of more than a hundred handshakes, what we say, and what the peer is told.
//!
//! # Cryptography
//!
//! Policies are built with the provider of a feature or with one that is given (`build_with`); the process default of
//! rustls is neither read nor set.
//!
//! | feature | |
//! | --- | --- |
//! | `ring` (default) | `build()` with ring: builds wherever there is a C compiler, quickly |
//! | `aws-lc-rs` | `build()` with aws-lc-rs, also if `ring` is on: post-quantum key exchange (X25519MLKEM768), P-521; its build takes longer and may want cmake |
//! | `system` (default) | `ClientTls::system()`: what the operating system trusts |
//!
//! ring is the default because a device's toolchain always builds it.
//!
//! # What it never does
//!
//! Whatever the provider, no policy does TLS 1.1 or older, key exchange without forward secrecy, CBC, RC4, renegotiation,
//! compression, early data, or tickets that outlive the policy. None leaves open who may call, or a server unverified.
//! Nothing here opens a socket, or knows HTTP.
#![forbid(unsafe_code)]

// The kit of the integration tests, which unit tests use too, knows this crate by its name.
#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
extern crate self as degu_tls;

mod cas;
mod client;
mod der;
pub mod drive;
pub mod error;
mod identity;
mod note;
mod peer;
pub mod pin;
mod policy;
mod provider;
mod server;
mod source;
mod verify;

#[doc = include_str!("../docs/handshakes.md")]
pub mod handshakes {}

#[doc = include_str!("../docs/rfc5280.md")]
pub mod rfc5280 {}

pub use cas::Cas;
pub use client::{ClientTls, ClientTlsBuilder, Pinned, Private, System};
pub use error::Error;
pub use identity::Identity;
pub use peer::{Fingerprint, PeerIdentity};
pub use pin::SpkiPin;
pub use rustls;
pub use server::{Decided, ServerTls, ServerTlsBuilder, Undecided};
