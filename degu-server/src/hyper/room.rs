//! The place of a connection among the `max_connections` of a server.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;

use super::pulse::set_spare;
use crate::alarm::{Alarm, Spare};
use crate::options::Options;
use crate::state::ServerState;

/// The place of a connection among the `max_connections` of a server. Dropping this value makes room for another connection.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) server: Arc<ServerState>,
    pub(super) alarm: Arc<Alarm>,
    number: u64,
    /// The sender of a channel that carries no values. A shutdown waits until every connection has dropped its sender. `None`
    /// after the last byte of the connection has been sent.
    alive: Option<mpsc::Sender<Infallible>>,
}

impl Room {
    pub(super) fn take(
        server: Arc<ServerState>,
        options: &Options,
        number: u64,
        alive: mpsc::Sender<Infallible>,
    ) -> Self {
        server.counters[0].open.fetch_add(1, Relaxed);
        let alarm = Arc::new(Alarm::new(options.is_secure()));
        server.connections(0).insert(number, (alarm.clone(), None));
        Self { server, alarm, number, alive: Some(alive) }
    }

    /// Records that the last byte of the connection has been sent. A shutdown does not wait for such a connection. If the
    /// server needs room for a new connection, it closes such a connection first. Returns `true` for the first call, and
    /// `false` for later calls.
    pub(super) fn linger(&mut self) -> bool {
        let is_news = self.alive.take().is_some();
        if is_news {
            self.alarm.set_busy();
            set_spare(&self.alarm, Spare::Done);
            self.server.notify_room(0);
        }
        is_news
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.server.connections(0).remove(&self.number);
        self.server.leave(0);
    }
}
