//! The body of a request.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use degu_wire::machine::RequestHead;
use degu_wire::{BoxError, Chunk, ChunkExtensions, Fault, Framing, LocalBody, Part, RemoteError, Source, Trailers};

use crate::Error;
use crate::body_channel::Receiver;
use crate::options::Progress;

/// The body of a request. The body may not have been received yet: an app uses this value to read it from the connection.
///
/// An app reads the body whole with a limit, piece by piece, or chunk by chunk. The app may mix these ways: each read
/// continues where the last read stopped, and no data is returned twice. A client that waits for `100 Continue` gets it
/// at the first read.
///
/// The body of a request can become the body of the response. Such a body is sent while it is received, with the same
/// chunks, extensions and trailers, and is never in memory as a whole.
///
/// The value can be moved into another task of the same thread, and be read there until the response has been sent. A
/// later read returns an error for which [`is_over`](Error::is_over) is true. If the value is dropped before the end of
/// the body, the server reads and drops up to 64 KiB of the rest. If there is more, the connection is closed after the
/// response.
///
/// ```
/// use degu_server::{Error, Request, Response, Session};
///
/// async fn longest_chunk(_: &mut Session, mut request: Request<'_>) -> Result<Response, Error> {
///     let mut longest = 0;
///     while let Some(chunk) = request.body.next_chunk().await? {
///         longest = longest.max(chunk.data.len());
///     }
///     Ok((200, longest.to_string()).into())
/// }
///
/// async fn echo(_: &mut Session, request: Request<'_>) -> Response {
///     (200, request.body).into()
/// }
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(longest_chunk);
/// # is_an_app(echo);
/// ```
pub struct Incoming {
    rest: Rest,
    framing: Framing,
    /// True if the content type is JSON.
    #[cfg(feature = "json")]
    is_json: bool,
    /// The most bytes of a chunk that [`next_chunk`](Self::next_chunk) returns.
    max_chunk: usize,
    /// The number of bytes that have not been received: of the body if its length is known, otherwise of the current chunk.
    left: u64,
    ended: bool,
    stored: Option<Box<Stored>>,
}

/// The source of the rest of a body.
enum Rest {
    /// The rest is in memory, because the whole body was received together with the head.
    Memory(Bytes),
    /// The channel from the connection, which still receives the rest.
    Channel(Receiver),
}

/// State that most bodies do not need. A box holds this state, because an [`Incoming`] is moved often and should be
/// small.
#[derive(Default)]
struct Stored {
    /// The received part that is returned next: data, a chunk, or the beginning of a chunk.
    held: Option<Part>,
    /// The parts after `held` that were [read ahead](Incoming::read_ahead). The field `left` of [`Incoming`] still
    /// includes their bytes.
    ahead: VecDeque<Part>,
    /// The extensions and trailers at the end of the body, if the body had any.
    last: Option<(ChunkExtensions, Trailers)>,
}

/// The extensions and trailers of a body that has none.
static NOTHING: (ChunkExtensions, Trailers) = (ChunkExtensions::new(), Trailers::new());

impl Incoming {
    /// Returns a body that is in memory as a whole.
    pub(crate) const fn whole(bytes: Bytes, head: &RequestHead, max_chunk: usize) -> Self {
        let left = bytes.len() as u64;
        Self::new(Rest::Memory(bytes), left, head, max_chunk)
    }

    /// Returns a body that comes from the connection through a channel.
    pub(crate) const fn of_channel(receiver: Receiver, head: &RequestHead, max_chunk: usize) -> Self {
        let left = if let Framing::Length(length) = head.framing() { length } else { 0 };
        Self::new(Rest::Channel(receiver), left, head, max_chunk)
    }

    const fn new(rest: Rest, left: u64, head: &RequestHead, max_chunk: usize) -> Self {
        Self {
            rest,
            framing: head.framing(),
            #[cfg(feature = "json")]
            is_json: head.is_json(),
            max_chunk,
            left,
            ended: false,
            stored: None,
        }
    }

