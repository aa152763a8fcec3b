//! The UARTs, with the traits of `embedded_io_async`.

use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::task::Poll;

use embedded_io_async::{ErrorType, Read, Write};

use crate::registers::{self, Register};

const TRANSMITTER_FULL: u32 = 1;
const RECEIVER_FULL: u32 = 2;
/// The bits that enable the transmitter, the receiver, and the interrupt of the receiver.
const ENABLE: u32 = 1 | 2 | 8;
/// The smallest divider that the hardware allows. QEMU ignores the speed, and moves bytes as fast as it can.
const DIVIDER: u32 = 16;

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

    /// Waits until a flag is set, or until it is not.
    fn until(&self, flag: u32, is_set: bool) -> impl Future<Output = ()> {
        let state = self.state;
        poll_fn(move |_| match (state.read() & flag != 0) == is_set {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        self.until(RECEIVER_FULL, true).await;
        *first = self.data.read() as u8;
        Ok(1)
    }
}

impl Write for Uart {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(first) = bytes.first() else { return Ok(0) };
        self.until(TRANSMITTER_FULL, false).await;
        self.data.write((*first).into());
        Ok(1)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        self.until(TRANSMITTER_FULL, false).await;
        Ok(())
    }
}
