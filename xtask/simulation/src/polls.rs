//! Futures that are polled only after their waker was called, and futures that are dropped early.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Poll, Wake, Waker};

/// A flag that a waker sets. The simulation polls a task only when its flag is set.
#[derive(Debug)]
pub struct Woken(AtomicBool);

impl Woken {
    /// Returns a flag and its waker. The flag is set, because a new task is polled without a wake-up.
    pub fn new() -> (Arc<Self>, Waker) {
        let woken = Arc::new(Self(AtomicBool::new(true)));
        (woken.clone(), woken.into())
    }

    /// Returns whether the flag is set, and clears it.
    pub fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
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
