//! Deadlines that cost nothing while they are kept.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::runtime::{Handle, Id};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::exchange::Wait;

/// One timer for a connection. It stays armed from one wait to the next, and is moved only when it goes off early or
/// would go off late: in a row of exchanges it is not touched at all.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The runtime whose timer it is.
    runtime: Option<Id>,
    wait: Option<(Wait, Instant)>,
    /// Whom it is known to wake.
    task: Option<Waker>,
}

impl Timer {
    /// What was waited for has come.
    pub(crate) fn stop(&mut self) {
        self.wait = None;
    }

    /// The server has taken some of the request.
    pub(crate) fn sent(&mut self) {
        if matches!(self.wait, Some((Wait::Send, _))) {
            self.wait = None;
        }
    }

    /// Ready when `wait` has taken longer than `limit`, since this was first called for it. What `moves` may be used in
    /// another runtime than before.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, wait: Wait, limit: Duration, moves: bool) -> Poll<()> {
        let deadline = match self.wait {
            Some((known, deadline)) if known == wait => deadline,
            _ => {
                // Further away than the clock goes is never.
                let Some(deadline) = Instant::now().checked_add(limit) else { return Poll::Pending };
                self.wait = Some((wait, deadline));
                if moves {
                    // The timer of another runtime goes off only while that one runs, and panics when it has ended.
                    let runtime = Handle::try_current().ok().map(|runtime| runtime.id());
                    if self.runtime != runtime {
                        (self.sleep, self.runtime) = (None, runtime);
                    }
                }
                deadline
            }
        };
        // Nearly always it is armed already, which to say again would cost more than all else here.
        if let (Some(sleep), Some(task)) = (&self.sleep, &self.task)
            && sleep.deadline() <= deadline
            && !sleep.is_elapsed()
            && task.will_wake(cx.waker())
        {
            return Poll::Pending;
        }
        // Without a budget a sleep only asks to be asked again.
        self.task = has_budget_remaining().then(|| cx.waker().clone());
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                self.wait = None;
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

    use tokio::task::coop::poll_proceed;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    /// Waits for the deadline in this task.
    async fn passes(mut timer: Timer, mut before: impl FnMut(&mut Context<'_>)) {
        let passed = poll_fn(|cx| {
            before(cx);
            timer.poll(cx, Wait::Head, LIMIT, false)
        });
        timeout(2 * LIMIT, passed).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_passes_though_there_was_no_budget_when_the_wait_began() {
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
        assert!(timer.poll(&mut Context::from_waker(Waker::noop()), Wait::Head, LIMIT, false).is_pending());
        passes(timer, |_| {}).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_goes_off_early_is_moved() {
        let mut timer = Timer::default();
        poll_fn(|cx| {
            assert!(timer.poll(cx, Wait::Head, LIMIT / 2, false).is_pending());
            timer.stop();
            Poll::Ready(())
        })
        .await;
        let began = Instant::now();
        passes(timer, |_| {}).await;
        assert_eq!(began.elapsed(), LIMIT);
    }
}