    /// Returns the framing: no body, a body with a length, or a body in chunks.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Sets the minimum rate for the rest of this body, in place of [`Options::progress`](crate::Options::progress): `bytes`
    /// in every `window`. `None` means no limit. Time counts only while the handler waits for the body. If the body is slower,
    /// the client gets 408. The rate does not apply to the response.
    ///
    /// A handler sets the rate before it reads. Middleware can set it for every request of a route:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use degu_server::{App, Error, Request, Session, applib::Router};
    ///
    /// /// Allows devices to send one short line each minute.
    /// fn slow(inner: impl App) -> impl App {
    ///     async move |session: &mut Session, mut request: Request<'_>| {
    ///         request.body.set_progress(1, Duration::from_secs(150));
    ///         inner.handle(session, request).await
    ///     }
    /// }
    ///
    /// async fn telemetry(_: &mut Session, mut request: Request<'_>) -> Result<String, Error> {
    ///     let mut chunks = 0;
    ///     while let Some(_) = request.body.next_chunk().await? {
    ///         chunks += 1;
    ///     }
    ///     Ok(format!("{chunks} lines\n"))
    /// }
    ///
    /// let app = Router::new().mount("telemetry", slow(telemetry));
    /// # fn is_an_app(_: impl App) {}
    /// # is_an_app(app);
    /// ```
    pub fn set_progress(&mut self, bytes: u64, window: impl Into<Option<Duration>>) {
        if let Rest::Channel(receiver) = &self.rest {
            receiver.set_progress(Progress::new(bytes, window.into()));
        }
    }

    /// Reads the rest of the body, up to `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`Fault::BodyTooLarge`] (413) if there are more than `limit` bytes, and any other fault of the client.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the bytes that were collected.
    pub async fn read_all(&mut self, limit: usize) -> Result<Bytes, Error> {
        if let Rest::Memory(whole) = &mut self.rest
            && self.stored.is_none()
            && whole.len() <= limit
        {
            (self.left, self.ended) = (0, true);
            return Ok(std::mem::take(whole));
        }
        if self.remaining().is_some_and(|remaining| remaining > limit as u64) {
            return Err(self.refuse(Fault::BodyTooLarge));
        }
        let mut all = Bytes::new();
        while let Some(data) = self.next_data().await? {
            if all.len() + data.len() > limit {
                return Err(self.refuse(Fault::BodyTooLarge));
            }
            if all.is_empty() { all = data } else { append(&mut all, &data) }
        }
        Ok(all)
    }

