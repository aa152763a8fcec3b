//! The 64-bit atomic counter of this crate. On processors without 64-bit atomics, another crate emulates the counter.

#[cfg(not(target_has_atomic = "64"))]
pub(crate) use portable_atomic::AtomicU64;
#[cfg(target_has_atomic = "64")]
pub(crate) use std::sync::atomic::AtomicU64;
