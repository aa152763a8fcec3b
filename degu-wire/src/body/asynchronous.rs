//! Bodies from async sources: files, readers and streams of tokio, and a channel.

use alloc::boxed::Box;
use core::fmt;
use core::task::{Context, Poll, ready};
#[cfg(feature = "io")]
use {
    bytes::{BufMut, BytesMut},
    core::pin::pin,
    std::io,
    tokio::{
        fs::File,
        io::{AsyncRead, AsyncReadExt, AsyncSeekExt},
    },
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc;

use super::{BodyOf, BoxError, Part, Source};
use crate::error::debug_as_display;
use crate::headers::Trailers;

/// The number of parts that a channel holds before `send` waits. The end of the body has a place of its own.
const HELD: usize = 2;

/// Defines the constructors of `BodyOf<$source>`. `$send` is `Send` if the source must be `Send`.
macro_rules! constructors {
    ($source:ty $(, $send:ident)?) => {
        impl BodyOf<$source> {
            /// Returns a body of `length` bytes from a reader; the message has this content-length. If the reader fails
            /// or ends too early, the message is cut short, and the peer notices that it is incomplete. Bytes beyond
            /// the length are not read.
            ///
            /// ```
            /// let zeros = degu_wire::Body::from_reader(1 << 30, tokio::io::repeat(0));
            /// assert_eq!(zeros.length(), Some(1 << 30));
            /// ```
            #[cfg(feature = "io")]
            pub fn from_reader(length: u64, reader: impl AsyncRead $(+ $send)? + 'static) -> Self {
                Self::from_source(length, Box::pin(pieces(reader, length, Part::Data)))
            }

            /// Returns a chunked body of all bytes of a reader. The number of bytes need not be known. Each read
            /// becomes a chunk of at most 64 KiB. If the reader fails, the message is cut short.
            ///
            /// ```
            /// let (_near, far) = tokio::io::duplex(64);
            /// let body = degu_wire::Body::chunks_from_reader(far);
            /// assert_eq!(body.length(), None);
            /// ```
            #[cfg(feature = "io")]
            pub fn chunks_from_reader(reader: impl AsyncRead $(+ $send)? + 'static) -> Self {
                Self::chunks_from_source(Box::pin(pieces(reader, u64::MAX, |data| crate::Chunk::new(data).into())))
            }

            /// Returns a body of the rest of a file, from its current position to its current end.
            ///
            /// ```no_run
            /// # async fn example() -> std::io::Result<degu_wire::Body> {
            /// degu_wire::Body::from_file(tokio::fs::File::open("/srv/backup.tar").await?).await
            /// # }
            /// ```
            ///
            /// # Errors
            ///
            /// The system cannot tell the length or the position of the file.
            #[cfg(feature = "io")]
            pub async fn from_file(mut file: File) -> io::Result<Self> {
                let length = file.metadata().await?.len().saturating_sub(file.stream_position().await?);
                Ok(Self::from_reader(length, file))
            }

            /// Returns a body of `length` bytes from a stream of pieces; the message has this content-length. If the
            /// stream fails or ends too early, or a piece goes beyond the length, the message is cut short. When the
            /// length is reached, the stream is not polled again.
            pub fn from_stream<E: Into<BoxError> + 'static>(
                length: u64,
                pieces: impl Stream<Item = Result<Bytes, E>> $(+ $send)? + 'static,
            ) -> Self {
                Self::from_source(length, Box::pin(parts(pieces)))
            }

            /// Returns a body of chunks from a stream, with optional [trailers](Trailers) at the end. Each item
            /// converts into a [`Part`], or is a `Result` whose `Ok` value does. An `Err` cuts the message short, and the
            /// peer notices that the message is incomplete.
            ///
            /// ```
            /// use degu_wire::{Body, Chunk, Part, Trailers};
            /// use futures_util::stream;
            ///
            /// let trailers = Trailers::try_from([("x-count", 1)])?;
            /// // With extensions of the last chunk: `Part::Last { extensions, trailers }`.
            /// let parts = [Part::from(Chunk::new("a document").with_extension("seq", 1)), Part::from(trailers)];
            /// let document = Body::from_chunks(stream::iter(parts));
            ///
            /// let fails = Body::from_chunks(stream::iter([Ok(Chunk::new("the beginning")), Err("the disk failed")]));
            /// # Ok::<(), degu_wire::LocalError>(())
            /// ```
            pub fn from_chunks<P>(chunks: impl Stream<Item = P> $(+ $send)? + 'static) -> Self
            where
                P: TryInto<Part, Error: Into<BoxError>> + 'static,
            {
                Self::chunks_from_source(Box::pin(parts(chunks)))
            }

            /// Returns a body and the sender of its chunks. The sender is for code that writes a body at its own pace,
            /// for example in another task or thread.
            ///
            /// ```
            /// use degu_wire::{Body, BoxError, Chunk, Trailers};
            ///
            /// let (mut sender, body) = Body::channel();
            /// let writer = async move {
            ///     for n in 0..3 {
            ///         sender.send(Chunk::new("tick").with_extension("n", n)).await?;
            ///     }
            ///     sender.finish_with(Trailers::try_from([("x-count", 3)])?);
            ///     Ok::<(), BoxError>(())
            /// };
            /// # let _ = (writer, body);
            /// ```
            pub fn channel() -> (BodySender, Self) {
                let (sender, body) = channel();
                (sender, Self::chunks_from_source(Box::pin(body)))
            }
        }
    };
}

constructors!(dyn Source);
constructors!(dyn Source + Send, Send);

/// Returns a source that reads `left` bytes, or fewer if the reader ends, in pieces of at most 64 KiB.
#[cfg(feature = "io")]
fn pieces(reader: impl AsyncRead, mut left: u64, part: fn(Bytes) -> Part) -> impl Source {
    let (mut reader, mut buffer) = (Box::pin(reader), BytesMut::new());
    move |cx: &mut Context<'_>| {
        let want = left.min(super::PIECE as u64) as usize;
        buffer.reserve(want);
        let bytes = ready!(pin!(reader.read_buf(&mut (&mut buffer).limit(want))).poll(cx))?;
        left -= bytes as u64;
        Poll::Ready((bytes > 0).then(|| Ok(part(buffer.split().freeze()))))
    }
}

