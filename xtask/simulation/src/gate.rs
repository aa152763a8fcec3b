//! Waits of an app for something other than the connection, and counters of values that must not outlive a run.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use degu_wire::{BoxError, Part, Source};
use tokio::sync::oneshot;

use crate::Dice;

/// The waits of an app, for something other than the connection. The simulation ends them one by one.
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
}

/// A token whose clones are counted. Each value that must not outlive a run holds a clone: handlers, bodies, tasks.
#[derive(Clone, Debug, Default)]
pub struct Alive(Arc<()>);

impl Alive {
    /// Returns the number of clones of this token that have not been dropped.
    pub fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// The end of a [`Slow`] body.
#[derive(Clone, Copy, Debug)]
pub enum SlowEnd {
    /// The body ends after its last part.
    Whole,
    /// The body fails when this number of parts are left.
    Fails(usize),
    /// The body waits forever after its data.
    Waits,
}

/// A body whose parts wait for [`Gates`]. The body may end early.
pub struct Slow {
    parts: VecDeque<Part>,
    gates: Gates,
    dice: Dice,
    wait: Option<oneshot::Receiver<()>>,
    end: SlowEnd,
    ended: bool,
    _alive: Alive,
}

impl Slow {
    /// Returns a body of these parts. On average, one part in four waits.
    pub fn new(parts: VecDeque<Part>, end: SlowEnd, gates: &Gates, alive: &Alive, dice: Dice) -> Self {
        Self { parts, gates: gates.clone(), dice, wait: None, end, ended: false, _alive: alive.clone() }
    }
}

impl Source for Slow {
    fn poll_part(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        let this = self.get_mut();
        assert!(!this.ended, "a body is polled after its end");
        if this.wait.is_none() && this.dice.one_in(4) {
            this.wait = Some(this.gates.wait());
        }
        if let Some(wait) = &mut this.wait {
            // An error means that the run has ended.
            let _ = ready!(Pin::new(wait).poll(cx));
            this.wait = None;
        }
        match this.end {
            SlowEnd::Fails(left) if left == this.parts.len() => {
                this.ended = true;
                return Poll::Ready(Some(Err("this body fails".into())));
            }
            SlowEnd::Waits if matches!(this.parts.front(), None | Some(Part::Last { .. })) => return Poll::Pending,
            _ => {}
        }
        let part = this.parts.pop_front();
        this.ended = part.is_none();
        Poll::Ready(part.map(Ok))
    }
}

impl fmt::Debug for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slow").field("parts", &self.parts.len()).field("end", &self.end).finish_non_exhaustive()
    }
}
