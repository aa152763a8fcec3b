//! What is put together of the parts of a body: chunks, and whole bodies.

use bytes::{Bytes, BytesMut};
use degu_wire::{Chunk, ChunkExtensions, Fault, Part, Trailers};

/// The data of a part, if it has any.
pub(crate) fn data_of(part: Part) -> Option<Bytes> {
    match part {
        Part::Data(data) | Part::Chunk { data, .. } if !data.is_empty() => Some(data),
        _ => None,
    }
}

/// What has been taken of a response's body and not been given to the caller yet.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The end was given.
    pub(crate) ended: bool,
    /// A body without chunks was given in pieces.
    loose: bool,
    /// Data of the current chunk that was given in pieces, and is not complete.
    piecemeal: u64,
    /// What only large chunks and the ends of chunked bodies need.
    chunked: Option<Box<Chunked>>,
}

#[derive(Debug, Default)]
struct Chunked {
    /// Data of the chunk that is being put together, or of a body without chunks.
    data: BytesMut,
    /// The chunk that is being put together.
    chunk: Option<(u64, ChunkExtensions)>,
    /// What was said at the end of the body, after it has come.
    last: Option<(ChunkExtensions, Trailers)>,
}

impl Taken {
    /// A part on its way to the caller: what a piece of it means for whole chunks, and for the end, is noted.
    pub(crate) fn note(&mut self, part: Option<&Part>) {
        match part {
            None => self.ended = true,
            Some(Part::Chunk { size, data, .. }) => self.piecemeal = size - data.len() as u64,
            Some(Part::Data(data)) => match self.piecemeal.checked_sub(data.len() as u64) {
                Some(left) => self.piecemeal = left,
                None => self.loose = true,
            },
            Some(Part::Last { extensions, trailers }) => {
                self.chunked.get_or_insert_default().last = Some((extensions.clone(), trailers.clone()));
            }
        }
    }

    /// Whether nothing has been kept back, and the end has not been given.
    pub(crate) fn is_clear(&self) -> bool {
        !self.ended && self.chunked.is_none()
    }

    /// How much has been taken for a chunk that is not complete.
    pub(crate) fn kept(&self) -> u64 {
        self.chunked.as_ref().map_or(0, |chunked| chunked.data.len() as u64)
    }

    /// What a caller who changes from chunks to parts has not been given.
    pub(crate) fn leftover(&mut self) -> Option<Part> {
        let chunked = self.chunked.as_mut().filter(|chunked| !chunked.data.is_empty() || chunked.chunk.is_some())?;
        let data = chunked.data.split().freeze();
        Some(match chunked.chunk.take() {
            Some((size, extensions)) => Part::Chunk { size, extensions, data },
            None => Part::Data(data),
        })
    }

    /// Whether a whole chunk can not be given any more, because a piece of it was.
    pub(crate) fn is_amid_chunk(&self) -> bool {
        self.piecemeal > 0 || self.loose
    }

    /// What was said at the end of a chunked body, after it has come.
    pub(crate) fn last(&self) -> Option<&(ChunkExtensions, Trailers)> {
        self.chunked.as_ref()?.last.as_ref()
    }

    /// A whole chunk, if this part completes one. `Some(None)` is the end.
    pub(crate) fn chunk(&mut self, part: Option<Part>, limit: usize) -> Result<Option<Option<Chunk>>, Fault> {
        let fits = |size: u64| if size > limit as u64 { Err(Fault::ChunkTooLarge) } else { Ok(()) };
        match part {
            Some(Part::Chunk { size, extensions, data }) => {
                fits(size)?;
                if data.len() as u64 == size {
                    return Ok(Some(Some(Chunk { data, extensions })));
                }
                let chunked = self.chunked.get_or_insert_default();
                chunked.data.extend_from_slice(&data);
                chunked.chunk = Some((size, extensions));
                Ok(None)
            }
            Some(Part::Data(data)) => {
                let Chunked { data: all, chunk, .. } = &mut **self.chunked.get_or_insert_default();
                fits(all.len() as u64 + data.len() as u64)?;
                all.extend_from_slice(&data);
                let whole = chunk.take_if(|(size, _)| *size == all.len() as u64);
                Ok(whole.map(|(_, extensions)| Some(Chunk { data: all.split().freeze(), extensions })))
            }
            last @ Some(Part::Last { .. }) => {
                self.note(last.as_ref());
                Ok(None)
            }
            None => {
                self.note(None);
                let rest = self.chunked.as_mut().map(|chunked| chunked.data.split().freeze());
                Ok(Some(rest.filter(|data| !data.is_empty()).map(Chunk::new)))
            }
        }
    }
}

/// A whole body that is being put together, of at most `limit` octets.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    first: Bytes,
    more: BytesMut,
    limit: usize,
}

impl Whole {
    pub(crate) fn new(limit: usize) -> Self {
        Self { first: Bytes::new(), more: BytesMut::new(), limit }
    }

    /// Whether a body of this length is not to be read at all.
    pub(crate) fn check(remaining: Option<u64>, limit: usize) -> Result<(), Fault> {
        if remaining.is_some_and(|remaining| remaining > limit as u64) { Err(Fault::BodyTooLarge) } else { Ok(()) }
    }

    /// One more piece, of a body of which `remaining` octets are still to come.
    pub(crate) fn push(&mut self, data: Bytes, remaining: Option<u64>) -> Result<(), Fault> {
        if data.len() > self.limit - self.len() {
            return Err(Fault::BodyTooLarge);
        }
        match (self.first.is_empty(), self.more.is_empty()) {
            // Most bodies come in one piece, which need not be copied.
            (true, true) => self.first = data,
            (false, _) => {
                // The announced length was checked against the limit, so that room for it may be made.
                let remaining = usize::try_from(remaining.unwrap_or(0)).unwrap_or(0);
                self.more.reserve(self.first.len() + data.len() + remaining);
                self.more.extend_from_slice(&std::mem::take(&mut self.first));
                self.more.extend_from_slice(&data);
            }
            (true, false) => self.more.extend_from_slice(&data),
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    pub(crate) fn finish(self) -> Bytes {
        if self.more.is_empty() { self.first } else { self.more.freeze() }
    }
}
