//! The queue of a blocking pool: a thread waits until its request has a place.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
};

use super::Blocking;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::pool::{Lease, Shared, Turn};

/// The waker of a thread that parks.
struct Unparker(Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a place in the pool, at the latest until the deadline of the exchange.
pub(super) fn queue(shared: &Arc<Shared<Blocking>>, until: Option<Deadline>) -> Result<Lease<Blocking>, Error> {
    let mut turn = Turn::new(shared, until);
    let waker = Waker::from(Arc::new(Unparker(thread::current())));
    loop {
        if let Poll::Ready(lease) = turn.poll(&mut Context::from_waker(&waker)) {
            return lease;
        }
        // The thread may be woken without a reason. The next poll checks the turn and the deadline.
        match until {
            Some(deadline) => thread::park_timeout(deadline.end.saturating_duration_since(Instant::now())),
            None => thread::park(),
        }
    }
}
