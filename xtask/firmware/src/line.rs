//! Degu's server on the first UART.

use core::convert::Infallible;

use degu_wire::embedded::{Error, Line, Memory, Options, Request, Server};

use crate::{PAUSE, Ticks, Uart};

/// The memory of the server.
pub type Buffers = Memory<2048, 16, 512>;

/// A request over the UART.
pub type LineRequest<'r, 'l> = Request<'r, Line<'l, Uart, Ticks>, Ticks>;

/// The result of a handler.
pub type Outcome = Result<(), Error<Infallible>>;

/// Serves the first UART forever.
pub async fn serve<H>(memory: &'static mut Buffers, options: &Options, mut handler: H)
where
    H: AsyncFnMut(&mut LineRequest<'_, '_>) -> Outcome,
{
    let mut uart = Uart::new(0);
    let mut line = Line::new(&mut uart, &Ticks, PAUSE);
    let mut server = Server::new(memory.buffers(), options);
    loop {
        // After an error, the server has already answered. A line cannot be closed, so there is nothing to do.
        let _ = server.serve(&mut line, &Ticks, &mut handler).await;
        let _ = line.wait_for_pause().await;
    }
}
