//! The timer of an async connection. The connection rarely sets its timer again, because setting a timer costs more
//! than checking it.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::runtime::{Handle, Id};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until};

/// The timer of a connection. The timer stays set when a wait ends, so a series of quick exchanges does not set it
/// again. If the timer fires too early for the current wait, it is set to the deadline of this wait. If the timer would
/// fire too late, it is set to this deadline when the wait begins.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    /// The timer itself, and the runtime that it belongs to.
    sleep: Option<(Id, Pin<Box<Sleep>>)>,
    /// The task that `sleep` wakes. `None` before the first poll, or if the last poll could not register the task.
    task: Option<Waker>,
}

impl Timer {
    /// Waits until the deadline has passed.
    #[inline(always)]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: std::time::Instant) -> Poll<()> {
        let deadline = Instant::from_std(deadline);
        // Nearly always the timer is set already. Setting it again would cost more than the rest of this function.
        if let (Some((_, sleep)), Some(task)) = (&self.sleep, &self.task)
            && sleep.deadline() <= deadline
            && !sleep.is_elapsed()
            && task.will_wake(cx.waker())
        {
            return Poll::Pending;
        }
        self.set(cx, deadline)
    }

    /// Sets the timer to the deadline if the timer would fire too late, and registers the task. Ready if the deadline has
    /// passed.
    #[cold]
    fn set(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        // If the task has used up its budget (tokio's cooperative scheduling), the poll below does not register the
        // task with the timer. The task is then not stored.
        self.task = has_budget_remaining().then(|| cx.waker().clone());
        // A timer of another runtime fires only while that runtime runs. After the end of that runtime, polling the timer
        // panics.
        let runtime = Handle::current().id();
        self.sleep.take_if(|(known, _)| *known != runtime);
        let (_, sleep) = self.sleep.get_or_insert_with(|| (runtime, Box::pin(sleep_until(deadline))));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::task::coop::poll_proceed;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    fn after(limit: Duration) -> std::time::Instant {
        (Instant::now() + limit).into_std()
    }

    /// Waits in this task until `timer` reports that a deadline has passed. Calls `before` before each poll of the
    /// timer.
    async fn passes(mut timer: Timer, mut before: impl FnMut(&mut Context<'_>)) {
        let deadline = after(LIMIT);
        let passed = poll_fn(|cx| {
            before(cx);
            timer.poll(cx, deadline)
        });
        timeout(2 * LIMIT, passed).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn deadline_passes_though_wait_began_without_budget() {
        let mut began = false;
        passes(Timer::default(), |cx| {
            while !began && let Poll::Ready(turn) = poll_proceed(cx) {
                turn.made_progress();
            }
            began = true;
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_last_is_woken() {
        let mut timer = Timer::default();
        assert!(timer.poll(&mut Context::from_waker(Waker::noop()), after(LIMIT)).is_pending());
        passes(timer, |_| {}).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_goes_off_early_is_moved() {
        let mut timer = Timer::default();
        poll_fn(|cx| {
            assert!(timer.poll(cx, after(LIMIT / 2)).is_pending());
            Poll::Ready(())
        })
        .await;
        let began = Instant::now();
        passes(timer, |_| {}).await;
        assert_eq!(began.elapsed(), LIMIT);
    }
}
