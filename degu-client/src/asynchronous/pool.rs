//! Tasks that wait for their turn.

use std::{future::poll_fn, sync::Arc};

use super::driver::Async;
use super::timer::Timer;
use crate::error::Error;
use crate::pool::{Lease, Shared, Turn};
use crate::whole::Whole;

/// Waits for a place in the pool, and not longer than until the end of the exchange.
pub(super) async fn queue(shared: &Arc<Shared<Async>>, whole: Option<Whole>) -> Result<Lease<Async>, Error> {
    let (mut turn, mut timer) = (Turn::new(shared, whole), Timer::default());
    poll_fn(|cx| {
        let polled = turn.poll(cx);
        if let (true, Some(Whole { limit, end })) = (polled.is_pending(), whole) {
            return timer.poll(cx, end, false).map(|()| Err(shared.no_turn(limit)));
        }
        polled
    })
    .await
}
