//! Deadlines that cost nothing while they are kept.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::runtime::{Handle, Id};
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
