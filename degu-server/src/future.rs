//! Combinations of futures.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Waits for the first of two futures. Returns `Ok` for `a`, also if both are ready, and `Err` for `b`.
pub(crate) async fn first<A: Future, B: Future>(a: A, b: B) -> Result<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if let Poll::Ready(output) = a.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        b.as_mut().poll(cx).map(Err)
    })
    .await
}
