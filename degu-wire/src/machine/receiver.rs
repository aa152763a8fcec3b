//! The receiving half: octets in, heads and body parts out.

use alloc::sync::Arc;
use core::task::Poll;

use bytes::{Buf, Bytes, BytesMut};

use super::head::ResponseHead;
use crate::body::{ChunkExtensions, Part};
use crate::chunk::{self, Event};
use crate::head::{self, FieldSpan, RequestMeta};
use crate::headers::{Headers, Lines, Meta, Trailers};
use crate::{Fault, Framing, Limits, RemoteError};

/// What is asked of the reader at first, and again at each message: a head and a small body.
const FIRST_READ: usize = 8 * 1024;
/// Reads grow to this while a body fills them.
const MOST_READ: usize = 256 * 1024;
/// Room for so many fields is made at first; heads that have more are rare.
const FIRST_FIELDS: usize = 16;
/// Less room than this is not worth a read.
const LEAST_READ: usize = 2 * 1024;

#[derive(Debug)]
pub(super) struct Receiver {
    buffer: BytesMut,
    /// The last head, or storage for the next: used again when nobody else has it any more.
    head: Option<Arc<Lines>>,
    limits: Arc<Limits>,
    body: BodyState,
    /// How many octets at the front were searched for the end of a head.
    searched: usize,
    read_size: usize,
    eof: bool,
    /// What ended the reading: it is said again to whoever asks again, so that a body that broke never seems to end.
    fault: Option<RemoteError>,
}

/// Where in a body we are.
#[derive(Debug)]
enum BodyState {
    /// No body, or its end has been given.
    Done,
    Length(u64),
    Chunked {
        decoder: chunk::Decoder,
        /// The last chunk's extensions, until the trailers have come.
        last: ChunkExtensions,
    },
    UntilClose,
}

