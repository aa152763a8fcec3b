//! The parts of the drivers' simulations: an in-memory transport, messages, and chance that a seed decides.
//!
//! A simulation runs a production driver over a [`Pipe`] instead of a socket, on one thread, against a peer that is a
//! plain state machine. Everything that a network, a kernel and a scheduler may do as they like is drawn from [`Dice`]:
//! how many bytes go at a time, in which order things happen, when a task is woken for nothing, what breaks where. So a
//! seed determines a run, and a failure can be repeated with its seed.
//!
//! ```text
//!   driver ─▶ Pipe ══ in flight ══▶ Far ─▶ peer         a step: bytes arrive, a peer acts, a gate opens, …
//!          ◀─      ◀══ in flight ══     ◀─              no step is left, and the run is not over: a wake-up was lost
//! ```
//!
//! A task that waits is polled again when its waker was called and not before. The clock
//! stands still unless a run is about deadlines, so that no timer makes up for a wake-up that is missing.

mod dice;
mod far;
mod gate;
mod message;
mod near;
mod patience;
mod pipe;
mod seeds;
mod trouble;

pub use dice::Dice;
pub use gate::{Alive, Gates, Guard, Pause, Slow, SlowEnd};
pub use message::{Kind, Message, Piece, Seen};
pub use patience::{Woken, patiently};
pub use pipe::{End, Far, Pipe, Transport, pipe};
pub use seeds::{Seeds, tell, told};
pub use trouble::{Fault, Trouble};
