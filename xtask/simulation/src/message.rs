//! Messages: bodies to send, and bodies that were received.

use std::collections::VecDeque;
use std::pin::Pin;

use degu_wire::machine::Content;
use degu_wire::{BodyOf, Chunk, ChunkExtensions, Headers, Method, Part, Trailers};

use crate::Dice;

/// The form of a body to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no body.
    None,
    /// Bytes in memory.
    Bytes,
    /// Data of known length from a source.
    Length,
    /// Chunks from a source.
    Chunked,
}

/// A body to send.
#[derive(Clone, Debug)]
pub struct Message {
    /// The form of the body.
    pub kind: Kind,
    /// The pieces of the body, each of at least one byte. If the body is chunked, these are the chunks. Each piece is
    /// sent in two parts. The number is the length of the first part in bytes.
    pieces: Vec<(Chunk, usize)>,
    /// The extensions of the last chunk, which has no data.
    last: ChunkExtensions,
    trailers: Trailers,
}

impl Message {
    /// Returns a random body. Each piece has at most `most` bytes, and most pieces have only a few.
    pub fn random(dice: &mut Dice, most: usize) -> Self {
        let kind = *dice.pick(&[Kind::None, Kind::Bytes, Kind::Length, Kind::Chunked, Kind::Chunked]);
        let pieces = match kind {
            Kind::None => 0,
            Kind::Bytes => dice.below(2),
            _ => dice.below(6),
        };
        let pieces = (0..pieces).map(|_| piece(dice, kind, most)).collect();
        let mut message = Self { kind, pieces, ..Self::none() };
        if kind == Kind::Chunked && dice.one_in(3) {
            message.last = extensions(dice);
            for _ in 0..dice.below(3) {
                // A word is a valid name and a valid value.
                let _ = message.trailers.append(&format!("t-{}", dice.word()), dice.word());
            }
        }
        message
    }

    /// Returns a random method, and a body for it.
    pub fn request(dice: &mut Dice, most: usize) -> (Method<'static>, Self) {
        let method = *dice.pick(&[Method::Get, Method::Put, Method::Post, Method::Post, Method::Head]);
        match method {
            Method::Get | Method::Head => (method, Self::none()),
            _ => (method, Self::random(dice, most)),
        }
    }

    /// Returns a body of this form without trailers. Each chunk is a piece.
    pub fn new(kind: Kind, chunks: impl IntoIterator<Item = Chunk>) -> Self {
        let mut message = Self { kind, ..Self::none() };
        chunks.into_iter().for_each(|chunk| message.push(chunk));
        message
    }

    /// Adds a piece, which is sent as one part.
    pub fn push(&mut self, chunk: Chunk) {
        let cut = chunk.data.len();
        self.pieces.push((chunk, cut));
    }

    /// Returns a message without a body.
    pub const fn none() -> Self {
        Self { kind: Kind::None, pieces: Vec::new(), last: ChunkExtensions::new(), trailers: Trailers::new() }
    }

    /// Returns the bytes of the body, without the framing of chunks.
    pub fn data(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|(chunk, _)| chunk.data.iter().copied()).collect()
    }

    /// Returns the number of bytes of [`data`](Self::data).
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|(chunk, _)| chunk.data.len() as u64).sum()
    }

    /// Returns the body in the form in which a machine takes it.
    pub fn content(&self) -> Content {
        match self.kind {
            Kind::None => Content::None,
            Kind::Bytes => Content::Bytes(self.data().into()),
            Kind::Length => Content::Length(self.length()),
            Kind::Chunked => Content::Chunked,
        }
    }

    /// Returns the body in the form in which a driver takes it. `source` has the [`parts`](Self::parts).
    pub fn body<S: ?Sized>(&self, source: Pin<Box<S>>) -> BodyOf<S> {
        match self.kind {
            Kind::None => BodyOf::none(),
            Kind::Bytes => BodyOf::from(self.data()),
            Kind::Length => BodyOf::from_source(self.length(), source),
            Kind::Chunked => BodyOf::chunks_from_source(source),
        }
    }

    /// Returns the parts of the source. A body without a source has none.
    pub fn parts(&self) -> VecDeque<Part> {
        let mut parts = VecDeque::new();
        if matches!(self.kind, Kind::None | Kind::Bytes) {
            return parts;
        }
        for (Chunk { data, extensions }, cut) in &self.pieces {
            let (first, rest) = (data.slice(..*cut), data.slice(*cut..));
            parts.push_back(match self.kind {
                Kind::Chunked => Part::Chunk { size: data.len() as u64, extensions: extensions.clone(), data: first },
                _ => Part::Data(first),
            });
            parts.extend((!rest.is_empty()).then_some(Part::Data(rest)));
        }
        if !(self.last.is_empty() && self.trailers.is_empty()) {
            parts.push_back(Part::Last { extensions: self.last.clone(), trailers: self.trailers.clone() });
        }
        parts
    }
}

