//! What a running process has used, as the kernel counts it.

use std::fs;
use std::time::Duration;

use crate::Result;

/// The kernel counts CPU time for processes in hundredths of a second, on every architecture that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// The CPU time, in user space and in the kernel, of a process with its children that are still there.
pub(super) fn cpu_time(process: u32) -> Result<Duration> {
    let mut time = match of_threads(process) {
        Some(time) => time,
        None => of_ticks(process)?,
    };
    for child in children(process) {
        time += cpu_time(child)?;
    }
    Ok(time)
}

/// To the nanosecond, where the kernel keeps statistics of its scheduler. A thread that has ended is not in it: the
/// servers keep theirs.
fn of_threads(process: u32) -> Option<Duration> {
    let mut time = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let stat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        time += Duration::from_nanos(stat.split_whitespace().next()?.parse().ok()?);
    }
    Some(time)
}

fn of_ticks(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let ticks = ticks(&stat).ok_or_else(|| format!("the kernel says of process {process}: {stat}"))?;
    Ok(TICK * ticks)
}

/// How often the threads of a process have slept and were woken.
pub(super) fn wake_ups(process: u32) -> Result<u64> {
    let mut all = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // One that has just ended wakes no more.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else { continue };
        all += switches(&status).ok_or("the kernel does not say how often a thread has slept")?;
    }
    Ok(all)
}

/// The octets of memory that a process with its children has in use (`Rss` of smaps_rollup, which is exact).
pub(super) fn resident(process: u32) -> Result<u64> {
    let sizes = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let mut resident = kibibytes(&sizes).ok_or("the kernel does not say what is resident")? * 1024;
    for child in children(process) {
        resident += self::resident(child)?;
    }
    Ok(resident)
}

fn children(process: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// `utime` and `stime` of proc(5). The name of the program comes before them, and may have any character in it.
fn ticks(stat: &str) -> Option<u32> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?)
}

fn switches(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok())
}

fn kibibytes(sizes: &str) -> Option<u64> {
    sizes.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix("kB")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_after_a_name() {
        let stat = "71 (a) b (c) S 1 71 71 0 -1 4194560 100 0 0 0 250 31 7 8 20 0 1 0 500";
        assert_eq!(ticks(stat), Some(281));
        assert_eq!(ticks("71 (a) S"), None);
    }

    #[test]
    fn sleeps() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n";
        assert_eq!(switches(status), Some(150));
        assert_eq!(switches(""), None);
        assert!(wake_ups(std::process::id()).is_ok() && wake_ups(0).is_err());
    }

    #[test]
    fn memory() {
        assert_eq!(kibibytes("55-7f ---p\nRss:                1234 kB\nPss:                 34 kB\n"), Some(1234));
        assert_eq!(kibibytes(""), None);
    }

    #[test]
    fn of_this_process() {
        let this = std::process::id();
        assert!(resident(this).unwrap() > 0);
        let before = of_ticks(this).unwrap();
        // Both count the same: the ticks are rounded down, and other threads may end or go on in between.
        assert!(cpu_time(this).unwrap() + TICK * 2 >= before, "{before:?}");
        assert!(cpu_time(0).is_err());
    }
}
