//! Where this process runs.

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Result;

/// Pins this thread, and so all that it starts, to these cores.
pub(crate) fn pin(cores: &[usize]) -> Result {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    sched_setaffinity(None, &set).map_err(|error| format!("cannot run on the cores {cores:?}: {error}").into())
}
