//! What the task of a connection shares with those that look at it from outside: the handle on a request's body, the
//! sweep, and the shutdown.
//!
//! All of them live on the same thread, so cells are enough. Nobody holds a borrow of the machine while an app runs.

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use degu_wire::machine::{Connection, Server};
use degu_wire::{Fault, Limits, Part, RemoteError};
use tokio::task::AbortHandle;

use super::deadline::Watch;
use crate::BodyError;

/// The shared part of a connection: one allocation.
#[derive(Debug)]
pub(crate) struct Link {
    machine: RefCell<Connection<Server>>,
    /// The task of the connection.
    task: OnceCell<Waker>,
    abort: OnceCell<AbortHandle>,
    /// Who waits for the request's body, if that is somebody else than the task of the connection.
    reader: RefCell<Option<Waker>>,
    /// Counts exchanges, so that a handle on an earlier body knows that its time is over.
    exchange: Cell<u64>,
    /// The body of this exchange has a handle that can still read it.
    body_held: Cell<bool>,
    /// A reader of the body needs more octets.
    wants_input: Cell<bool>,
    /// What was wrong with the body.
    fault: Cell<Option<RemoteError>>,
    /// The task is in the midst of a poll, and will look at `wants_input` after it.
    in_poll: Cell<bool>,
    /// The server is stopping: what has not come yet is too late.
    pub(crate) stopping: Cell<bool>,
    /// Its last word has been said.
    pub(crate) lingers: Cell<bool>,
    pub(crate) watch: Watch,
    /// Where in the worker's list this is.
    pub(crate) place: Cell<usize>,
}

impl Link {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Self {
            machine: RefCell::new(Connection::<Server>::new(limits)),
            task: OnceCell::new(),
            abort: OnceCell::new(),
            reader: RefCell::new(None),
            exchange: Cell::new(0),
            body_held: Cell::new(false),
            wants_input: Cell::new(false),
            fault: Cell::new(None),
            in_poll: Cell::new(false),
            stopping: Cell::new(false),
            lingers: Cell::new(false),
            watch: Watch::default(),
            place: Cell::new(usize::MAX),
        }
    }

    pub(crate) fn machine(&self) -> RefMut<'_, Connection<Server>> {
        self.machine.borrow_mut()
    }

    /// The task polls for the first time.
    pub(super) fn set_task(&self, waker: &Waker) {
        let _ = self.task.set(waker.clone());
    }

    pub(crate) fn set_abort(&self, abort: AbortHandle) {
        let _ = self.abort.set(abort);
    }

    /// Drops the connection as it is.
    pub(crate) fn abort(&self) {
        if let Some(abort) = self.abort.get() {
            abort.abort();
        }
    }

    /// Makes the task look at what has changed.
    pub(crate) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// The server stops: a connection that waits for a request ends, unless one is here already.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.wake();
    }

    pub(super) fn begin_exchange(&self) -> u64 {
        self.body_held.set(true);
        self.wants_input.set(false);
        self.fault.set(None);
        self.exchange.get()
    }

    /// Handles on the body are of no use from here on; one that waits hears of it.
    pub(super) fn end_exchange(&self) {
        self.exchange.set(self.exchange.get() + 1);
        self.wants_input.set(false);
        self.wake_reader();
    }

    pub(super) fn is_body_held(&self) -> bool {
        self.body_held.get()
    }

    pub(super) fn wants_input(&self) -> bool {
        self.wants_input.get()
    }

    pub(super) fn fault(&self) -> Option<RemoteError> {
        self.fault.get()
    }

    /// Octets came, or will come no more.
    pub(super) fn wake_reader(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Runs a piece of the app, which may read the body meanwhile.
    pub(super) fn polling<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.in_poll.set(true);
        let result = poll();
        self.in_poll.set(false);
        result
    }

    /// More has come: whether that is enough is for those to say who wait for it.
    pub(super) fn unwant(&self) {
        self.wants_input.set(false);
    }

    /// For the body's handle: nobody waits for more of it just now, so it is not held against the peer that none comes.
    /// The task has to hear of it, unless it looks by itself: it said what the connection waits for.
    pub(crate) fn give_up(&self, exchange: u64) {
        if self.exchange.get() == exchange && self.wants_input.replace(false) && !self.in_poll.get() {
            self.wake();
        }
    }

    /// For the body's handle: the next part.
    pub(crate) fn poll_part(&self, exchange: u64, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, BodyError>> {
        self.check(exchange)?;
        match self.machine().poll_part() {
            Ok(Poll::Ready(part)) => {
                self.wants_input.set(false);
                Poll::Ready(Ok(part))
            }
            Err(fault) => Poll::Ready(Err(self.fail(fault))),
            Ok(Poll::Pending) => {
                self.wants_input.set(true);
                // Within its own poll the task sees what is wanted, and comes back here when it has it.
                if !self.task.get().is_some_and(|task| task.will_wake(cx.waker())) {
                    *self.reader.borrow_mut() = Some(cx.waker().clone());
                }
                if !self.in_poll.get() {
                    self.wake();
                }
                Poll::Pending
            }
        }
    }

    /// For the body's handle: the rest of a length, if all of it has been received.
    pub(crate) fn take_rest(&self, exchange: u64) -> Option<Bytes> {
        // Why there is none is for `poll_part` to say.
        self.check(exchange).ok()?;
        let rest = self.machine().take_rest()?;
        self.wants_input.set(false);
        Some(rest)
    }

    /// For the body's handle: whether all that is left of a length has been received.
    pub(crate) fn is_buffered(&self, exchange: u64) -> bool {
        let machine = self.machine();
        let here = machine.buffered().len() as u64;
        self.exchange.get() == exchange && machine.body_remaining().is_some_and(|remaining| remaining <= here)
    }

    /// For the body's handle: a fault that its reader found.
    pub(crate) fn refuse_body(&self, exchange: u64, fault: Fault) -> BodyError {
        match self.check(exchange) {
            Ok(()) => self.fail(fault.into()),
            Err(error) => error,
        }
    }

    /// For the body's handle: nobody will read the rest.
    pub(crate) fn drop_body(&self, exchange: u64) {
        if self.exchange.get() == exchange {
            self.body_held.set(false);
            self.give_up(exchange);
            *self.reader.borrow_mut() = None;
        }
    }

    fn check(&self, exchange: u64) -> Result<(), BodyError> {
        if self.exchange.get() != exchange {
            return Err(BodyError::Over);
        }
        self.fault.get().map_or(Ok(()), |fault| Err(BodyError::Peer(fault)))
    }

    fn fail(&self, fault: RemoteError) -> BodyError {
        self.fault.set(Some(fault));
        BodyError::Peer(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_was_waited_for_is_not_wanted_when_its_rest_was_taken() {
        let link = Link::new(Arc::new(Limits::DEFAULT));
        let receive = |octets: &[u8]| link.machine().receive_buffer().extend_from_slice(octets);
        receive(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n");
        assert!(link.machine().poll_request().unwrap().is_ready());
        let exchange = link.begin_exchange();
        assert!(link.poll_part(exchange, &mut Context::from_waker(Waker::noop())).is_pending());
        assert!(link.wants_input());
        receive(b"body");
        assert_eq!(link.take_rest(exchange).unwrap(), "body");
        assert!(!link.wants_input());
    }
}
