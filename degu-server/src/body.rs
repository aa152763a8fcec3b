//! Response bodies out of files, readers and streams, none of which need be `Send`.
//!
//! Bytes in memory and chunks out of an async function need none of this: see [`Body`].

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use degu_wire::{BoxError, LocalBody as Body, Part};
use futures_core::Stream;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt};

/// The number of bytes that are read from a reader at once.
const PIECE: usize = 64 * 1024;

/// Returns a body of so many bytes from a reader, for a content-length. A reader that has fewer cuts the response, and
/// what the peer gets does not look whole; what it has beyond them is not read.
///
/// ```
/// let zeros = degu_server::body::from_reader(1 << 30, tokio::io::repeat(0));
/// assert_eq!(zeros.length(), Some(1 << 30));
/// ```
pub fn from_reader(length: u64, reader: impl AsyncRead + 'static) -> Body {
    let (mut reader, mut left, mut buffer) = (Box::pin(reader), length, BytesMut::new());
    let source = move |cx: &mut Context<'_>| {
        let want = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        buffer.reserve(want);
        let octets = ready!(pin!(reader.read_buf(&mut (&mut buffer).limit(want))).poll(cx))?;
        left -= octets as u64;
        Poll::Ready((octets > 0).then(|| Ok(buffer.split().freeze().into())))
    };
    Body::from_source(length, Box::pin(source))
}

/// Returns a body of the rest of a file, as long as it is now.
///
/// ```
/// use degu_server::{BoxError, Request, Response, Session, body};
///
/// async fn app(_: &mut Session, _: Request<'_>) -> Result<Response, BoxError> {
///     let file = tokio::fs::File::open("/srv/backup.tar").await?;
///     Ok((200, body::from_file(file).await?).into())
/// }
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(app);
/// ```
///
/// # Errors
///
/// The length or the position of the file cannot be found out.
pub async fn from_file(mut file: File) -> io::Result<Body> {
    let length = file.metadata().await?.len().saturating_sub(file.stream_position().await?);
    Ok(from_reader(length, file))
}

/// Returns a body of so many bytes from a stream of pieces, for a content-length. Fewer cut the response, and so does a
/// piece that goes beyond them; when the length is reached, the stream is not asked for more.
pub fn from_stream<E: Into<BoxError>>(length: u64, pieces: impl Stream<Item = Result<Bytes, E>> + 'static) -> Body {
    let mut pieces = Box::pin(pieces);
    let source = move |cx: &mut Context<'_>| pieces.as_mut().poll_next(cx).map_ok(Part::Data).map_err(Into::into);
    Body::from_source(length, Box::pin(source))
}

/// Chunks out of a stream, and at the end maybe [trailers](crate::Trailers): anything that is a [`Part`].
///
/// Trailers alone are a part too; with extensions of the last chunk they are a [`Part::Last`].
///
/// ```
/// use degu_server::{BoxError, Chunk, ChunkExtensions, Part, Trailers, body};
/// use futures_util::stream;
///
/// let mut trailers = Trailers::new();
/// trailers.append("x-count", 2)?;
/// let mut extensions = ChunkExtensions::new();
/// extensions.push("complete", None);
/// let parts = [
///     Part::from(Chunk::new("a document").with_extension("seq", 1)),
///     Part::from(Chunk::new("another").with_extension("seq", 2)),
///     Part::Last { extensions, trailers },
/// ];
/// let body = body::from_chunks(stream::iter(parts.map(Ok::<_, BoxError>)));
/// # assert_eq!(body.length(), None);
/// # Ok::<(), degu_server::LocalError>(())
/// ```
pub fn from_chunks<P: Into<Part>, E: Into<BoxError>>(parts: impl Stream<Item = Result<P, E>> + 'static) -> Body {
    let mut parts = Box::pin(parts);
    let source = move |cx: &mut Context<'_>| parts.as_mut().poll_next(cx).map_ok(Into::into).map_err(Into::into);
    Body::chunks_from_source(Box::pin(source))
}
