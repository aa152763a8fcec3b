//! The parts that the simulations of the drivers share: connections in memory, messages, faults, and random choices.
//!
//! A simulation runs a production driver over a [`Pipe`] instead of a socket, on one thread. The peer is a plain state
//! machine. [`Dice`] make every choice that a network, a kernel or a scheduler may make: how many bytes move at a time,
//! in which order things happen, which task is woken without a reason, and which fault happens where. The choices
//! follow from a seed, so a failure can be repeated with its seed.
//!
//! ```text
//!   driver ─▶ Pipe ══ in flight ══▶ Far ─▶ peer         one step: some bytes arrive, or the peer acts, or a wait ends
//!          ◀─      ◀══ in flight ══     ◀─              if no step is possible before the end, a wake-up was lost
//! ```
//!
//! A waiting task is polled only after its waker was called. The clock stands still, because a timer could hide a lost
//! wake-up, except in runs that test deadlines.

mod dice;
mod driver_end;
mod fault;
mod gate;
mod message;
mod outbox;
mod peer_end;
mod pipe;
mod reading;
mod seeds;
mod tunnel;

pub use dice::Dice;
pub use fault::{Fault, Trouble};
pub use gate::{Gates, SlowEnd, patiently, slow};
pub use message::{Kind, Message, Seen, headers};
pub use outbox::{Outbox, send_part};
pub use pipe::{End, Far, Pipe, Transport, pipe};
pub use reading::Reading;
pub use seeds::{seeds, tell};
pub use tunnel::{Bytestream, Ending};
