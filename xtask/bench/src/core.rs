//! Where this process runs.

use crate::Result;

/// Pins this thread, and so all that it starts, to one core.
pub(crate) fn pin(core: usize) -> Result {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores)
        .map_err(|error| format!("cannot run on core {core}: {error}").into())
}
