//! hyper's client and server. They use the low-level `http1` connections, without a pool, a service stack or a `date`
//! field.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1 as client;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;

use super::{Ready, Trips, calls};
use crate::Result;
use crate::blocking_socket::connect;
use crate::ends::End;
use crate::message::TRACE;
use crate::socket::{Stream, into_tokio, serve_each};

/// The name of the contestant that sends the responses to pipelined requests together, when the last one is ready.
pub(super) const FLUSHING: &str = "hyper-flush";

pub(super) fn serve(end: &End, ready: &mut Ready<'_>) -> Result {
    let flush = end.contestant == FLUSHING;
    serve_each(end, ready, move |stream| answer(stream, flush))
}

async fn answer(stream: Stream, flush: bool) -> Result {
    let answer = service_fn(async |request: Request<Incoming>| {
        let body = match *request.method() {
            Method::GET => Bytes::copy_from_slice(request.uri().path().as_bytes()),
            _ => request.into_body().collect().await?.to_bytes(),
        };
        Ok::<_, hyper::Error>(Response::new(Full::new(body)))
    });
    let mut builder = server::Builder::new();
    let builder = builder.auto_date_header(false).pipeline_flush(flush);
    Ok(builder.serve_connection(TokioIo::new(stream), answer).await?)
}

pub(super) fn client(end: &End) -> Result<Trips> {
    let runtime = end.runtime(false)?;
    let mut sender = runtime.block_on(async {
        let stream = into_tokio(connect(&end.address)?)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Result::Ok(sender)
    })?;
    Ok(calls(runtime, async move |post| {
        // hyper takes ownership of the request. Building a request here costs less than copying a request that was
        // built before.
        let mut request = Request::new(Full::new(Bytes::from_static(&post.body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_maybe_shared(Bytes::from_static(post.path.as_bytes()))?;
        request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        request.headers_mut().insert(HeaderName::from_static(TRACE), HeaderValue::from_static(&post.trace));
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        Ok((response.status().as_u16(), response.into_body().collect().await?.to_bytes().len()))
    }))
}
