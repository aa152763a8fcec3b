//! The registers of two UARTs and a timer of Arm's CMSDK, and the registers of the network card of the board.

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
        // SAFETY: only the functions below make registers, and the board has these devices. Reading a register
        // changes only the state of the device.
        unsafe { ptr::read_volatile(self.0) }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: as above. The devices do not write to memory.
        unsafe { ptr::write_volatile(self.0, value) }
    }
}

/// Returns a register of UART 0 or 1: 0 is data, 1 state, 2 control, 3 interrupts, and 4 the divider of the clock.
pub(crate) fn uart(number: usize, word: usize) -> Register {
    Register(ptr::with_exposed_provenance_mut(0x4000_4000 + (number & 1) * 0x1000 + (word & 7) * WORD))
}

/// Returns the registers of the first timer: control, value, and the value from which it counts again after 0.
pub(crate) fn timer() -> [Register; 3] {
    [0, 1, 2].map(|word| Register(ptr::with_exposed_provenance_mut(0x4000_0000 + word * WORD)))
}

/// Returns the registers of the core's own timer: control, the value from which it counts again after 0, and value.
pub(crate) fn ticks() -> [Register; 3] {
    [0, 1, 2].map(|word| Register(ptr::with_exposed_provenance_mut(0xe000_e010 + word * WORD)))
}

/// Returns the register of the network card at this offset in bytes.
pub(crate) fn network_card(offset: usize) -> Register {
    Register(ptr::with_exposed_provenance_mut(0x4020_0000 + (offset & 0xfc)))
}

/// The interrupt of a UART, which reports a received byte.
#[derive(Clone, Copy)]
struct Received(usize);

// SAFETY: the board has 32 interrupts, and these two are 0 and 2.
unsafe impl InterruptNumber for Received {
    fn number(self) -> u16 {
        (self.0 & 1) as u16 * 2
    }
}

/// Enables the interrupt of UART 0 or 1, so a received byte wakes the core.
pub(crate) fn wake_on_input(number: usize) {
    // SAFETY: no critical section relies on a masked interrupt, because its handler only clears the interrupt.
    unsafe { NVIC::unmask(Received(number)) }
}

/// Clears the interrupts of both UARTs.
// SAFETY: this accesses only registers of the UARTs, and each access is a single read or write.
#[exception]
unsafe fn DefaultHandler(_: i16) {
    for number in 0..2 {
        let interrupts = uart(number, 3);
        interrupts.write(interrupts.read());
    }
}
