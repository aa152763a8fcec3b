//! Resources that the process holds: memory, descriptors, threads, tasks.

use std::fs;

use crate::{HEAP, Result};

/// Resources that the process holds when no exchange is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Bytes that are allocated.
    pub(crate) heap: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    /// Tasks of the runtimes of the servers and of the async clients.
    pub(crate) tasks: u64,
}

impl Held {
    /// Measures what is held now, with this number of tasks.
    pub(crate) fn now(tasks: u64) -> Result<Self> {
        let threads = fs::read_dir("/proc/self/task")?.count() as u64;
        Ok(Self { heap: HEAP.current_usage() as u64, descriptors: descriptors()?, threads, tasks })
    }
}

pub(crate) fn descriptors() -> Result<u64> {
    Ok(fs::read_dir("/proc/self/fd")?.count() as u64)
}
