//! The UARTs, with the traits of `embedded_io_async`.

use core::convert::Infallible;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::task::Poll;

use embedded_io_async::{ErrorType, Read, Write};

use crate::registers::{self, Register};

const TRANSMITTER_FULL: u32 = 1;
const RECEIVER_FULL: u32 = 2;
/// The bits that enable the transmitter, the receiver, and the interrupt of the receiver.
const ENABLE: u32 = 1 | 2 | 8;
/// The smallest divider that the hardware allows. QEMU ignores the speed, and moves bytes as fast as it can.
const DIVIDER: u32 = 16;

/// True if a byte or a frame has moved since the last call of [`has_moved`].
static MOVED: AtomicBool = AtomicBool::new(false);

/// Returns whether a byte or a frame has moved since the last call.
pub(crate) fn has_moved() -> bool {
    MOVED.swap(false, Relaxed)
}

/// Sets the flag that [`has_moved`] returns.
pub(crate) fn note_moved() {
    MOVED.store(true, Relaxed);
}

/// Returns whether a byte waits to be read.
pub(crate) fn has_input() -> bool {
    (0..2).any(|number| registers::uart(number, 1).read() & RECEIVER_FULL != 0)
}

/// A UART without a FIFO: it holds one byte in each direction.
pub struct Uart {
    data: Register,
    state: Register,
}

impl Uart {
    /// Switches on UART 0 or 1, and returns it.
    pub fn new(number: usize) -> Self {
        registers::uart(number, 4).write(DIVIDER);
        registers::uart(number, 2).write(ENABLE);
        registers::wake_on_input(number);
        Self { data: registers::uart(number, 0), state: registers::uart(number, 1) }
    }

    fn has(&self, flag: u32) -> bool {
        self.state.read() & flag != 0
    }

    /// Reads a byte, if there is one.
    fn take(&mut self) -> Option<u8> {
        self.has(RECEIVER_FULL).then(|| {
            note_moved();
            self.data.read() as u8
        })
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|_| {
            let mut read = 0;
            while let Some(place) = buffer.get_mut(read)
                && let Some(byte) = self.take()
            {
                *place = byte;
                read += 1;
            }
            if read > 0 { Poll::Ready(Ok(read)) } else { Poll::Pending }
        })
        .await
    }
}

impl Write for Uart {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|_| {
            let mut written = 0;
            while let Some(byte) = bytes.get(written)
                && !self.has(TRANSMITTER_FULL)
            {
                self.data.write((*byte).into());
                note_moved();
                written += 1;
            }
            if written > 0 || bytes.is_empty() { Poll::Ready(Ok(written)) } else { Poll::Pending }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        poll_fn(|_| if self.has(TRANSMITTER_FULL) { Poll::Pending } else { Poll::Ready(Ok(())) }).await
    }
}
