//! An app as a service of tower: inside a router of axum, behind layers, on a server of somebody else.
//!
//! ```
//! use degu_server::tower::AppService;
//! use degu_server::{Request, Session};
//!
//! async fn app(_: &mut Session, request: Request<'_>) -> String {
//!     format!("the rest of the path is {:?}\n", request.path())
//! }
//!
//! let router: axum::Router = axum::Router::new().nest_service("/degu", AppService::new(app)?);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The futures of an app need not be `Send`, and those of a service are asked to be. So an [`AppService`] has threads of its
//! own, as a server has, on which the app runs; requests and bodies cross over to them. That costs two wake-ups an
//! exchange, which an app that is served by Degu does without.
//!
//! # What an app sees
//!
//! The head of a request goes through Degu's own parser, so that an app gets nothing that it could not get over a socket;
//! what is refused there is answered as a server would. Host is that of the URI if the request has none of its own. The
//! body comes with its trailers, each frame of data a chunk, if it has no length.
//!
//! A session lasts for one request, since a service knows nothing of connections. It knows who calls where the
//! `Caller` of `hyper::serve` is among the request's extensions, with that feature; otherwise its address is
//! [`Address::ABSTRACT`](crate::Address::ABSTRACT), which says nothing. All extensions are in the session: see
//! [`Session::get`](crate::Session::get) with the type [`Extensions`](http::Extensions). Whom `on_connect` does not want
//! gets 403.
//!
//! # What holds
//!
//! Of [`Options`], the limits, the methods, the workers and `on_connect`. Deadlines, the cap and TLS are those of the server
//! around it. An app that fails or panics is answered for with 500; a body that fails cuts the response. Dropping the
//! response, or its future, drops the app's future and its body. What is lost of the response is in [`crate::http`].

mod body;
mod worker;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Buf;
use degu_wire::BoxError;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tower_service::Service;

pub use body::ServiceBody;

use crate::state::{Phase, ServerState};
use crate::{App, Options};
use worker::Job;

/// An app as a service of tower: see the [module](self).
pub struct AppService<A> {
    shared: Arc<Shared<A>>,
}

struct Shared<A> {
    app: Arc<A>,
    state: Arc<ServerState>,
    options: Arc<Options>,
    queues: Vec<UnboundedSender<Job>>,
    turn: AtomicUsize,
}

impl<A> Drop for Shared<A> {
    fn drop(&mut self) {
        self.state.begin(Phase::Draining);
    }
}

impl<A: App> AppService<A> {
    /// A service with threads of its own, as many as a server has: they end with its last clone and the last response.
    ///
    /// # Errors
    ///
    /// A thread could not be started.
    pub fn new(app: A) -> io::Result<Self> {
        Self::with_options(Options::new(), app)
    }

    /// As [`new`](Self::new), with options.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_options(mut options: Options, app: A) -> io::Result<Self> {
        let workers = options.workers;
        // Whether there must be a Host is for the server around it to say.
        Arc::make_mut(&mut options.limits).allow_missing_host = true;
        let state = Arc::new(options.state());
        let queues = (0..workers).map(worker::start).collect::<io::Result<_>>()?;
        Ok(Self {
            shared: Arc::new(Shared {
                app: Arc::new(app),
                state,
                options: Arc::new(options),
                queues,
                turn: AtomicUsize::new(0),
            }),
        })
    }
}

impl<A, B> Service<Request<B>> for AppService<A>
where
    A: App,
    B: Body + Send + 'static,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    type Response = Response<ServiceBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let (answer, answered) = oneshot::channel();
        let (app, state) = (self.shared.app.clone(), self.shared.state.clone());
        let options = self.shared.options.clone();
        let job: Job = Box::new(move || Box::pin(worker::serve(app, state, options, request, answer)));
        let queues = &self.shared.queues;
        // A thread that is gone drops the job, and the future hears of it.
        let _ = queues[self.shared.turn.fetch_add(1, Relaxed) % queues.len()].send(job);
        ResponseFuture { answered }
    }
}

/// The response of an [`AppService`], on its way. Dropping it drops the app's future.
#[derive(Debug)]
pub struct ResponseFuture {
    answered: oneshot::Receiver<Response<ServiceBody>>,
}

impl Future for ResponseFuture {
    type Output = Result<Response<ServiceBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answered).poll(cx).map(|answered| {
            // The app panicked.
            Ok(answered.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR)))
        })
    }
}

fn plain(status: StatusCode) -> Response<ServiceBody> {
    let mut response = Response::new(ServiceBody::default());
    *response.status_mut() = status;
    response
}

impl<A> Clone for AppService<A> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<A> fmt::Debug for AppService<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppService").field("workers", &self.shared.queues.len()).finish_non_exhaustive()
    }
}
