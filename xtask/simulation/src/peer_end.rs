//! The peer's end of a connection, and the movement of the bytes.

use std::sync::{MutexGuard, PoisonError};

use crate::pipe::{End, Far, State, Transport, wake};

impl Far {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets some bytes or an end arrive, in one of the directions. Returns `false` if nothing was in flight.
    pub fn advance(&self) -> bool {
        let state = &mut *self.state();
        match (state.up.is_moving() && !state.dropped, state.down.is_moving()) {
            (false, false) => return false,
            (true, true) if state.dice.one_in(2) => state.advance_down(),
            (true, _) => state.advance_up(),
            (false, true) => state.advance_down(),
        }
        true
    }

    /// Wakes the tasks of the driver that wait for this connection, although nothing has happened.
    pub fn nudge(&self) {
        let mut state = self.state();
        wake(&mut state.reader);
        wake(&mut state.writer);
    }

    /// Sends as many of the bytes as there is room for. Returns the number of bytes that were sent.
    pub fn send(&self, bytes: &[u8]) -> usize {
        let mut state = self.state();
        let fits = bytes.len().min(state.up.room());
        if state.dropped && state.transport == Transport::Tcp && fits > 0 && state.down.ended.is_none() {
            // The driver's end answers these bytes with a reset, and the bytes in flight to the peer are lost.
            state.down.reset(true);
        }
        state.up.put(&bytes[..fits]);
        fits
    }

    /// Reads bytes that have arrived, at most `most`.
    pub fn receive(&self, most: usize) -> Vec<u8> {
        let mut state = self.state();
        let bytes = state.down.take(most);
        if !bytes.is_empty() {
            wake(&mut state.writer);
        }
        bytes
    }

    /// Returns the number of bytes that have arrived and have not been read.
    pub fn received(&self) -> usize {
        self.state().down.here.len()
    }

    /// Returns the end of the driver's direction. Returns `None` while there are bytes to read.
    pub fn ended(&self) -> Option<End> {
        let state = self.state();
        if state.down.here.is_empty() { state.down.ended } else { None }
    }

    /// Half-closes the connection.
    pub fn finish(&self) {
        self.state().up.ends.get_or_insert(End::Finished);
    }

    /// Closes the connection. Over TCP, unread bytes turn this into a reset, as at the driver's end.
    pub fn close(&self) {
        let mut state = self.state();
        state.up.ends.get_or_insert(End::Finished);
        state.closed = true;
        let unread = !state.down.here.is_empty();
        state.down.here.clear();
        if unread {
            let tcp = state.transport == Transport::Tcp;
            state.up.reset(tcp);
        }
        wake(&mut state.writer);
    }

    /// Resets the connection.
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
