//! Milliseconds, counted at the ticks of the core.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::task::Poll;
use core::time::Duration;

use cortex_m::Peripherals;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;

use crate::registers;

/// The clock of the core and of the timer, in kilohertz.
const KILOHERTZ: u32 = 25_000;

static MILLISECONDS: AtomicU32 = AtomicU32::new(0);
/// The value of the timer when the milliseconds were counted last.
static COUNTED: AtomicU32 = AtomicU32::new(u32::MAX);

/// Counts by the timer, which goes on where the host is too busy for each tick of the emulated core.
#[exception]
fn SysTick() {
    let [_, value, _] = registers::timer();
    let counted = COUNTED.load(Relaxed);
    // The timer counts down.
    let milliseconds = counted.wrapping_sub(value.read()) / KILOHERTZ;
    COUNTED.store(counted.wrapping_sub(milliseconds * KILOHERTZ), Relaxed);
    MILLISECONDS.fetch_add(milliseconds, Relaxed);
}

/// Returns the milliseconds since the start, which wrap around after 49 days.
pub fn now() -> u32 {
    MILLISECONDS.load(Relaxed)
}

/// Starts to count, the first time that it is called.
pub(crate) fn start() {
    if let Some(Peripherals { mut SYST, .. }) = Peripherals::take() {
        let [control, value, reload] = registers::timer();
        reload.write(u32::MAX);
        value.write(u32::MAX);
        control.write(1);
        SYST.set_clock_source(SystClkSource::Core);
        SYST.set_reload(KILOHERTZ - 1);
        SYST.clear_current();
        SYST.enable_interrupt();
        SYST.enable_counter();
    }
}

/// The time of the board.
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
        let start = now();
        let milliseconds = duration.as_millis();
        poll_fn(|_| match u64::from(now().wrapping_sub(start)) >= milliseconds {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}