impl Receiver {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            buffer: BytesMut::new(),
            head: None,
            limits,
            body: BodyState::Done,
            searched: 0,
            read_size: FIRST_READ,
            eof: false,
            fault: None,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The buffer with room at its end.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        let room = self.buffer.capacity() - self.buffer.len();
        if room == 0 && !self.is_body_done() {
            // The last read filled it, so there is more where it came from.
            self.read_size = (self.read_size * 2).min(MOST_READ);
        }
        if room < LEAST_READ {
            self.buffer.reserve(self.read_size);
        }
        &mut self.buffer
    }

    /// Gives up the buffers where nothing is in them.
    pub(super) fn release_buffers(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.head = None;
        }
    }

    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    pub(super) fn set_eof(&mut self) {
        self.eof = true;
    }

    pub(super) fn is_eof(&self) -> bool {
        self.eof
    }

    /// Nothing more is read: this is what the peer did wrong.
    pub(super) fn fail(&mut self, fault: RemoteError) {
        self.fault.get_or_insert(fault);
    }

    /// What the peer did wrong, once it has.
    pub(super) fn fault(&self) -> Option<RemoteError> {
        self.fault
    }

    pub(super) fn is_body_done(&self) -> bool {
        matches!(self.body, BodyState::Done)
    }

    /// Octets of the body that are still to come, if its framing tells: of a chunked body, `None`.
    pub(super) fn body_remaining(&self) -> Option<u64> {
        match self.body {
            BodyState::Done => Some(0),
            BodyState::Length(remaining) => Some(remaining),
            BodyState::Chunked { .. } | BodyState::UntilClose => None,
        }
    }

    /// What follows a head: the body begins.
    pub(super) fn begin_body(&mut self, framing: Framing) {
        self.body = match framing {
            Framing::None | Framing::Length(0) => BodyState::Done,
            Framing::Length(length) => BodyState::Length(length),
            Framing::Chunked => {
                BodyState::Chunked { decoder: chunk::Decoder::new(&self.limits), last: ChunkExtensions::new() }
            }
            Framing::UntilClose => BodyState::UntilClose,
        };
    }

    /// Nothing more of this body is wanted, and nothing of the connection can be understood after it.
    pub(super) fn discard_all(&mut self) {
        if !self.is_body_done() {
            self.fault.get_or_insert(Fault::TruncatedBody.into());
        }
        self.buffer = BytesMut::new();
        self.body = BodyState::Done;
    }

    pub(super) fn poll_request(&mut self) -> Result<Poll<RequestMeta>, RemoteError> {
        if let Some(Meta::Request(meta)) = self.take_repeated() {
            return Ok(Poll::Ready(meta));
        }
        self.poll_head(head::scan_request, |meta| (meta.len, meta.fields, Meta::Request(*meta)))
    }

    pub(super) fn poll_response(&mut self) -> Result<Poll<ResponseHead>, RemoteError> {
        let meta = match self.take_repeated() {
            Some(Meta::Response(meta)) => Poll::Ready(meta),
            _ => self.poll_head(head::scan_response, |meta| (meta.len, meta.fields, Meta::Response(*meta)))?,
        };
        Ok(meta.map(|meta| ResponseHead { meta, headers: self.headers() }))
    }

    /// Takes a head that is the last one again, octet for octet, and so says the same: it need not be parsed. Two
    /// processes that talk with each other repeat themselves.
    ///
    /// Places of fields that a parse of its beginning has written meanwhile are the same again, since they are written
    /// for whole lines only.
    fn take_repeated(&mut self) -> Option<Meta> {
        let (meta, len) = self.head.as_ref()?.repeated(&self.buffer)?;
        if self.fault.is_some() {
            return None;
        }
        self.took_head(len);
        Some(meta)
    }

    /// A head has been taken, which is so long.
    fn took_head(&mut self, len: usize) {
        self.buffer.advance(len);
        self.searched = 0;
        self.read_size = FIRST_READ;
    }

    /// The fields of the last head.
    pub(super) fn headers(&self) -> Headers {
        self.head.clone().map_or_else(Headers::new, Headers::received)
    }

    /// Parses a head when there is a chance: with the first octets of it, when its end has come, and when nothing more
    /// will. A dripped head is searched once and parsed twice, so that what is wrong with it may be found as late as at
    /// its end.
    fn poll_head<M>(
        &mut self,
        scan: impl Fn(&[u8], &mut [FieldSpan], &Limits) -> Result<Option<M>, RemoteError>,
        describe: impl Fn(&M) -> (u16, u16, Meta),
    ) -> Result<Poll<M>, RemoteError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.buffer.is_empty() && !self.eof {
            self.searched = 0;
            return Ok(Poll::Pending);
        }
        let worth_parsing = self.searched == 0
            || self.eof
            || self.buffer.len() >= self.limits.max_head.min(Limits::MAX_HEAD)
            || self.may_end_head();
        if worth_parsing && !self.buffer.is_empty() {
            match self.take_head(scan, describe) {
                Ok(None) => {}
                Ok(Some(meta)) => return Ok(Poll::Ready(meta)),
                Err(fault) => return Err(*self.fault.insert(fault)),
            }
        }
        self.searched = self.buffer.len();
        if self.eof && self.head_begun() {
            return Err(*self.fault.insert(Fault::TruncatedHead.into()));
        }
        Ok(Poll::Pending)
    }

    /// Takes a head off the buffer, if the whole of one is there.
    fn take_head<M>(
        &mut self,
        scan: impl Fn(&[u8], &mut [FieldSpan], &Limits) -> Result<Option<M>, RemoteError>,
        describe: impl Fn(&M) -> (u16, u16, Meta),
    ) -> Result<Option<M>, RemoteError> {
        let head = self.head.get_or_insert_default();
        let head = match Arc::get_mut(head) {
            Some(unshared) => unshared,
            // The last one is left to those who have kept it.
            None => {
                *head = Arc::default();
                Arc::make_mut(head)
            }
        };
        let meta = match scan(&self.buffer, head.spans(FIRST_FIELDS), &self.limits) {
            Err(RemoteError { fault: Fault::TooManyFields, .. }) if head.spans(0).len() < self.limits.max_fields => {
                let most = most_fields(self.limits.max_fields, self.buffer.len().min(Limits::MAX_HEAD));
                scan(&self.buffer, head.spans(most), &self.limits)
            }
            result => result,
        }?;
        if let Some(meta) = &meta {
            let (len, fields, kept) = describe(meta);
            head.fill(&self.buffer[..len as usize], fields as usize, Some(kept));
            self.took_head(len as usize);
        }
        Ok(meta)
    }

    /// Whether what has come since the last look ends a head: an empty line, or the LF without CR of a peer that ends
    /// none of its lines otherwise, and would be left waiting.
    fn may_end_head(&self) -> bool {
        let from = self.searched.saturating_sub(1);
        let bare = |pair: &[u8]| pair[1] == b'\n' && pair[0] != b'\r';
        head::find_head_end(&self.buffer, self.searched).is_some() || self.buffer[from..].windows(2).any(bare)
    }

    /// Whether more than empty lines have come.
    pub(super) fn head_begun(&self) -> bool {
        self.buffer.iter().any(|octet| !matches!(octet, b'\r' | b'\n'))
    }

    /// The next part of the body; `Ready(None)` at its end, `Pending` where more octets are needed.
    pub(super) fn poll_part(&mut self) -> Result<Poll<Option<Part>>, RemoteError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let result = self.next_part();
        self.fault = result.as_ref().err().copied();
        result
    }

    /// The rest of a body of known length, if all of it is here and it is not empty.
    #[inline(always)]
    pub(super) fn take_rest(&mut self) -> Option<Bytes> {
        let BodyState::Length(remaining) = self.body else { return None };
        let len = usize::try_from(remaining).ok().filter(|&len| len <= self.buffer.len() && self.fault.is_none())?;
        self.body = BodyState::Done;
        Some(self.buffer.split_to(len).freeze())
    }

    fn next_part(&mut self) -> Result<Poll<Option<Part>>, RemoteError> {
        let part = match &mut self.body {
            BodyState::Done => return Ok(Poll::Ready(None)),
            BodyState::Length(remaining) => {
                let take = usize::try_from(*remaining).map_or(self.buffer.len(), |want| want.min(self.buffer.len()));
                *remaining -= take as u64;
                if *remaining == 0 {
                    self.body = BodyState::Done;
                }
                (take > 0).then(|| Part::Data(self.buffer.split_to(take).freeze()))
            }
            BodyState::UntilClose => {
                let data = self.buffer.split().freeze();
                if data.is_empty() && self.eof {
                    self.body = BodyState::Done;
                    return Ok(Poll::Ready(None));
                }
                (!data.is_empty()).then_some(Part::Data(data))
            }
            BodyState::Chunked { .. } => return self.poll_chunked(),
        };
        self.part_or_more(part)
    }

    fn part_or_more(&self, part: Option<Part>) -> Result<Poll<Option<Part>>, RemoteError> {
        match part {
            Some(part) => Ok(Poll::Ready(Some(part))),
            None if self.eof => Err(Fault::TruncatedBody.into()),
            None => Ok(Poll::Pending),
        }
    }

    fn poll_chunked(&mut self) -> Result<Poll<Option<Part>>, RemoteError> {
        let BodyState::Chunked { decoder, last } = &mut self.body else { return Ok(Poll::Ready(None)) };
        loop {
            let step = decoder.decode(&self.buffer)?;
            match step.event {
                None => {
                    self.buffer.advance(step.consumed);
                    return self.part_or_more(None);
                }
                Some(Event::Data(_)) => {
                    return Ok(Poll::Ready(Some(Part::Data(self.buffer.split_to(step.consumed).freeze()))));
                }
                Some(Event::Chunk { size, extensions }) => {
                    let (line, extensions) = (step.consumed, extensions.as_bytes().len());
                    let extensions = take_line(&mut self.buffer, line, extensions);
                    // Data that came along belongs to the same part: a small chunk is then whole.
                    let data = decoder.decode(&self.buffer)?.consumed;
                    let data = self.buffer.split_to(data).freeze();
                    return Ok(Poll::Ready(Some(Part::Chunk { size, extensions, data })));
                }
                Some(Event::LastChunk { extensions }) => {
                    let (line, extensions) = (step.consumed, extensions.as_bytes().len());
                    *last = take_line(&mut self.buffer, line, extensions);
                }
                Some(Event::End { trailers }) => {
                    let trailers = read_trailers(trailers, &self.limits)?;
                    self.buffer.advance(step.consumed);
                    let extensions = core::mem::take(last);
                    self.body = BodyState::Done;
                    let says_something = !extensions.is_empty() || !trailers.is_empty();
                    return Ok(Poll::Ready(says_something.then_some(Part::Last { extensions, trailers })));
                }
            }
        }
    }
}

/// How many fields there can be in so many octets: a limit may be far above that, and room is made for no more.
fn most_fields(limit: usize, octets: usize) -> usize {
    // The shortest field line is `a:` CRLF; and the one that is a part of a line needs no room.
    limit.min(octets / 4 + 1)
}

fn read_trailers(text: &[u8], limits: &Limits) -> Result<Trailers, RemoteError> {
    if text.is_empty() {
        return Ok(Trailers::new());
    }
    let mut received = Lines::default();
    let most = most_fields(limits.max_trailer_fields, text.len());
    let fields = head::scan_trailers(text, received.spans(most), limits)?;
    received.fill(text, fields, None);
    Ok(Trailers::received(received))
}

/// Takes a chunk line off the buffer and keeps its extensions, which stand before its CRLF.
fn take_line(buffer: &mut BytesMut, len: usize, extensions: usize) -> ChunkExtensions {
    if extensions == 0 {
        buffer.advance(len);
        return ChunkExtensions::new();
    }
    let end = len - 2;
    ChunkExtensions::checked(buffer.split_to(len).freeze().slice(end - extensions..end))
}
