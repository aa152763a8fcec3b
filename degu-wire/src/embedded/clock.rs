//! The clock of the caller, and the bounds on the time that a peer may take.

use core::future::Future;
use core::time::Duration;

use crate::Limits;

/// A clock that the caller provides. The driver uses the clock to limit each wait for the peer.
///
/// With embassy-time:
///
/// ```ignore
/// struct Embassy;
///
/// impl Clock for Embassy {
///     async fn limit<F: Future>(&self, left: &mut Duration, future: F) -> Option<F::Output> {
///         let since = embassy_time::Instant::now();
///         let end = embassy_time::Duration::try_from(*left).ok().and_then(|left| since.checked_add(left));
///         let output = embassy_time::with_deadline(end.unwrap_or(embassy_time::Instant::MAX), future).await.ok();
///         *left = left.saturating_sub(since.elapsed().into());
///         output
///     }
/// }
/// ```
pub trait Clock {
    /// Runs `future` for at most `left`, and reduces `left` by the time that has passed. If `future` has not completed
    /// in this time, `future` is dropped, and the result is `None`.
    fn limit<F: Future>(&self, left: &mut Duration, future: F) -> impl Future<Output = Option<F::Output>>;
}

/// The bounds of a connection: the size of the peer's messages, and the time that the peer may take.
///
/// The options are plain data: write the fields that differ, and `..Options::DEFAULT`. Write `..` even if you set all
/// fields, because later versions may have more fields.
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
    /// The bounds of heads, chunks and trailers. Small buffers lower these bounds.
    pub limits: Limits,
    /// The longest wait for the first byte of a request. If the network stack has few sockets, set a short time.
    /// Default 15 s.
    pub idle: Duration,
    /// The time that a client may take to send a request's head. Each received byte adds 8 ms to the time that is left,
    /// which never exceeds this option. Default 10 s.
    pub head: Duration,
    /// The time for which a peer may keep the driver waiting while a body is read or written. Each byte that is
    /// received or sent adds 8 ms to the time that is left, which never exceeds this option. So a peer that is slower
    /// than 125 bytes a second runs out of time. In a client, this time also bounds the wait for the head of the
    /// response. Default 10 s.
    pub progress: Duration,
    /// The time for which a server, after its last response, reads and drops the bytes that the client still sends.
    /// Closing a TCP socket with unread input would reset the connection, and the client could lose the response.
    /// Default 1 s.
    pub linger: Duration,
}

impl Options {
    /// The default options, as a constant. Unlike [`default`](Self::default), this constant can be used in other
    /// constants.
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
