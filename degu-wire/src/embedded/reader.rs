//! The body of a received message, read from the input buffer.

use core::fmt;

use embedded_io_async::{ErrorType, Read, Write};

use super::Error;
use super::clock::Clock;
use super::incoming::Incoming;
use super::link::Link;
use crate::chunk::Event;
use crate::{Fault, RemoteError};

/// A reader of the body of a [request](super::Request::body), or of a [response](super::Response::body).
///
/// The type also implements [`Read`]. If a client waits for `100 Continue`, the server sends `100 Continue` at the
/// first read of the request's body.
pub struct BodyReader<'r, 'x, S, C> {
    pub(super) incoming: &'r mut Incoming<'x>,
    pub(super) link: &'r mut Link<'x, S, C>,
}

impl<S: Read + Write, C: Clock> BodyReader<'_, '_, S, C> {
    /// Reads the next event of the body: data as it arrives, and in a chunked body also the beginning of each chunk and
    /// the end. Returns `None` after the end. The trailers of [`Event::End`] have been checked;
    /// [`parse_trailers`](crate::head::parse_trailers) parses them.
    ///
    /// # Errors
    ///
    /// A fault of the peer; every later call returns the same fault. [`Fault::TruncatedBody`] if the connection ended
    /// before the body was complete. [`Error::Timeout`] if the peer sent too slowly.
    pub async fn next_event(&mut self) -> Result<Option<Event<'_>>, Error<S::Error>> {
        self.next(usize::MAX).await
    }

    /// Reads data into `buffer`. Returns the number of bytes read, which is 0 at the end of the body.
    ///
    /// # Errors
    ///
    /// The errors of [`next_event`](Self::next_event).
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error<S::Error>> {
        while !buffer.is_empty() {
            match self.next(buffer.len()).await? {
                None => break,
                Some(Event::Data(data)) => {
                    let Some(room) = buffer.get_mut(..data.len()) else { break };
                    room.copy_from_slice(data);
                    return Ok(data.len());
                }
                Some(_) => {}
            }
        }
        Ok(0)
    }

    /// Reads the rest of the body into `buffer`, and returns the filled part of `buffer`.
    ///
    /// # Errors
    ///
    /// The errors of [`next_event`](Self::next_event), and [`Fault::BodyTooLarge`] if the body does not fit. A server
    /// answers this fault with 413.
    pub async fn read_all<'d>(&mut self, buffer: &'d mut [u8]) -> Result<&'d [u8], Error<S::Error>> {
        // A client that waits for `100 Continue` gets the refusal before it sends the body.
        let is_too_long = |length| length > buffer.len() as u64;
        if self.incoming.of_request && self.incoming.body.remaining().is_some_and(is_too_long) {
            return Err(Error::Peer(Fault::BodyTooLarge.into()));
        }
        let mut length = 0;
        while let Some(event) = self.next(usize::MAX).await? {
            if let Event::Data(data) = event {
                let end = length + data.len();
                let room = buffer.get_mut(length..end).ok_or(RemoteError::from(Fault::BodyTooLarge))?;
                room.copy_from_slice(data);
                length = end;
            }
        }
        Ok(buffer.get(..length).unwrap_or_default())
    }

    /// Reads and drops at most `most` bytes of the body. Returns whether the end was reached.
    pub(super) async fn drain(&mut self, mut most: u64) -> bool {
        loop {
            match self.next(usize::MAX).await {
                Ok(None) => return true,
                Ok(Some(Event::Data(data))) => most = most.saturating_sub(data.len() as u64),
                Ok(Some(_)) => most = most.saturating_sub(1),
                Err(_) => return false,
            }
            if most == 0 {
                return self.incoming.body.has_ended();
            }
        }
    }

    /// Reads the next event. If the event is data, it has at most `most` bytes. Returns `None` at the end of the body.
    async fn next(&mut self, most: usize) -> Result<Option<Event<'_>>, Error<S::Error>> {
        let Self { incoming, link } = self;
        if core::mem::take(&mut link.state.terms.continue_pending) && incoming.input.len() == 0 {
            // `100 Continue` is not needed if bytes of the body have arrived already (RFC 9110 §10.1.1).
            link.put(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let found = loop {
            if let Some(found) = incoming.find(most, link.state.eof)? {
                break found;
            }
            if incoming.body.has_ended() {
                link.state.is_between = incoming.input.len() == 0;
                return Ok(None);
            }
            link.fill(&mut incoming.input).await?;
        };
        Ok(incoming.take(found)?)
    }
}

impl<S: ErrorType, C> ErrorType for BodyReader<'_, '_, S, C> {
    type Error = Error<S::Error>;
}

impl<S: Read + Write, C: Clock> Read for BodyReader<'_, '_, S, C> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.read(buffer).await
    }
}

impl<S, C> fmt::Debug for BodyReader<'_, '_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.incoming.body.fmt(f)
    }
}
