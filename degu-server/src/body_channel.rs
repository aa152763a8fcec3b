//! The channel that passes the parts of a request's body from the connection's task to the reader of the body.
//!
//! The connection's task owns the machine that decodes the body. The reader is the handler, or another task of the same
//! thread. The reader asks for a part. The connection's task then decodes a part, puts it into the slot, and wakes the
//! reader. If the reader asks for no part, no part is decoded. This back-pressure slows the peer.
//!
//! ```text
//!   Incoming ── wants a part ─▶ ┌ slot ┐ ◀─ supplies one ── the connection's task ◀── machine
//!            ◀── takes it ───── └──────┘
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use degu_wire::{Part, RemoteError};

use crate::Error;
use crate::options::Progress;

/// The state of the channel. The connection's task and the reader share this state, and run on the same thread.
#[derive(Default)]
struct BodyChannel {
    /// The part that was supplied and not yet taken, or `Some(None)` for the end of the body. `None` if the slot is empty.
    slot: Option<Option<Part>>,
    /// The fault of the peer that the decoder or the reader has found.
    fault: Option<RemoteError>,
    /// True if the reader waits for a part.
    is_wanted: bool,
    /// True if the supplier was dropped, so no more parts will come.
    is_closed: bool,
    /// True if the reader's end of the channel was dropped, and with it the handle of the body.
    is_abandoned: bool,
    /// The minimum rate of the body, if the reader has set one.
    progress: Option<Progress>,
    /// The waker of the connection's task. The receiver wakes this task when the receiver begins or stops to wait for a
    /// part. `None` until the first call of [`Supplier::is_wanted`].
    supplier: Option<Waker>,
    /// The waker of a reader that waits for a part in another task. A reader in the connection's task, such as the handler,
    /// needs no waker, because that task polls the handler after it has supplied a part.
    reader: Option<Waker>,
}

/// The end of the channel that supplies parts. Dropping this value closes the channel: the reader then gets an error.
pub(crate) struct Supplier(Rc<RefCell<BodyChannel>>);

/// The end of the channel that reads parts. Dropping this value means that the rest of the body will not be read.
pub(crate) struct Receiver(Rc<RefCell<BodyChannel>>);

/// Creates a channel.
pub(crate) fn channel() -> (Supplier, Receiver) {
    let channel = Rc::<RefCell<BodyChannel>>::default();
    (Supplier(channel.clone()), Receiver(channel))
}

impl Supplier {
    /// Returns whether the reader waits for a part. If the reader does not wait yet, the current task is woken when the reader
    /// begins to wait.
    pub(crate) fn is_wanted(&self, cx: &Context<'_>) -> bool {
        let state = &mut *self.0.borrow_mut();
        if !state.supplier.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.supplier = Some(cx.waker().clone());
        }
        state.is_wanted
    }

    /// Gives the waiting reader a part, the end of the body, or a fault.
    pub(crate) fn supply(&self, part: Result<Option<Part>, RemoteError>) {
        let mut state = self.0.borrow_mut();
        match part {
            Ok(part) => state.slot = Some(part),
            Err(fault) => state.fault = Some(fault),
        }
        state.is_wanted = false;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// Returns the minimum rate of the body, if the reader has set one.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.0.borrow().progress
    }

    /// Returns the fault that the decoder or the reader has found, if there is one.
    pub(crate) fn fault(&self) -> Option<RemoteError> {
        self.0.borrow().fault
    }

    /// Returns whether the body's handle was dropped.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.borrow().is_abandoned
    }
}

impl Drop for Supplier {
    fn drop(&mut self) {
        let mut state = self.0.borrow_mut();
        (state.is_closed, state.is_wanted) = (true, false);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }
}

impl Receiver {
    /// Polls for the next part, which is `None` at the end of the body.
    pub(crate) fn poll_part(&self, cx: &Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        let mut state = self.0.borrow_mut();
        if let Some(part) = state.slot.take() {
            return Poll::Ready(Ok(part));
        }
        if state.is_closed {
            return Poll::Ready(Err(Error::over()));
        }
        if let Some(fault) = state.fault {
            return Poll::Ready(Err(fault.into()));
        }
        state.is_wanted = true;
        // If the reader is the handler, it runs in the connection's task. That task calls `is_wanted` after each poll of the
        // handler, so the task need not be woken.
        if !state.supplier.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
            let supplier = state.supplier.clone();
            drop(state);
            wake(supplier);
        }
        Poll::Pending
    }

    /// Stops waiting for a part. The peer's minimum rate is not measured until the reader waits again.
    pub(crate) fn give_up(&self) {
        let mut state = self.0.borrow_mut();
        if std::mem::take(&mut state.is_wanted) {
            state.reader = None;
            let supplier = state.supplier.clone();
            drop(state);
            wake(supplier);
        }
    }

    /// Sets the minimum rate of the body.
    pub(crate) fn set_progress(&self, progress: Progress) {
        self.0.borrow_mut().progress = Some(progress);
    }

    /// Records a fault that the reader has found, and returns the error for this fault. After this call, no more parts
    /// are supplied.
    pub(crate) fn refuse(&self, fault: RemoteError) -> Error {
        let state = &mut *self.0.borrow_mut();
        if state.is_closed { Error::over() } else { (*state.fault.get_or_insert(fault)).into() }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.borrow_mut();
        (state.is_abandoned, state.is_wanted) = (true, false);
        let supplier = state.supplier.take();
        drop(state);
        wake(supplier);
    }
}

/// Wakes a task. The caller must have released its borrow of the channel, because a waker may run other code.
fn wake(task: Option<Waker>) {
    if let Some(task) = task {
        task.wake();
    }
}

#[cfg(test)]
mod tests {
    use degu_wire::Fault;

    use super::*;

    fn data(text: &'static str) -> Option<Part> {
        Some(Part::Data(text.into()))
    }

    #[test]
    fn a_part_is_supplied_when_it_is_wanted() {
        let cx = &Context::from_waker(Waker::noop());
        let (supplier, reader) = channel();
        assert!(!supplier.is_wanted(cx));
        assert!(reader.poll_part(cx).is_pending() && supplier.is_wanted(cx));
        supplier.supply(Ok(data("part")));
        assert!(!supplier.is_wanted(cx));
        assert!(matches!(reader.poll_part(cx), Poll::Ready(Ok(Some(Part::Data(part)))) if part == "part"));
        assert!(reader.poll_part(cx).is_pending() && supplier.is_wanted(cx));
        reader.give_up();
        assert!(!supplier.is_wanted(cx) && !supplier.is_abandoned());
    }

    #[test]
    fn what_was_supplied_outlives_the_supplier() {
        let cx = &Context::from_waker(Waker::noop());
        let (supplier, reader) = channel();
        supplier.supply(Ok(data("part")));
        drop(supplier);
        assert!(matches!(reader.poll_part(cx), Poll::Ready(Ok(Some(_)))));
        assert!(matches!(reader.poll_part(cx), Poll::Ready(Err(error)) if error.is_over()));
    }

    #[test]
    fn faults_of_either_end_are_known_to_both() {
        let cx = &Context::from_waker(Waker::noop());
        let (supplier, reader) = channel();
        let fault = RemoteError::from(Fault::BodyTooLarge);
        assert_eq!(reader.refuse(fault).fault(), Some(fault));
        assert_eq!(supplier.fault(), Some(fault));
        assert!(matches!(reader.poll_part(cx), Poll::Ready(Err(error)) if error.fault() == Some(fault)));
        drop(reader);
        assert!(supplier.is_abandoned());
    }
}
