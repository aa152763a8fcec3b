//! The transport, the clock and the output buffer of a connection.

use core::future::Future;
use core::time::Duration;

use embedded_io_async::{Read, Write};

use super::Error;
use super::clock::Clock;
use super::incoming::Input;
use crate::exchange::{Line, Terms};
use crate::head::{FieldSpan, Search, check_field};
use crate::sink::{Sink, SliceSink};
use crate::{Framing, Limits, LocalError, RemoteError};

/// The transport, the clock, the output buffer and the state of a connection. An exchange borrows them.
pub(super) struct Link<'l, S, C> {
    pub(super) io: &'l mut S,
    pub(super) clock: &'l C,
    pub(super) output: &'l mut [u8],
    pub(super) state: &'l mut State,
}

/// The part of a connection's state that outlives an exchange.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The number of queued bytes at the front of the output buffer.
    pub(super) queued: usize,
    /// True if bytes were written after the last flush of the transport.
    pub(super) unflushed: bool,
    /// True while bytes are written to the transport. It stays true if the write fails or its future is dropped. Some of
    /// the bytes are then lost, so nothing more can be sent.
    pub(super) is_writing: bool,
    /// True if the peer will send no more bytes.
    pub(super) eof: bool,
    /// The remaining time of the peer. Waiting for the peer reduces this time, and each byte that is received or sent
    /// increases it.
    pub(super) left: Duration,
    /// The upper bound of `left`.
    pub(super) most: Duration,
    /// The terms of the current exchange: for example, whether the connection is kept after it.
    pub(super) terms: Terms,
    /// True if the client may begin an exchange: before the first request, and after a response that was read to its
    /// end, if no byte followed the response. The server does not use this field.
    pub(super) is_between: bool,
    /// The framing of the unsent rest of this side's body: `None` before the head of the message was sent, and
    /// [`Framing::None`] after the end of the body.
    pub(super) rest: Option<Framing>,
}

impl State {
    /// Adds 8 ms to the time that the peer has left, for each byte that was received or sent. The time never exceeds
    /// `most`.
    fn moved(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(Duration::from_millis(bytes as u64 * 8)).min(self.most);
    }

    pub(super) fn set_rest(&mut self, framing: Framing) {
        self.rest = Some(framing.of_rest());
    }
}

impl<S: Read + Write, C: Clock> Link<'_, S, C> {
    /// Sets the time that the peer may take from now on.
    pub(super) const fn allow(&mut self, time: Duration) {
        (self.state.left, self.state.most) = (time, time);
    }

    /// Waits until `scan` finds a whole head at the front of the input. Returns false if the connection ended before a
    /// head began.
    pub(super) async fn read_head(
        &mut self,
        input: &mut Input<'_>,
        mut scan: impl FnMut(&mut [u8], &mut [FieldSpan], &Limits) -> Result<bool, RemoteError>,
    ) -> Result<bool, Error<S::Error>> {
        let mut search = Search::default();
        let limits = input.limits;
        loop {
            let (bytes, slots) = input.head_mut();
            let found = search.find(bytes, self.state.eof, limits, |bytes| scan(bytes, slots, limits))?;
            if found || self.state.eof {
                return Ok(found);
            }
            self.fill(input).await?;
        }
    }

    /// Sends all queued bytes, and then waits until at least one byte or EOF has been read into the input. Does nothing
    /// after EOF. If the input buffer is full, returns [`LocalError::BufferTooSmall`].
    pub(super) async fn fill(&mut self, input: &mut Input<'_>) -> Result<(), Error<S::Error>> {
        if self.state.eof {
            return Ok(());
        }
        self.flush().await?;
        let room = input.room();
        if room.is_empty() {
            return Err(LocalError::BufferTooSmall.into());
        }
        let read = self.clock.limit(&mut self.state.left, self.io.read(room)).await;
        let read = read.ok_or(Error::Timeout)?.map_err(Error::Io)?;
        self.state.moved(read);
        input.filled(read);
        self.state.eof = read == 0;
        Ok(())
    }

    /// Sends bytes. Bytes that fit into the output buffer are queued there, and sent later. Longer data is written at
    /// once.
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
            None => write_all(self.io, self.clock, self.state, bytes).await,
        }
    }

    /// Encodes a head: the lines that `put` writes, and the empty line. See [`encode`](Self::encode).
    pub(super) fn encode_head<T>(
        &mut self,
        put: impl FnOnce(&mut SliceSink) -> Result<T, LocalError>,
    ) -> Result<T, LocalError> {
        self.encode(|out| {
            let result = put(out)?;
            out.put(b"\r\n")?;
            Ok(result)
        })
    }

    /// Encodes a head or a chunk line into the output buffer. The caller must first write all
    /// [queued](Self::write_queued) bytes, because they would be overwritten. If the encoding fails, nothing is sent.
    pub(super) fn encode<T>(
        &mut self,
        encode: impl FnOnce(&mut SliceSink) -> Result<T, LocalError>,
    ) -> Result<T, LocalError> {
        let mut sink = SliceSink::new(self.output);
        let encoded = encode(&mut sink)?;
        self.state.queued = sink.len();
        Ok(encoded)
    }

    /// Sends all queued bytes, and flushes the transport.
    pub(super) async fn flush(&mut self) -> Result<(), Error<S::Error>> {
        self.write_queued().await?;
        if self.state.unflushed {
            let flushed = self.clock.limit(&mut self.state.left, self.io.flush()).await;
            flushed.ok_or(Error::Timeout)?.map_err(Error::Io)?;
            self.state.unflushed = false;
        }
        Ok(())
    }

    /// Reads and drops the bytes that the peer still sends, for at most `time`.
    pub(super) async fn linger(&mut self, mut time: Duration) {
        // A clock may poll the future before it checks the time, so a read of bytes that are already there may succeed
        // even if no time is left.
        while !self.state.eof
            && !time.is_zero()
            && let Some(Ok(1..)) = self.clock.limit(&mut time, self.io.read(self.output)).await
        {}
    }

    /// Writes all queued bytes to the transport, without a flush.
    pub(super) fn write_queued(&mut self) -> impl Future<Output = Result<(), Error<S::Error>>> {
        let queued = core::mem::take(&mut self.state.queued);
        let bytes = self.output.get(..queued).unwrap_or_default();
        write_all(self.io, self.clock, self.state, bytes)
    }
}

/// Checks the fields of a head, and returns them as lines.
pub(super) fn checked<'f>(fields: &'f [(&str, &str)]) -> Result<impl Iterator<Item = Line<'f>> + Clone, LocalError> {
    let lines = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    lines.clone().try_for_each(|(name, value)| check_field(name, value))?;
    Ok(lines)
}

async fn write_all<S: Write, C: Clock>(
    io: &mut S,
    clock: &C,
    state: &mut State,
    mut bytes: &[u8],
) -> Result<(), Error<S::Error>> {
    if core::mem::replace(&mut state.is_writing, true) {
        return Err(LocalError::State.into());
    }
    while !bytes.is_empty() {
        let written = clock.limit(&mut state.left, io.write(bytes)).await;
        let written = written.ok_or(Error::Timeout)?.map_err(Error::Io)?;
        state.unflushed = true;
        state.moved(written);
        bytes = bytes.get(written..).unwrap_or_default();
    }
    state.is_writing = false;
    Ok(())
}
