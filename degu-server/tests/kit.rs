//! A server on a runtime of its own, and bodies that are meant to hurt.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use degu_server::hyper::{RequestBody, serve};
use degu_server::{Address, BoxError, Options};
use futures_core::Stream;
use http_body::Frame;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tower_service::Service;

use crate::common::Raw;

/// A running server, gone when dropped.
pub(crate) struct Serving {
    pub(crate) address: Address,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    pub(crate) fn new<S>(options: Options, address: Address, service: S) -> Self
    where
        S: Service<Request<RequestBody>, Response = Response<Body>, Error: Into<BoxError>> + Clone + Send + 'static,
        S::Future: Send,
    {
        let mut threads = Builder::new_multi_thread();
        threads.worker_threads(2);
        Self::on(threads, options, address, service)
    }

    /// Serves on this runtime. If the runtime has one thread, then before a new connection is accepted, the server has read all
    /// bytes that were sent earlier, and every connection whose response the test has read counts as idle.
    pub(crate) fn on<S>(mut runtime: Builder, options: Options, address: Address, service: S) -> Self
    where
        S: Service<Request<RequestBody>, Response = Response<Body>, Error: Into<BoxError>> + Clone + Send + 'static,
        S::Future: Send,
    {
        let listener = options.listener(address).unwrap();
        let address = listener.address().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = runtime.enable_all().build().unwrap();
            let stopped = async { drop(stopped.await) };
            runtime.block_on(serve(listener, options, service, stopped)).unwrap();
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn connect(&self) -> Raw {
        Raw::connect(&self.address)
    }

    /// Begins a shutdown, and waits for its end.
    pub(crate) fn shut_down(mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The lines of a response, sorted but for the first: the order of fields is hyper's.
pub(crate) fn order(response: &str) -> Vec<String> {
    let mut lines: Vec<_> = response.split("\r\n").map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

/// Tells when it is dropped.
pub(crate) struct Tell(pub(crate) mpsc::Sender<()>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, Infallible>>>;

/// Always has more.
pub(crate) struct Endless {
    /// Dropped with it.
    pub(crate) _tell: Tell,
}

impl Stream for Endless {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; 1 << 16])))))
    }
}

/// Panics after its first half.
pub(crate) struct Panicking(pub(crate) bool);

impl Stream for Panicking {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match self.0 {
            false => {
                self.0 = true;
                cx.waker().wake_by_ref();
                Poll::Ready(Some(Ok(Frame::data(Bytes::from("half")))))
            }
            true => panic!("a body that panics"),
        }
    }
}

/// A body of the frames that come through a channel.
pub(crate) struct Receiving(pub(crate) tokio::sync::mpsc::Receiver<Result<Frame<Bytes>, Infallible>>);

impl Stream for Receiving {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        self.0.poll_recv(cx)
    }
}
