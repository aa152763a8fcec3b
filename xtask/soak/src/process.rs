//! What the system says of a process: memory, descriptors, threads.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::Result;

/// What a process holds when nothing goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// Octets that are allocated.
    pub(crate) heap: u64,
    /// Octets of memory that are there in truth.
    pub(crate) resident: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    /// Tasks of its runtimes.
    pub(crate) tasks: u64,
}

impl Held {
    /// What the system knows: neither heap nor tasks.
    pub(crate) fn of(process: u32) -> Result<Self> {
        Ok(Self {
            resident: status(process, "VmRSS:")? * 1024,
            descriptors: descriptors(process)?,
            threads: status(process, "Threads:")?,
            ..Self::default()
        })
    }
}

pub(crate) fn descriptors(process: u32) -> Result<u64> {
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64)
}

/// A number of `/proc/PID/status`, in the unit that stands there.
fn status(process: u32, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name} of {process}"))?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}

/// Holds a process to less of something, until this is dropped.
#[derive(Debug)]
pub(crate) struct Squeeze {
    process: Option<Pid>,
    resource: Resource,
    before: Rlimit,
}

impl Squeeze {
    pub(crate) fn new(process: u32, resource: Resource, most: u64) -> Result<Self> {
        let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
        // The hard limit stays, so that it can be taken back.
        let maximum = getrlimit(resource).maximum;
        let before = prlimit(pid, resource, Rlimit { current: Some(most), maximum })?;
        Ok(Self { process: pid, resource, before })
    }
}

impl Drop for Squeeze {
    fn drop(&mut self) {
        // A process that is gone needs it no more.
        let _ = prlimit(self.process, self.resource, self.before);
    }
}
