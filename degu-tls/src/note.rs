//! The slot in which the verifier leaves its verdict for the driver, because rustls throws a verified path away.
//!
//! rustls calls the verifier from inside `process_new_packets`, on the thread that drives the connection. So the verifier
//! leaves its outcome in a slot of that thread, and [`noted`] clears the slot before and empties it after. A note that
//! gets lost costs a second verification; one of another connection is recognised and not believed
//! ([`Judge::finish`](crate::drive::Judge::finish)). Neither can give a peer an identity that is not its own.

use std::cell::Cell;
use std::sync::Arc;

use crate::error::Error;
use crate::peer::PeerIdentity;

/// The verdict of a verifier while a connection was driven.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// A verifier accepted this peer.
    Accepted { by: u64, peer: Arc<PeerIdentity> },
    /// The peer was refused, for this reason.
    Refused(Error),
}

thread_local! {
    static SLOT: Cell<Option<Note>> = const { Cell::new(None) };
}

pub(crate) fn leave(note: Note) {
    SLOT.set(Some(note));
}

/// Drives one connection in a way that may make rustls verify a certificate. Returns what the verifier said, too.
pub(crate) fn noted<T>(drive: impl FnOnce() -> T) -> (T, Option<Note>) {
    // A handshake that is not driven here, with a configuration of ours, takes no notes.
    SLOT.set(None);
    let result = drive();
    (result, SLOT.take())
}