fn piece(dice: &mut Dice, kind: Kind, most: usize) -> (Chunk, usize) {
    let length = 1 + dice.length(most - 1);
    let extensions = if kind == Kind::Chunked { extensions(dice) } else { ChunkExtensions::new() };
    let cut = if dice.one_in(3) { 1 + dice.below(length) } else { length };
    (Chunk { data: dice.bytes(length), extensions }, cut)
}

/// Returns the fields of a request that waits for `100 Continue`, if it `expects` this, and announces the end of its
/// connection, if it `closes` the connection.
pub fn headers(expects: bool, closes: bool) -> Headers {
    let expect = expects.then_some(("expect", "100-continue"));
    let connection = closes.then_some(("connection", "close"));
    Headers::try_from_iter(expect.into_iter().chain(connection)).expect("the fields are valid")
}

fn extensions(dice: &mut Dice) -> ChunkExtensions {
    let mut chunk = Chunk::default();
    for _ in 0..dice.below(8).saturating_sub(5) {
        chunk = match dice.below(3) {
            0 => chunk.with_flag(&dice.word()),
            1 => chunk.with_extension(&dice.word(), dice.below(1000)),
            _ => chunk.with_extension(&dice.word(), format_args!("{} \"{}\"", dice.word(), dice.word())),
        };
    }
    chunk.extensions
}

/// The part of a body that has been received.
#[derive(Debug, Default)]
pub struct Seen {
    /// The bytes, without the framing of chunks.
    pub data: Vec<u8>,
    /// For each chunk: its extensions, and the offset of its end in the bytes.
    chunks: Vec<(ChunkExtensions, u64)>,
    last: ChunkExtensions,
    trailers: Trailers,
    ended: bool,
}

impl Seen {
    /// Adds the next part.
    pub fn part(&mut self, part: &Part) {
        match part {
            Part::Chunk { size, extensions, data } => {
                self.chunks.push((extensions.clone(), self.data.len() as u64 + size));
                self.data.extend_from_slice(data);
            }
            Part::Data(data) => self.data.extend_from_slice(data),
            Part::Last { extensions, trailers } => self.end(Some(extensions), Some(trailers)),
        }
    }

    /// Sets the end of the body, with the extensions of the last chunk and the trailers, if they are known.
    pub fn end(&mut self, extensions: Option<&ChunkExtensions>, trailers: Option<&Trailers>) {
        self.ended = true;
        self.last = extensions.unwrap_or(&self.last).clone();
        self.trailers = trailers.unwrap_or(&self.trailers).clone();
    }

    /// Checks that this is the body that was sent. With `chunks`, the chunks and trailers are compared, too; otherwise
    /// only the bytes are compared.
    ///
    /// # Errors
    ///
    /// A description of the first difference.
    pub fn is(&self, sent: &Message, chunks: bool) -> Result<(), String> {
        self.is_beginning_of(sent, chunks)?;
        let missing = sent.length() - self.data.len() as u64;
        if missing > 0 || !self.ended {
            return Err(format!("{missing} of {} bytes are missing, end received: {}", sent.length(), self.ended));
        }
        let seen = (self.chunks.len(), &self.last, &self.trailers);
        let sent_end = (sent.pieces.len(), &sent.last, &sent.trailers);
        if chunks && sent.kind == Kind::Chunked && seen != sent_end {
            return Err(format!("the end is {seen:?} instead of {sent_end:?} (chunks, extensions, trailers)"));
        }
        Ok(())
    }

    /// Checks that this is the body that was sent, or a beginning of it. `chunks` has the same meaning as for
    /// [`is`](Self::is).
    ///
    /// # Errors
    ///
    /// A description of the first difference.
    pub fn is_beginning_of(&self, sent: &Message, chunks: bool) -> Result<(), String> {
        let data = sent.data();
        if !data.starts_with(&self.data) {
            let same = data.iter().zip(&self.data).take_while(|(sent, seen)| sent == seen).count();
            return Err(format!("{} bytes instead of {}, the same up to byte {same}", self.data.len(), data.len()));
        }
        let mut end = 0;
        for (number, (seen, (chunk, _))) in self.chunks.iter().zip(&sent.pieces).enumerate() {
            end += chunk.data.len() as u64;
            if chunks && sent.kind == Kind::Chunked && *seen != (chunk.extensions.clone(), end) {
                return Err(format!("chunk {number} is {seen:?} instead of {:?} up to byte {end}", chunk.extensions));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_compared_with_its_boundaries_and_extensions() {
        let of = |chunks: &[Chunk]| Message::new(Kind::Chunked, chunks.iter().cloned());
        let sent = of(&[Chunk::new("ab").with_flag("x"), Chunk::new("c")]);
        let mut seen = Seen::default();
        sent.parts().iter().for_each(|part| seen.part(part));
        assert!(seen.is(&sent, true).is_err(), "the body has not ended");
        seen.end(None, None);
        assert_eq!(seen.is(&sent, true), Ok(()));
        for other in [
            of(&[Chunk::new("abd").with_flag("x")]),
            of(&[Chunk::new("abc").with_flag("x")]),
            of(&[Chunk::new("ab"), Chunk::new("c")]),
        ] {
            assert!(seen.is(&other, true).is_err(), "{other:?}");
        }
    }
}
