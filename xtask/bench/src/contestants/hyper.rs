//! hyper, both sides on tokio's current-thread runtime, with its own low-level `http1` connections: no pool, no
//! service stack, no `date` field.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1 as client;
use hyper::header::{HOST, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::runtime::{Builder, Runtime};

use super::{Client, Contestant};
use crate::Result;
use crate::message::BODY;
use crate::socket::{Address, Listener, Stream, TokioStream};

pub(super) const CONTESTANT: Contestant = Contestant { name: "hyper", client: Some(connect), server: Some(serve) };

trait Socket: Read + Write + Unpin + Send + 'static {}
impl<S: Read + Write + Unpin + Send + 'static> Socket for S {}

fn serve(address: &Address, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (listener, bound) = Listener::bind(address)?;
    let runtime = Builder::new_current_thread().enable_io().build()?;
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
    let echo = service_fn(async |request: Request<Incoming>| {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Response::new(Full::new(body)))
    });
    Ok(server::Builder::new().auto_date_header(false).serve_connection(stream, echo).await?)
}

fn connect(address: &Address) -> Result<Box<dyn Client>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let stream = Stream::connect(address)?;
    let requests = runtime.block_on(async {
        match stream.into_tokio()? {
            TokioStream::Tcp(stream) => shake_hands(TokioIo::new(stream)).await,
            TokioStream::Unix(stream) => shake_hands(TokioIo::new(stream)).await,
        }
    })?;
    Ok(Box::new(Hyper {
        requests,
        runtime,
        target: Uri::from_static("/example"),
        host: HeaderValue::from_static("localhost"),
    }))
}

async fn shake_hands(stream: impl Socket) -> Result<client::SendRequest<Full<Bytes>>> {
    let (requests, connection) = client::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(requests)
}

struct Hyper {
    requests: client::SendRequest<Full<Bytes>>,
    runtime: Runtime,
    // Made once and cloned, which copies no octets.
    target: Uri,
    host: HeaderValue,
}

impl Client for Hyper {
    fn trips(&mut self, count: u64) -> Result {
        let Self { requests, runtime, target, host } = self;
        runtime.block_on(async {
            for _ in 0..count {
                let mut request = Request::new(Full::new(Bytes::from_static(BODY)));
                *request.method_mut() = Method::POST;
                *request.uri_mut() = target.clone();
                request.headers_mut().insert(HOST, host.clone());
                requests.ready().await?;
                let response = requests.send_request(request).await?;
                if response.status() != StatusCode::OK {
                    return Err("a status other than 200".into());
                }
                if response.into_body().collect().await?.to_bytes().len() != BODY.len() {
                    return Err("a body of another length".into());
                }
            }
            Ok(())
        })
    }
}
