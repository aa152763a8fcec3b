//! Request bodies out of files, readers and streams, for the async client.
//!
//! Octets at hand and chunks out of an async function need none of this: see [`Body`].

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use degu_wire::{Body, BoxError, Part, Source};
use futures_core::Stream;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt};

/// How much is read from a reader at once.
const PIECE: usize = 64 * 1024;

/// So many octets from a reader, for a content-length. A reader that has fewer fails the request; what it has beyond them
/// is not read.
///
/// ```
/// let zeros = degu_client::body::from_reader(1 << 30, tokio::io::repeat(0));
/// assert_eq!(zeros.length(), Some(1 << 30));
/// ```
pub fn from_reader(length: u64, reader: impl AsyncRead + Send + 'static) -> Body {
    Body::from_source(length, Box::pin(Reader { left: length, reader: Box::pin(reader), buffer: BytesMut::new() }))
}

/// The rest of a file, as long as it is now.
///
/// ```no_run
/// # async fn example(connection: &mut degu_client::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let file = tokio::fs::File::open("backup.tar").await?;
/// connection.put("/backup.tar", degu_client::body::from_file(file).await?).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The length or the position of the file can not be found out.
pub async fn from_file(mut file: File) -> io::Result<Body> {
    let length = file.metadata().await?.len().saturating_sub(file.stream_position().await?);
    Ok(from_reader(length, file))
}

/// So many octets from a stream of pieces, for a content-length. More or fewer fail the request.
pub fn from_stream<E: Into<BoxError>>(
    length: u64,
    pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Body {
    Body::from_source(length, Box::pin(Parts(Box::pin(pieces))))
}

/// Chunks out of a stream, and at the end maybe [trailers](crate::Trailers): anything that is a [`Part`].
pub fn from_chunks<P: Into<Part>, E: Into<BoxError>>(parts: impl Stream<Item = Result<P, E>> + Send + 'static) -> Body {
    Body::from_chunks(Box::pin(Parts(Box::pin(parts))))
}

struct Reader<R> {
    left: u64,
    reader: Pin<Box<R>>,
    buffer: BytesMut,
}

impl<R: AsyncRead> Source for Reader<R> {
    fn poll_part(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        let this = self.get_mut();
        let want = usize::try_from(this.left).map_or(PIECE, |left| left.min(PIECE));
        this.buffer.reserve(want);
        let octets = ready!(pin!(this.reader.read_buf(&mut (&mut this.buffer).limit(want))).poll(cx))?;
        this.left -= octets as u64;
        let data = this.buffer.split_to(octets).freeze();
        Poll::Ready((octets > 0).then_some(Ok(Part::Data(data))))
    }
}

struct Parts<S>(Pin<Box<S>>);

impl<S, P, E> Source for Parts<S>
where
    S: Stream<Item = Result<P, E>>,
    P: Into<Part>,
    E: Into<BoxError>,
{
    fn poll_part(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        self.0.as_mut().poll_next(cx).map(|next| next.map(|part| part.map(Into::into).map_err(Into::into)))
    }
}
