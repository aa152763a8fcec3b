//! The bytes that a peer sends.

use std::collections::VecDeque;

use degu_wire::Part;
use degu_wire::machine::Connection;

use crate::{Dice, Far, Trouble};

/// The bytes that wait to be sent to the driver.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The bytes that have not been sent.
    pub bytes: VecDeque<u8>,
    /// The number of bytes of the current exchange that have been sent.
    pub sent: usize,
}

impl Outbox {
    /// Takes the bytes that the machine wants to send, at most `most`.
    pub fn take<R>(&mut self, machine: &mut Connection<R>, most: usize) {
        let mut bytes = machine.pending().concat();
        bytes.truncate(most);
        machine.transmitted(bytes.len());
        self.bytes.extend(bytes);
    }

    /// Sends some bytes, but none after the planned fault. `is_last` is true if no more bytes of the exchange follow.
    /// Returns whether bytes were sent, and the fault if it has to happen now.
    pub fn send(
        &mut self,
        far: &Far,
        trouble: Option<Trouble>,
        is_last: bool,
        dice: &mut Dice,
    ) -> (bool, Option<Trouble>) {
        let until = trouble.map_or(usize::MAX, |trouble| trouble.after.saturating_sub(self.sent));
        let most = dice.portion(self.bytes.len().min(until));
        let bytes: Vec<u8> = self.bytes.iter().copied().take(most).collect();
        let sent = far.send(&bytes);
        self.bytes.drain(..sent);
        self.sent += sent;
        (sent > 0, trouble.filter(|_| sent == until || is_last && self.bytes.is_empty()))
    }
}

/// Gives the machine the next part of a body, or the end of the body.
///
/// # Errors
///
/// The machine refuses the part, so the plan is wrong.
pub fn send_part<R>(machine: &mut Connection<R>, parts: &mut VecDeque<Part>) -> Result<(), String> {
    let sent = match parts.pop_front() {
        Some(part) => machine.send_part(part),
        None => machine.finish_body(),
    };
    sent.map_err(|error| format!("the planned body of the peer does not fit its head: {error}"))
}
