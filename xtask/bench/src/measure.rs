//! How long a round trip of one client takes.

use std::time::{Duration, Instant};

use crate::Result;
use crate::contestants::Client;

/// Warms the connection up for a quarter of `time`, then makes round trips for about `time`; returns how many, and how
/// long they took.
///
/// The clock is read once a batch of a twentieth of `time`, so that it costs nothing beside the trips, and so that a
/// client that becomes slow after it was fast still ends.
pub(crate) fn measure(client: &mut dyn Client, time: Duration) -> Result<(u64, Duration)> {
    let mut batch = 8;
    let start = Instant::now();
    loop {
        let before = Instant::now();
        client.trips(batch)?;
        let took = before.elapsed().max(Duration::from_nanos(1));
        let fitting = (time / 20).as_nanos() * u128::from(batch) / took.as_nanos();
        // The first batches are slow, so the size grows step by step.
        batch = (fitting as u64).clamp(4, batch * 4);
        if start.elapsed() >= time / 4 {
            break;
        }
    }
    let mut trips = 0;
    let start = Instant::now();
    while start.elapsed() < time {
        client.trips(batch)?;
        trips += batch;
    }
    Ok((trips, start.elapsed()))
}
