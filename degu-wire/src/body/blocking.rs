//! Bodies from blocking sources: readers of std, and iterators.

use alloc::boxed::Box;
use core::iter;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::fs::File;
use std::io::{self, Read, Seek};

use bytes::{Bytes, BytesMut};

use super::{BodyOf, BoxError, Chunk, PIECE, Part, Source};

/// A body whose source blocks its thread, for the blocking client. Its constructors take readers of std and iterators.
pub type BlockingBody = BodyOf<dyn Iterator<Item = Result<Part, BoxError>> + Unpin>;

impl BlockingBody {
    /// Returns a body of `length` bytes from a reader; the message has this content-length. If the reader fails or ends
    /// too early, the message is cut short, and the peer notices that it is incomplete. Bytes beyond the length are not
    /// read.
    ///
    /// ```
    /// let zeros = degu_wire::BlockingBody::from_reader(1 << 30, std::io::repeat(0));
    /// assert_eq!(zeros.length(), Some(1 << 30));
    /// ```
    pub fn from_reader(length: u64, reader: impl Read + 'static) -> Self {
        Self::from_source(length, Box::pin(pieces(reader, length).map(|piece| Ok(piece?.into()))))
    }

    /// Returns a chunked body of all bytes of a reader. The number of bytes need not be known. Each read becomes a
    /// chunk of at most 64 KiB. If the reader fails, the message is cut short.
    ///
    /// ```no_run
    /// use std::process::{Command, Stdio};
    ///
    /// let log = Command::new("journalctl").stdout(Stdio::piped()).spawn()?;
    /// let body = degu_wire::BlockingBody::chunks_from_reader(log.stdout.expect("it is piped"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn chunks_from_reader(reader: impl Read + 'static) -> Self {
        Self::chunks_from_source(Box::pin(pieces(reader, u64::MAX).map(|piece| Ok(Chunk::new(piece?).into()))))
    }

    /// Returns a body of the rest of a file, from its current position to its current end.
    ///
    /// # Errors
    ///
    /// The system cannot tell the length or the position of the file.
    pub fn from_file(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len().saturating_sub((&file).stream_position()?);
        Ok(Self::from_reader(length, file))
    }

    /// Returns a body of chunks from an iterator, with optional [trailers](crate::Trailers) at the end. Each item
    /// converts into a [`Part`], or is a `Result` whose `Ok` value does. An `Err` cuts the message short, and the peer
    /// notices that the message is incomplete.
    ///
    /// ```
    /// use degu_wire::{BlockingBody, BoxError, Chunk, Part, Trailers};
    ///
    /// let ticks = BlockingBody::from_chunks((0..3).map(|n| Chunk::new("tick").with_extension("n", n)));
    ///
    /// // With extensions of the last chunk: `Part::Last { extensions, trailers }`.
    /// let trailers = Trailers::try_from([("x-count", 1)])?;
    /// let document = BlockingBody::from_chunks([Part::from(Chunk::new("a document")), Part::from(trailers)]);
    ///
    /// let fails = BlockingBody::from_chunks([Ok(Chunk::new("the beginning")), Err("the disk failed")]);
    /// # Ok::<(), BoxError>(())
    /// ```
    pub fn from_chunks<P>(parts: impl IntoIterator<Item = P, IntoIter: 'static>) -> Self
    where
        P: TryInto<Part, Error: Into<BoxError>>,
    {
        let parts = Box::new(parts.into_iter());
        Self::chunks_from_source(Box::pin(parts.map(|part| part.try_into().map_err(Into::into))))
    }
}

/// Returns an iterator that reads `left` bytes, or fewer if the reader ends, in pieces of at most 64 KiB.
fn pieces(reader: impl Read, mut left: u64) -> impl Iterator<Item = io::Result<Bytes>> + Unpin {
    let (mut reader, mut buffer) = (Box::new(reader), BytesMut::new());
    iter::from_fn(move || {
        let want = left.min(PIECE as u64) as usize;
        buffer.resize(want, 0);
        let bytes = loop {
            match reader.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some(Err(error)),
                Ok(bytes) => break bytes.min(want),
            }
        };
        left -= bytes as u64;
        (bytes > 0).then(|| Ok(buffer.split_to(bytes).freeze()))
    })
}

/// Lets an iterator of parts be a source. Such a source is never pending.
impl Source for dyn Iterator<Item = Result<Part, BoxError>> + Unpin {
    fn poll_part(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        Poll::Ready(self.get_mut().next())
    }
}
