//! What a blocking client sends.

use std::{fmt, fs::File, io, io::Read};

use bytes::{Bytes, BytesMut};
use degu_wire::machine::Content;
use degu_wire::{BoxError, Part};

/// How much is read from a reader at once.
const PIECE: usize = 64 * 1024;

/// A body to send: none, octets at hand, a reader of known length, or chunks out of an iterator.
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
pub struct Body(Kind);

enum Kind {
    None,
    Bytes(Bytes),
    Length(u64, Box<dyn Read>),
    Chunked(Box<dyn Iterator<Item = Result<Part, BoxError>>>),
}

impl Body {
    /// No body.
    pub const fn none() -> Self {
        Self(Kind::None)
    }

    /// So many octets from a reader, for a content-length. A reader that has fewer fails the request; what it has beyond
    /// them is not read.
    pub fn from_reader(length: u64, reader: impl Read + 'static) -> Self {
        Self(Kind::Length(length, Box::new(reader)))
    }

    /// The rest of a file, as long as it is now.
    ///
    /// # Errors
    ///
    /// The length or the position of the file can not be found out.
    pub fn from_file(file: File) -> io::Result<Self> {
        use std::io::Seek;
        let length = file.metadata()?.len().saturating_sub((&file).stream_position()?);
        Ok(Self::from_reader(length, file))
    }

    /// Chunks, and at the end maybe [trailers](crate::Trailers): anything that is a [`Part`].
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
        Self(Kind::Chunked(Box::new(parts.into_iter().map(|part| Ok(part.into())))))
    }

    /// Chunks that may fail: the request is then cut, and the server sees that it was.
    pub fn try_from_chunks<P: Into<Part>, E: Into<BoxError>>(
        parts: impl IntoIterator<Item = Result<P, E>, IntoIter: 'static>,
    ) -> Self {
        Self(Kind::Chunked(Box::new(parts.into_iter().map(|part| part.map(Into::into).map_err(Into::into)))))
    }

    /// What the machine is told, and what there is to ask for parts.
    pub(super) fn split(self) -> (Content, Option<Box<Parts>>) {
        match self.0 {
            Kind::None => (Content::None, None),
            Kind::Bytes(bytes) => (Content::Bytes(bytes), None),
            Kind::Length(length, reader) => {
                let parts = Parts::Reader { left: length, reader, buffer: BytesMut::new() };
                (Content::Length(length), Some(Box::new(parts)))
            }
            Kind::Chunked(parts) => (Content::Chunked, Some(Box::new(Parts::Chunks(parts)))),
        }
    }
}

/// Where the parts of a request's body come from.
pub(super) enum Parts {
    Reader { left: u64, reader: Box<dyn Read>, buffer: BytesMut },
    Chunks(Box<dyn Iterator<Item = Result<Part, BoxError>>>),
}

impl Parts {
    pub(super) fn next(&mut self) -> Option<Result<Part, BoxError>> {
        match self {
            Self::Chunks(parts) => parts.next(),
            Self::Reader { left, reader, buffer } => {
                let want = usize::try_from(*left).map_or(PIECE, |left| left.min(PIECE));
                buffer.resize(want, 0);
                loop {
                    match reader.read(buffer) {
                        Ok(0) => return None,
                        Ok(octets) => {
                            *left -= octets.min(want) as u64;
                            return Some(Ok(Part::Data(buffer.split_to(octets.min(want)).freeze())));
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Some(Err(error.into())),
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Body {
    /// The framing only: content may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::None => f.write_str("no body"),
            Kind::Bytes(bytes) => write!(f, "{} octets", bytes.len()),
            Kind::Length(length, _) => write!(f, "{length} octets from a reader"),
            Kind::Chunked(_) => f.write_str("chunks from an iterator"),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::none()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::none()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

macro_rules! from_octets {
    ($($octets:ty),*) => {$(
        impl From<$octets> for Body {
            fn from(octets: $octets) -> Self {
                Self::from(Bytes::from(octets))
            }
        }
    )*};
}

from_octets!(&'static str, &'static [u8], String, Vec<u8>);

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(octets: &'static [u8; N]) -> Self {
        Self::from(&octets[..])
    }
}
