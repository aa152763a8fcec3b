//! The body of a response, on its way from the app's thread.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use degu_wire::BoxError;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::future::first;
use crate::http::HttpBody;

type Passed = Result<Option<Frame<Bytes>>, BoxError>;

/// The body of a response of an [`AppService`](super::AppService). Dropping it drops the app's body.
#[derive(Debug, Default)]
pub struct ServiceBody {
    /// Octets that were at hand.
    whole: Option<Bytes>,
    /// None where there is nothing to wait for.
    frames: Option<Receiver<Passed>>,
    /// How many octets are to come, where that is known.
    left: Option<u64>,
}

impl ServiceBody {
    /// The body, and where its frames go.
    pub(super) fn new(body: &mut HttpBody) -> (Self, Option<Sender<Passed>>) {
        let left = body.size_hint().exact();
        let whole = body.take_bytes();
        if body.is_end_stream() {
            return (Self { whole, frames: None, left }, None);
        }
        let (sender, receiver) = channel(1);
        (Self { whole, frames: Some(receiver), left }, Some(sender))
    }
}

/// Passes a body on, until its end or until nobody wants it.
pub(super) async fn pass(body: HttpBody, sender: Sender<Passed>) {
    let mut body = pin!(body);
    loop {
        let frame = poll_fn(|cx| body.as_mut().poll_frame(cx));
        let Err(frame) = first(sender.closed(), frame).await else { return };
        let ends = !matches!(frame, Some(Ok(_)));
        if sender.send(frame.transpose()).await.is_err() || ends {
            return;
        }
    }
}

impl Body for ServiceBody {
    type Data = Bytes;
    type Error = BoxError;

    /// # Errors
    ///
    /// What the app's body says.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(whole) = self.whole.take() {
            self.left = Some(0);
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        let Some(frames) = &mut self.frames else { return Poll::Ready(None) };
        // Without a word about its end the body is not whole.
        let passed = ready!(frames.poll_recv(cx)).unwrap_or_else(|| Err("the body of a response panicked".into()));
        match &passed {
            Ok(Some(frame)) => {
                let octets = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.left = self.left.map(|left| left.saturating_sub(octets));
            }
            Ok(None) | Err(_) => self.frames = None,
        }
        Poll::Ready(passed.transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_none() && (self.frames.is_none() || self.left == Some(0))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
