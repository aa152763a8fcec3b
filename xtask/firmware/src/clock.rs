//! Milliseconds, counted by a timer of the board.

use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::task::Poll;
use core::time::Duration;

use cortex_m_rt::exception;

use crate::registers;

/// The frequency of the core and of the timer, in kilohertz.
const KILOHERTZ: u32 = 25_000;

static MILLISECONDS: AtomicU32 = AtomicU32::new(0);
/// The value of the timer up to which whole milliseconds have been counted. The rest is counted at a later tick.
static COUNTED: AtomicU32 = AtomicU32::new(u32::MAX);

/// Adds the milliseconds that the timer has measured. On a busy host, the emulated core misses ticks, but the timer
/// goes on.
#[exception]
fn SysTick() {
    let [_, value, _] = registers::timer();
    let counted = COUNTED.load(Relaxed);
    // The timer counts down.
    let milliseconds = counted.wrapping_sub(value.read()) / KILOHERTZ;
    COUNTED.store(counted.wrapping_sub(milliseconds * KILOHERTZ), Relaxed);
    MILLISECONDS.store(now() + milliseconds, Relaxed);
}

/// Starts the timer, and a tick of the core every millisecond.
pub(crate) fn start() {
    let [control, value, reload] = registers::timer();
    reload.write(u32::MAX);
    value.write(u32::MAX);
    control.write(1);
    let [control, reload, value] = registers::ticks();
    reload.write(KILOHERTZ - 1);
    value.write(0);
    // The clock of the core, the interrupt, and the counter.
    control.write(4 | 2 | 1);
}

/// Returns the milliseconds since the start, modulo 2³² (49 days).
pub fn now() -> u32 {
    MILLISECONDS.load(Relaxed)
}

/// The clock of the board, for the server and the client.
pub struct Ticks;

impl degu_wire::embedded::Clock for Ticks {
    async fn limit<F: Future>(&self, left: &mut Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut last = now();
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let now = now();
            *left = left.saturating_sub(Duration::from_millis(now.wrapping_sub(last).into()));
            last = now;
            if left.is_zero() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}

impl<Runtime> picoserve::Timer<Runtime> for Ticks {
    async fn delay(&self, duration: picoserve::time::Duration) {
        let mut left = Duration::from_millis(duration.as_millis());
        let _ = degu_wire::embedded::Clock::limit(self, &mut left, pending::<()>()).await;
    }
}
