//! The queue of a blocking pool: a thread waits until its request has a place.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use super::Blocking;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::pool::{Lease, Shared, Turn};

/// The waker of a thread. The thread calls [`wait`](Self::wait), and any other thread wakes it.
#[derive(Debug, Default)]
struct Signal {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

impl Signal {
    /// Waits until the thread is woken, at the latest until `end`. Returns whether the thread was woken.
    fn wait(&self, end: Option<Instant>) -> bool {
        let mut is_woken = self.is_woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_woken {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            is_woken = match left {
                Some(left) if left.is_zero() => return false,
                Some(left) => {
                    self.changed.wait_timeout(is_woken, left).map_or_else(|error| error.into_inner().0, |ok| ok.0)
                }
                None => self.changed.wait(is_woken).unwrap_or_else(PoisonError::into_inner),
            };
        }
        *is_woken = false;
        true
    }
}

/// Waits for a place in the pool, at the latest until the deadline of the exchange.
pub(super) fn queue(shared: &Arc<Shared<Blocking>>, until: Option<Deadline>) -> Result<Lease<Blocking>, Error> {
    let mut turn = Turn::new(shared, until);
    let signal = Arc::new(Signal::default());
    let waker = Waker::from(Arc::clone(&signal));
    loop {
        if let Poll::Ready(lease) = turn.poll(&mut Context::from_waker(&waker)) {
            return lease;
        }
        match until {
            Some(deadline) if !signal.wait(Some(deadline.end)) => return Err(shared.no_turn(deadline)),
            Some(_) => {}
            None => drop(signal.wait(None)),
        }
    }
}
