//! What a connection costs: it is made, used for one request, and closed.

use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::contestants::Contestant;
use crate::setup::Setup;

/// How many connections one thread makes at most: the kernel keeps the port of each for a minute.
const MOST: u64 = 10_000;

/// Makes connections for about `time`, one after the other on each of the setup's threads. Returns how many there were,
/// and how long they took.
///
/// # Errors
///
/// One could not be made, or was not answered.
pub(crate) fn connect(contestant: &'static Contestant, setup: &Setup, time: Duration) -> Result<(u64, Duration)> {
    let run = move |setup: Setup| -> Result<(u64, Duration)> {
        let mut dial = contestant.dial(&setup)?;
        let mut once = || {
            let mut client = dial()?;
            client.trips(1)?;
            client.close()
        };
        once()?;
        let (mut count, start) = (0, Instant::now());
        while start.elapsed() < time && count < MOST {
            once()?;
            count += 1;
        }
        Ok((count, start.elapsed()))
    };
    let threads: Vec<_> = (0..setup.threads)
        .map(|_| {
            let setup = setup.clone();
            thread::spawn(move || run(setup))
        })
        .collect();
    let (mut all, mut longest) = (0, Duration::ZERO);
    for thread in threads {
        let (count, time) = thread.join().map_err(|_| "a thread of the client panicked")??;
        all += count;
        longest = longest.max(time);
    }
    Ok((all, longest))
}
