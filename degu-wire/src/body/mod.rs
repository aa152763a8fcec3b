//! Bodies to send, and the parts of bodies, sent or received.

#[cfg(feature = "tokio")]
mod asynchronous;
#[cfg(feature = "std")]
mod blocking;
mod chunk;
mod into;

use alloc::{borrow::Cow, boxed::Box, string::String, sync::Arc, vec::Vec};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

#[cfg(feature = "tokio")]
pub use asynchronous::{BodyDropped, BodySender};
#[cfg(feature = "std")]
pub use blocking::BlockingBody;
pub use chunk::{Chunk, ChunkExtensions};
pub use into::IntoBody;

use crate::framing::Framing;
use crate::headers::Trailers;

/// The largest piece that is read from a reader at once, in bytes.
#[cfg(feature = "std")]
const PIECE: usize = 64 * 1024;

/// An error of the application, of any type.
pub type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// A part of a body that is sent or received.
///
/// The parts of a chunked body come in the order `(Chunk Data*)* [Last]`. The parts of every other body are `Data*`. A
/// chunk that is in memory as a whole is one part. Any other chunk begins with a `Chunk`, which may have a part of the
/// data, and continues as `Data`. So a large chunk need never be in memory as a whole.
pub enum Part {
    /// A whole chunk, or the beginning of a chunk.
    Chunk {
        /// The number of bytes of data in the whole chunk, at least 1.
        size: u64,
        /// The extensions of the chunk.
        extensions: ChunkExtensions,
        /// The chunk's data, as far as it is in memory: nothing, the beginning of the data, or the whole data.
        data: Bytes,
    },
    /// More data of the current chunk, or data of a body without chunks.
    Data(Bytes),
    /// The end of a chunked body, with the extensions of the last chunk and the trailers. If there are neither
    /// extensions nor trailers, a source may leave out this part, and a connection that receives the body does not
    /// return it.
    Last {
        /// The extensions of the last chunk, which has no data.
        extensions: ChunkExtensions,
        /// The trailer fields.
        trailers: Trailers,
    },
}

/// Writes only the length of the data, because the data may be secret.
impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk { size, extensions, data } => {
                write!(f, "Chunk {{ size: {size}, extensions: {extensions:?}, data: {} bytes }}", data.len())
            }
            Self::Data(data) => write!(f, "Data({} bytes)", data.len()),
            Self::Last { extensions, trailers } => {
                write!(f, "Last {{ extensions: {extensions:?}, trailers: {trailers:?} }}")
            }
        }
    }
}

impl From<Chunk> for Part {
    fn from(Chunk { data, extensions }: Chunk) -> Self {
        Self::Chunk { size: data.len() as u64, extensions, data }
    }
}

/// Lets the items of `from_chunks` be `Result`s of parts. An `Err` cuts the message short.
impl<P: Into<Part>, E> TryFrom<Result<P, E>> for Part {
    type Error = E;

    fn try_from(part: Result<P, E>) -> Result<Self, E> {
        part.map(Into::into)
    }
}

impl From<Bytes> for Part {
    fn from(data: Bytes) -> Self {
        Self::Data(data)
    }
}

impl From<Trailers> for Part {
    fn from(trailers: Trailers) -> Self {
        Self::Last { extensions: ChunkExtensions::new(), trailers }
    }
}

