//! A client that asks now and then, and how long the slowest of its requests take.

use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::contestants::Client;

/// How long it rests before each request.
const PACE: Duration = Duration::from_millis(10);

/// Makes a trip every 10 ms for about `time`; returns what 99 of 100 stay within.
pub(crate) fn paced(client: &mut dyn Client, time: Duration) -> Result<Duration> {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.is_empty() || start.elapsed() < time {
        thread::sleep(PACE);
        let before = Instant::now();
        client.trips(1)?;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() * 99 / 100])
}
