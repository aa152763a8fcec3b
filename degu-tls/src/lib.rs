//! A TLS policy over rustls and webpki. The policy determines which peers are accepted, which CA (certificate authority)
//! vouched for a peer, and which alert a refused peer gets.
//!
//! A policy is a [`ServerTls`] or a [`ClientTls`]. A policy is built from an [`Identity`], which is a certificate with
//! its key, and from a [`CaSet`], which has the CAs that vouch for peers. If a peer sent a certificate, its connection
//! has a [`PeerIdentity`]. A server with `allow_unauthenticated_clients` does not ask its clients for certificates. If
//! a connection or a policy cannot be made, the [`Error`] names the file or the certificate and says what to do.
//! degu-server and degu-client add sockets and HTTP. They use the module [`drive`].
//!
//! ```
//! use degu_tls::{CaSet, ClientTls, Identity, ServerTls};
//!
//! /// Returns the policies of two devices that know only each other's CA.
//! fn policies() -> Result<(ServerTls, ClientTls), degu_tls::Error> {
//!     let identity = Identity::from_pem_files("device.pem", "device.key")?;
//!     let peers = CaSet::from_pem_file("peers.pem")?.with_crl_file("peers.crl")?;
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
//! For private CAs, one function verifies servers and clients. webpki builds the chain of certificates. This crate adds
//! two checks that webpki leaves out (weak keys, and faults of the CAs themselves), and finds out which CA vouched for
//! the peer. When a session is resumed, the function runs again. A certificate that has expired since the first handshake
//! is therefore refused. rustls alone would accept it.
//!
//! - [`rfc5280`] compares this crate and webpki with RFC 5280, section by section. It also lists certificates that are
//!   accepted although a reader may expect a refusal.
//! - [`handshakes`] is a table of more than a hundred handshakes. For each handshake the table has the result, the
//!   error of this crate, and the alert that the peer gets.
//!
//! # Cryptography
//!
//! A policy uses the cryptography provider that a feature selects, or a provider that the caller passes to `build_with`.
//! The process default of rustls is neither read nor set.
//!
//! | feature | adds |
//! | --- | --- |
//! | `ring` (default) | `build()` with ring, which compiles quickly, and needs only a C compiler |
//! | `aws-lc-rs` | `build()` with aws-lc-rs, even if `ring` is on too; it has post-quantum key exchange (X25519MLKEM768) and P-521, but takes longer to compile and may need cmake |
//! | `system` (default) | `ClientTls::system()`, which trusts the CAs of the operating system |
//!
//! ring is the default, because it compiles with every toolchain that has a C compiler.
//!
//! # What it never does
//!
//! - No policy uses TLS 1.1 or older, key exchange without forward secrecy, CBC, RC4, renegotiation, compression, early
//!   data, or tickets that outlive the policy. The provider makes no difference.
//! - A server policy cannot be built without saying which clients are accepted. Every client policy verifies the
//!   server.
//! - The crate opens no socket, and knows nothing of HTTP.
#![forbid(unsafe_code)]

// Unit tests include the module `kit` of the integration tests, which calls this crate `degu_tls`.
#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
extern crate self as degu_tls;

mod ca_set;
mod client;
pub mod drive;
pub mod error;
mod identity;
mod note;
mod options;
mod peer;
pub mod pin;
mod policy;
mod provider;
mod server;
mod source;
mod verify;
mod x509;

#[doc = include_str!("../docs/handshakes.md")]
pub mod handshakes {}

#[doc = include_str!("../docs/rfc5280.md")]
pub mod rfc5280 {}

pub use ca_set::CaSet;
pub use client::{ClientTls, ClientTlsBuilder, Pinned, Private, System};
pub use error::Error;
pub use identity::Identity;
pub use peer::{Fingerprint, PeerIdentity};
pub use pin::SpkiPin;
pub use rustls;
pub use server::{Decided, ServerTls, ServerTlsBuilder, Undecided};
