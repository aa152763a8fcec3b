//! picoserve on the UART, for the programs that are compared with Degu's programs.

use core::convert::Infallible;

use degu_wire::embedded::Line;
use embedded_io_async::{ErrorType, Write as _};
use picoserve::io::{Socket, Write};
use picoserve::mem::{BorrowedBuffer, BorrowedCursor};
use picoserve::response::Content;
use picoserve::routing::PathRouter;
use picoserve::{Config, Router, Server, Timeouts, Timer};

use crate::page::Page;
use crate::{PAUSE, Ticks, Uart};

/// The two halves of a UART as a socket of picoserve. A pause of [`PAUSE`] in the input counts as EOF.
struct Halves(Uart, Uart);

/// The half that writes, with a buffer for text that picoserve formats.
struct WriteHalf<'a>(&'a mut Uart, [u8; 128]);

impl ErrorType for WriteHalf<'_> {
    type Error = Infallible;
}

impl embedded_io_async::Write for WriteHalf<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        self.0.flush().await
    }
}

impl Write for WriteHalf<'_> {
    async fn write_with<F: FnOnce(BorrowedCursor<'_>) -> R, R>(&mut self, fill: F) -> Result<R, Infallible> {
        let mut buffer = BorrowedBuffer::new(&mut self.1);
        let result = fill(buffer.unfilled());
        self.0.write_all(buffer.filled()).await?;
        Ok(result)
    }
}

impl Socket<()> for Halves {
    type Error = Infallible;
    type ReadHalf<'a> = Line<'a, Uart, Ticks>;
    type WriteHalf<'a> = WriteHalf<'a>;

    fn split(&mut self) -> (Self::ReadHalf<'_>, Self::WriteHalf<'_>) {
        (Line::new(&mut self.0, &Ticks, PAUSE), WriteHalf(&mut self.1, [0; 128]))
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
        let _ = server.serve(Halves(Uart::new(0), Uart::new(0))).await;
    }
}

/// A page as the body of a response.
pub struct Text(pub Page);

impl Content for Text {
    fn content_type(&self) -> &'static str {
        "text/plain"
    }

    fn content_length(&self) -> usize {
        self.0.as_str().len()
    }

    async fn write_content<W: Write>(self, mut writer: W) -> Result<(), W::Error> {
        writer.write_all(self.0.as_str().as_bytes()).await
    }
}
