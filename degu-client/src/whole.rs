//! The one deadline over everything that a request takes.

use std::time::{Duration, Instant};

/// The end of a whole exchange, and the time that it was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    pub(crate) limit: Duration,
    pub(crate) end: Instant,
}

impl Whole {
    /// Returns the end of an exchange that begins now: none that the clock cannot tell.
    pub(crate) fn new(limit: Duration, now: Instant) -> Option<Self> {
        Some(Self { limit, end: now.checked_add(limit)? })
    }
}
