//! The sending half: heads and body parts in, octets out.

mod pending;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

pub use pending::Pending;

use crate::body::Part;
use crate::head::{FramingField, Sink, decimal, put_framing, single};
use crate::headers::Headers;
use crate::{Limits, LocalError};

/// Data up to this length is copied behind its head, so that both go out in one piece; longer data is referred to.
const COPIED: usize = 4 * 1024;
/// More small things than this are not collected before they are written.
const ENOUGH: usize = 64 * 1024;
/// Nor more than this in all where some of it is large: seven parts as sources read them (64 KiB), which is more than a Unix
/// socket takes at once by default (208 KiB).
const ENOUGH_LARGE: usize = 448 * 1024;
/// Nor more large parts than this.
const MOST_LARGE: usize = 8;

/// What a message has for a body, as far as its head must know.
#[derive(Clone, Debug)]
pub enum Content {
    /// No body.
    None,
    /// The whole body.
    Bytes(Bytes),
    /// A body of so many octets, which follow in parts.
    Length(u64),
    /// Chunks, which follow in parts.
    Chunked,
}

/// What waits to be written: small things in one buffer, and large data that stands between them.
#[derive(Debug, Default)]
pub(super) struct Sender {
    small: Vec<u8>,
    /// How much of `small` has been written.
    sent: usize,
    large: VecDeque<Large>,
    body: BodyState,
}

/// Large data, and where it stands.
#[derive(Debug)]
struct Large {
    /// How much of what is small goes before it.
    behind: usize,
    data: Bytes,
}

/// Where in the body of our message we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum BodyState {
    /// Nothing is left to send of the message.
    #[default]
    Done,
    Length(u64),
    /// Data octets that are left of the current chunk.
    Chunked(u64),
    /// To a peer of HTTP/1.0: data without framing.
    UntilClose,
}

/// What the fields of the application say about the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    pub(super) close: bool,
    pub(super) date: bool,
    pub(super) expects_continue: bool,
}

impl Sender {
    #[inline]
    pub(super) fn pending(&self) -> Pending<'_> {
        Pending::new(self)
    }

    #[inline]
    pub(super) fn is_flushed(&self) -> bool {
        self.sent == self.small.len() && self.large.is_empty()
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        let small = self.small.len() - self.sent;
        small < ENOUGH && (self.large.is_empty() || self.has_room_for_large(small))
    }

    fn has_room_for_large(&self, small: usize) -> bool {
        let waits = self.large.iter().fold(small, |waits, large| waits.saturating_add(large.data.len()));
        self.large.len() < MOST_LARGE && waits < ENOUGH_LARGE
    }

    #[inline]
    pub(super) fn sent(&mut self, octets: usize) {
        if self.large.is_empty() {
            self.small_sent(octets);
        } else {
            self.large_sent(octets);
        }
        if self.is_flushed() {
            self.small.clear();
            self.small.shrink_to(ENOUGH);
            self.sent = 0;
        } else if self.sent > COPIED && self.sent > self.small.len() / 2 {
            self.forget_sent();
        }
    }

    /// What is small must not pile up where a peer that reads slowly always leaves something.
    fn forget_sent(&mut self) {
        self.small.drain(..self.sent);
        for large in &mut self.large {
            large.behind -= self.sent;
        }
        self.sent = 0;
    }

    /// Takes note that so much of what is small was written, and says how much of it was not small.
    #[inline]
    fn small_sent(&mut self, octets: usize) -> usize {
        let end = self.large.front().map_or(self.small.len(), |large| large.behind);
        let small = octets.min(end - self.sent);
        self.sent += small;
        octets - small
    }

    fn large_sent(&mut self, octets: usize) {
        let mut octets = self.small_sent(octets);
        while let Some(large) = self.large.front_mut().filter(|_| octets > 0) {
            let most = octets.min(large.data.len());
            large.data.advance(most);
            if large.data.is_empty() {
                self.large.pop_front();
            }
            octets = self.small_sent(octets - most);
        }
    }

    /// Gives up the buffers where nothing is in them.
    pub(super) fn release_buffers(&mut self) {
        if self.is_flushed() {
            *self = Self { body: self.body, ..Self::default() };
        }
    }

    pub(super) fn is_body_done(&self) -> bool {
        self.body == BodyState::Done
    }

    /// The message ends here, unfinished: nothing can follow it.
    pub(super) fn abandon_body(&mut self) {
        self.body = BodyState::Done;
    }

    /// What was not written and never will be.
    pub(super) fn discard(&mut self) {
        *self = Self::default();
    }

    pub(super) fn put(&mut self, octets: &[u8]) {
        self.small.extend_from_slice(octets);
    }

    /// Writes a head with `head`, or nothing if it fails, and begins the body.
    pub(super) fn message(
        &mut self,
        content: Content,
        has_body: bool,
        until_close: bool,
        head: impl FnOnce(&mut Vec<u8>) -> Result<(), LocalError>,
    ) -> Result<(), LocalError> {
        let out = &mut self.small;
        let start = out.len();
        let result = head(out).and_then(|()| out.put(b"\r\n"));
        let too_large = out.len() - start > Limits::MAX_HEAD;
        if result.is_err() || too_large {
            out.truncate(start);
            return result.and(Err(LocalError::HeadTooLarge));
        }
        self.body = match content {
            _ if !has_body => BodyState::Done,
            Content::None => BodyState::Done,
            Content::Bytes(bytes) => {
                self.put_data(bytes);
                BodyState::Done
            }
            Content::Length(0) => BodyState::Done,
            Content::Length(length) => BodyState::Length(length),
            Content::Chunked if until_close => BodyState::UntilClose,
            Content::Chunked => BodyState::Chunked(0),
        };
        Ok(())
    }

    fn put_data(&mut self, data: Bytes) {
        if data.len() <= COPIED {
            self.put(&data);
        } else {
            self.large.push_back(Large { behind: self.small.len(), data });
        }
    }

    pub(super) fn send_part(&mut self, part: Part) -> Result<(), LocalError> {
        match (self.body, part) {
            (BodyState::Length(left), Part::Data(data)) => {
                let left = left.checked_sub(data.len() as u64).ok_or(LocalError::BodyTooLong)?;
                self.put_data(data);
                self.body = if left == 0 { BodyState::Done } else { BodyState::Length(left) };
            }
            (BodyState::Chunked(0), Part::Chunk { size, extensions, data }) => {
                let left = size.checked_sub(data.len() as u64).filter(|_| size > 0).ok_or(LocalError::ChunkLength)?;
                let extensions = extensions.encoded(size)?;
                let out = &mut self.small;
                put_hex(out, size);
                out.extend_from_slice(extensions);
                out.extend_from_slice(b"\r\n");
                self.put_chunk_data(data, left);
            }
            (BodyState::Chunked(left), Part::Data(data)) => {
                let left = left.checked_sub(data.len() as u64).ok_or(LocalError::ChunkLength)?;
                if !data.is_empty() {
                    self.put_chunk_data(data, left);
                }
            }
            (BodyState::Chunked(0), Part::Last { extensions, trailers }) => {
                let extensions = extensions.encoded(0)?;
                let out = &mut self.small;
                out.push(b'0');
                out.extend_from_slice(extensions);
                out.extend_from_slice(b"\r\n");
                for (name, value) in trailers.iter() {
                    put_field(out, name, value);
                }
                out.extend_from_slice(b"\r\n");
                self.body = BodyState::Done;
            }
            (BodyState::Chunked(_), Part::Chunk { .. } | Part::Last { .. }) => return Err(LocalError::ChunkLength),
            (BodyState::UntilClose, Part::Data(data) | Part::Chunk { data, .. }) => self.put_data(data),
            // HTTP/1.0 has no place for them.
            (BodyState::UntilClose, Part::Last { .. }) => self.body = BodyState::Done,
            (BodyState::Length(_), Part::Chunk { .. } | Part::Last { .. }) => return Err(LocalError::State),
            (BodyState::Done, Part::Data(data)) if data.is_empty() => {}
            (BodyState::Done, Part::Data(_)) => return Err(LocalError::BodyTooLong),
            (BodyState::Done, _) => return Err(LocalError::State),
        }
        Ok(())
    }

    fn put_chunk_data(&mut self, data: Bytes, left: u64) {
        self.put_data(data);
        if left == 0 {
            self.put(b"\r\n");
        }
        self.body = BodyState::Chunked(left);
    }

    /// The source has no more parts.
    pub(super) fn finish(&mut self) -> Result<(), LocalError> {
        match self.body {
            BodyState::Done => {}
            BodyState::UntilClose => self.body = BodyState::Done,
            BodyState::Chunked(0) => {
                self.put(b"0\r\n\r\n");
                self.body = BodyState::Done;
            }
            BodyState::Chunked(_) => return Err(LocalError::ChunkLength),
            BodyState::Length(_) => return Err(LocalError::BodyTooShort),
        }
        Ok(())
    }
}

