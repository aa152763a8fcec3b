//! The registers of two UARTs and of a timer of the CMSDK, which the image AN386 has, and of the board's network card.

use core::ptr;

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;

/// The number of bytes between two registers.
const WORD: usize = 4;

/// A register of the board.
#[derive(Clone, Copy)]
pub(crate) struct Register(*mut u32);

impl Register {
    pub(crate) fn read(self) -> u32 {
        // SAFETY: only `uart`, `timer` and `network_card` make registers, of devices that the board has; reading one changes nothing but the device.
        unsafe { ptr::read_volatile(self.0) }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: as above; the device does not touch memory.
        unsafe { ptr::write_volatile(self.0, value) }
    }
}

/// Returns the registers of UART 0 or 1: data, state, control, interrupts and the divider of the clock.
pub(crate) fn uart(number: usize) -> [Register; 5] {
    let base = 0x4000_4000 + (number & 1) * 0x1000;
    [0, 1, 2, 3, 4].map(|word| Register(ptr::with_exposed_provenance_mut(base + word * WORD)))
}

/// Returns the registers of the first timer: control, value, and what it begins with again after 0.
pub(crate) fn timer() -> [Register; 3] {
    [0, 1, 2].map(|word| Register(ptr::with_exposed_provenance_mut(0x4000_0000 + word * WORD)))
}

/// Returns the register of the network card at this offset in bytes.
pub(crate) fn network_card(offset: usize) -> Register {
    Register(ptr::with_exposed_provenance_mut(0x4020_0000 + (offset & 0xfc)))
}

/// The interrupt of a UART that has received a byte.
#[derive(Clone, Copy)]
struct Received(usize);

// SAFETY: the board has 32 interrupts, and these two are 0 and 2.
unsafe impl InterruptNumber for Received {
    fn number(self) -> u16 {
        (self.0 & 1) as u16 * 2
    }
}

/// Lets a byte that UART 0 or 1 receives wake the core.
pub(crate) fn wake_on_input(number: usize) {
    // SAFETY: no critical section depends on the interrupt's being masked; its handler clears the interrupt and no more.
    unsafe { NVIC::unmask(Received(number)) }
}

/// Handles all interrupts of the board.
// SAFETY: it touches registers of the UARTs alone, each write of which is one access.
#[exception]
unsafe fn DefaultHandler(_: i16) {
    for number in [0, 1] {
        let [.., interrupts, _] = uart(number);
        interrupts.write(interrupts.read());
    }
}
