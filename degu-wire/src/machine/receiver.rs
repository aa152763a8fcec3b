//! The receiving half of a connection: received bytes become heads and parts of bodies.

use alloc::sync::Arc;
use core::task::Poll;

use bytes::{Buf, Bytes, BytesMut};

use crate::body::{ChunkExtensions, Part};
use crate::chunk::Event;
use crate::decoder::BodyDecoder;
use crate::head::{FieldSpan, Search, parse_trailers};
use crate::headers::{FieldText, Headers, Trailers};
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
    pub(super) head: Option<Arc<FieldText>>,
    pub(super) limits: Arc<Limits>,
    pub(super) body: BodyDecoder,
    /// The extensions of the last chunk, until the trailers have arrived.
    last: ChunkExtensions,
    search: Search,
    /// The number of bytes by which the buffer grows when it has no space for a read.
    read_size: u32,
    /// True if the peer will send no more bytes.
    pub(super) eof: bool,
    /// The fault that ended the reading. `Connection<Server>` or `Connection<Client>` stores the fault here, and each
    /// later call returns the fault again. So an incomplete body never seems complete.
    pub(super) fault: Option<RemoteError>,
}

impl Receiver {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            buffer: BytesMut::new(),
            head: None,
            body: BodyDecoder::new(&limits),
            last: ChunkExtensions::new(),
            limits,
            search: Search::default(),
            read_size: FIRST_READ,
            eof: false,
            fault: None,
        }
    }

    /// Makes space for a read at the end of the buffer.
    pub(super) fn make_room(&mut self) {
        let room = self.buffer.capacity() - self.buffer.len();
        if room == 0 && !self.body.has_ended() {
            // The last read filled the buffer, so more bytes are probably waiting.
            self.read_size = (self.read_size * 2).min(MOST_READ);
        }
        if room < LEAST_READ {
            self.buffer.reserve(self.read_size as usize);
        }
    }

    /// Returns whether the reads of the last message became larger, or its head is stored in a large buffer.
    pub(super) fn has_grown(&self) -> bool {
        self.read_size > FIRST_READ || self.head.as_ref().is_some_and(|head| head.is_large())
    }

    /// Frees the memory of an empty buffer, and of the last head. The next read is small again.
    pub(super) fn release_buffer(&mut self) {
        if self.buffer.is_empty() {
            (self.buffer, self.head, self.read_size) = (BytesMut::new(), None, FIRST_READ);
        }
    }

    /// Drops all received bytes. If a body is unfinished, every later call that reads it returns an error.
    pub(super) fn discard_all(&mut self) {
        if !self.body.has_ended() {
            self.fault.get_or_insert(Fault::TruncatedBody.into());
        }
        self.buffer = BytesMut::new();
        self.body.abandon();
    }

    /// Returns the fields of the last head.
    pub(super) fn headers(&self) -> Headers {
        Headers::received(self.head.clone())
    }

    /// Takes a head from the buffer, and keeps its text. Returns false if more bytes are needed, or if the connection
    /// ended before a head began. `scan` parses the head, and returns its length and the number of its fields.
    pub(super) fn take_head(
        &mut self,
        mut scan: impl FnMut(&mut [u8], &mut [FieldSpan], &Limits) -> Result<Option<(u16, u16)>, RemoteError>,
    ) -> Result<bool, RemoteError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.buffer.is_empty() {
            self.search = Search::default();
            return Ok(false);
        }
        let head = self.head.get_or_insert_default();
        let lines = match Arc::get_mut(head) {
            Some(unshared) => unshared,
            // A clone of the last head still uses the storage, so the next head gets new storage.
            None => {
                *head = Arc::default();
                Arc::make_mut(head)
            }
        };
        let limits = &*self.limits;
        let mut found = (0, 0);
        let is_complete = self.search.find(&mut self.buffer, self.eof, limits, |text| {
            let scanned = lines.scan(text.len(), limits.max_fields, |slots| scan(text, slots, limits))?;
            Ok(scanned.inspect(|scanned| found = *scanned).is_some())
        })?;
        if !is_complete {
            return Ok(false);
        }
        let (len, fields) = found;
        lines.keep(&self.buffer[..len.into()], fields.into());
        self.buffer.advance(len.into());
        self.read_size = FIRST_READ;
        Ok(true)
    }

    /// Returns the next part of the body; `Ready(None)` at its end, `Pending` if more bytes are needed.
    pub(super) fn poll_part(&mut self) -> Result<Poll<Option<Part>>, RemoteError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        loop {
            let step = self.body.decode(&self.buffer, self.eof)?;
            let part = match step.event {
                None if self.body.has_ended() => return Ok(Poll::Ready(None)),
                None => {
                    self.buffer.advance(step.consumed);
                    return Ok(Poll::Pending);
                }
                Some(Event::Data(_)) => Part::Data(self.buffer.split_to(step.consumed).freeze()),
                Some(Event::Chunk { size, extensions }) => {
                    let (line, extensions) = (step.consumed, extensions.as_bytes().len());
                    let extensions = take_line(&mut self.buffer, line, extensions);
                    // Data that arrived together with the chunk line is returned in the same part, so a small chunk is
                    // one part.
                    let data = self.body.decode_data(&self.buffer)?;
                    Part::Chunk { size, extensions, data: self.buffer.split_to(data).freeze() }
                }
                Some(Event::LastChunk { extensions }) => {
                    let (line, extensions) = (step.consumed, extensions.as_bytes().len());
                    self.last = take_line(&mut self.buffer, line, extensions);
                    continue;
                }
                Some(Event::End { trailers }) => {
                    let trailers = read_trailers(trailers, &self.limits)?;
                    self.buffer.advance(step.consumed);
                    let extensions = core::mem::take(&mut self.last);
                    if extensions.is_empty() && trailers.is_empty() {
                        return Ok(Poll::Ready(None));
                    }
                    Part::Last { extensions, trailers }
                }
            };
            return Ok(Poll::Ready(Some(part)));
        }
    }

    /// Takes the rest of a body of known length, if the rest is not empty and all of it has arrived. The body has then
    /// ended. Returns `None` in every other case, and after a fault.
    pub(super) fn take_rest(&mut self) -> Option<Bytes> {
        if self.fault.is_some() {
            return None;
        }
        let rest = self.body.take_rest(self.buffer.len())?;
        Some(self.buffer.split_to(rest).freeze())
    }
}

fn read_trailers(text: &[u8], limits: &Limits) -> Result<Trailers, RemoteError> {
    if text.is_empty() {
        return Ok(Trailers::new());
    }
    let mut received = FieldText::default();
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
    buffer.advance(len - 2 - extensions);
    let text = buffer.split_to(extensions).freeze();
    buffer.advance(2);
    ChunkExtensions::received(text)
}
