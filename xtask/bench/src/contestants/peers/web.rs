//! Libraries that send additional fields: axum's server on a listener of any kind, and the clients of hyper-util,
//! reqwest and ureq, which have pools.

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, UnixListener};

use super::socket_path;
use crate::Result;
use crate::blocking_socket::{connect, listen};
use crate::contestants::{Ready, Trips, blocking_calls, calls};
use crate::ends::End;
use crate::message::{Post, TRACE};
use crate::socket::{Stream, into_tokio};

pub(super) fn serve_axum(end: &End, ready: &mut Ready<'_>) -> Result {
    let answer = async |method: Method, uri: Uri, body: Bytes| {
        if method == Method::GET { Bytes::copy_from_slice(uri.path().as_bytes()) } else { body }
    };
    let (listener, bound) = listen(&end.address)?;
    listener.set_nonblocking(true)?;
    end.runtime(true)?.block_on(async {
        let app = Router::new().fallback(answer);
        ready(bound)?;
        if socket_path(end).is_some() {
            axum::serve(UnixListener::from_std(listener.into())?, app).await?;
        } else {
            axum::serve(TcpListener::from_std(listener.into())?, app).await?;
        }
        Err("the server ended".into())
    })
}

/// Returns the beginning of the URL of each request. Over a Unix socket, the host in the URL has no effect.
fn origin(end: &End) -> String {
    format!("http://{}", socket_path(end).map_or(end.address.as_str(), |_| "localhost"))
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

pub(super) fn hyper_util(end: &End) -> Result<Trips> {
    let (origin, address) = (origin(end), end.address.clone());
    let connector = tower::service_fn(move |_: Uri| {
        let stream = connect(&address).and_then(|socket| Ok(TokioIo::new(into_tokio(socket)?)));
        Box::pin(async { stream })
    });
    let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
    Ok(calls(end.runtime(true)?, async move |post| {
        let request = Request::post(format!("{origin}{}", post.path)).header(TRACE, &post.trace);
        let response = client.request(request.body(Full::new(Bytes::from_static(&post.body)))?).await?;
        Ok((response.status().as_u16(), response.into_body().collect().await?.to_bytes().len()))
    }))
}

pub(super) fn reqwest(end: &End) -> Result<Trips> {
    let (origin, mut builder) = (origin(end), reqwest::Client::builder());
    if let Some(path) = socket_path(end) {
        builder = builder.unix_socket(path);
    }
    let client = builder.build()?;
    Ok(calls(end.runtime(true)?, async move |post| {
        let request = client.post(format!("{origin}{}", post.path)).header(TRACE, &post.trace);
        let response = request.body(post.body.as_slice()).send().await?;
        Ok((response.status().as_u16(), response.bytes().await?.len()))
    }))
}

/// A client of ureq, which does not support Unix sockets.
pub(super) fn ureq(end: &End) -> Result<Trips> {
    let (origin, agent) = (origin(end), ureq::Agent::new_with_defaults());
    blocking_calls(end, || {
        let (origin, agent) = (origin.clone(), agent.clone());
        Ok(move |post: &'static Post| {
            let request = agent.post(format!("{origin}{}", post.path)).header(TRACE, &post.trace);
            let mut response = request.send(&post.body)?;
            Ok((response.status().as_u16(), response.body_mut().read_to_vec()?.len()))
        })
    })
}
