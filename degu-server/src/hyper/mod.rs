//! Serves a tower service, such as an axum router, with the sockets, the TLS and the deadlines of this server.
//!
//! hyper reads requests and writes responses. Degu adds every kind of address, a TLS policy, a limit on connections, deadlines
//! that are on by default, and a graceful shutdown. Each request has an extension of the type [`Caller`], which identifies the
//! client.
//!
//! ```no_run
//! use axum::{Extension, Router, routing::get};
//! use degu_server::hyper::{Caller, serve};
//! use degu_server::{Address, BoxError, Server};
//!
//! async fn whoami(Extension(caller): Extension<Caller>) -> String {
//!     format!("{:?}\n", caller.credentials().map(|process| process.uid))
//! }
//!
//! # async fn run() -> Result<(), BoxError> {
//! let app = Router::new().route("/", get(whoami));
//! let options = Server::options().socket_mode(0o666);
//! let listener = options.listener(Address::unix("/run/whoami.sock"))?;
//! let stop = async { drop(tokio::signal::ctrl_c().await) };
//! serve(listener, options, app, stop).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where it runs
//!
//! The service runs on the runtime in which [`serve`] is called, with a task for each connection. It does not run on Degu's
//! workers. The futures of tower services are `Send`, and use the pools, timers and tasks of that runtime. If the runtime has
//! several threads, it continues to serve while a handler computes. Degu's workers are for futures that are not `Send`.
//!
//! # Which options apply
//!
//! All [`Options`] apply, except those that the sections below name. Degu itself enforces the deadlines. The
//! deadline of hyper for heads is switched off.
//!
//! | deadline | limits | when it expires |
//! | --- | --- | --- |
//! | [`handshake_timeout`](Options::handshake_timeout) | the handshake | the connection is closed |
//! | [`idle_timeout`](Options::idle_timeout) | the wait for a request | the connection is closed |
//! | [`head_timeout`](Options::head_timeout) | a whole head, from its first byte | the client gets 408 |
//! | [`progress`](Options::progress) | a body that the service polls | the client gets 408; a response that has begun is cut; after a complete response the connection is closed |
//! | [`progress`](Options::progress) | a response that the client receives too slowly | the response is cut |
//! | [`handler_timeout`](Options::handler_timeout) | the service, from its call until its response begins | the client gets 503, and the future is dropped |
//! | [`half_close_timeout`](Options::half_close_timeout) | an exchange whose client has ended its side | the connection is closed |
//! | [`shutdown_grace`](Options::shutdown_grace) | the whole shutdown, including connections after an upgrade | the connections are cut |
//!
//! A client may send the beginning of its next head together with a request (pipelining). These bytes then count as a part of
//! that request. The next head has `idle_timeout` in place of `head_timeout`, and a shutdown does not wait for it.
//!
//! If the service fails or panics, or its response has a status of 1xx other than 101, the client gets 500. If the body of a
//! response fails or panics while it is sent, the response is cut. Other connections are not affected.
//!
//! `content-length` is removed from responses with `transfer-encoding`, and from 101, 204 and 304 responses. The client gets 500
//! in place of any other response whose `content-length` is malformed, is repeated with another value, or differs from the exact
//! size hint of the body. A response to HEAD may have any `content-length` if its body is empty.
//!
//! If the client closes a Unix socket or resets a TCP connection, the handler of its request is cancelled at once, or within a
//! second if there is unread input. If the client closes a TCP connection, the server cannot tell this from a half-close. The
//! handler is then cancelled after [`half_close_timeout`](Options::half_close_timeout).
//!
//! # Switching to another protocol
//!
//! A service calls `hyper::upgrade::on(&mut request)` before it returns a 101 response. Libraries can do that, for example
//! axum's `WebSocketUpgrade`. The upgraded stream begins with the bytes that the client sent after its request. Shutting the
//! stream down half-closes the connection, under TLS with close_notify. As with any `AsyncWrite`, a flush is needed to send
//! written bytes.
//!
//! The stream may move to another task. Until the stream is dropped, the connection counts against
//! [`max_connections`](Options::max_connections). The stream has no deadline: `tunnel_idle_timeout` applies only to
//! Degu's own [`Tunnel`](crate::Tunnel). A shutdown waits for the stream, up to
//! [`shutdown_grace`](Options::shutdown_grace). After this time, the connection is reset, and each use of the stream
//! returns an error. hyper checks neither that the client has offered the protocol, nor that the 101 names the
//! protocol. The service must check both.
//!
//! # Differences from Degu
//!
//! - **The grammar.** hyper accepts more malformed requests than Degu, and does not check Host.
//! - **Refusals.** If hyper itself refuses a request, it sends 400 or 431 without a body. [`error_reply`](Options::error_reply)
//!   and [`error_body`](Options::error_body) have no effect on these responses. For a request target that fills `max_head`,
//!   hyper sends 431, and Degu 414.
//! - **[`Limits`](crate::Limits).** Only `max_head`, `max_fields` and `allow_http10` apply.
//! - **Chunk boundaries and extensions** are lost, because the types of hyper have no place for them.
//! - **Reason phrases.** A service sets one with the extension `hyper::ext::ReasonPhrase` of the response.
//! - **[`on_connect`](Options::on_connect)** is not available, because its futures are not `Send`. If it is set, [`serve`]
//!   returns an error, so no client is accepted by mistake. Check the [`Caller`] in the service instead.
//! - **The apps of [`applib`](crate::applib)** work only with Degu's own apps. A service on a loopback address must therefore
//!   check Host itself, as a protection against DNS rebinding. [`Hosts`](crate::applib::Hosts) shows the rules.
//! - **[`workers`](Options::workers) and [`spin`](Options::spin)** have no effect, because the threads belong to the runtime.
//!
//! [`Options::listener`] binds the socket.