    /// Reads the rest of the body as text, up to `limit` bytes. A byte order mark stays in the text.
    ///
    /// # Errors
    ///
    /// The errors of [`read_all`](Self::read_all), and 400 if the text is not UTF-8. After this 400 the connection stays open.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the bytes that were collected.
    pub async fn text(&mut self, limit: usize) -> Result<String, Error> {
        let bytes = self.read_all(limit).await?;
        String::from_utf8(bytes.into()).map_err(|error| {
            Error::new(400, format!("the body is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        })
    }

    /// Reads the rest of the body as JSON, up to `limit` bytes, and parses it.
    ///
    /// The content-type of the request must be `application/json` or a type with the suffix `+json`. Parameters of the
    /// type are ignored. A byte order mark is an error (RFC 8259 §8.1).
    ///
    /// ```
    /// use degu_server::{Error, Json, Request, Session};
    ///
    /// async fn sum(_: &mut Session, mut request: Request<'_>) -> Result<Json<u64>, Error> {
    ///     let numbers: Vec<u32> = request.body.json(64 * 1024).await?;
    ///     Ok(Json(numbers.into_iter().map(u64::from).sum()))
    /// }
    /// # fn is_an_app(_: impl degu_server::App) {}
    /// # is_an_app(sum);
    /// ```
    ///
    /// # Errors
    ///
    /// - The errors of [`read_all`](Self::read_all).
    /// - 415 for another content-type, before the body is read. The response has `accept: application/json` (RFC 9110
    ///   §15.5.16). The connection stays open if at most 64 KiB of the body are unread.
    /// - 400 if the body is not JSON or does not fit `T`. The text has the line and the column. The connection stays open.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the bytes that were collected.
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self, limit: usize) -> Result<T, Error> {
        if !self.is_json {
            let text = "the `content-type` is neither `application/json` nor a type with the suffix `+json`: send JSON";
            return Err(Error::new(415, text).header("accept", "application/json"));
        }
        let bytes = self.read_all(limit).await?;
        degu_wire::Json::parse(&bytes)
            .map(|json| json.0)
            .map_err(|error| Error::new(400, format!("the body is {error}")))
    }

    /// Returns the next data of the body, at least one byte, or `None` at the end. The length depends on the network.
    /// The data may be a part of a chunk.
    ///
    /// # Errors
    ///
    /// Any fault of the client.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next_data(&mut self) -> Result<Option<Bytes>, Error> {
        self.wait(Self::poll_data).await
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            match ready!(self.poll_next(cx))? {
                Some(Part::Data(data) | Part::Chunk { data, .. }) if !data.is_empty() => {
                    return Poll::Ready(Ok(Some(data)));
                }
                Some(_) => {}
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Returns the next whole chunk, with its extensions, or `None` at the end. If a part of the chunk was already returned as
    /// data, returns the rest of the chunk, without the extensions. If the body is not chunked, returns the rest of the body.
    ///
    /// # Errors
    ///
    /// [`Fault::ChunkTooLarge`] (413) for a chunk over [`Limits::max_chunk`](degu_wire::Limits::max_chunk), 16 MiB by
    /// default, and any other fault of the client. A truncated chunk is never returned.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        self.wait(Self::poll_chunk).await
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Error>> {
        loop {
            if self.left + self.shown().len() as u64 > self.max_chunk as u64 {
                return Poll::Ready(Err(self.refuse(Fault::ChunkTooLarge)));
            }
            if self.left == 0
                && let Some(stored) = &mut self.stored
            {
                match stored.held.take() {
                    Some(Part::Chunk { extensions, data, .. }) => {
                        return Poll::Ready(Ok(Some(Chunk { data, extensions })));
                    }
                    Some(Part::Data(data)) => return Poll::Ready(Ok(Some(Chunk::new(data)))),
                    _ => {}
                }
            }
            match (ready!(self.poll_received(cx))?, &mut self.stored().held) {
                (Some(Part::Data(piece)), Some(Part::Data(data) | Part::Chunk { data, .. })) => append(data, &piece),
                (Some(Part::Last { .. }), _) => {}
                (None, _) => return Poll::Ready(Ok(None)),
                (part, held) => *held = part,
            }
        }
    }

    /// Returns the error for a fault of the client that the reader has found. If the body comes through a channel, its rest is
    /// not received any more.
    fn refuse(&mut self, fault: Fault) -> Error {
        match &self.rest {
            Rest::Memory(_) => RemoteError::from(fault).into(),
            Rest::Channel(receiver) => receiver.refuse(fault.into()),
        }
    }

    /// Returns the next part as it was received, or `None` at the end of the body. A part is a whole chunk, the beginning of a
    /// chunk, further data, or the extensions and trailers at the end. After the beginning of a chunk, the rest of the chunk
    /// comes as data. A [`Source`] that sends the body to another server uses this method.
    ///
    /// # Errors
    ///
    /// Any fault of the client.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next_part(&mut self) -> Result<Option<Part>, Error> {
        self.wait(Self::poll_next).await
    }

    /// Polls a read until it is ready. If the future is dropped, the body no longer waits for a part.
    async fn wait<R>(&mut self, poll: impl Fn(&mut Self, &mut Context<'_>) -> Poll<R>) -> R {
        let read = self.reader();
        poll_fn(|cx| poll(read.0, cx)).await
    }

    /// Receives parts, and stores them for later reads, until the stored parts take at least `bytes` bytes of memory or the
    /// body ends. A handler calls this method before it responds. If the beginning of the body has a fault, the response can
    /// then have the status of that fault.
    ///
    /// Each chunk takes about 80 bytes in addition to its data and its extensions, so many small chunks take more memory than
    /// their data.
    ///
    /// # Errors
    ///
    /// Any fault of the client.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn read_ahead(&mut self, bytes: usize) -> Result<(), Error> {
        // A whole body in memory has no fault.
        if let Rest::Memory(_) = self.rest {
            return Ok(());
        }
        let Stored { held, ahead, .. } = self.stored();
        let mut stored: usize = held.iter().chain(&*ahead).map(memory_of).sum();
        while stored < bytes
            && let Some(part) = self.wait(Self::poll_rest).await?
        {
            stored += memory_of(&part);
            self.stored().ahead.push_back(part);
        }
        Ok(())
    }

    /// Returns the trailer fields, or `None` until the body has been read to its end. If the body has no trailers, the result at
    /// its end is an empty list.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.last().map(|(_, trailers)| trailers)
    }

    /// Returns the extensions of the last chunk, which has no data, or `None` until the body has been read to its end.
    pub fn last_extensions(&self) -> Option<&ChunkExtensions> {
        self.last().map(|(extensions, _)| extensions)
    }

    /// Returns the number of bytes that were not read yet, or `None` if the body has no announced length. Returns 0 at the end
    /// of any body.
    pub fn remaining(&self) -> Option<u64> {
        let is_known = !matches!(self.framing, Framing::Chunked | Framing::UntilClose);
        (is_known || self.ended).then(|| self.left + self.shown().len() as u64)
    }

    fn stored(&mut self) -> &mut Stored {
        self.stored.get_or_insert_default()
    }

    /// Polls for data, and returns it without consuming it. The data is empty at the end of the body.
    pub(crate) fn poll_fill_buf(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Error>> {
        if self.shown().is_empty()
            && let Some(data) = ready!(self.poll_data(cx))?
        {
            self.stored().held = Some(Part::Data(data));
        }
        Poll::Ready(Ok(self.shown()))
    }

    /// Returns the data of the part in `held`, without consuming it. The data is empty if no part is held.
    fn shown(&self) -> &[u8] {
        match self.stored.as_ref().and_then(|stored| stored.held.as_ref()) {
            Some(Part::Data(data) | Part::Chunk { data, .. }) => data,
            _ => &[],
        }
    }

    /// Stops waiting for a part. The minimum rate of the client is not measured until the next read.
    pub(crate) fn give_up(&self) {
        if let Rest::Channel(receiver) = &self.rest {
            receiver.give_up();
        }
    }

    /// Consumes this many bytes of the data that [`poll_fill_buf`](Self::poll_fill_buf) returned.
    pub(crate) fn consume(&mut self, bytes: usize) {
        let Some(stored) = &mut self.stored else { return };
        if let Some(Part::Data(mut data) | Part::Chunk { mut data, .. }) = stored.held.take()
            && bytes < data.len()
        {
            data.advance(bytes);
            stored.held = Some(Part::Data(data));
        }
    }

    /// Returns the extensions and trailers at the end of the body, or `None` before the end was read.
    fn last(&self) -> Option<&(ChunkExtensions, Trailers)> {
        let last = self.stored.as_ref().and_then(|stored| stored.last.as_ref());
        last.or_else(|| self.ended.then_some(&NOTHING))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        match self.stored.as_mut().and_then(|stored| stored.held.take()) {
            None => self.poll_received(cx),
            held => Poll::Ready(Ok(held)),
        }
    }

    /// Polls for the part that follows `held`. Updates `left`, `ended` and the stored trailers.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let part = match self.stored.as_mut().and_then(|stored| stored.ahead.pop_front()) {
            Some(part) => Some(part),
            None => ready!(self.poll_rest(cx))?,
        };
        match &part {
            None => self.ended = true,
            Some(Part::Chunk { size, data, .. }) => self.left = size - data.len() as u64,
            Some(Part::Data(data)) => self.left -= data.len() as u64,
            Some(Part::Last { extensions, trailers }) => {
                self.stored().last = Some((extensions.clone(), trailers.clone()));
            }
        }
        Poll::Ready(Ok(part))
    }

    /// Polls for the part that follows the parts that were read ahead.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        match &mut self.rest {
            Rest::Memory(bytes) => Poll::Ready(Ok((!bytes.is_empty()).then(|| Part::Data(std::mem::take(bytes))))),
            Rest::Channel(receiver) => receiver.poll_part(cx),
        }
    }
}

