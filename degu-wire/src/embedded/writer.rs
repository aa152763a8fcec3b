//! The writer of a message's body.

use core::fmt;

use embedded_io_async::{ErrorType, Read, Write};

use super::Error;
use super::clock::Clock;
use super::link::Link;
use crate::chunk::{self, Extension};
use crate::head::put_trailers;
use crate::{Framing, LocalError};

/// A writer of the body of a [response](super::Request::respond), or of a [request](super::Call::body).
///
/// The type also implements [`Write`].
///
/// # Cancel safety
///
/// If a write fails, or its future is dropped, some of the bytes may be lost. Then every later write that needs the
/// transport fails with [`LocalError::State`], and so does [`Server::serve`](super::Server::serve). A client's connection
/// is not reusable.
pub struct BodyWriter<'w, 'x, S, C> {
    pub(super) link: &'w mut Link<'x, S, C>,
}

impl<S: Read + Write, C: Clock> BodyWriter<'_, '_, S, C> {
    /// Sends data. If the body is chunked, the data is sent as one chunk. Short data waits in the output buffer for
    /// more data or for [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// [`LocalError::BodyTooLong`] if the data is longer than the rest of the announced length; [`Error::Timeout`] if
    /// the peer reads too slowly.
    pub async fn write(&mut self, data: &[u8]) -> Result<(), Error<S::Error>> {
        match self.rest()? {
            _ if data.is_empty() || self.link.state.terms.is_head => return Ok(()),
            Framing::Length(left) => {
                let left = left.checked_sub(data.len() as u64).ok_or(LocalError::BodyTooLong)?;
                self.link.state.set_rest(Framing::Length(left));
            }
            Framing::Chunked => return self.write_chunk(data, &[]).await,
            Framing::UntilClose => {}
            Framing::None => return Err(LocalError::BodyTooLong.into()),
        }
        self.link.put(data).await
    }

    /// Sends a chunk with extensions. A peer of HTTP/1.0 gets only the data.
    ///
    /// # Errors
    ///
    /// The errors of [`write`](Self::write), and [`LocalError::State`] if the body is not chunked,
    /// [`LocalError::ChunkLength`] if there is no data, [`LocalError::ChunkExtension`] if the extensions cannot be
    /// sent.
    pub async fn write_chunk(&mut self, data: &[u8], extensions: &[Extension<'_>]) -> Result<(), Error<S::Error>> {
        match self.rest()? {
            _ if self.link.state.terms.is_head => Ok(()),
            // An empty chunk would be the last chunk.
            Framing::Chunked if data.is_empty() => Err(LocalError::ChunkLength.into()),
            Framing::Chunked => {
                self.link.write_queued().await?;
                self.link.encode(|out| chunk::put_line(out, data.len() as u64, extensions.iter().copied()))?;
                self.link.put(data).await?;
                self.link.put(chunk::CRLF).await
            }
            Framing::UntilClose => self.link.put(data).await,
            Framing::Length(_) | Framing::None => Err(LocalError::State.into()),
        }
    }

    /// Ends the body, with extensions of its last chunk, and with trailers. A peer of HTTP/1.0 gets neither of them. A
    /// body without extensions and trailers also ends without this call: the body of a response when the handler
    /// returns, and the body of a request in [`Call::response`](super::Call::response).
    ///
    /// # Errors
    ///
    /// [`LocalError::BodyTooShort`] if less data was written than announced. Another [`LocalError`] if the extensions
    /// or trailers cannot be sent.
    pub async fn finish(
        &mut self,
        extensions: &[Extension<'_>],
        trailers: &[(&str, &str)],
    ) -> Result<(), Error<S::Error>> {
        match self.rest()? {
            _ if self.link.state.terms.is_head => {}
            Framing::Chunked => {
                self.link.write_queued().await?;
                self.link.encode(|out| {
                    chunk::put_line(out, 0, extensions.iter().copied())?;
                    put_trailers(out, trailers.iter().copied())
                })?;
            }
            Framing::Length(_) => return Err(LocalError::BodyTooShort.into()),
            Framing::None if !(extensions.is_empty() && trailers.is_empty()) => return Err(LocalError::State.into()),
            Framing::UntilClose | Framing::None => {}
        }
        self.link.state.set_rest(Framing::None);
        Ok(())
    }

    /// Sends all bytes in the output buffer, and flushes the transport. The caller calls this method, for example,
    /// after each part of an endless response. The driver also flushes before it waits for bytes from the peer, and at
    /// the end of a connection.
    ///
    /// # Errors
    ///
    /// The errors of [`write`](Self::write).
    pub async fn flush(&mut self) -> Result<(), Error<S::Error>> {
        self.link.flush().await
    }

    /// Returns the framing of the rest of the body.
    fn rest(&self) -> Result<Framing, LocalError> {
        self.link.state.rest.ok_or(LocalError::State)
    }
}

impl<S: ErrorType, C> ErrorType for BodyWriter<'_, '_, S, C> {
    type Error = Error<S::Error>;
}

impl<S: Read + Write, C: Clock> Write for BodyWriter<'_, '_, S, C> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Self::Error> {
        self.write(data).await?;
        Ok(data.len())
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.flush().await
    }
}

impl<S, C> fmt::Debug for BodyWriter<'_, '_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BodyWriter").field(&self.link.state.rest).finish()
    }
}
