//! Bodies to send, and what was seen of them at the other end.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use degu_wire::machine::Content;
use degu_wire::{Chunk, ChunkExtensions, Part, Trailers};

use crate::Dice;

/// The form in which a body is given to the sending end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is none.
    None,
    /// At hand.
    Bytes,
    /// So many bytes from a source.
    Length,
    /// Chunks from a source.
    Chunked,
}

/// A body that is to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// The form in which it is given.
    pub kind: Kind,
    /// Its pieces: chunks, if it is chunked.
    pub pieces: Vec<Piece>,
    /// The extensions of the last chunk.
    pub last: ChunkExtensions,
    /// The trailer fields.
    pub trailers: Trailers,
}

/// A piece of a body.
#[derive(Clone)]
pub struct Piece {
    /// At least one byte.
    pub data: Bytes,
    /// Its extensions, if it is a chunk.
    pub extensions: ChunkExtensions,
    /// The number of its bytes that are in its first part.
    pub cut: usize,
}

impl Message {
    /// A body of any kind, whose pieces have mostly few bytes and at most so many.
    pub fn random(dice: &mut Dice, most: usize) -> Self {
        let kind = *dice.pick(&[Kind::None, Kind::Bytes, Kind::Length, Kind::Chunked, Kind::Chunked]);
        let pieces = match kind {
            Kind::None => 0,
            Kind::Bytes => dice.below(2),
            _ => dice.below(6),
        };
        let pieces = (0..pieces).map(|_| Piece::random(dice, kind, most)).collect();
        let mut message = Self { kind, pieces, last: ChunkExtensions::new(), trailers: Trailers::new() };
        if kind == Kind::Chunked && dice.one_in(3) {
            message.last = extensions(dice);
            for _ in 0..dice.below(3) {
                // Words are names, and are values too.
                let _ = message.trailers.append(&format!("t-{}", dice.word()), dice.word());
            }
        }
        message
    }

    /// No body.
    pub const fn none() -> Self {
        Self { kind: Kind::None, pieces: Vec::new(), last: ChunkExtensions::new(), trailers: Trailers::new() }
    }

    /// All its bytes.
    pub fn data(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|piece| piece.data.iter().copied()).collect()
    }

    /// Returns the number of their bytes.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.data.len() as u64).sum()
    }

    /// For the machine.
    pub fn content(&self) -> Content {
        match self.kind {
            Kind::None => Content::None,
            Kind::Bytes => Content::Bytes(self.data().into()),
            Kind::Length => Content::Length(self.length()),
            Kind::Chunked => Content::Chunked,
        }
    }

    /// The parts that a source gives: none, if there is no source.
    pub fn parts(&self) -> VecDeque<Part> {
        let mut parts = VecDeque::new();
        for Piece { data, extensions, cut } in &self.pieces {
            let (front, back) = (data.slice(..*cut), data.slice(*cut..));
            match self.kind {
                Kind::None | Kind::Bytes => break,
                Kind::Length => parts.push_back(Part::Data(front)),
                Kind::Chunked => {
                    let (size, extensions) = (data.len() as u64, extensions.clone());
                    parts.push_back(Part::Chunk { size, extensions, data: front });
                }
            }
            if !back.is_empty() {
                parts.push_back(Part::Data(back));
            }
        }
        if self.kind == Kind::Chunked && !(self.last.is_empty() && self.trailers.is_empty()) {
            parts.push_back(Part::Last { extensions: self.last.clone(), trailers: self.trailers.clone() });
        }
        parts
    }
}

impl Piece {
    fn random(dice: &mut Dice, kind: Kind, most: usize) -> Self {
        let length = 1 + dice.length(most - 1);
        let extensions = if kind == Kind::Chunked { extensions(dice) } else { ChunkExtensions::new() };
        let cut = if dice.one_in(3) { 1 + dice.below(length) } else { length };
        Self { data: dice.bytes(length), extensions, cut }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes, {:?}", self.cut, self.data.len(), self.extensions)
    }
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

/// The part of a body that has come.
#[derive(Debug, Default)]
pub struct Seen {
    /// All bytes.
    pub data: Vec<u8>,
    /// The extensions of each chunk, and where it ends among the bytes.
    chunks: Vec<(ChunkExtensions, u64)>,
    last: ChunkExtensions,
    trailers: Vec<(String, Vec<u8>)>,
    ended: bool,
}

impl Seen {
    /// The next part.
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

    /// The next chunk, whole.
    pub fn chunk(&mut self, chunk: &Chunk) {
        self.data.extend_from_slice(&chunk.data);
        self.chunks.push((chunk.extensions.clone(), self.data.len() as u64));
    }

    /// The end, and what was said there.
    pub fn end(&mut self, extensions: Option<&ChunkExtensions>, trailers: Option<&Trailers>) {
        self.ended = true;
        if let Some(extensions) = extensions {
            self.last = extensions.clone();
        }
        if let Some(trailers) = trailers {
            self.trailers = trailers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        }
    }

    /// Checks that this is what was sent: byte by byte and, where chunks were looked at, chunk by chunk.
    ///
    /// # Errors
    ///
    /// The difference, in words.
    pub fn is(&self, sent: &Message, chunks: bool) -> Result<(), String> {
        self.is_beginning_of(sent, chunks)?;
        let missing = sent.length() - self.data.len() as u64;
        if missing > 0 || !self.ended {
            return Err(format!("{missing} bytes are missing of {}, the end came: {}", sent.length(), self.ended));
        }
        if !chunks || sent.kind != Kind::Chunked {
            return Ok(());
        }
        let trailers: Vec<_> = sent.trailers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        match self.chunks.len() == sent.pieces.len() && self.last == sent.last && self.trailers == trailers {
            true => Ok(()),
            false => Err(format!(
                "the end differs: {} chunks of {}, {:?} for {:?}, {:?} for {trailers:?}",
                self.chunks.len(),
                sent.pieces.len(),
                self.last,
                sent.last,
                self.trailers
            )),
        }
    }

    /// Checks that this is the beginning of what was sent.
    ///
    /// # Errors
    ///
    /// The difference, in words.
    pub fn is_beginning_of(&self, sent: &Message, chunks: bool) -> Result<(), String> {
        let data = sent.data();
        if !data.starts_with(&self.data) {
            let same = data.iter().zip(&self.data).take_while(|(sent, seen)| sent == seen).count();
            return Err(format!("{} bytes for {}, the same up to {same}", self.data.len(), data.len()));
        }
        let mut end = 0;
        for (number, (seen, piece)) in self.chunks.iter().zip(&sent.pieces).enumerate() {
            end += piece.data.len() as u64;
            if chunks && sent.kind == Kind::Chunked && *seen != (piece.extensions.clone(), end) {
                return Err(format!("chunk {number} is {seen:?} for {:?} up to {end}", piece.extensions));
            }
        }
        Ok(())
    }
}