/// Appends `piece` to `data`. If `data` shares memory with a receive buffer, the bytes of `data` are copied first.
fn append(data: &mut Bytes, piece: &[u8]) {
    let mut all = BytesMut::from(std::mem::take(data));
    all.extend_from_slice(piece);
    *data = all.freeze();
}

/// Returns the bytes of memory that a stored part takes, including its data and its extensions.
fn memory_of(part: &Part) -> usize {
    let content = match part {
        Part::Chunk { extensions, data, .. } => extensions.as_extensions().as_bytes().len() + data.len(),
        Part::Data(data) => data.len(),
        Part::Last { .. } => 0,
    };
    size_of::<Part>() + content
}

impl Source for Incoming {
    fn poll_part(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        self.get_mut().poll_next(cx).map_err(Into::into).map(Result::transpose)
    }
}

/// Converts the rest of the body into a body to send, with the same framing.
impl From<Incoming> for LocalBody {
    fn from(mut body: Incoming) -> Self {
        let left = body.left + body.shown().len() as u64;
        match body.framing {
            Framing::None => Self::none(),
            Framing::Length(_) => match &mut body.rest {
                _ if left == 0 => Self::from(Bytes::new()),
                Rest::Memory(rest) if body.stored.is_none() => Self::from(std::mem::take(rest)),
                _ => Self::from_source(left, Box::pin(body)),
            },
            Framing::Chunked | Framing::UntilClose => {
                // If the beginning of a chunk was already read, the rest is sent as a chunk.
                if left > 0 {
                    let (extensions, data) = match body.stored().held.take() {
                        Some(Part::Chunk { extensions, data, .. }) => (extensions, data),
                        Some(Part::Data(data)) => (ChunkExtensions::new(), data),
                        _ => Default::default(),
                    };
                    body.stored().held = Some(Part::Chunk { size: left, extensions, data });
                }
                Self::chunks_from_source(Box::pin(body))
            }
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("framing", &self.framing).field("left", &self.left).finish_non_exhaustive()
    }
}
