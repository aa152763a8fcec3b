//! Conversions between Degu's bodies, which are sources of parts, and the bodies of `http-body`, which are streams of frames.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use degu_wire::machine::Content;
use degu_wire::{BodyOf, BoxError, Chunk, LocalBody, Part, Source};
use http_body::{Body, Frame, SizeHint};

use super::fields::{into_map, trailers_from_http};

/// A body of Degu that implements `http_body::Body`. Data becomes data frames. A body in chunks may end with a frame of
/// trailers.
///
/// ```
/// use degu_server::http::HttpBody;
/// use http_body::Body as _;
///
/// let body: HttpBody = HttpBody::new("hello".into());
/// assert_eq!(body.size_hint().exact(), Some(5));
/// ```
pub struct HttpBody<S: ?Sized = dyn Source> {
    /// The data of a body in memory.
    bytes: Bytes,
    /// The number of bytes that the source still has to give. `None` for a body in chunks.
    left: Option<u64>,
    source: Option<Pin<Box<S>>>,
}

impl<S: ?Sized> HttpBody<S> {
    /// Converts a body. The result is `Send` if `S` is.
    pub fn new(body: BodyOf<S>) -> Self {
        match body.split() {
            (Content::Bytes(bytes), _) => Self { bytes, left: Some(0), source: None },
            (Content::Length(length @ 1..), source) => Self { bytes: Bytes::new(), left: Some(length), source },
            (Content::Chunked, source) => Self { bytes: Bytes::new(), left: None, source },
            _ => Self { bytes: Bytes::new(), left: Some(0), source: None },
        }
    }
}

impl<S: Source + ?Sized> Body for HttpBody<S> {
    type Data = Bytes;
    type Error = BoxError;

    /// # Errors
    ///
    /// The source fails, or gives fewer or more bytes than its length.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))));
        }
        let frame = ready!(self.poll_source(cx)).transpose();
        if !matches!(frame, Some(Ok(_))) {
            (self.left, self.source) = (Some(0), None);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, |left| SizeHint::with_exact(left + self.bytes.len() as u64))
    }
}

impl<S: Source + ?Sized> HttpBody<S> {
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BoxError>> {
        let Some(source) = &mut self.source else { return Poll::Ready(Ok(None)) };
        loop {
            let data = match ready!(source.as_mut().poll_part(cx)).transpose()? {
                Some(Part::Data(data) | Part::Chunk { data, .. }) => data,
                Some(Part::Last { trailers, .. }) if trailers.is_empty() => continue,
                Some(Part::Last { trailers, .. }) => {
                    return Poll::Ready(Ok(Some(Frame::trailers(into_map(trailers.iter())?))));
                }
                None if self.left.is_some_and(|left| left > 0) => {
                    return Poll::Ready(Err("the body is shorter than its `content-length`".into()));
                }
                None => return Poll::Ready(Ok(None)),
            };
            if let Some(left) = &mut self.left {
                *left = left.checked_sub(data.len() as u64).ok_or("the body is longer than its `content-length`")?;
            }
            if !data.is_empty() {
                return Poll::Ready(Ok(Some(Frame::data(data))));
            }
        }
    }
}

/// Converts a body of the crate `http-body`.
///
/// A body with an exact `size_hint` is sent with that length. Any other body is sent in chunks, one chunk for each data
/// frame, and then the trailers. A body of length 0 for which `is_end_stream` is false is also sent in chunks, because
/// trailers may follow.
///
/// Trailers need chunks. If a body with a length has trailers, sending it fails.
///
/// ```
/// let body = degu_server::http::from_http(String::from("hello"));
/// assert_eq!(body.length(), Some(5));
/// ```
pub fn from_http<B: Body<Data: Buf, Error: Into<BoxError>> + 'static>(body: B) -> LocalBody {
    with_length(body.size_hint().exact(), body)
}

pub(super) fn with_length<B>(length: Option<u64>, body: B) -> LocalBody
where
    B: Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    // In `http-body` an empty body and no body look the same.
    if length.unwrap_or(0) == 0 && body.is_end_stream() {
        return LocalBody::none();
    }
    let mut body = Box::pin(body);
    let mut left = length;
    // An empty body that has not ended may have trailers, which need chunks.
    let length = length.filter(|length| *length > 0);
    // The connection does not poll a body again after its last byte. The last data is therefore held until it is known that no
    // trailers follow.
    let mut held: Option<Bytes> = None;
    let mut ended = false;
    let source = move |cx: &mut Context<'_>| {
        while !ended {
            let frame = match ready!(body.as_mut().poll_frame(cx)) {
                None => {
                    ended = true;
                    break;
                }
                Some(frame) => frame.map_err(Into::into)?,
            };
            let frame = match frame.into_data() {
                Ok(mut data) if data.has_remaining() => {
                    let data = data.copy_to_bytes(data.remaining());
                    let Some(left) = &mut left else {
                        return Poll::Ready(Some(Ok(Chunk::new(data).into())));
                    };
                    let after =
                        left.checked_sub(data.len() as u64).ok_or("the body is longer than its `content-length`")?;
                    *left = after;
                    if after > 0 || body.is_end_stream() {
                        return Poll::Ready(Some(Ok(Part::Data(data))));
                    }
                    held = Some(data);
                    continue;
                }
                Ok(_) => continue,
                Err(frame) => frame,
            };
            let Ok(trailers) = frame.into_trailers() else { continue };
            let trailers = trailers_from_http(&trailers)?;
            match (trailers.is_empty(), length) {
                (true, _) => {}
                (false, None) => return Poll::Ready(Some(Ok(trailers.into()))),
                (false, Some(_)) => {
                    let why = "a body with a `content-length` cannot have trailers: list their names in the header field `trailer` to send the body in chunks";
                    return Poll::Ready(Some(Err(why.into())));
                }
            }
        }
        Poll::Ready(held.take().map(|data| Ok(Part::Data(data))))
    };
    match length {
        Some(length) => LocalBody::from_source(length, Box::pin(source)),
        None => LocalBody::chunks_from_source(Box::pin(source)),
    }
}
