//! The time by which a connection must be made, or an exchange must end.

use std::time::{Duration, Instant};

use crate::error::Timeout;

/// The time at which a timeout expires, and the timeout itself, which an error names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) end: Instant,
    pub(crate) timeout: Timeout,
}

impl Deadline {
    /// Returns the end of a timeout that begins now; `None` without a limit, or if the clock cannot represent the end.
    #[inline]
    pub(crate) fn new(
        timeout: impl FnOnce(Duration) -> Timeout,
        limit: Option<Duration>,
        clock: impl FnOnce() -> Instant,
    ) -> Option<Self> {
        let limit = limit?;
        Some(Self { end: clock().checked_add(limit)?, timeout: timeout(limit) })
    }

    /// Returns the time until the deadline. If the deadline has passed, the error is the timeout.
    pub(crate) fn left(self) -> Result<Duration, Timeout> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.timeout) } else { Ok(left) }
    }
}