fn parts<P: TryInto<Part, Error: Into<BoxError>>>(items: impl Stream<Item = P>) -> impl Source {
    let mut items = Box::pin(items);
    move |cx: &mut Context<'_>| {
        let item = ready!(items.as_mut().poll_next(cx));
        Poll::Ready(item.map(|item| item.try_into().map_err(Into::into)))
    }
}

/// The sender of the parts of a body, returned by `Body::channel` and `LocalBody::channel`.
///
/// If the sender is dropped before [`finish`](Self::finish), for example because its task fails or panics, the message
/// is cut short, and the peer notices that it is incomplete.
pub struct BodySender {
    /// The channel. `None` ends the body.
    parts: mpsc::Sender<Option<Part>>,
    /// A reserved place in the channel for the end of the body, so ending the body does not wait.
    end: mpsc::OwnedPermit<Option<Part>>,
}

fn channel() -> (BodySender, impl Source) {
    let (parts, mut received) = mpsc::channel(HELD + 1);
    let end =
        parts.clone().try_reserve_owned().expect("a new channel is open, and has a place for the end of the body");
    let mut ended = false;
    let body = move |cx: &mut Context<'_>| {
        if ended {
            return Poll::Ready(None);
        }
        let Some(part) = ready!(received.poll_recv(cx)) else {
            let error = "the sender of the body was dropped before `finish`, so the body is incomplete";
            return Poll::Ready(Some(Err(error.into())));
        };
        ended = matches!(part, None | Some(Part::Last { .. }));
        Poll::Ready(part.map(Ok))
    };
    (BodySender { parts, end }, body)
}

