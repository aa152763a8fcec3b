//! Time, and how much of it a peer has.

use core::future::Future;
use core::time::Duration;

use crate::Limits;

/// The clock of the caller.
///
/// With embassy-time:
///
/// ```ignore
/// struct Embassy;
///
/// impl Clock for Embassy {
///     async fn limit<F: Future>(&self, left: &mut Duration, future: F) -> Option<F::Output> {
///         let since = embassy_time::Instant::now();
///         let limit = embassy_time::Duration::try_from(*left).unwrap_or(embassy_time::Duration::MAX);
///         let output = embassy_time::with_timeout(limit, future).await.ok();
///         *left = left.saturating_sub(since.elapsed().into());
///         output
///     }
/// }
/// ```
pub trait Clock {
    /// Runs `future` for at most `left`, and takes the time that passed off `left`. `None` where `future` has not completed
    /// by then; it is dropped.
    fn limit<F: Future>(&self, left: &mut Duration, future: F) -> impl Future<Output = Option<F::Output>>;
}

/// The bounds of a connection: of what a peer may send, and of the time that it may take.
///
/// Plain data: take the default and change what differs. Later versions may have more fields, so write `..` even where all
/// are set.
///
/// ```
/// use core::time::Duration;
/// use degu_wire::embedded::Options;
///
/// let options = Options { idle: Duration::from_secs(5), ..Options::DEFAULT };
/// assert_eq!(options.limits.max_fields, 128);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The bounds of heads, chunks and trailers. The sizes of the buffers bound them too.
    pub limits: Limits,
    /// The longest wait for the first byte of a request. A stack with few sockets wants it short. Default 15 s.
    pub idle: Duration,
    /// The time for a head, to which each byte adds 8 ms. Default 10 s.
    pub head: Duration,
    /// The time that a peer may let pass while a body is read or written. Each byte that moves adds 8 ms to what is left of it,
    /// up to this again: a peer that is slower than 125 bytes a second runs out of it. Default 10 s.
    pub progress: Duration,
    /// The time for which a server reads and drops what a refused peer still sends: closing a TCP socket with unread input
    /// resets the connection, and the peer may lose the response. Default 1 s.
    pub linger: Duration,
}

impl Options {
    /// The defaults, for constants.
    pub const DEFAULT: Self = Self {
        limits: Limits::DEFAULT,
        idle: Duration::from_secs(15),
        head: Duration::from_secs(10),
        progress: Duration::from_secs(10),
        linger: Duration::from_secs(1),
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The time that a peer has left. Waiting reduces it, and bytes add to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowance {
    pub(super) left: Duration,
    most: Duration,
}

impl Allowance {
    pub(super) const fn new(most: Duration) -> Self {
        Self { left: most, most }
    }

    pub(super) fn moved(&mut self, bytes: usize) {
        let gained = Duration::from_millis(bytes as u64 * 8);
        self.left = self.left.saturating_add(gained).min(self.most);
    }
}
