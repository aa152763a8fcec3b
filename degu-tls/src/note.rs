//! A slot in which the verifier leaves its result for the driver, because rustls does not keep the verified chain.
//!
//! rustls calls the verifier from inside `process_new_packets`, on the thread that drives the connection. The verifier
//! therefore leaves its result in a slot of that thread. [`noted`] clears the slot before that call, and takes the
//! result after the call. If a result is lost, [`Judge::finish`](crate::drive::Judge::finish) verifies the peer a
//! second time. `finish` also recognises and ignores a result of another connection. Therefore no peer can get the
//! identity of another peer.

use std::cell::Cell;
use std::sync::Arc;

use crate::error::Error;
use crate::peer::PeerIdentity;

/// The result of a verifier.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// The verifier with the token `by` accepted this peer.
    Accepted { by: Arc<()>, peer: Arc<PeerIdentity> },
    /// The peer was refused, for this reason.
    Refused(Error),
}

thread_local! {
    static SLOT: Cell<Option<Note>> = const { Cell::new(None) };
}

/// Leaves the result of the verifier in the slot of this thread.
pub(crate) fn leave(note: Note) {
    SLOT.set(Some(note));
}

/// Calls `drive`, in which rustls may call the verifier. Returns the result of `drive`, and the note that the verifier left.
pub(crate) fn noted<T>(drive: impl FnOnce() -> T) -> (T, Option<Note>) {
    // A caller may have made an earlier handshake on this thread with our configuration but without this function. The
    // note of that handshake is removed.
    SLOT.set(None);
    let result = drive();
    (result, SLOT.take())
}
