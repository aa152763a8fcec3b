//! Events that an app waits for other than the connection, and the values that it holds meanwhile.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use degu_wire::{BoxError, Part, Source};

use crate::Dice;

/// Waits that the simulation ends, one by one, when it likes.
#[derive(Clone, Debug, Default)]
pub struct Gates(Arc<Mutex<Vec<Weak<Mutex<Gate>>>>>);

#[derive(Debug, Default)]
struct Gate {
    open: bool,
    waker: Option<Waker>,
}

/// One wait.
#[derive(Debug)]
pub struct Pause(Arc<Mutex<Gate>>);

impl Gates {
    /// A wait, until it is its turn.
    pub fn pause(&self) -> Pause {
        let gate = Arc::new(Mutex::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&gate));
        Pause(gate)
    }

    /// Ends one of the waits: whether there was one.
    pub fn open(&self, dice: &mut Dice) -> bool {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|gate| gate.strong_count() > 0);
        if gates.is_empty() {
            return false;
        }
        let chosen = dice.below(gates.len());
        let Some(gate) = gates.swap_remove(chosen).upgrade() else { return false };
        let mut gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.open = true;
        if let Some(waker) = gate.waker.take() {
            waker.wake();
        }
        true
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.open {
            return Poll::Ready(());
        }
        gate.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Counts what must not outlive a run: handlers, bodies, tasks.
#[derive(Clone, Debug, Default)]
pub struct Alive(Arc<AtomicUsize>);

/// One of those that are counted, until it is dropped.
#[derive(Debug)]
pub struct Guard(Alive);

impl Alive {
    /// One more.
    pub fn enter(&self) -> Guard {
        self.0.fetch_add(1, Relaxed);
        Guard(self.clone())
    }

    /// Returns the number of them.
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// The way in which a [`Slow`] body ends.
#[derive(Clone, Copy, Debug)]
pub enum SlowEnd {
    /// After its last part.
    Whole,
    /// By an error, when so many parts are left.
    Fails(usize),
    /// Not at all: it waits after its data.
    Waits,
}

/// A body that comes as it likes: it waits at gates between its parts, and need not come to its end.
pub struct Slow {
    parts: VecDeque<Part>,
    gates: Gates,
    dice: Dice,
    /// One part in so many is waited for.
    waits: usize,
    pause: Option<Pause>,
    end: SlowEnd,
    ended: bool,
    _guard: Guard,
}

impl Slow {
    /// These parts, one in four of which is waited for.
    pub fn new(parts: VecDeque<Part>, end: SlowEnd, gates: &Gates, alive: &Alive, dice: Dice) -> Self {
        let gates = gates.clone();
        Self { parts, gates, dice, waits: 4, pause: None, end, ended: false, _guard: alive.enter() }
    }
}

impl Source for Slow {
    fn poll_part(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        let this = self.get_mut();
        assert!(!this.ended, "a body is asked again after its end");
        if this.pause.is_none() && this.dice.one_in(this.waits) {
            this.pause = Some(this.gates.pause());
        }
        if let Some(pause) = &mut this.pause {
            if Pin::new(pause).poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.pause = None;
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
