//! Serves any tower service, a router of axum for example, with the sockets, the TLS and the deadlines of this server.
//!
//! hyper reads requests and writes responses. Degu adds every kind of address, a TLS policy, the limit on connections, deadlines
//! that are on by default, and a graceful shutdown. A handler gets the identity of the [`Caller`] from the request's
//! extensions.
//!
//! ```no_run
//! use axum::{Extension, Router, routing::get};
//! use degu_server::hyper::{Caller, serve};
//! use degu_server::{Address, BoxError, Listener, Server};
//!
//! async fn whoami(Extension(caller): Extension<Caller>) -> String {
//!     format!("{:?}\n", caller.credentials().map(|process| process.uid))
//! }
//!
//! # async fn run() -> Result<(), BoxError> {
//! let app = Router::new().route("/", get(whoami));
//! let listener = Listener::bind(Address::unix("/run/whoami.sock"), Some(0o666))?;
//! let stop = async { drop(tokio::signal::ctrl_c().await) };
//! serve(listener, Server::options(), app, stop).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where it runs
//!
//! The service runs on the runtime in which [`serve`] is called, with a task for each connection, and not on Degu's workers. The
//! futures of tower services are `Send` and made for that runtime, where their pools, timers and spawned tasks live. A runtime
//! with several threads also goes on serving while a handler computes. Degu's workers are for futures that are not `Send`.
//!
//! # Which options apply
//!
//! All [`Options`] apply, except those listed below. Degu enforces the deadlines around hyper, and uses none of hyper's own:
//! hyper has only a deadline for heads, and it needs a timer that most programs do not set.
//!
//! | deadline | limits | when it expires, the connection |
//! | --- | --- | --- |
//! | [`handshake_timeout`](Options::handshake_timeout) | the handshake, including the wait for its turn | closed |
//! | [`idle_timeout`](Options::idle_timeout) | the wait for a request | closed |
//! | [`head_timeout`](Options::head_timeout) | a whole head, from its first byte | 408 |
//! | [`progress`](Options::progress) | a body that the service polls | 408; cut, if the response has begun |
//! | [`progress`](Options::progress) | a response, while the peer does not take it | cut |
//! | [`handler_timeout`](Options::handler_timeout) | the service, until its response begins | 503, and the future is dropped |
//! | [`half_close_timeout`](Options::half_close_timeout) | an exchange whose client has ended its side | cut |
//! | [`shutdown_grace`](Options::shutdown_grace) | the whole shutdown, including connections after an upgrade | cut |
//!
//! If hyper reads the beginning of a head together with the request before it (pipelining), these bytes count as part of that
//! request. The head then has `idle_timeout` and not `head_timeout`, and a shutdown does not wait for it.
//!
//! If the service fails or panics, the client gets 500. If a response's body fails or panics, the response is cut. Only
//! that connection is closed. If the client closes a Unix socket or resets a TCP connection, its handler is cancelled at once, or
//! within a second if there is unread input. A client that closes a TCP connection looks like one that only ends its side, so
//! the handler still has [`half_close_timeout`](Options::half_close_timeout) for the response.
//!
//! # Switching to another protocol
//!
//! A service calls `hyper::upgrade::on(&mut request)` before it answers 101, or uses a library that does, such as axum's
//! `WebSocketUpgrade`. The upgraded stream begins with the bytes that the client sent before the 101. Shutting the stream down
//! half-closes the connection, under TLS with close_notify. As with any `AsyncWrite`, written bytes have been sent only after a
//! flush.
//!
//! The stream may move to another task. Its connection counts against [`max_connections`](Options::max_connections) until the
//! stream is dropped. No deadline applies to it, because `tunnel_idle_timeout` is for Degu's own [`Tunnel`](crate::Tunnel). A
//! shutdown waits for it up to [`shutdown_grace`](Options::shutdown_grace); after that, reads and writes return errors in any
//! task. hyper does not check that the client offered the protocol, nor that the fields of the 101 name it: the service must.
//!
//! # Differences from Degu
//!
//! - **The grammar.** hyper accepts more malformed requests than Degu, and does not check Host. It answers 400 or 431 to
//!   requests that it refuses, without a body, whatever [`error_reply`](Options::error_reply) and
//!   [`error_body`](Options::error_body) are. For a request target that fills `max_head` it
//!   sends 431, where Degu sends 414. Of [`Limits`](crate::Limits), only `max_head`, `max_fields` and `allow_http10` apply.
//!   [`on_response`](Options::on_response) is called for hyper's refusals when their connection ends, usually within 6 s. The
//!   414 that hyper sends for a target over 65,534 bytes is reported as 431, because hyper's errors do not tell the two apart.
//! - **Chunk boundaries and extensions** are lost, because the types of hyper have no place for them. A reason phrase is the
//!   response's extension `hyper::ext::ReasonPhrase`.
//!
//! - **[`on_connect`](Options::on_connect)** is not available, because its futures are not `Send`. If it is set, [`serve`] returns
//!   an error, so no client is accepted by mistake. Check the [`Caller`] in the service instead.
//! - **The apps of [`applib`](crate::applib)** are for Degu's own apps. So a service on a loopback address has to check Host
//!   itself against DNS rebinding, as [`Hosts`](crate::applib::Hosts) does.
//! - **[`workers`](Options::workers)** has no effect, because the threads belong to the runtime.
//!
//! [`Options::listener`] binds a socket with the options for sockets.

mod body;
mod caller;
mod connection;
mod io;
mod pulse;
mod room;
mod service;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use degu_wire::BoxError;
use http_body::Body;
use hyper::{Request, Response};
use tokio::sync::mpsc;
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

/// Serves a tower service on a listening socket until the future `shutdown` completes, and then finishes the exchanges in
/// progress. The [module](self) says which options apply.
///
/// Each connection has a clone of the service. A shutdown still accepts connections that the kernel has queued. It answers every
/// received request with `connection: close`, closes connections between two requests, and cuts exchanges that are not done
/// within [`Options::shutdown_grace`]. To serve several addresses, call this function once for each. Each call has its own limit
/// on connections.
///
/// # Errors
///
/// The socket could not be set up or registered with the runtime.
/// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if `options` has an `on_connect`.
///
/// # Panics
///
/// If it is called outside of a tokio runtime with its drivers enabled.
///
/// # Cancel safety
///
/// Dropping the future begins a shutdown, which goes on as long as the runtime lives.
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
        let why = "hyper::serve does not support Options::on_connect: check the client in the service, by the request extension hyper::Caller";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
    }
    listener.detect_dead_peers(&options.deadlines)?;
    let options = Arc::new(options.workers(1));
    let state = Arc::new(options.state());
    let _stop = BeginOnDrop(state.clone(), Phase::Draining);
    let admission = Admission::new(Accepting::register(vec![listener])?, state.clone(), options.clone());
    let (alive, mut gone) = mpsc::channel::<Infallible>(1);
    let server = state.clone();
    // This is a task, so it can finish the exchanges after the future of `serve` is dropped.
    let mut work = tokio::spawn(async move {
        let grace = options.grace;
        let (state, mut number) = (server.clone(), 0);
        let accepting = admission.run(move |accepted| {
            number += 1;
            let room = Room::take(server.clone(), &options, number, alive.clone());
            drop(tokio::spawn(connection::serve(accepted, room, options.clone(), service.clone())));
        });
        accepting.await;
        if timeout(grace, gone.recv()).await.is_err() {
            state.begin(Phase::Aborting);
            // The connections end soon, unless the service keeps an upgraded stream.
            let _ = timeout(Duration::from_secs(1), gone.recv()).await;
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
