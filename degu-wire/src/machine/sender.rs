//! The sending half of a connection: heads and parts of bodies become bytes.

use alloc::{borrow::Cow, vec::Vec};

use super::outgoing::Outgoing;
use crate::abnf::digits;
use crate::body::{ChunkExtensions, Content, Part};
use crate::framing::Framing;
use crate::head::put_line;
use crate::{Limits, LocalError};

/// The pending bytes, and the framing of the body that is being sent.
#[derive(Debug, Default)]
pub(super) struct Sender {
    pub(super) out: Outgoing,
    /// The framing of the rest of the body: [`Framing::None`] if no more parts are needed.
    pub(super) body: Framing,
    /// The number of bytes of the current chunk that are still to be sent.
    chunk_left: u64,
}

impl Sender {
    /// Writes a head: the lines that `put` writes, and the empty line. After an error nothing is written.
    pub(super) fn put_head<T>(
        &mut self,
        put: impl FnOnce(&mut Vec<u8>) -> Result<T, LocalError>,
    ) -> Result<T, LocalError> {
        let out = &mut self.out.small;
        let start = out.len();
        let mut result = put(out);
        out.extend_from_slice(b"\r\n");
        if out.len() - start > Limits::MAX_HEAD {
            result = result.and(Err(LocalError::HeadTooLarge));
        }
        result.inspect_err(|_| out.truncate(start))
    }

    /// Begins the body after a head, and writes the body if it is in memory.
    pub(super) fn begin_body(&mut self, framing: Framing, content: Cow<'_, Content>) {
        self.chunk_left = 0;
        self.body = framing.of_rest();
        if let (Framing::Length(_), Content::Bytes(bytes)) = (self.body, &*content) {
            // Small data is copied, so borrowed content is cloned only if it is large.
            if !self.out.put_small(bytes)
                && let Content::Bytes(bytes) = content.into_owned()
            {
                self.out.put_data(bytes);
            }
            self.body = Framing::None;
        }
    }

    pub(super) fn send_part(&mut self, part: Part) -> Result<(), LocalError> {
        match (self.body, part) {
            (Framing::Length(left), Part::Data(data)) => {
                let left = left.checked_sub(data.len() as u64).ok_or(LocalError::BodyTooLong)?;
                self.out.put_data(data);
                self.body = if left == 0 { Framing::None } else { Framing::Length(left) };
            }
            // A client of HTTP/1.0 gets only the data of a chunked body. The body must have whole chunks nevertheless,
            // because this client cannot notice that data is missing.
            (Framing::Chunked | Framing::UntilClose, Part::Data(data)) => {
                let left = self.chunk_left.checked_sub(data.len() as u64).ok_or(LocalError::ChunkLength)?;
                if !data.is_empty() {
                    self.out.put_data(data);
                    self.end_chunk(left);
                }
            }
            (Framing::Chunked | Framing::UntilClose, _) if self.chunk_left > 0 => return Err(LocalError::ChunkLength),
            // An empty chunk is left out, because on the wire it would be the last chunk.
            (Framing::Chunked | Framing::UntilClose, Part::Chunk { size: 0, extensions, data })
                if extensions.is_empty() && data.is_empty() => {}
            (Framing::Chunked | Framing::UntilClose, Part::Chunk { size, extensions, data }) => {
                let left = size.checked_sub(data.len() as u64).filter(|_| size > 0).ok_or(LocalError::ChunkLength)?;
                self.put_chunk_line(size, &extensions)?;
                self.out.put_data(data);
                self.end_chunk(left);
            }
            (Framing::Chunked, Part::Last { extensions, trailers }) => {
                self.put_chunk_line(0, &extensions)?;
                for (name, value) in trailers.lines() {
                    put_line(&mut self.out.small, name, value)?;
                }
                self.out.put(b"\r\n");
                self.body = Framing::None;
            }
            // HTTP/1.0 has no trailers and no extensions.
            (Framing::UntilClose, Part::Last { .. }) => self.body = Framing::None,
            (Framing::None, Part::Data(data)) if data.is_empty() => {}
            (Framing::None, Part::Data(_)) => return Err(LocalError::BodyTooLong),
            (Framing::None | Framing::Length(_), _) => return Err(LocalError::State),
        }
        Ok(())
    }

    fn put_chunk_line(&mut self, size: u64, extensions: &ChunkExtensions) -> Result<(), LocalError> {
        let mut room = [0; 20];
        let size = digits(size, 16, &mut room);
        let extensions = extensions.encoded(size.len())?;
        if self.body == Framing::Chunked {
            self.out.put(size);
            self.out.put(extensions);
            self.out.put(b"\r\n");
        }
        Ok(())
    }

    fn end_chunk(&mut self, left: u64) {
        if left == 0 && self.body == Framing::Chunked {
            self.out.put(b"\r\n");
        }
        self.chunk_left = left;
    }

    /// Ends the body, because the source has no more parts.
    pub(super) fn finish(&mut self) -> Result<(), LocalError> {
        match self.body {
            Framing::Length(_) => return Err(LocalError::BodyTooShort),
            Framing::Chunked | Framing::UntilClose if self.chunk_left > 0 => return Err(LocalError::ChunkLength),
            Framing::Chunked => self.out.put(b"0\r\n\r\n"),
            Framing::None | Framing::UntilClose => {}
        }
        self.body = Framing::None;
        Ok(())
    }
}
