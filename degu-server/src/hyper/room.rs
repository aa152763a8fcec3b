//! The place of a connection among those that the server may have.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;

use super::pulse::set_spare;
use crate::alarm::{Alarm, Spare};
use crate::options::Options;
use crate::state::ServerState;

/// Room for a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) server: Arc<ServerState>,
    pub(super) alarm: Arc<Alarm>,
    number: u64,
    /// A shutdown waits until all of them are dropped.
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

    /// Notes that the last byte has been sent: a shutdown does not wait for the peer to close, and the connection makes room
    /// before others do. Returns whether that is news.
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
