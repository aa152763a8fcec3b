//! Libraries that send additional fields: axum's server on a listener of any kind, and the clients of hyper-util,
//! reqwest and ureq, which have pools.

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::socket_path;
use crate::Result;
use crate::contestants::{Ready, Setup, Trips, calls};
use crate::message::{Post, TRACE};
use crate::socket::listen;

/// The longest body of a response, in bytes. No response has more.
const LIMIT: u64 = 4096;

pub(super) fn serve_axum(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    let answer = async |method: Method, uri: Uri, body: Bytes| {
        if method == Method::GET { Bytes::copy_from_slice(uri.path().as_bytes()) } else { body }
    };
    let (listener, bound) = listen(&setup.address)?;
    listener.set_nonblocking(true)?;
    setup.runtime(true)?.block_on(async {
        let app = Router::new().fallback(answer);
        ready(bound)?;
        if socket_path(setup).is_some() {
            axum::serve(UnixListener::from_std(listener.into())?, app).await?;
        } else {
            axum::serve(TcpListener::from_std(listener.into())?, app).await?;
        }
        Err("the server ended".into())
    })
}

/// Returns the URL of a request. Over a Unix socket, the host in the URL has no effect.
fn url(setup: &Setup, post: &Post) -> String {
    let host = socket_path(setup).map_or(setup.address.as_str(), |_| "localhost");
    format!("http://{host}{}", post.path)
}

pub(super) fn hyper_util(setup: &Setup) -> Result<Trips> {
    let builder = legacy::Client::builder(TokioExecutor::new());
    match socket_path(setup).map(str::to_owned) {
        Some(path) => hyper_util_with(
            setup,
            builder.build(tower::service_fn(move |_: Uri| {
                let path = path.clone();
                Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
            })),
        ),
        None => {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            hyper_util_with(setup, builder.build(connector))
        }
    }
}

fn hyper_util_with<C>(setup: &Setup, client: legacy::Client<C, Full<Bytes>>) -> Result<Trips>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let setup = setup.clone();
    Ok(calls(setup.runtime(true)?, async move |post| {
        let request = Request::post(url(&setup, post)).header(TRACE, &post.trace);
        let response = client.request(request.body(Full::new(Bytes::from_static(&post.body)))?).await?;
        Ok((response.status().as_u16(), response.into_body().collect().await?.to_bytes().len()))
    }))
}

pub(super) fn reqwest(setup: &Setup) -> Result<Trips> {
    let (setup, builder) = (setup.clone(), reqwest::Client::builder());
    let builder = match socket_path(&setup) {
        Some(path) => builder.unix_socket(path),
        None => builder,
    };
    let client = builder.build()?;
    Ok(calls(setup.runtime(true)?, async move |post| {
        let request = client.post(url(&setup, post)).header(TRACE, &post.trace).body(post.body.as_slice());
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.bytes().await?.len()))
    }))
}

/// A client of ureq, which does not support Unix sockets.
pub(super) fn ureq(setup: &Setup) -> Result<Trips> {
    let (setup, agent) = (setup.clone(), ureq::Agent::new_with_defaults());
    Ok(calls(setup.runtime(true)?, async move |post| {
        let mut response = agent.post(url(&setup, post)).header(TRACE, &post.trace).send(&post.body)?;
        let body = response.body_mut().with_config().limit(LIMIT).read_to_vec()?;
        Ok((response.status().as_u16(), body.len()))
    }))
}
