//! How often something can be done in a time.

use std::time::{Duration, Instant};

use crate::Result;

/// Warms up for a quarter of `time`, then runs for about `time`; returns how many times, and how long they took. `run`
/// does it as many times as it is told.
///
/// The clock is read once a batch of a twentieth of `time`, so that it costs nothing beside what is measured, and so that
/// what becomes slow after it was fast still ends.
pub(crate) fn measure(mut run: impl FnMut(u64) -> Result, time: Duration) -> Result<(u64, Duration)> {
    let mut batch = 8;
    let start = Instant::now();
    loop {
        let before = Instant::now();
        run(batch)?;
        let took = before.elapsed().max(Duration::from_nanos(1));
        let fitting = (time / 20).as_nanos() * u128::from(batch) / took.as_nanos();
        // The first batches are slow, so the size grows step by step.
        batch = (fitting as u64).clamp(4, batch * 4);
        if start.elapsed() >= time / 4 {
            break;
        }
    }
    let mut times = 0;
    let start = Instant::now();
    while start.elapsed() < time {
        run(batch)?;
        times += batch;
    }
    Ok((times, start.elapsed()))
}
