//! The threads on which an app runs, and one exchange on them.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::thread;

use bytes::Buf;
use degu_wire::machine::{Connection, Content, RequestHead, Server};
use degu_wire::{Address, BoxError, Fault, Framing, LocalBody, Source};
use http::header::{CONNECTION, EXPECT, HOST};
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedSender, channel, unbounded_channel};
use tokio::sync::oneshot;

use super::body::{ServiceBody, pass};
use super::plain;
use crate::body_channel::{self, Supplier};
use crate::future::first;
use crate::http::{HttpBody, reframed};
use crate::options::Options;
use crate::request::components;
use crate::state::ServerState;
use crate::{App, Incoming, IntoResponse, Session};

/// What a thread is to do: makes a future there, which need not be `Send`.
pub(super) type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Starts a thread, which ends when its queue is gone and all that it was given is done.
pub(super) fn start(index: usize) -> io::Result<UnboundedSender<Job>> {
    let (queue, mut jobs) = unbounded_channel::<Job>();
    let (started, start) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name(format!("degu-app-{index}")).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        let _ = started.send(Ok(()));
        runtime.block_on(async {
            let (alive, mut gone) = channel::<Infallible>(1);
            while let Some(job) = jobs.recv().await {
                let alive = alive.clone();
                drop(tokio::task::spawn_local(async move {
                    job().await;
                    drop(alive);
                }));
            }
            drop(alive);
            gone.recv().await;
        });
        runtime.shutdown_background();
    })?;
    start.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended before it began")))?;
    Ok(queue)
}

/// One exchange, and the body of its response after it.
pub(super) async fn serve<A: App, B>(
    app: Arc<A>,
    state: Arc<ServerState>,
    options: Arc<Options>,
    request: Request<B>,
    mut answer: oneshot::Sender<Response<ServiceBody>>,
) where
    B: Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    let Err(response) = first(answer.closed(), exchange(&*app, &state, &options, request)).await else { return };
    let (parts, mut body) = match response {
        Ok(response) => response.into_parts(),
        Err(status) => return drop(answer.send(plain(status))),
    };
    let (passed, sender) = ServiceBody::new(&mut body);
    if answer.send(Response::from_parts(parts, passed)).is_ok()
        && let Some(sender) = sender
    {
        pass(body, sender).await;
    }
}

async fn exchange<A: App, B>(
    app: &A,
    state: &Arc<ServerState>,
    options: &Options,
    request: Request<B>,
) -> Result<Response<HttpBody>, StatusCode>
where
    B: Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    let (mut parts, body) = request.into_parts();
    let body = reframed(&mut parts.headers, body);
    let head = head(&parts, &body, options)?;
    if !options.allows(head.method()) {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    let mut session = session(&parts, state);
    session.insert(parts.extensions);
    if !app.on_connect(&mut session).await {
        return Err(StatusCode::FORBIDDEN);
    }
    if let Some(on_connect) = &options.on_connect
        && !on_connect(&mut session).await
    {
        return Err(StatusCode::FORBIDDEN);
    }
    session.requests = 1;
    let (framing, source) = match body.split() {
        (Content::Length(length), Some(source)) => (Framing::Length(length), source),
        (Content::Chunked, Some(source)) => (Framing::Chunked, source),
        _ => (Framing::None, nothing()),
    };
    let (supplier, reader) = body_channel::channel();
    let body = Incoming::of_channel(reader, framing, options.limits.max_chunk);
    drop(tokio::task::spawn_local(supply(supplier, source)));
    let path = components(head.path());
    let response = app.handle(&mut session, crate::Request::new(&head, &path, body)).await.into_response();
    response.into_http().map_err(|error| {
        tracing::error!(%error, "the app failed");
        match error.downcast_ref() {
            // What came was not whole, or too much: that is for the client to hear.
            Some(crate::BodyError::Peer(error)) => status(error.status()),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    })
}

/// Supplies the parts of a body as they are asked for, until its end or until its reader is gone.
async fn supply(supplier: Supplier, mut source: Pin<Box<dyn Source>>) {
    poll_fn(|cx| {
        while !supplier.is_abandoned() {
            if !supplier.is_wanted(cx) {
                return Poll::Pending;
            }
            let part = ready!(source.as_mut().poll_part(cx)).transpose();
            // Whatever its server says about it, there is no more of this body.
            supplier.supply(part.map_err(|_| Fault::TruncatedBody.into()));
        }
        Poll::Ready(())
    })
    .await;
}

fn nothing() -> Pin<Box<dyn Source>> {
    Box::pin(|_: &mut std::task::Context<'_>| Poll::Ready(None))
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The head, read by our own parser.
fn head(parts: &http::request::Parts, body: &LocalBody, options: &Options) -> Result<RequestHead, StatusCode> {
    let uri = &parts.uri;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut text = format!("{} {target} HTTP/1.1\r\n", parts.method).into_bytes();
    if let Some(authority) = uri.authority()
        && !parts.headers.contains_key(HOST)
    {
        text.extend_from_slice(format!("host: {authority}\r\n").as_bytes());
    }
    for (name, value) in &parts.headers {
        // The server around has seen to both.
        if name != CONNECTION && name != EXPECT {
            for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                text.extend_from_slice(piece);
            }
        }
    }
    let mut framing = String::new();
    match body.content() {
        Content::Chunked => framing.push_str("transfer-encoding: chunked\r\n"),
        // Writing into a string does not fail.
        Content::Length(length) => drop(write!(framing, "content-length: {length}\r\n")),
        _ => {}
    }
    text.extend_from_slice(framing.as_bytes());
    text.extend_from_slice(b"\r\n");
    let mut machine = Connection::<Server>::new(options.limits.clone());
    machine.receive_buffer().extend_from_slice(&text);
    match machine.poll_request() {
        Ok(Poll::Ready(Some(head))) => Ok(head),
        Ok(_) => Err(StatusCode::BAD_REQUEST),
        Err(error) => Err(status(error.status())),
    }
}

#[cfg(feature = "hyper")]
fn session(parts: &http::request::Parts, state: &Arc<ServerState>) -> Session {
    match parts.extensions.get::<crate::hyper::Caller>() {
        Some(caller) => caller.session(),
        None => Session::new(Address::ABSTRACT, None, state.clone()),
    }
}

#[cfg(not(feature = "hyper"))]
fn session(_: &http::request::Parts, state: &Arc<ServerState>) -> Session {
    Session::new(Address::ABSTRACT, None, state.clone())
}
