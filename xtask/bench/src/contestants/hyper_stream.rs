//! hyper's large bodies.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1 as client;
use hyper::header::HOST;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::Fetch;
use super::hyper::Socket;
use crate::Result;
use crate::setup::{Setup, client_runtime};
use crate::socket::{Address, Listener, Stream, TokioStream};
use crate::stream::{Framing, PIECE, Wanted};

/// So many pieces, which are copied nowhere.
struct Pieces {
    framing: Framing,
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
        match self.framing {
            Framing::Length => SizeHint::with_exact(self.left as u64 * PIECE.len() as u64),
            Framing::Chunks => SizeHint::default(),
        }
    }
}

pub(super) fn serve(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (listener, bound) = Listener::bind(&setup.address)?;
    let runtime = setup.runtime()?;
    ready(bound)?;
    loop {
        let stream = listener.accept()?;
        runtime.block_on(async {
            match stream.into_tokio()? {
                TokioStream::Tcp(stream) => answer(TokioIo::new(stream)).await,
                TokioStream::Unix(stream) => answer(TokioIo::new(stream)).await,
            }
        })?;
    }
}

async fn answer(stream: impl Socket) -> Result {
    let answer = service_fn(async |request: Request<Incoming>| {
        let wanted = Wanted::parse(request.uri().path()).ok_or("not asked for a body")?;
        let body = Pieces { framing: wanted.framing, left: wanted.pieces };
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Response::new(body))
    });
    Ok(server::Builder::new().auto_date_header(false).serve_connection(stream, answer).await?)
}

pub(super) fn prepare(setup: &Setup) -> Result<Fetch> {
    let runtime = client_runtime(false)?;
    let stream = Stream::connect(&setup.address)?;
    let mut requests = runtime.block_on(async {
        match stream.into_tokio()? {
            TokioStream::Tcp(stream) => shake_hands(TokioIo::new(stream)).await,
            TokioStream::Unix(stream) => shake_hands(TokioIo::new(stream)).await,
        }
    })?;
    Ok(Box::new(move |wanted| {
        runtime.block_on(async {
            let request = Request::get(wanted.target()).header(HOST, "localhost").body(Empty::new())?;
            requests.ready().await?;
            let mut body = requests.send_request(request).await?.into_body();
            let mut octets = 0;
            while let Some(frame) = body.frame().await {
                octets += frame?.data_ref().map_or(0, |piece| piece.len() as u64);
            }
            Ok(octets)
        })
    }))
}

async fn shake_hands(stream: impl Socket) -> Result<client::SendRequest<Empty<Bytes>>> {
    let (requests, connection) = client::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(requests)
}
