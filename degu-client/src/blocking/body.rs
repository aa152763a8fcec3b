//! What a blocking client sends.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use degu_wire::{BoxError, LocalBody, Part};

use crate::transport::uninterrupted;

/// The number of bytes that are read from a reader at once.
const PIECE: usize = 64 * 1024;

/// A body to send: none, bytes in memory, a reader of known length, or chunks out of an iterator.
///
/// No body and an empty body are different things: a GET without a body has no `content-length`.
///
/// A reader or an iterator may take its time: everything before is sent when it is asked. So each part is a write of its
/// own, and the head another: few large parts are faster than many small ones.
///
/// ```
/// use degu_client::{Chunk, blocking::Body};
///
/// let none = Body::from(());
/// let text = Body::from("hello, world");
/// let zeros = Body::from_reader(1 << 30, std::io::repeat(0));
/// let ticks = Body::from_chunks((0..3).map(|n| Chunk::new("tick").with_extension("n", n)));
/// # let _: [Body; 4] = [none, text, zeros, ticks];
/// ```
// Its sources are never pending.
#[derive(Default)]
pub struct Body(LocalBody);

impl Body {
    /// Returns no body.
    pub const fn none() -> Self {
        Self(LocalBody::none())
    }

    /// Returns a body of so many bytes from a reader, for a content-length. A reader that has fewer fails the request;
    /// what it has beyond them is not read.
    pub fn from_reader(length: u64, reader: impl Read + 'static) -> Self {
        let (mut reader, mut left, mut buffer) = (Box::new(reader), length, BytesMut::new());
        let source = move |_: &mut Context<'_>| {
            let want = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            buffer.resize(want, 0);
            let octets = uninterrupted(|| reader.read(&mut buffer))?.min(want);
            left -= octets as u64;
            Poll::Ready((octets > 0).then(|| Ok(Part::Data(buffer.split_to(octets).freeze()))))
        };
        Self(LocalBody::from_source(length, Box::pin(source)))
    }

    /// Returns a body of the rest of a file, as long as it is now.
    ///
    /// # Errors
    ///
    /// The length or the position of the file cannot be found out.
    pub fn from_file(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len().saturating_sub((&file).stream_position()?);
        Ok(Self::from_reader(length, file))
    }

    /// Returns a body of chunks, and at the end maybe [trailers](crate::Trailers): anything that is a [`Part`].
    ///
    /// ```
    /// use degu_client::{Chunk, Part, Trailers, blocking::Body};
    ///
    /// let mut trailers = Trailers::new();
    /// trailers.append("x-count", 1)?;
    /// // With extensions of the last chunk: `Part::Last { extensions, trailers }`.
    /// let body = Body::from_chunks([Part::from(Chunk::new("a document")), Part::from(trailers)]);
    /// # Ok::<(), degu_client::LocalError>(())
    /// ```
    pub fn from_chunks<P: Into<Part>>(parts: impl IntoIterator<Item = P, IntoIter: 'static>) -> Self {
        Self::try_from_chunks(parts.into_iter().map(|part| Ok::<Part, BoxError>(part.into())))
    }

    /// Returns a body of chunks that may fail: the request is then cut, and the server sees that it was.
    pub fn try_from_chunks<P: Into<Part>, E: Into<BoxError>>(
        parts: impl IntoIterator<Item = Result<P, E>, IntoIter: 'static>,
    ) -> Self {
        let mut parts = Box::new(parts.into_iter());
        let next =
            move |_: &mut Context<'_>| Poll::Ready(parts.next().map(|part| part.map(Into::into).map_err(Into::into)));
        Self(LocalBody::from_chunks(Box::pin(next)))
    }
}

impl From<Body> for LocalBody {
    fn from(body: Body) -> Self {
        body.0
    }
}

impl fmt::Debug for Body {
    /// The framing only: content may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! from {
    ($($content:ty),*) => {$(
        impl From<$content> for Body {
            fn from(content: $content) -> Self {
                Self(content.into())
            }
        }
    )*};
}

from!((), Bytes, &'static str, &'static [u8], String, Vec<u8>);

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(octets: &'static [u8; N]) -> Self {
        Self(octets.into())
    }
}
