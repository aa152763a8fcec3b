//! Serves any tower service, a router of axum for example, with the sockets, the TLS and the deadlines of this server.
//!
//! hyper reads requests and writes responses; Degu brings what is around it: every kind of address, a policy of TLS, the
//! cap on connections, deadlines that are on, and a shutdown that finishes what has begun. A handler learns
//! [who calls](Caller) from the request's extensions.
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
//! On the runtime that [`serve`] is called in, a task for each connection, and not on Degu's workers: the futures of such
//! services are `Send` because they are made for that runtime, where their pools, timers and spawned tasks live, and on
//! one of several threads it goes on serving while a handler computes. What workers are for, futures that are not `Send`,
//! is not needed here.
//!
//! # What holds
//!
//! Everything in [`Options`] does, but for what is listed below. Deadlines are enforced around hyper, none of whose own is
//! used: hyper's own for heads needs a timer that most programs do not set, and it has no others.
//!
//! | deadline | of | what becomes of the connection |
//! | --- | --- | --- |
//! | [`handshake_timeout`](Options::handshake_timeout) | the handshake, with the wait for its turn | closed |
//! | [`idle_timeout`](Options::idle_timeout) | the wait for a request | closed |
//! | [`head_timeout`](Options::head_timeout) | a whole head, from its first byte | 408 |
//! | [`progress`](Options::progress) | a body that the service polls | 408; cut, if the response has begun |
//! | [`progress`](Options::progress) | a response, while the peer does not take it | cut |
//! | [`handler_timeout`](Options::handler_timeout) | the service, until its response begins | 503, and the future is dropped |
//! | [`half_close_timeout`](Options::half_close_timeout) | an exchange whose peer has ended its side | cut |
//! | [`shutdown_grace`](Options::shutdown_grace) | all of a shutdown, connections after an upgrade included | cut |
//!
//! Bytes that hyper reads together with the request before them belong to that one: a head that begins there, after a
//! pipelined request, is held to `idle_timeout` and not to `head_timeout`, and a shutdown does not wait for it.
//!
//! A service that fails or panics gets a 500 written in its place, and a body that does is cut. Either loses its connection
//! and no other. A peer that closes a Unix socket or resets a TCP connection cancels its handler at once, or within a second
//! if input has come that is not read yet. One that ends its side of a TCP connection, which is what closing looks like
//! there, has [`half_close_timeout`](Options::half_close_timeout) for the answer.
//!
//! # Switching to another protocol
//!
//! `hyper::upgrade::on(&mut request)` before the service answers 101, or what is built on it, such as axum's
//! `WebSocketUpgrade`. What the client sends before the answer is the first that the upgraded stream gives, and shutting the
//! stream down half-closes the connection, under TLS with close_notify. As with any `AsyncWrite`, what is written has gone out
//! once it has been flushed.
//!
//! The stream may move to another task. Its connection counts against [`max_connections`](Options::max_connections) until the
//! stream is dropped, no deadline applies to it, and a shutdown waits for it up to
//! [`shutdown_grace`](Options::shutdown_grace): then reading and writing are errors, in whatever task they are. `tunnel_idle_timeout`
//! is for Degu's own [`Tunnel`](crate::Tunnel). hyper checks neither that the client offered the protocol nor that the fields of
//! the 101 name it: the service does.
//!
//! # What is hyper's
//!
//! - **The grammar.** hyper is more lenient than Degu in what it reads, and checks no Host; it answers 400 or 431 to what it
//!   refuses, whatever [`error_reply`](Options::error_reply) says. Of [`Limits`](crate::Limits), `max_head` and
//!   `max_fields` hold, and `allow_http10`.
//!   [`on_response`](Options::on_response) is told of these answers, of 414 as 431.
//! - **Reason phrases, chunk boundaries and extensions**, which its types have no place for.
//!
//! Not available: [`on_connect`](Options::on_connect), whose futures are not `Send`. [`serve`] refuses it, so that
//! no client is let in by mistake; check the [`Caller`] in the service. [`workers`](Options::workers) has
//! no meaning, because the runtime has the threads. [`Options::listener`] binds with the options of sockets.

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

/// Serves a tower service on a listening socket until `shutdown` ends, and then until what has begun is finished: see the
/// [module](self) for what holds.
///
/// Each connection has a clone of the service. A shutdown accepts those who have connected, answers every request that
/// has come with `connection: close`, closes the connections between two requests, and cuts what is not done within
/// [`Options::shutdown_grace`]. A service on several addresses is served once for each, with a cap of its own.
///
/// # Errors
///
/// The socket could not be registered with the runtime or set up, or `options` has an `on_connect`
/// ([`InvalidInput`](std::io::ErrorKind::InvalidInput)).
///
/// # Panics
///
/// If it is called outside of a tokio runtime with its drivers enabled.
///
/// # Cancel safety
///
/// Dropping it begins a shutdown, for as long as the runtime lives on.
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
        let why = "on_connect is for apps on Degu's own workers: let the service look at its Caller";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
    }
    listener.detect_dead_peers(&options.deadlines)?;
    let options = Arc::new(options.workers(1));
    let state = Arc::new(options.state());
    let _stop = BeginOnDrop(state.clone(), Phase::Draining);
    let admission = Admission::new(Accepting::register([listener])?, state.clone(), options.clone());
    let (alive, mut gone) = mpsc::channel::<Infallible>(1);
    let server = state.clone();
    // A task, so that it can finish what it has when this future is dropped.
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
            // They end soon, except where the service keeps the bytes of an upgrade.
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
