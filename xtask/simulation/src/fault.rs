//! The faults of the simulated peer of a driver.

use crate::Dice;

/// A fault of the peer, or the way in which it ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Half-closes the connection, and continues to read.
    Finish,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
    /// Stops sending, or stops reading.
    Stall,
    /// Sends these bytes instead of a message.
    Garbage(&'static [u8]),
}

/// A planned fault and its time.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// The number of the exchange in which the fault happens, counted from 0.
    pub at: usize,
    /// The number of bytes of the exchange that the peer sends before the fault. With [`is_reading`](Self::is_reading),
    /// it is the number of bytes that the peer reads. If the exchange has fewer bytes, the fault happens after the last
    /// byte.
    pub after: usize,
    /// The fault.
    pub fault: Fault,
    /// The fault happens while the peer reads. Otherwise it happens while the peer sends.
    pub is_reading: bool,
}

impl Trouble {
    /// Plans a fault while the peer sends, near the first bytes or anywhere. Garbage replaces the whole message.
    pub fn sending(at: usize, fault: Fault, dice: &mut Dice) -> Self {
        let after = match fault {
            Fault::Garbage(_) => 0,
            _ if dice.one_in(2) => dice.below(50),
            _ => dice.length(200_000),
        };
        Self { at, after, fault, is_reading: false }
    }
}
