//! The transport, the clock and the output buffer of a connection.

use core::time::Duration;

use embedded_io_async::{Read, Write};

use super::Error;
use super::buffers::Window;
use super::clock::{Allowance, Clock};
use crate::LocalError;
use crate::sink::SliceSink;

/// A connection, lent for as long as an exchange takes.
pub(super) struct Link<'l, S, C> {
    pub(super) io: &'l mut S,
    pub(super) clock: &'l C,
    pub(super) output: &'l mut [u8],
    pub(super) state: &'l mut State,
}

/// The state of a connection that outlives an exchange.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The number of bytes at the front of the output that wait to be written.
    pub(super) queued: usize,
    /// The peer sends no more.
    pub(super) eof: bool,
    /// The peer's time.
    pub(super) allowance: Allowance,
    /// Of a client: the connection goes on after this exchange.
    pub(super) persistent: bool,
    /// The peer's message has been read to its end, and nothing has come after it.
    pub(super) is_between: bool,
}

impl<S: Read + Write, C: Clock> Link<'_, S, C> {
    /// Gives the peer so much time from now on.
    pub(super) const fn allow(&mut self, time: Duration) {
        self.state.allowance = Allowance::new(time);
    }

    /// Writes all that is queued, then waits for at least one byte. Returns `false` at EOF.
    pub(super) async fn fill(&mut self, window: &mut Window<'_>) -> Result<bool, Error<S::Error>> {
        if self.state.eof {
            return Ok(false);
        }
        self.flush().await?;
        let room = window.room();
        if room.is_empty() {
            return Err(LocalError::BufferTooSmall.into());
        }
        let read = self.clock.limit(&mut self.state.allowance.left, self.io.read(room)).await;
        let read = read.ok_or(Error::Timeout)?.map_err(Error::Io)?;
        self.state.allowance.moved(read);
        window.filled(read);
        self.state.eof = read == 0;
        Ok(read > 0)
    }

    /// Sends bytes: those that fit are queued.
    pub(super) async fn put(&mut self, bytes: &[u8]) -> Result<(), Error<S::Error>> {
        if self.output.len() - self.state.queued.min(self.output.len()) < bytes.len() {
            self.write_queued().await?;
        }
        let queued = self.state.queued;
        match self.output.get_mut(queued..queued.saturating_add(bytes.len())) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.state.queued += bytes.len();
                Ok(())
            }
            None => self.write(bytes).await,
        }
    }

    /// Encodes something into the output, or sends nothing of it.
    pub(super) async fn encode<T>(
        &mut self,
        encode: impl FnOnce(&mut SliceSink) -> Result<T, LocalError>,
    ) -> Result<T, Error<S::Error>> {
        self.write_queued().await?;
        let mut sink = SliceSink::new(self.output);
        let encoded = encode(&mut sink)?;
        self.state.queued = sink.len();
        Ok(encoded)
    }

    /// Sends all that is queued, and waits until the transport has taken it.
    pub(super) async fn flush(&mut self) -> Result<(), Error<S::Error>> {
        if self.state.queued > 0 {
            self.write_queued().await?;
            let flushed = self.clock.limit(&mut self.state.allowance.left, self.io.flush()).await;
            flushed.ok_or(Error::Timeout)?.map_err(Error::Io)?;
        }
        Ok(())
    }

    /// Reads and drops what still comes, for a limited time.
    pub(super) async fn linger(&mut self, mut time: Duration) {
        while !self.state.eof {
            match self.clock.limit(&mut time, self.io.read(self.output)).await {
                Some(Ok(1..)) => {}
                _ => self.state.eof = true,
            }
        }
    }

    async fn write_queued(&mut self) -> Result<(), Error<S::Error>> {
        let queued = core::mem::take(&mut self.state.queued);
        let bytes = self.output.get(..queued).unwrap_or_default();
        write_all(self.io, self.clock, &mut self.state.allowance, bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error<S::Error>> {
        write_all(self.io, self.clock, &mut self.state.allowance, bytes).await
    }
}

async fn write_all<S: Write, C: Clock>(
    io: &mut S,
    clock: &C,
    allowance: &mut Allowance,
    mut bytes: &[u8],
) -> Result<(), Error<S::Error>> {
    while !bytes.is_empty() {
        let written = clock.limit(&mut allowance.left, io.write(bytes)).await;
        let written = written.ok_or(Error::Timeout)?.map_err(Error::Io)?;
        allowance.moved(written);
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}
