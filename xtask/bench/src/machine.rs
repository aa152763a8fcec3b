//! The cores of the machine, and the resources that a process has used according to the kernel.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity};

use crate::Result;

/// The placement of a connection's client and server: the cores of each. No cores mean that the process is not pinned.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// `same` if client and server share a core, so no core has to be woken. `apart` if each has a core of its own.
    /// `free` if they are not pinned.
    pub(crate) name: &'static str,
    pub(crate) client: Vec<usize>,
    pub(crate) server: Vec<usize>,
}

/// Describes the machine in one line, for the readers of a report.
pub(crate) fn describe() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let models: Vec<&str> = processors.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let model = models.first().map_or("unknown processor", |model| model.trim_start_matches([':', ' ', '\t']));
    let kernel = read("/proc/sys/kernel/osrelease");
    let compiler = Command::new("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let compiler = String::from_utf8_lossy(&compiler);
    let compiler = compiler.split(" (").next().unwrap_or_default().trim();
    format!("{} × {model}, Linux {}, {compiler}", models.len(), kernel.trim())
}

/// Returns the load average of the last minute. Before a run, it shows the load of other programs.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}

/// Returns the cores that this process may use. The last cores come first, because the first cores usually handle
/// interrupts. Cores that share execution units with the last core come after the other cores.
pub(crate) fn cores() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    let mut cores: Vec<usize> = (0..CpuSet::MAX_CPU).rev().filter(|core| allowed.is_set(*core)).collect();
    let siblings = |core: usize| {
        fs::read_to_string(format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")).ok()
    };
    if let Some((last, others)) = cores.split_first_mut() {
        let of_last = siblings(*last);
        others.sort_by_key(|core| siblings(*core) == of_last);
    }
    Ok(cores)
}

/// Returns the placements that the machine's cores allow. With one core, there is a single placement.
pub(crate) fn placements() -> Result<Vec<Placement>> {
    let cores = cores()?;
    let one = || cores.iter().take(1).copied().collect::<Vec<_>>();
    let mut placements = vec![Placement { name: "same", client: one(), server: one() }];
    if let Some(&other) = cores.get(1) {
        placements.push(Placement { name: "apart", client: one(), server: vec![other] });
        placements.push(Placement { name: "free", client: vec![], server: vec![] });
    }
    Ok(placements)
}

/// Returns cores for a load, and other cores for a server of many connections. Each gets two cores, or one core if
/// there are fewer than four cores.
///
/// # Errors
///
/// There is only one core.
pub(crate) fn halves() -> Result<Placement> {
    let cores = cores()?;
    let each = if cores.len() >= 4 { 2 } else { 1 };
    let [client, server] = [0, each].map(|first| cores.iter().copied().skip(first).take(each).collect::<Vec<_>>());
    if server.is_empty() {
        return Err("left out: load and server need a core each, and there is only one core".into());
    }
    Ok(Placement { name: "halves", client, server })
}

/// Returns the CPU time, in user space and in the kernel, of a process and its children. The time of threads that have
/// ended is not included, but no server ends a thread.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    Ok(Duration::from_nanos(of_threads(process, "schedstat", "")?))
}

/// Returns the number of times that the threads of a process and its children have slept and were woken.
pub(crate) fn wake_ups(process: u32) -> Result<u64> {
    of_threads(process, "status", "voluntary_ctxt_switches:")
}

/// Adds up a number that the kernel has for each thread of a process and its children.
fn of_threads(process: u32, file: &str, name: &str) -> Result<u64> {
    let mut all = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        all += number(&fs::read_to_string(thread?.path().join(file))?, name)?;
    }
    children(process).into_iter().try_fold(all, |sum, child| Ok(sum + of_threads(child, file, name)?))
}

/// Returns the resident memory of a process and its children, in bytes.
pub(crate) fn resident(process: u32) -> Result<u64> {
    let resident = number(&fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?, "Rss:")? * 1024;
    children(process).into_iter().try_fold(resident, |sum, child| Ok(sum + self::resident(child)?))
}

fn children(process: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Returns the number after a name in a list from the kernel. Without a name, it is the first number.
fn number(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word.ok_or_else(|| format!("a file of /proc has no line {name}"))?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_numbers_of_the_kernel() {
        assert!(!cores().unwrap().is_empty());
        assert_eq!(number("Name:\tx\nRss:  1234 kB\n", "Rss:").unwrap(), 1234);
        assert!(number("", "Rss:").is_err());
        assert!(resident(std::process::id()).unwrap() > 0 && cpu_time(0).is_err());
    }
}
