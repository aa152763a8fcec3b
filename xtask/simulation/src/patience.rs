//! Futures that are polled only when they were woken, and futures that are dropped before they are done.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Poll, Wake, Waker};

/// A flag that is set when its waker is called. The task is polled only when it is set.
#[derive(Debug, Default)]
pub struct Woken(AtomicBool);

impl Woken {
    /// A waker, and what shows that it was called.
    pub fn new() -> (Arc<Self>, Waker) {
        let woken = Arc::new(Self::default());
        (woken.clone(), woken.into())
    }

    /// Returns whether the waker was called since the last call, and clears the flag.
    pub fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// Polls a future so many times, and drops it then: `None` if it was not done. `late` drops it when it is to be polled
/// once more, instead of right after the last poll: An event in the meantime has then woken a task that is never polled
/// again.
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
