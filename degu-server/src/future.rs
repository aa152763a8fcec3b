//! A function that waits for one of two futures.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Waits until one of two futures is ready. Returns the output of `a` as `Ok`, or the output of `b` as `Err`. If both are
/// ready, returns the output of `a`.
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
