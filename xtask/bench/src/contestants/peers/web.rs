//! HTTP with fields of their own: axum on a listener of any kind, and the clients of hyper-util, reqwest and ureq, which keep a
//! pool.

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::{calls, runtime, socket_path};
use crate::Result;
use crate::contestants::{Dial, Ready, Setup, client_runtime};
use crate::message::{Post, TRACE};
use crate::socket::listen;

/// More than any response has.
const LIMIT: u64 = 4096;

pub(super) fn serve_axum(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    let answer = async |method: Method, uri: Uri, body: Bytes| {
        if method == Method::GET { Bytes::copy_from_slice(uri.path().as_bytes()) } else { body }
    };
    let (listener, bound) = listen(&setup.address)?;
    listener.set_nonblocking(true)?;
    runtime(setup)?.block_on(async {
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

/// The URL of a request: over a Unix socket its host is of no importance.
fn url(setup: &Setup, post: &Post) -> String {
    let host = socket_path(setup).map_or(setup.address.as_str(), |_| "localhost");
    format!("http://{host}{}", post.path)
}

pub(super) fn hyper_util(setup: &Setup) -> Result<Dial> {
    let (setup, tokio) = (setup.clone(), client_runtime(true)?);
    Ok(Box::new(move || {
        let builder = legacy::Client::builder(TokioExecutor::new());
        let request = |setup: &Setup, post: &'static Post| {
            let request = Request::post(url(setup, post)).header(TRACE, &post.trace);
            request.body(Full::new(Bytes::from_static(&post.body)))
        };
        macro_rules! client {
            ($client:expr) => {{
                let (client, setup) = ($client, setup.clone());
                calls(&tokio, async move |post| {
                    let response = client.request(request(&setup, post)?).await?;
                    Ok((response.status().as_u16(), response.into_body().collect().await?.to_bytes().len()))
                })
            }};
        }
        Ok(match socket_path(&setup).map(str::to_owned) {
            Some(path) => client!(builder.build(tower::service_fn(move |_: Uri| {
                let path = path.clone();
                Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
            }))),
            None => client!(builder.build({
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                connector
            })),
        })
    }))
}

pub(super) fn reqwest(setup: &Setup) -> Result<Dial> {
    let (setup, tokio) = (setup.clone(), client_runtime(true)?);
    Ok(Box::new(move || {
        let builder = reqwest::Client::builder();
        let client = match socket_path(&setup) {
            Some(path) => builder.unix_socket(path),
            None => builder,
        }
        .build()?;
        let setup = setup.clone();
        Ok(calls(&tokio, async move |post| {
            let request = client.post(url(&setup, post)).header(TRACE, &post.trace).body(post.body.as_slice());
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.bytes().await?.len()))
        }))
    }))
}

/// Has no Unix sockets.
pub(super) fn ureq(setup: &Setup) -> Result<Dial> {
    let (setup, tokio) = (setup.clone(), client_runtime(true)?);
    Ok(Box::new(move || {
        let (agent, setup) = (ureq::Agent::new_with_defaults(), setup.clone());
        Ok(calls(&tokio, async move |post| {
            let mut response = agent.post(url(&setup, post)).header(TRACE, &post.trace).send(&post.body)?;
            let body = response.body_mut().with_config().limit(LIMIT).read_to_vec()?;
            Ok((response.status().as_u16(), body.len()))
        }))
    }))
}
