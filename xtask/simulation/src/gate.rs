//! The pauses of a simulated app, which stand for a database for example, and bodies that pause between their parts. The
//! simulation decides when a pause ends. Also futures that are dropped before they are ready, as after a timeout.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use degu_wire::{BoxError, Part, Source};
use tokio::sync::oneshot;

use crate::Dice;

/// The waits of an app, for something other than the connection. The simulation ends them one by one.
///
/// Each value that must not outlive a run holds a clone: handlers, bodies, tasks.
#[derive(Clone, Debug, Default)]
pub struct Gates(Arc<Mutex<Vec<oneshot::Sender<()>>>>);

impl Gates {
    /// Waits until [`open`](Self::open) chooses this wait.
    pub async fn pause(&self) {
        // An error means that the run has ended.
        let _ = self.wait().await;
    }

    fn wait(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    /// Ends one of the waits. Returns whether there was one.
    pub fn open(&self, dice: &mut Dice) -> bool {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.retain(|wait| !wait.is_closed());
        if waits.is_empty() {
            return false;
        }
        let chosen = dice.below(waits.len());
        waits.swap_remove(chosen).send(()).is_ok()
    }

    /// Returns the number of other clones that have not been dropped.
    pub fn clones(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// The end of a [`slow`] body.
#[derive(Clone, Copy, Debug)]
pub enum SlowEnd {
    /// The body ends after its last part.
    Whole,
    /// The body fails when this number of parts are left.
    Fails(usize),
    /// The body waits forever after its data.
    Waits,
}

/// Returns the source of a body of these parts. On average, one part in four waits.
pub fn slow(
    mut parts: VecDeque<Part>,
    end: SlowEnd,
    gates: Gates,
    mut dice: Dice,
) -> Pin<Box<impl Source + Send + use<>>> {
    let (mut wait, mut ended) = (None, false);
    Box::pin(move |cx: &mut Context<'_>| {
        assert!(!ended, "a body is polled after its end");
        if wait.is_none() && dice.one_in(4) {
            wait = Some(gates.wait());
        }
        if let Some(wait) = &mut wait {
            // An error means that the run has ended.
            let _ = ready!(Pin::new(wait).poll(cx));
        }
        wait = None;
        match end {
            SlowEnd::Fails(left) if left == parts.len() => {
                ended = true;
                return Poll::Ready(Some(Err(BoxError::from("this body fails"))));
            }
            SlowEnd::Waits if matches!(parts.front(), None | Some(Part::Last { .. })) => return Poll::Pending,
            _ => {}
        }
        let part = parts.pop_front();
        ended = part.is_none();
        Poll::Ready(part.map(Ok))
    })
}

/// Polls a future at most `polls` times, then drops it. Returns `None` if it was not ready by then.
///
/// With `late`, the future is dropped only when it is woken after the last poll. In this case, an event has woken a
/// task that does not poll the future again.
pub async fn patiently<F: Future>(polls: usize, late: bool, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 && !late => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
