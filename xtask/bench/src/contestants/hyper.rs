//! hyper, both sides with its own low-level `http1` connections: no pool, no service stack, no `date` field.

use std::convert::Infallible;
use std::iter::Cycle;
use std::pin::Pin;
use std::rc::Rc;
use std::slice::Iter;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1 as client;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::runtime::Runtime;

use super::{Client, Dial, PIECE, Ready, Setup, check, client_runtime, large};
use crate::Result;
use crate::message::{POSTS, Post, TRACE};
use crate::socket::{Stream, connect_tokio, serve_each};

pub(super) fn serve(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    serve_each(setup, ready, |stream| answer(stream, false))
}

/// Keeps the responses to pipelined requests back until the last one.
pub(super) fn serve_flushing(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    serve_each(setup, ready, |stream| answer(stream, true))
}

async fn answer(stream: Stream, flush: bool) -> Result {
    let answer = service_fn(async |request: Request<Incoming>| {
        let target = request.uri().path();
        let body = match (request.method(), large(target)) {
            (&Method::GET, Some((chunked, left))) => Either::Right(Pieces { chunked, left }),
            (&Method::GET, None) => Either::Left(Full::new(Bytes::copy_from_slice(target.as_bytes()))),
            _ => Either::Left(Full::new(request.into_body().collect().await?.to_bytes())),
        };
        Ok::<_, hyper::Error>(Response::new(body))
    });
    let mut builder = server::Builder::new();
    let builder = builder.auto_date_header(false).pipeline_flush(flush);
    Ok(builder.serve_connection(TokioIo::new(stream), answer).await?)
}

/// This number of pieces, which are not copied.
struct Pieces {
    chunked: bool,
    left: usize,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
    }

    /// An exact one makes a `content-length`.
    fn size_hint(&self) -> SizeHint {
        if self.chunked { SizeHint::default() } else { SizeHint::with_exact((self.left * PIECE.len()) as u64) }
    }
}

struct Hyper {
    sender: client::SendRequest<Full<Bytes>>,
    runtime: Rc<Runtime>,
    posts: Cycle<Iter<'static, Post>>,
}

pub(super) fn client(setup: &Setup) -> Result<Dial> {
    let (address, tls, runtime) = (setup.address.clone(), setup.connector()?, client_runtime(false)?);
    Ok(Box::new(move || {
        let sender = runtime.block_on(async {
            let (sender, connection) = client::handshake(TokioIo::new(connect_tokio(&address, &tls).await?)).await?;
            tokio::spawn(connection);
            crate::Result::Ok(sender)
        })?;
        Ok(Box::new(Hyper { sender, runtime: Rc::clone(&runtime), posts: POSTS.iter().cycle() }))
    }))
}

impl Client for Hyper {
    fn trips(&mut self, count: u64) -> Result {
        let Self { sender, runtime, posts } = self;
        runtime.block_on(async {
            for post in posts.by_ref().take(count as usize) {
                // hyper takes ownership of the request. Building a request here costs less than copying a request that
                // was built before.
                let mut request = Request::new(Full::new(Bytes::from_static(&post.body)));
                *request.method_mut() = Method::POST;
                *request.uri_mut() = Uri::from_maybe_shared(Bytes::from_static(post.path.as_bytes()))?;
                request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
                request.headers_mut().insert(HeaderName::from_static(TRACE), HeaderValue::from_static(&post.trace));
                sender.ready().await?;
                let response = sender.send_request(request).await?;
                let status = response.status().as_u16();
                check(status, response.into_body().collect().await?.to_bytes().len(), post.body.len())?;
            }
            Ok(())
        })
    }

    fn fetch(&mut self, target: &str) -> Result<u64> {
        let Self { sender, runtime, .. } = self;
        runtime.block_on(async {
            let request = Request::get(target).header(HOST, "localhost").body(Full::default())?;
            sender.ready().await?;
            let (mut body, mut received) = (sender.send_request(request).await?.into_body(), 0);
            while let Some(frame) = body.frame().await {
                received += frame?.data_ref().map_or(0, |piece| piece.len() as u64);
            }
            Ok(received)
        })
    }

    fn close(self: Box<Self>) -> Result {
        let Self { sender, runtime, .. } = *self;
        drop(sender);
        // The connection is a task of the runtime. The task ends when it is polled again.
        runtime.block_on(tokio::task::yield_now());
        Ok(())
    }
}