/// The source of a body's parts. The connection that sends the body polls the source.
///
/// A source is polled only when the connection [has room](crate::machine::Connection::has_room) for a part, so a slow
/// peer slows down the source. Parts that the source returns without waiting are collected and written together, up to
/// the bounds of `has_room`. When the source returns [`Poll::Pending`], the collected parts are written. The connection
/// drops the source when the source ends or fails, and when the connection itself ends.
pub trait Source {
    /// Returns the next part, or `None` at the end of the body.
    ///
    /// # Errors
    ///
    /// Any error of the source. The message is then cut short, and the peer detects that it is incomplete.
    fn poll_part(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>>;
}

/// A function that is a source. The function is called for each part.
///
/// ```
/// use std::task::{Context, Poll};
///
/// use degu_wire::{Body, BoxError, Part};
///
/// let mut lines = vec!["one\n", "two\n"].into_iter();
/// let body = Body::from_source(8, Box::pin(move |_: &mut Context<'_>| {
///     Poll::Ready(lines.next().map(|line| Ok::<_, BoxError>(Part::Data(line.into()))))
/// }));
/// # assert_eq!(body.length(), Some(8));
/// ```
impl<F> Source for F
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> + Unpin,
{
    fn poll_part(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        (*self)(cx)
    }
}

/// A body to send: no body, bytes in memory, or a source of parts.
///
/// The kind of a body determines the framing, so a length and a coding cannot contradict each other. No body and an
/// empty body are different things: a request without a body has no `content-length`.
///
/// A [`Body`] can be sent to another thread. The asynchronous client needs such bodies. A [`LocalBody`] may hold values
/// that cannot be sent to another thread. Every [`Body`] converts into a [`LocalBody`]. A `BlockingBody`, with the
/// feature `std`, is made from readers and iterators that block.
///
/// ```
/// use degu_wire::{Body, Chunk};
///
/// let none = Body::from(());
/// let text = Body::from("hello, world");
/// let counter = Body::try_unfold(0, async |n| Ok((n < 3).then(|| (Chunk::new("tick").with_extension("n", n), n + 1))));
/// # let _: [Body; 3] = [none, text, counter];
/// ```
pub struct BodyOf<S: ?Sized> {
    content: Content,
    /// The source of the parts, if the body is not in memory.
    source: Option<Pin<Box<S>>>,
    /// The function that makes the body again, if the body was made by a function.
    make: Option<Make<S>>,
}

/// A function that makes a body.
type Make<S> = Arc<dyn Fn() -> Result<BodyOf<S>, BoxError> + Send + Sync>;

/// A body that can be sent to another thread: see [`BodyOf`].
pub type Body = BodyOf<dyn Source + Send>;

/// A body with a source that need not be `Send`. A server sends such bodies, because its connections never leave their
/// thread.
pub type LocalBody = BodyOf<dyn Source>;

/// The kind of a body that is sent. The kind determines the framing fields of the head.
#[derive(Clone)]
pub enum Content {
    /// No body.
    None,
    /// The whole body, in memory. It may be empty.
    Bytes(Bytes),
    /// A body of this number of bytes, which follow in parts of [`Part::Data`].
    Length(u64),
    /// A chunked body. Its chunks follow in parts.
    Chunked,
}

impl Content {
    /// Returns the framing of the body.
    pub fn framing(&self) -> Framing {
        match self {
            Self::None => Framing::None,
            Self::Bytes(bytes) => Framing::Length(bytes.len() as u64),
            Self::Length(length) => Framing::Length(*length),
            Self::Chunked => Framing::Chunked,
        }
    }
}

impl From<Content> for Cow<'_, Content> {
    fn from(content: Content) -> Self {
        Self::Owned(content)
    }
}

impl<'c> From<&'c Content> for Cow<'c, Content> {
    fn from(content: &'c Content) -> Self {
        Self::Borrowed(content)
    }
}

/// Writes only the length, because the bytes may be secrets.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no body"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Length(length) => write!(f, "{length} bytes from a source"),
            Self::Chunked => f.write_str("chunks from a source"),
        }
    }
}

impl<S: ?Sized> BodyOf<S> {
    const fn of(content: Content, source: Option<Pin<Box<S>>>) -> Self {
        Self { content, source, make: None }
    }

    /// Returns the value for a message without a body.
    pub const fn none() -> Self {
        Self::of(Content::None, None)
    }

    /// Returns a body of `length` bytes from a source; the message has this content-length. If the source fails or ends
    /// too early, or a part goes beyond the length, the message is cut short. When the length is reached, the source is
    /// not polled again.
    pub const fn from_source(length: u64, source: Pin<Box<S>>) -> Self {
        Self::of(Content::Length(length), Some(source))
    }

    /// Returns a body of chunks from a source. The source may end with a [`Part::Last`], which has trailers and the
    /// extensions of the last chunk.
    ///
    /// ```
    /// use std::task::{Context, Poll};
    ///
    /// use degu_wire::{Body, BoxError, Chunk, ChunkExtensions, Part, Trailers};
    ///
    /// let mut extensions = ChunkExtensions::new();
    /// extensions.push("complete", None);
    /// let mut trailers = Trailers::new();
    /// trailers.append("x-count", 1)?;
    /// let mut parts = [Chunk::new("a document").into(), Part::Last { extensions, trailers }].into_iter();
    /// let body = Body::chunks_from_source(Box::pin(move |_: &mut Context<'_>| Poll::Ready(parts.next().map(Ok::<_, BoxError>))));
    /// # assert_eq!(body.length(), None);
    /// # Ok::<(), degu_wire::LocalError>(())
    /// ```
    pub const fn chunks_from_source(source: Pin<Box<S>>) -> Self {
        Self::of(Content::Chunked, Some(source))
    }

    /// Returns a body that a function makes. The function is called now, and again if the client's pool sends the
    /// request a second time.
    ///
    /// ```
    /// use degu_wire::{BlockingBody, BoxError};
    ///
    /// let mut body = BlockingBody::from_fn(|| Ok(BlockingBody::from_file(std::fs::File::open("Cargo.toml")?)?))?;
    /// let (first, again) = (body.start(), body.renew());
    /// assert!(again && body.length() == first.length());
    /// # Ok::<(), BoxError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of the function.
    pub fn from_fn(make: impl Fn() -> Result<Self, BoxError> + Send + Sync + 'static) -> Result<Self, BoxError> {
        let body = make()?;
        Ok(Self { make: Some(Arc::new(make)), ..body })
    }

    /// Splits the body into its kind, which a [`Connection`](crate::machine::Connection) takes, and the source of its
    /// parts, if it has a source.
    pub fn split(self) -> (Content, Option<Pin<Box<S>>>) {
        (self.content, self.source)
    }