/// Writes the fields of the application and the framing field, and takes note of what they say. Framing fields that say
/// what the body is, as those of a response that is passed on do, are not written twice; others are refused. Where the
/// message has no body only because it was asked not to have one (`describes`), they are written as they are.
#[inline]
pub(super) fn put_headers(
    out: &mut Vec<u8>,
    headers: &Headers,
    framing: FramingField,
    describes: bool,
) -> Result<Said, LocalError> {
    let mut said = Said::default();
    if headers.is_empty() {
        put_framing(out, framing)?;
        return Ok(said);
    }
    let mut described = false;
    let mut seen = 0;
    for (name, value) in headers.iter() {
        let field = single(name.as_bytes());
        if seen & field != 0 {
            return Err(LocalError::FieldNotAllowed);
        }
        seen |= field;
        match name.len() {
            14 | 17
                if described
                    && (name.eq_ignore_ascii_case("content-length")
                        || name.eq_ignore_ascii_case("transfer-encoding")) =>
            {
                return Err(LocalError::FieldNotAllowed);
            }
            4 if name.eq_ignore_ascii_case("date") => said.date = true,
            6 if name.eq_ignore_ascii_case("expect") => {
                said.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in value.split(|&octet| octet == b',').map(<[u8]>::trim_ascii) {
                    match option {
                        b"" => {}
                        _ if option.eq_ignore_ascii_case(b"close") => said.close = true,
                        // The default, and implied.
                        _ if option.eq_ignore_ascii_case(b"keep-alive") => {}
                        _ => return Err(LocalError::FieldNotAllowed),
                    }
                }
                continue;
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = decimal(value).ok_or(LocalError::ContentLength)?;
                if !describes {
                    if framing != FramingField::Length(length) {
                        return Err(LocalError::ContentLength);
                    }
                    continue;
                }
                described = true;
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if !value.eq_ignore_ascii_case(b"chunked") || (framing != FramingField::Chunked && !describes) {
                    return Err(LocalError::FieldNotAllowed);
                }
                if !describes {
                    continue;
                }
                described = true;
            }
            _ => {}
        }
        put_field(out, name, value);
    }
    if !described {
        put_framing(out, framing)?;
    }
    Ok(said)
}

/// A field that [`Headers`] has checked.
pub(super) fn put_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn put_hex(out: &mut Vec<u8>, value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (64 - value.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|digit| DIGITS[(value >> (4 * digit)) as usize & 15]));
}

#[cfg(test)]
mod tests;
