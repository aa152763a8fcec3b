//! What goes wrong with a connection, and when.

use crate::Dice;

/// What one end of a connection does instead of going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Says that nothing follows, and reads on.
    Finish,
    /// Closes in order.
    Close,
    /// Closes by force.
    Reset,
    /// Sends nothing more, or takes nothing more.
    Stall,
    /// Sends this in place of a message.
    Garbage(&'static [u8]),
}

/// The fault of one end.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// The number of the exchange.
    pub at: usize,
    /// So many bytes of the exchange come before it, of those that this end sends or reads; at most, all of them.
    pub after: usize,
    /// What is done then.
    pub fault: Fault,
    /// It comes with what this end reads, and not with what it sends.
    pub is_reading: bool,
}

impl Trouble {
    /// A fault in what is sent, in the first bytes or anywhere.
    pub fn sending(at: usize, fault: Fault, dice: &mut Dice) -> Self {
        let after = if dice.one_in(2) { dice.below(50) } else { dice.length(200_000) };
        Self { at, after, fault, is_reading: false }
    }
}