mod body;
mod caller;
mod connection;
mod io;
mod room;
mod service;
mod shared;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use degu_wire::BoxError;
use http_body::Body;
use hyper::{Request, Response};
use tokio::time::timeout;
use tower_service::Service;

pub use body::RequestBody;
pub use caller::Caller;

use room::Room;

use crate::admission::Admission;
use crate::future::first;
use crate::listen::Accepting;
use crate::state::{BeginOnDrop, Phase};
use crate::{Listener, Options};

/// Serves a tower service on a listening socket until the future `shutdown` completes. Then shuts down gracefully. The
/// [module](self) says which options apply.
///
/// Each connection has a clone of the service. To serve several addresses, call this function once for each address. Each call
/// has its own limit on connections.
///
/// During a shutdown, the server still accepts connections that the kernel has queued, up to `max_connections`.
/// Received requests are answered with `connection: close`. Connections between two requests are closed. Exchanges that
/// are not done within [`Options::shutdown_grace`] are cut.
///
/// # Errors
///
/// - The socket could not be set up or registered with the runtime.
/// - `options` has an `on_connect` ([`InvalidInput`](std::io::ErrorKind::InvalidInput)).
///
/// # Panics
///
/// If it is called outside of a tokio runtime with its drivers enabled.
///
/// # Cancel safety
///
/// Dropping the future begins a graceful shutdown. A task of the runtime completes it, so keep the runtime running.
pub async fn serve<S, B>(
    listener: Listener,
    options: Options,
    service: S,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    if options.on_connect.is_some() {
        let why = "`hyper::serve` does not support `Options::on_connect`: check the client in the service instead, where the request has the extension `hyper::Caller`";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
    }
    listener.detect_dead_peers(&options.deadlines)?;
    let options = Arc::new(options.workers(1));
    let state = Arc::new(options.state());
    let _stop = BeginOnDrop(state.clone(), Phase::Draining);
    let admission = Admission::new(Accepting::register(vec![listener])?, state.clone(), options.clone());
    let server = state.clone();
    // A task can finish the exchanges after the future of `serve` is dropped.
    let mut work = tokio::spawn(async move {
        let grace = options.grace;
        let (state, mut number) = (server.clone(), 0);
        let accepting = admission.run(move |accepted| {
            number += 1;
            let room = Room::take(server.clone(), options.clone(), number);
            drop(tokio::spawn(connection::serve(accepted, room, service.clone())));
        });
        accepting.await;
        if timeout(grace, state.drained(0)).await.is_err() {
            state.begin(Phase::Aborting);
            // The connections now end soon, unless the service still holds an upgraded stream.
            let _ = timeout(Duration::from_secs(1), state.drained(0)).await;
        }
    });
    let ended = match first(&mut work, shutdown).await {
        Ok(ended) => ended,
        Err(()) => {
            state.begin(Phase::Draining);
            work.await
        }
    };
    ended.map_err(std::io::Error::other)
}
