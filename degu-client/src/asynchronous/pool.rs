//! The queue of an async pool: a task waits until its request has a place.

use std::{future::poll_fn, sync::Arc};

use super::driver::Async;
use super::timer::Timer;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::pool::{Lease, Shared, Turn};

/// Waits for a place in the pool, at the latest until the deadline of the exchange.
pub(super) async fn queue(shared: &Arc<Shared<Async>>, until: Option<Deadline>) -> Result<Lease<Async>, Error> {
    let (mut turn, mut timer) = (Turn::new(shared, until), Timer::default());
    poll_fn(|cx| {
        let polled = turn.poll(cx);
        if let (true, Some(deadline)) = (polled.is_pending(), until) {
            return timer.poll(cx, deadline.end, false).map(|()| Err(shared.no_turn(deadline)));
        }
        polled
    })
    .await
}
