//! The receiving half of a connection: received bytes become heads and parts of bodies.

use alloc::sync::Arc;
use core::task::Poll;

use bytes::{Buf, Bytes, BytesMut};

use crate::body::{ChunkExtensions, Part};
use crate::chunk::{self, Event};
use crate::framing::Framing;
use crate::head::{FieldSpan, Search, has_begun, parse_trailers};
use crate::headers::{Headers, Lines, Trailers};
use crate::{Fault, Limits, RemoteError};

/// The number of free bytes in the buffer for the first reads of a message: enough for a head and a small body.
const FIRST_READ: u32 = 8 * 1024;
/// The largest number of free bytes in the buffer for a read. While each read of a body fills the buffer, the number
/// doubles up to this bound.
const MOST_READ: u32 = 256 * 1024;
/// The smallest number of free bytes in the buffer for a read.
const LEAST_READ: usize = 2 * 1024;

#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) buffer: BytesMut,
    /// The last head. If no clone of the last head is left, the next head uses the same storage.
    pub(super) head: Option<Arc<Lines>>,
    pub(super) limits: Arc<Limits>,
    /// The framing of the rest of the body: [`Framing::None`] after the end of the body has been returned.
    pub(super) body: Framing,
    /// The decoder of a chunked body.
    decoder: chunk::Decoder,
    /// The extensions of the last chunk, until the trailers have arrived.
    last: ChunkExtensions,
    search: Search,
    read_size: u32,
    /// True if the peer will send no more bytes.
    pub(super) eof: bool,
    /// The fault that ended the reading. Each later call returns it again, so an incomplete body never seems complete.
    pub(super) fault: Option<RemoteError>,
}