    /// Returns the kind of the body, and the source of its parts if it has a source. The caller may take the source out
    /// of the `Option`. Afterwards, `self` can be [renewed](Self::renew).
    pub const fn parts(&mut self) -> (&Content, &mut Option<Pin<Box<S>>>) {
        (&self.content, &mut self.source)
    }

    /// Takes the body out of `self`, to send it now. Afterwards, `self` can be [renewed](Self::renew).
    pub fn start(&mut self) -> Self {
        Self::of(self.content.clone(), self.source.take())
    }

    /// Makes the body ready to be sent again. Returns false, and changes nothing, if this is not possible: the body [is
    /// not renewable](Self::is_renewable), or the function that makes the body failed.
    pub fn renew(&mut self) -> bool {
        if let Some(make) = &self.make
            && let Ok(Self { content, source, .. }) = make()
        {
            (self.content, self.source) = (content, source);
            return true;
        }
        self.make.is_none() && self.is_renewable()
    }

    /// Returns whether the body can be sent again: it is in memory, or a [function](Self::from_fn) makes it.
    pub const fn is_renewable(&self) -> bool {
        self.make.is_some() || matches!(self.content, Content::None | Content::Bytes(_))
    }

    /// Returns the number of bytes, if it is known: 0 if there is no body.
    pub fn length(&self) -> Option<u64> {
        match self.content.framing() {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    /// Returns whether there is no body. An empty body counts as a body.
    pub const fn is_none(&self) -> bool {
        matches!(self.content, Content::None)
    }
}

/// Defines the constructor `try_unfold` of `BodyOf<$source>`. `$send` is `Send` if the source must be `Send`.
macro_rules! try_unfold {
    ($source:ty $(, $send:ident)?) => {
        impl BodyOf<$source> {
            /// Returns a chunked body whose parts an async function makes. The function is called with a state, at
            /// first with `seed`. The function returns the next part and the next state, or `None` at the end. An error
            /// cuts the message short, and the peer notices that it is incomplete.
            ///
            /// ```
            /// use degu_wire::{Body, Chunk};
            ///
            /// let ticks = Body::try_unfold(0, async |n| {
            ///     Ok((n < 3).then(|| (Chunk::new("tick").with_extension("n", n), n + 1)))
            /// });
            /// # assert_eq!(ticks.length(), None);
            /// ```
            ///
            /// # Cancel safety
            ///
            /// When the connection ends, the body is dropped together with the unfinished future.
            pub fn try_unfold<T, P, F, Fut>(seed: T, next: F) -> Self
            where
                T: $($send +)? 'static,
                P: Into<Part> + 'static,
                F: FnMut(T) -> Fut $(+ $send)? + 'static,
                Fut: Future<Output = Result<Option<(P, T)>, BoxError>> $(+ $send)? + 'static,
            {
                Self::chunks_from_source(Box::pin(try_unfold(seed, next)))
            }
        }
    };
}

try_unfold!(dyn Source);
try_unfold!(dyn Source + Send, Send);

/// Returns a source that calls `next` for each part, with the state that the previous call returned.
fn try_unfold<T, P, F, Fut>(seed: T, next: F) -> impl Source
where
    P: Into<Part>,
    F: FnMut(T) -> Fut,
    Fut: Future<Output = Result<Option<(P, T)>, BoxError>>,
{
    // The state is `None` while the future owns it, and after the end. A source has to be `Unpin`. A box is `Unpin`
    // even if its content is not.
    let mut held = Box::new((Some(seed), next));
    let mut under_way = Box::pin(None);
    move |cx: &mut Context<'_>| {
        let (state, next) = &mut *held;
        if let Some(state) = state.take() {
            under_way.set(Some(next(state)));
        }
        let Some(future) = under_way.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let step = ready!(future.poll(cx));
        under_way.set(None);
        Poll::Ready(step.transpose().map(|step| {
            let (part, next) = step?;
            *state = Some(next);
            Ok(part.into())
        }))
    }
}

impl<S: ?Sized> Default for BodyOf<S> {
    fn default() -> Self {
        Self::none()
    }
}

impl<S: ?Sized> fmt::Debug for BodyOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.fmt(f)
    }
}

impl From<Body> for LocalBody {
    fn from(Body { content, source, make }: Body) -> Self {
        let make = make.map(|make| Arc::new(move || make().map(Self::from)) as Make<dyn Source>);
        Self { content, source: source.map(|source| source as Pin<Box<dyn Source>>), make }
    }
}

impl<S: ?Sized> From<()> for BodyOf<S> {
    fn from((): ()) -> Self {
        Self::none()
    }
}

impl<S: ?Sized> From<Bytes> for BodyOf<S> {
    fn from(bytes: Bytes) -> Self {
        Self::of(Content::Bytes(bytes), None)
    }
}

macro_rules! from_bytes {
    ($($bytes:ty),*) => {$(
        impl<S: ?Sized> From<$bytes> for BodyOf<S> {
            fn from(bytes: $bytes) -> Self {
                Self::from(Bytes::from(bytes))
            }
        }
    )*};
}

from_bytes!(&'static str, &'static [u8], String, Vec<u8>);

impl<S: ?Sized, const N: usize> From<&'static [u8; N]> for BodyOf<S> {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}
