//! A body out of an async function.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{BoxError, Chunk, Part, Source};

pin_project! {
    /// Calls `next` with the state of the last call, and gives the chunks that come out.
    pub(super) struct Unfold<T, F, Fut> {
        // Taken while the future has it, and for good at the end.
        state: Option<T>,
        next: F,
        #[pin]
        under_way: Option<Fut>,
    }
}

impl<T, F, Fut> Unfold<T, F, Fut> {
    pub(super) const fn new(seed: T, next: F) -> Self {
        Self { state: Some(seed), next, under_way: None }
    }
}

impl<T, F, Fut> Source for Unfold<T, F, Fut>
where
    F: FnMut(T) -> Fut,
    Fut: Future<Output = Option<(Chunk, T)>>,
{
    fn poll_part(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        let mut this = self.project();
        if let Some(state) = this.state.take() {
            this.under_way.set(Some((this.next)(state)));
        }
        let Some(future) = this.under_way.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let step = ready!(future.poll(cx));
        this.under_way.set(None);
        Poll::Ready(step.map(|(chunk, state)| {
            *this.state = Some(state);
            Ok(chunk.into())
        }))
    }
}
