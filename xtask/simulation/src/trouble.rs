//! The faults of a connection, and when they happen.

use crate::Dice;

/// A fault of one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Half-closes the connection, and reads on.
    Finish,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
    /// Sends nothing more, or takes nothing more.
    Stall,
    /// Sends this in place of a message.
    Garbage(&'static [u8]),
}

/// A fault of one end, with its place.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// The number of the exchange.
    pub at: usize,
    /// The number of bytes of the exchange that come before it, of those that this end sends or reads; at most, all of them.
    pub after: usize,
    /// The fault that happens then.
    pub fault: Fault,
    /// The fault comes while this end reads, and not while it sends.
    pub is_reading: bool,
}

impl Trouble {
    /// A fault in what is sent, in the first bytes or anywhere.
    pub fn sending(at: usize, fault: Fault, dice: &mut Dice) -> Self {
        let after = if dice.one_in(2) { dice.below(50) } else { dice.length(200_000) };
        Self { at, after, fault, is_reading: false }
    }
}
