//! picoserve on the UART, for the programs that are compared with Degu's programs.

use core::convert::Infallible;

use degu_wire::embedded::Line;
use embedded_io_async::Write as _;
use picoserve::io::{Socket, Write};
use picoserve::mem::{BorrowedBuffer, BorrowedCursor};
use picoserve::routing::PathRouter;
use picoserve::{Config, Router, Server, Timeouts, Timer};

use crate::{PAUSE, Ticks, Uart};

impl Write for Uart {
    async fn write_with<F: FnOnce(BorrowedCursor<'_>) -> R, R>(&mut self, fill: F) -> Result<R, Infallible> {
        let mut bytes = [0; 128];
        let mut buffer = BorrowedBuffer::new(&mut bytes);
        let result = fill(buffer.unfilled());
        self.write_all(buffer.filled()).await?;
        Ok(result)
    }
}

/// The first UART as a socket of picoserve. A pause of [`PAUSE`] in the input counts as EOF.
struct First(Uart);

impl Socket<()> for First {
    type Error = Infallible;
    type ReadHalf<'a> = Line<'a, Uart, Ticks>;
    type WriteHalf<'a> = Uart;

    fn split(&mut self) -> (Self::ReadHalf<'_>, Uart) {
        (Line::new(&mut self.0, &Ticks, PAUSE), Uart::new(0))
    }

    async fn abort<T: Timer<()>>(self, _: &Timeouts, _: &T) -> Result<(), picoserve::Error<Infallible>> {
        Ok(())
    }

    async fn shutdown<T: Timer<()>>(self, _: &Timeouts, _: &T) -> Result<(), picoserve::Error<Infallible>> {
        Ok(())
    }
}

/// Serves the first UART forever.
pub async fn serve<P: PathRouter>(app: &Router<P>, memory: &'static mut [u8]) {
    const CONFIG: Config = Config::const_default().keep_connection_alive();
    loop {
        let server = Server::<(), _, _, _>::custom(app, Ticks, &CONFIG, memory);
        let _ = server.serve(First(Uart::new(0))).await;
    }
}
