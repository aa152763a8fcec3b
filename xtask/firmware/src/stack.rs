//! The size of the part of the stack that has been used.

use core::ptr;

/// The value with which cortex-m-rt fills the stack before `main`.
const PAINT: u32 = 0xcccc_cccc;

unsafe extern "C" {
    // Symbols of the linker script of cortex-m-rt. The stack grows from the first address to the second.
    static mut _stack_start: u32;
    static mut _stack_end: u32;
}

/// Returns the number of bytes of the stack that have been used so far: all bytes above the lowest word that does not
/// have the value [`PAINT`].
pub fn high_water() -> usize {
    let top = ptr::addr_of!(_stack_start);
    let mut word = ptr::addr_of!(_stack_end);
    // SAFETY: all words between these addresses are RAM of the stack, and there is no reference to any of them.
    while word < top && unsafe { ptr::read_volatile(word) } == PAINT {
        word = word.wrapping_add(1);
    }
    top.addr() - word.addr()
}
