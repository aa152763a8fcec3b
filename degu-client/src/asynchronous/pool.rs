//! The queue of an async pool: a task waits until its request has a place.

use std::{future::poll_fn, sync::Arc};

use tokio::time::timeout_at;

use super::driver::Async;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::pool::{Lease, Shared, Turn};

/// Waits for a place in the pool, at the latest until the deadline of the exchange.
pub(super) async fn queue(shared: &Arc<Shared<Async>>, until: Option<Deadline>) -> Result<Lease<Async>, Error> {
    let mut turn = Turn::new(shared, until);
    let turn = poll_fn(|cx| turn.poll(cx));
    match until {
        Some(deadline) => timeout_at(deadline.end.into(), turn).await.unwrap_or_else(|_| Err(shared.no_turn(deadline))),
        None => turn.await,
    }
}
