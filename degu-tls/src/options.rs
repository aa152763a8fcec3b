//! The values that building a policy needs besides its recipe: the options of the caller, the cryptography and the time.

use std::sync::Arc;

use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls_pki_types::UnixTime;

use crate::error::{Blame, Error, Kind};
use crate::provider::Crypto;

/// The name of HTTP/1.1 as an application protocol (RFC 7301 §6).
pub(crate) const HTTP_1_1: &[u8] = b"http/1.1";

/// The options that the builders of both policies have: the server's and the client's.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) tls13_only: bool,
    pub(crate) sessions: usize,
    pub(crate) require_alpn: bool,
    pub(crate) clock: Arc<dyn TimeProvider>,
}

impl Default for Options {
    fn default() -> Self {
        Self { tls13_only: false, sessions: 256, require_alpn: false, clock: Arc::new(DefaultTimeProvider) }
    }
}

/// Returns the current time.
pub(crate) fn now(clock: &dyn TimeProvider) -> Result<UnixTime, Error> {
    clock
        .current_time()
        .ok_or_else(|| Error::new(Kind::System, Blame::System, "the clock cannot tell the current time"))
}

/// Defines the methods that set [`Options`], for the builders of both policies. The meaning of `sessions` and
/// `require_alpn` depends on the side, so the caller of the macro documents these two.
macro_rules! option_methods {
    ($(#[$sessions:meta])* sessions, $(#[$require_alpn:meta])* require_alpn) => {
        /// Switches TLS 1.2 off. Default: TLS 1.2 is on, with cipher suites that are as strong as those of TLS 1.3.
        pub fn tls13_only(mut self) -> Self {
            self.options.tls13_only = true;
            self
        }

        $(#[$sessions])*
        pub fn sessions(mut self, count: usize) -> Self {
            // rustls allocates its table for the whole number at once, so a huge number would panic.
            self.options.sessions = count.min(1 << 16);
            self
        }

        $(#[$require_alpn])*
        pub fn require_alpn(mut self) -> Self {
            self.options.require_alpn = true;
            self
        }

        /// Takes the time from `clock` instead of the system's clock, for tests, and for devices whose system clock is
        /// not set.
        pub fn clock(mut self, clock: Arc<dyn TimeProvider>) -> Self {
            self.options.clock = clock;
            self
        }
    };
}
pub(crate) use option_methods;

/// The values with which a policy is built: its options, its cryptography provider and the current time. Also collects
/// the warnings about the policy.
pub(crate) struct Build {
    pub(crate) options: Options,
    pub(crate) crypto: Crypto,
    pub(crate) now: UnixTime,
    pub(crate) warnings: Vec<Error>,
}