impl BodySender {
    /// Sends a part, such as a [`Chunk`](crate::Chunk). Waits while the channel is full. The channel holds two parts,
    /// so a slow peer slows down the caller.
    ///
    /// # Errors
    ///
    /// The body was dropped, because the connection ended or the message will not be sent.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the part is not sent, and the sender can be used again.
    pub async fn send(&mut self, part: impl Into<Part>) -> Result<(), BodyDropped> {
        self.parts.send(Some(part.into())).await.map_err(|_| BodyDropped(()))
    }

    /// Sends a part as [`send`](Self::send) does, from a thread that may block.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send).
    ///
    /// # Panics
    ///
    /// Panics in a task of a tokio runtime.
    pub fn blocking_send(&mut self, part: impl Into<Part>) -> Result<(), BodyDropped> {
        self.parts.blocking_send(Some(part.into())).map_err(|_| BodyDropped(()))
    }

    /// Ends the body.
    pub fn finish(self) {
        self.end.send(None);
    }

    /// Ends the body with trailer fields.
    pub fn finish_with(self, trailers: Trailers) {
        self.end.send(Some(trailers.into()));
    }
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySender").field("is_closed", &self.parts.is_closed()).finish_non_exhaustive()
    }
}

/// The error of a [`BodySender`] whose body was dropped, because the connection ended or the message will not be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BodyDropped(());

impl fmt::Display for BodyDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body was dropped, because the connection ended or the message will not be sent")
    }
}

impl core::error::Error for BodyDropped {}

debug_as_display!(BodyDropped);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chunk, LocalBody};
    use core::pin::pin;
    use core::task::Waker;
    use std::format;
    use std::string::ToString;

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn next(source: &mut Option<core::pin::Pin<Box<dyn Source>>>) -> Poll<Option<Result<Part, BoxError>>> {
        source.as_mut().unwrap().as_mut().poll_part(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_channel_holds_two_parts_and_keeps_room_for_the_end() {
        let (mut sender, body) = LocalBody::channel();
        let (_, mut source) = body.split();
        assert!(next(&mut source).is_pending());
        for n in 0..2 {
            assert_eq!(poll(sender.send(Chunk::new(format!("{n}")))), Poll::Ready(Ok(())));
        }
        assert!(poll(sender.send(Chunk::new("3"))).is_pending(), "and what was dropped is not sent");
        sender.finish();
        for n in ["0", "1"] {
            let Poll::Ready(Some(Ok(Part::Chunk { data, .. }))) = next(&mut source) else { panic!("chunk {n}") };
            assert_eq!(data, n);
        }
        assert!(matches!(next(&mut source), Poll::Ready(None)));
    }

    #[test]
    fn a_channel_that_was_finished_stays_at_its_end() {
        let (sender, body) = LocalBody::channel();
        let (_, mut source) = body.split();
        sender.finish_with(Trailers::new());
        assert!(matches!(next(&mut source), Poll::Ready(Some(Ok(Part::Last { .. })))));
        for _ in 0..2 {
            assert!(matches!(next(&mut source), Poll::Ready(None)));
        }
    }

    #[test]
    fn a_sender_that_is_dropped_is_an_error_of_the_body() {
        let (mut sender, body) = LocalBody::channel();
        let (_, mut source) = body.split();
        assert_eq!(sender.blocking_send(Chunk::new("1")), Ok(()));
        drop(sender);
        assert!(matches!(next(&mut source), Poll::Ready(Some(Ok(Part::Chunk { .. })))));
        let Poll::Ready(Some(Err(error))) = next(&mut source) else { panic!("no error") };
        assert_eq!(error.to_string(), "the sender of the body was dropped before `finish`, so the body is incomplete");
    }

    #[test]
    fn a_sender_learns_that_its_body_was_dropped() {
        let (mut sender, body) = LocalBody::channel();
        drop(body);
        assert_eq!(poll(sender.send(Chunk::new("1"))), Poll::Ready(Err(BodyDropped(()))));
        assert!(sender.blocking_send(Chunk::new("1")).is_err());
        sender.finish();
    }
}