impl Receiver {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            buffer: BytesMut::new(),
            head: None,
            decoder: chunk::Decoder::new(&limits),
            last: ChunkExtensions::new(),
            limits,
            body: Framing::None,
            search: Search::default(),
            read_size: FIRST_READ,
            eof: false,
            fault: None,
        }
    }

    /// Makes space for a read at the end of the buffer.
    pub(super) fn make_room(&mut self) {
        let room = self.buffer.capacity() - self.buffer.len();
        if room == 0 && self.body != Framing::None {
            // The last read filled the buffer, so more bytes are probably waiting.
            self.read_size = (self.read_size * 2).min(MOST_READ);
        }
        if room < LEAST_READ {
            self.buffer.reserve(self.read_size as usize);
        }
    }

    /// Begins the body that follows a head.
    pub(super) fn begin_body(&mut self, framing: Framing, of_response: bool) {
        if framing == Framing::Chunked {
            let decoder = chunk::Decoder::new(&self.limits);
            self.decoder = if of_response { decoder.of_response() } else { decoder };
        }
        self.body = framing.of_rest();
    }

    /// Drops all received bytes. If a body is unfinished, every later call that reads it returns an error.
    pub(super) fn discard_all(&mut self) {
        if self.body != Framing::None {
            self.fault.get_or_insert(Fault::TruncatedBody.into());
        }
        self.buffer = BytesMut::new();
        self.body = Framing::None;
    }

    /// Returns the fields of the last head.
    pub(super) fn headers(&self) -> Headers {
        Headers::received(self.head.clone())
    }

    /// Takes a head from the buffer, and keeps its text. Returns false if more bytes are needed, or if the connection
    /// ended before a head began. `scan` parses the head, and returns its length and the number of its fields. `scan`
    /// is called only when a parse is [due](Search::is_due).
    pub(super) fn take_head(
        &mut self,
        scan: impl FnMut(&mut [u8], &mut [FieldSpan], &Limits) -> Result<Option<(u16, u16)>, RemoteError>,
    ) -> Result<bool, RemoteError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.buffer.is_empty() && !self.eof {
            self.search = Search::default();
            return Ok(false);
        }
        let is_all = self.eof || self.buffer.len() >= self.limits.max_head.min(Limits::MAX_HEAD);
        if self.search.is_due(&self.buffer, is_all) {
            match self.parse_head(scan) {
                Ok(false) => {}
                Ok(true) => return Ok(true),
                Err(fault) => return Err(*self.fault.insert(fault)),
            }
        }
        if self.eof && has_begun(&self.buffer) {
            return Err(*self.fault.insert(Fault::TruncatedHead.into()));
        }
        Ok(false)
    }

    fn parse_head(
        &mut self,
        mut scan: impl FnMut(&mut [u8], &mut [FieldSpan], &Limits) -> Result<Option<(u16, u16)>, RemoteError>,
    ) -> Result<bool, RemoteError> {
        let head = self.head.get_or_insert_default();
        let lines = match Arc::get_mut(head) {
            Some(unshared) => unshared,
            // A clone of the last head still uses the storage, so the next head gets new storage.
            None => {
                *head = Arc::default();
                Arc::make_mut(head)
            }
        };
        let (buffer, limits) = (&mut self.buffer, &*self.limits);
        let scanned = lines.scan(buffer.len(), limits.max_fields, |slots| scan(buffer, slots, limits))?;
        let Some((len, fields)) = scanned else { return Ok(false) };
        lines.keep(&self.buffer[..len.into()], fields.into());
        self.buffer.advance(len.into());
        self.search = Search::default();
        self.read_size = FIRST_READ;
        Ok(true)
    }

    /// Returns the next part of the body; `Ready(None)` at its end, `Pending` if more bytes are needed.
    pub(super) fn poll_part(&mut self) -> Result<Poll<Option<Part>>, RemoteError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let part = self.read_part().map_err(|fault| *self.fault.insert(fault))?;
        if part.is_none() && self.body != Framing::None {
            if !self.eof {
                return Ok(Poll::Pending);
            }
            if self.body != Framing::UntilClose {
                return Err(*self.fault.insert(Fault::TruncatedBody.into()));
            }
            self.body = Framing::None;
        }
        Ok(Poll::Ready(part))
    }

    /// Returns the rest of a body of known length, if the whole rest has arrived and is not empty.
    pub(super) fn take_rest(&mut self) -> Option<Bytes> {
        let Framing::Length(remaining) = self.body else { return None };
        if remaining > self.buffer.len() as u64 || self.fault.is_some() {
            return None;
        }
        self.body = Framing::None;
        Some(self.buffer.split_to(remaining as usize).freeze())
    }

    /// Takes a part from the buffer. Returns `None` if the body has ended, or if no whole part has arrived.
    fn read_part(&mut self) -> Result<Option<Part>, RemoteError> {
        let len = match self.body {
            Framing::None => return Ok(None),
            Framing::Length(remaining) => {
                let len = remaining.min(self.buffer.len() as u64);
                self.body = Framing::Length(remaining - len).of_rest();
                len as usize
            }
            Framing::UntilClose => self.buffer.len(),
            Framing::Chunked => return self.read_chunked(),
        };
        Ok((len > 0).then(|| Part::Data(self.buffer.split_to(len).freeze())))
    }

    fn read_chunked(&mut self) -> Result<Option<Part>, RemoteError> {
        loop {
            let step = self.decoder.decode(&self.buffer)?;
            match step.event {
                None => {
                    self.buffer.advance(step.consumed);
                    return Ok(None);
                }
                Some(Event::Data(_)) => {
                    return Ok(Some(Part::Data(self.buffer.split_to(step.consumed).freeze())));
                }
                Some(Event::Chunk { size, extensions }) => {
                    let (line, extensions) = (step.consumed, extensions.as_bytes().len());
                    let extensions = take_line(&mut self.buffer, line, extensions);
                    // Data that arrived together with the chunk line is returned in the same part, so a small chunk is
                    // one part.
                    let data = self.decoder.decode(&self.buffer)?.consumed;
                    let data = self.buffer.split_to(data).freeze();
                    return Ok(Some(Part::Chunk { size, extensions, data }));
                }
                Some(Event::LastChunk { extensions }) => {
                    let (line, extensions) = (step.consumed, extensions.as_bytes().len());
                    self.last = take_line(&mut self.buffer, line, extensions);
                }
                Some(Event::End { trailers }) => {
                    let trailers = read_trailers(trailers, &self.limits)?;
                    self.buffer.advance(step.consumed);
                    let extensions = core::mem::take(&mut self.last);
                    self.body = Framing::None;
                    let is_plain = extensions.is_empty() && trailers.is_empty();
                    return Ok((!is_plain).then_some(Part::Last { extensions, trailers }));
                }
            }
        }
    }
}

fn read_trailers(text: &[u8], limits: &Limits) -> Result<Trailers, RemoteError> {
    if text.is_empty() {
        return Ok(Trailers::new());
    }
    let mut received = Lines::default();
    let parse = |slots: &mut [FieldSpan]| Ok(parse_trailers(text, slots, limits)?.len());
    let fields = received.scan(text.len(), limits.max_trailer_fields, parse)?;
    received.keep(text, fields);
    Ok(Trailers::received(received))
}

/// Takes a chunk line of `len` bytes from the buffer. Returns the extensions of the chunk: the last `extensions` bytes
/// before the CRLF.
fn take_line(buffer: &mut BytesMut, len: usize, extensions: usize) -> ChunkExtensions {
    if extensions == 0 {
        buffer.advance(len);
        return ChunkExtensions::new();
    }
    let end = len - 2;
    ChunkExtensions::received(buffer.split_to(len).freeze().slice(end - extensions..end))
}
