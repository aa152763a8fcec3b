//! A future that is polled only a limited number of times, and is dropped before it is ready, as after a timeout.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

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
