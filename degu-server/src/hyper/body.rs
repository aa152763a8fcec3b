//! The body of a request for the service, and the body of a response for hyper.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use degu_wire::BoxError;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::shared::{Access, Reply};
use crate::connection::Wait;
use crate::options::Progress;

/// The most bytes of a request's body that the service may leave unread. If the service leaves more, the connection is
/// closed after the response. hyper keeps the connection only if a single read takes the whole rest of the body.
/// hyper's first read has this size.
const DRAINED: u64 = 8 * 1024;

/// The body of a request: data as hyper receives it, and trailers.
///
/// The body may be read in any task. While a reader waits for data, the client must send at the minimum rate of
/// [`Options::progress`](crate::Options::progress).
///
/// ```
/// use http_body_util::BodyExt;
/// use degu_server::hyper::RequestBody;
///
/// async fn length(body: RequestBody) -> Result<usize, hyper::Error> {
///     Ok(body.collect().await?.to_bytes().len())
/// }
/// ```
pub struct RequestBody {
    body: Incoming,
    /// The exchange of this body. `None` after the body has ended or failed.
    access: Option<Access>,
    /// If the service leaves more than this number of bytes of the body unread, the connection is closed.
    drained: u64,
}

impl RequestBody {
    /// Sets the minimum rate for the rest of this body, in place of [`Options::progress`](crate::Options::progress): see
    /// [`Incoming::set_progress`](crate::Incoming::set_progress). Call this method in a layer around a router, where the body
    /// still has this type.
    pub fn set_progress(&mut self, bytes: u64, window: impl Into<Option<Duration>>) {
        if let Some(access) = &self.access {
            let progress = Progress::new(bytes, window.into());
            access.with(|state| state.deadline.set_rate(Some(progress), state.seconds));
        }
    }

    /// Wraps hyper's body. If `expects_continue` is true, the client sends the body only after the service begins to
    /// read it. Such a body cannot be in hyper's first read, so hyper does not keep the connection if the service
    /// leaves a part of the body unread.
    pub(super) fn new(body: Incoming, access: &Access, expects_continue: bool) -> Self {
        let access = (!body.is_end_stream()).then(|| access.clone());
        access.iter().for_each(|access| access.with(|state| state.has_body = true));
        Self { body, access, drained: if expects_continue { 0 } else { DRAINED } }
    }

    /// Records that the service is done with the body. `is_dropped` is true if the body has not ended.
    fn end(&mut self, is_dropped: bool) {
        let has_left_body = is_dropped && self.body.size_hint().upper().is_none_or(|rest| rest > self.drained);
        if let Some(access) = self.access.take() {
            access.with(|state| {
                (state.has_body, state.wait) = (false, Wait::Handler);
                (state.has_dropped_body, state.has_left_body) = (is_dropped, has_left_body);
            });
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.end(false);
        } else if let Some(access) = &self.access {
            let wait = if polled.is_pending() { Wait::Body } else { Wait::Handler };
            access.with(|state| state.wait = wait);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.end(true);
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("body", &self.body).finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response.
    pub(super) struct ResponseBody<B> {
        #[pin]
        pub(super) body: B,
        pub(super) reply: Reply,
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        let polled = this.body.poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(report)) = (&polled, &mut this.reply.report) {
            report.add(frame.data_ref().map_or(0, Buf::remaining) as u64);
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
