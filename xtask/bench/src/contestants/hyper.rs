//! hyper, both sides with its own low-level `http1` connections: no pool, no service stack, no `date` field. One
//! connection is served on tokio's current-thread runtime; many are on as many threads as there are to be.

use std::rc::Rc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1 as client;
use hyper::header::{HOST, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::runtime::Runtime;

use super::{Client, Contestant, Dial, hyper_stream};
use crate::Result;
use crate::message::{BODY, HELLO_BODY};
use crate::setup::{Setup, client_runtime};
use crate::socket::{Address, Listener, Stream, TokioStream};

pub(super) const CONTESTANT: Contestant = Contestant {
    client: Some(prepare),
    server: Some(serve),
    crowd: Some(serve_crowd),
    tls: true,
    stream: Some(hyper_stream::serve),
    fetch: Some(hyper_stream::prepare),
    ..Contestant::named("hyper")
};

pub(super) trait Socket: Read + Write + Unpin + Send + 'static {}
impl<S: Read + Write + Unpin + Send + 'static> Socket for S {}

fn serve(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (listener, bound) = Listener::bind(&setup.address)?;
    let runtime = setup.runtime()?;
    ready(bound)?;
    loop {
        let stream = listener.accept()?;
        runtime.block_on(async {
            match stream.into_tokio()? {
                TokioStream::Tcp(stream) => answer(TokioIo::new(stream), false).await,
                TokioStream::Unix(stream) => answer(TokioIo::new(stream), false).await,
            }
        })?;
    }
}

fn serve_crowd(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (tls, flush) = (setup.acceptor()?, setup.flush);
    let (listener, bound) = Listener::bind(&setup.address)?;
    ready(bound)?;
    setup.runtime()?.block_on(async {
        let listener = listener.into_tokio()?;
        loop {
            // How a connection ends is of no interest to the others. Each kind is a task of its own, so that none is as
            // large as the largest.
            match (listener.accept().await?, tls.clone()) {
                (TokioStream::Tcp(stream), Some(tls)) => {
                    tokio::spawn(async move { answer(TokioIo::new(tls.accept(stream).await?), flush).await })
                }
                (TokioStream::Tcp(stream), None) => tokio::spawn(answer(TokioIo::new(stream), flush)),
                (TokioStream::Unix(stream), _) => tokio::spawn(answer(TokioIo::new(stream), flush)),
            };
        }
    })
}

async fn answer(stream: impl Socket, flush: bool) -> Result {
    let answer = service_fn(async |request: Request<Incoming>| {
        let body = match *request.method() {
            Method::GET => Bytes::from_static(HELLO_BODY),
            _ => request.into_body().collect().await?.to_bytes(),
        };
        Ok::<_, hyper::Error>(Response::new(Full::new(body)))
    });
    let mut builder = server::Builder::new();
    Ok(builder.auto_date_header(false).pipeline_flush(flush).serve_connection(stream, answer).await?)
}

fn prepare(setup: &Setup) -> Result<Dial> {
    let (address, tls) = (setup.address.clone(), setup.connector()?);
    let runtime = client_runtime(false)?;
    Ok(Box::new(move || {
        let stream = Stream::connect(&address)?;
        let requests = runtime.block_on(async {
            match (stream.into_tokio()?, &tls) {
                (TokioStream::Tcp(stream), Some((connector, name))) => {
                    shake_hands(TokioIo::new(connector.connect(name.clone(), stream).await?)).await
                }
                (TokioStream::Tcp(stream), None) => shake_hands(TokioIo::new(stream)).await,
                (TokioStream::Unix(stream), _) => shake_hands(TokioIo::new(stream)).await,
            }
        })?;
        Ok(Box::new(Hyper {
            requests,
            runtime: Rc::clone(&runtime),
            target: Uri::from_static("/example"),
            host: HeaderValue::from_static("localhost"),
        }))
    }))
}

async fn shake_hands(stream: impl Socket) -> Result<client::SendRequest<Full<Bytes>>> {
    let (requests, connection) = client::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(requests)
}

struct Hyper {
    requests: client::SendRequest<Full<Bytes>>,
    runtime: Rc<Runtime>,
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

    fn close(self: Box<Self>) -> Result {
        let Self { requests, runtime, .. } = *self;
        drop(requests);
        // The connection is a task of the runtime, which ends once it is polled again.
        runtime.block_on(tokio::task::yield_now());
        Ok(())
    }
}
