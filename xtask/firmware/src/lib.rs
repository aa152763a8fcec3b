//! The board: Arm's MPS2 with a Cortex-M4 (image AN386), which QEMU emulates.
//!
//! The programs in `bin/` need two UARTs, a network card, a clock of milliseconds, and an executor of one future. All
//! `unsafe` code of the firmware is in `registers.rs` and `stack.rs`.
#![no_std]

mod clock;
pub mod line;
pub mod network;
pub mod page;
pub mod pico;
mod registers;
pub mod stack;
mod uart;

use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Waker};

pub use clock::{Ticks, now};
pub use uart::Uart;

/// The pause that ends the input of a line: longer than the time for which other programs on the host may delay QEMU.
pub const PAUSE: core::time::Duration = core::time::Duration::from_millis(100);

static FUTURE: AtomicUsize = AtomicUsize::new(0);

/// Returns the size of the future that [`run`] runs, in bytes.
pub fn future_size() -> usize {
    FUTURE.load(Relaxed)
}

/// Runs a future that never ends. The future is polled when a byte arrives or the clock ticks.
pub fn run<F: Future>(future: F) -> ! {
    FUTURE.store(size_of::<F>(), Relaxed);
    clock::start();
    let mut future: Pin<&mut F> = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if future.as_mut().poll(&mut context).is_ready() {
            halt()
        }
        // Interrupts are masked in this closure. After the check, an interrupt wakes the core all the same.
        cortex_m::interrupt::free(|_| {
            if !uart::has_input() {
                cortex_m::asm::wfi();
            }
        });
    }
}

fn halt() -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    halt()
}
