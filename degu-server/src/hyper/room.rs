//! The place of a connection among the `max_connections` of a server.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::Options;
use crate::alarm::Alarm;
use crate::state::ServerState;

/// The place of a connection among the `max_connections` of a server. Dropping this value makes room for another connection.
pub(super) struct Room {
    pub(super) server: Arc<ServerState>,
    pub(super) options: Arc<Options>,
    pub(super) alarm: Arc<Alarm>,
    number: u64,
}

impl Room {
    pub(super) fn take(server: Arc<ServerState>, options: Arc<Options>, number: u64) -> Self {
        server.counters[0].open.fetch_add(1, Relaxed);
        let alarm = Arc::new(Alarm::new(options.is_secure()));
        server.add(0, number, alarm.clone(), None);
        Self { server, options, alarm, number }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.server.leave(0, self.number);
    }
}
