//! The slot in which the verifier leaves its result for the driver. rustls itself does not keep the verified path.
//!
//! rustls calls the verifier from inside `process_new_packets`, on the thread that drives the connection. The verifier
//! therefore leaves its result in a slot of that thread. [`noted`] clears the slot before the call and takes the result after
//! it. If a result is lost, the peer is verified a second time. A result of another connection is recognised and ignored
//! ([`Judge::finish`](crate::drive::Judge::finish)). So neither can give a peer the identity of another one.

use std::cell::Cell;
use std::sync::Arc;

use crate::error::Error;
use crate::peer::PeerIdentity;

/// The result of a verifier while a connection was driven.
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

/// Calls `drive`, in which rustls may verify a certificate. Returns the result of `drive` and that of the verifier.
pub(crate) fn noted<T>(drive: impl FnOnce() -> T) -> (T, Option<Note>) {
    // A handshake that was driven elsewhere with one of our configurations may have left its note.
    SLOT.set(None);
    let result = drive();
    (result, SLOT.take())
}
