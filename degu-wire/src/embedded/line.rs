//! A serial line, which has no EOF.

use core::fmt;
use core::time::Duration;

use embedded_io_async::{ErrorType, Read, Write};

use super::Clock;

/// A serial line that a server can use like a socket. Its input ends after each pause, so a server can resynchronise.
///
/// A UART is never closed. If a peer goes away in the middle of a request, the next peer's request would look like the
/// rest of that request. Therefore the input ends if no further byte arrives within `pause` after a byte. The
/// [server](super::Server::serve) then ends the connection, as on a socket, and the next read begins a new connection:
///
/// ```ignore
/// let mut line = Line::new(&mut uart, &clock, Duration::from_millis(50));
/// loop {
///     // After an error, the server has answered if this was possible, and has dropped the rest of the input.
///     let _ = server.serve(&mut line, &clock, device).await;
///     line.wait_for_pause().await?;
/// }
/// ```
///
/// The pause has to be longer than any pause within a request. A peer may pause because it waits for `100 Continue`, or
/// reads a file from a slow disk. The pause also has to be several times as long as the transmission of one character.
/// At 9,600 baud, one character takes about 1 ms, so 50 ms are enough.
pub struct Line<'l, S, C> {
    io: &'l mut S,
    clock: &'l C,
    pause: Duration,
    /// True if a byte has arrived since the last pause.
    has_begun: bool,
}

impl<'l, S, C> Line<'l, S, C> {
    /// Returns a line on which no byte has arrived yet.
    pub const fn new(io: &'l mut S, clock: &'l C, pause: Duration) -> Self {
        Self { io, clock, pause, has_begun: false }
    }
}

impl<S: Read, C: Clock> Line<'_, S, C> {
    /// Reads and drops all bytes until there is a pause. Returns at once if no byte has arrived since the last pause.
    /// The caller calls this method after a connection, in place of closing a socket.
    ///
    /// # Errors
    ///
    /// The transport failed.
    pub async fn wait_for_pause(&mut self) -> Result<(), S::Error> {
        while self.has_begun {
            self.read(&mut [0; 16]).await?;
        }
        Ok(())
    }
}

impl<S, C> fmt::Debug for Line<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("pause", &self.pause).field("has_begun", &self.has_begun).finish_non_exhaustive()
    }
}

impl<S: ErrorType, C> ErrorType for Line<'_, S, C> {
    type Error = S::Error;
}

impl<S: Read, C: Clock> Read for Line<'_, S, C> {
    /// Reads the bytes that arrive, and returns 0 once after each pause.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe if `read` of the transport is cancel safe.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, S::Error> {
        let read = self.io.read(buffer);
        let read = if self.has_begun {
            self.clock.limit(&mut { self.pause }, read).await.unwrap_or(Ok(0))
        } else {
            read.await
        };
        self.has_begun = matches!(read, Ok(1..));
        read
    }
}

impl<S: Write, C> Write for Line<'_, S, C> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, S::Error> {
        self.io.write(data).await
    }

    async fn flush(&mut self) -> Result<(), S::Error> {
        self.io.flush().await
    }
}
