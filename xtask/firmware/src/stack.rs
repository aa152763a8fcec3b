//! The measured use of the stack.

use core::ptr;

/// The value that cortex-m-rt paints the stack with before `main`.
const PAINT: u32 = 0xcccc_cccc;

unsafe extern "C" {
    // Both are of the linker script of cortex-m-rt: the ends of the stack, which grows from the first to the second.
    static mut _stack_start: u32;
    static mut _stack_end: u32;
}

/// Returns how many bytes of the stack have been in use so far: all above the lowest word that has lost its paint.
pub fn high_water() -> usize {
    let top = ptr::addr_of!(_stack_start);
    let mut word = ptr::addr_of!(_stack_end);
    // SAFETY: all words between these addresses are RAM of the stack, painted at the start, and no reference is made to one.
    while word < top && unsafe { ptr::read_volatile(word) } == PAINT {
        word = word.wrapping_add(1);
    }
    top.addr() - word.addr()
}
