//! The peer's end of a connection, and the code that moves the bytes.

use std::fmt;
use std::sync::{MutexGuard, PoisonError};

use crate::pipe::{End, Far, State, Transport};

impl Far {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that is on its way arrives: whether there was something.
    pub fn advance(&self) -> bool {
        let state = &mut *self.state();
        let (up, down) = (state.up.is_moving() && !state.dropped, state.down.is_moving());
        match (up, down) {
            (false, false) => return false,
            (true, true) if state.dice.one_in(2) => state.advance_down(),
            (true, _) => state.advance_up(),
            (false, true) => state.advance_down(),
        }
        true
    }

    /// Wakes the waiting task without a reason.
    pub fn nudge(&self) {
        let mut state = self.state();
        state.wake_reader();
        state.wake_writer();
    }

    /// Sends as much as there is room for, and gives how much that was.
    pub fn send(&self, bytes: &[u8]) -> usize {
        let mut state = self.state();
        let fits = bytes.len().min(state.up.room());
        if state.dropped && state.transport == Transport::Tcp && fits > 0 && state.down.ended.is_none() {
            // The peer is gone: bytes on their way to it are lost.
            state.down.reset(true);
        }
        state.up.put(&bytes[..fits]);
        fits
    }

    /// Takes some of what has come.
    pub fn receive(&self, most: usize) -> Vec<u8> {
        let mut state = self.state();
        let bytes = state.down.take(most);
        if !bytes.is_empty() {
            state.wake_writer();
        }
        bytes
    }

    /// Returns the number of bytes that have come and were not taken.
    pub fn received(&self) -> usize {
        self.state().down.here.len()
    }

    /// Returns how the driver has ended the connection, once everything before was taken.
    pub fn ended(&self) -> Option<End> {
        let state = self.state();
        if state.down.here.is_empty() { state.down.ended } else { None }
    }

    /// Has no more to say.
    pub fn finish(&self) {
        self.state().up.ends.get_or_insert(End::Finished);
    }

    /// Closes: does not read any more either.
    pub fn close(&self) {
        let mut state = self.state();
        state.up.ends.get_or_insert(End::Finished);
        state.closed = true;
        let unread = !state.down.here.is_empty();
        state.down.here.clear();
        // As at the other end: what the peer had not read makes it an end by force.
        if unread {
            let tcp = state.transport == Transport::Tcp;
            state.up.reset(tcp);
        }
        state.wake_writer();
    }

    /// Ends the connection by force.
    pub fn reset(&self) {
        let mut state = self.state();
        state.closed = true;
        let loses = state.dice.one_in(2);
        state.up.reset(loses);
        state.down.here.clear();
    }

    /// Returns whether the driver has dropped its end.
    pub fn is_dropped(&self) -> bool {
        self.state().dropped
    }

    /// Returns the numbers of bytes that the driver has read and written.
    pub fn moved(&self) -> (u64, u64) {
        let state = self.state();
        (state.up.read, state.down.written)
    }
}

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { transport, up, down, closed, dropped, reader, writer, .. } = &*self.state();
        f.debug_struct("Far")
            .field("transport", transport)
            .field("up", up)
            .field("down", down)
            .field("closed", closed)
            .field("dropped", dropped)
            .field("waits", &(reader.is_some(), writer.is_some()))
            .finish()
    }
}
