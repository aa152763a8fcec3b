//! An app that calls a blocking function on a pool of threads.
//!
//! ```text
//!   connection's task                     threads of the app
//!   read the body ─▶ take a place ─▶ wait for a turn ─▶ function(request)
//!   (no place: 503)  (none: 503)                             │
//!        ◀───────────────────────────────────────────────────┘
//! ```
//!
//! The threads are the blocking threads of a tokio runtime that runs no async task.

use std::fmt;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Arc, OnceLock};
use std::thread;

use bytes::Bytes;
use degu_wire::Address;
use degu_wire::machine::RequestHead;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::report::Peer;
use crate::request::owned_head;
use crate::{App, Credentials, Error, IntoResponse, OwnedRequest, Request, Response, Session};

/// Returns an app that calls an ordinary function for each request, on a pool of threads of its own. Use it for handlers that
/// block, for example on a database or a device. While the function blocks, the other apps of the server continue.
///
/// The body of the request is read first, up to `limit` bytes. If the body is longer, the client gets 413. The function
/// gets the request with its whole body. The function may return the same types as an async handler if they are `Send`:
/// a status, a tuple, text, or a `Result` of these. [`Response`] is not `Send`. Bodies are received before their
/// requests get a thread or a place in the queue, so each connection may have `limit` bytes in memory.
///
/// ```
/// use degu_server::{Address, BlockingRequest, Error, Method, Server, blocking};
///
/// fn notes(request: BlockingRequest) -> Result<(u16, String), Error> {
///     match (request.method(), &request.segments()[..]) {
///         (Method::Get | Method::Head, ["notes", name]) => {
///             let text = std::fs::read_to_string(format!("/var/lib/notes/{}", name.replace('.', "")));
///             Ok((200, text.map_err(|_| Error::new(404, "there is no such note\n"))?))
///         }
///         (Method::Put, ["notes", _]) => Ok((200, format!("{} bytes\n", request.body.len()))),
///         _ => Ok((404, String::new())),
///     }
/// }
///
/// let server = Server::bind(Address::ABSTRACT, blocking(64 * 1024, notes).threads(8).queue(100))?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// While all threads are busy, a request waits in a queue. If the queue is full, the client gets 503 with
/// `retry-after: 1`. If the queue is already full when the head of the request arrives, the client gets the 503 before
/// the body is read. If the client goes away, its request is removed from the queue. A running function cannot be
/// stopped: it runs to its end, even if the client goes away or the server ends. If the function panics, the client
/// gets 500, and the thread is used again.
///
/// The threads belong to a tokio runtime that runs no tasks. A task that the function passes to `tokio::spawn` therefore never
/// runs. A function that needs async code builds a runtime of its own, or calls `block_on` of a stored
/// `tokio::runtime::Handle`.
pub fn blocking<F, R>(limit: usize, function: F) -> Blocking<R>
where
    F: Fn(BlockingRequest) -> R + Send + Sync + 'static,
    R: IntoResponse + Send + 'static,
{
    let threads = thread::available_parallelism().map_or(1, NonZero::get).max(4);
    Blocking { function: Arc::new(function), limit, threads, queue: 64, pool: OnceLock::new() }
}

/// An app that calls an ordinary function for each request: see [`blocking`].
pub struct Blocking<R> {
    function: Arc<dyn Fn(BlockingRequest) -> R + Send + Sync>,
    limit: usize,
    threads: usize,
    queue: usize,
    /// The pool of threads, which is made at the first request. A thread starts when a request needs it.
    pool: OnceLock<Pool>,
}

/// The threads that run the function of a [`Blocking`], and the permits that limit the number of its requests.
struct Pool {
    /// One permit for each request that waits for a thread or runs. A request that gets no permit is answered with 503.
    places: Arc<Semaphore>,
    /// One permit for each request that runs, so there are as many permits as threads.
    turns: Arc<Semaphore>,
    /// A runtime that is used only for its blocking threads. `None` if the runtime could not be built, and after `drop`
    /// has taken the runtime.
    runtime: Option<Runtime>,
}

impl<R: IntoResponse + Send + 'static> Blocking<R> {
    /// Sets the maximum number of threads that run the function, at least one. A thread starts when a request needs it, and ends
    /// after 10 seconds without a request. Default: one for each core, at least four, because a blocked thread uses no CPU time.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets the maximum number of requests that wait for a thread. Each waiting request has its whole body in memory. If the queue
    /// is full, the client gets 503. Default: 64.
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests;
        self
    }

    fn pool(&self) -> &Pool {
        self.pool.get_or_init(|| Pool {
            places: Arc::new(Semaphore::new(self.threads.saturating_add(self.queue).min(Semaphore::MAX_PERMITS))),
            turns: Arc::new(Semaphore::new(self.threads)),
            // A runtime without drivers opens no descriptors, so this does not fail.
            runtime: Builder::new_current_thread()
                .thread_name("degu-blocking")
                .max_blocking_threads(self.threads)
                .build()
                .ok(),
        })
    }
}

impl<R: IntoResponse + Send + 'static> App for Blocking<R> {
    async fn handle(&self, session: &mut Session, mut request: Request<'_>) -> Response {
        let pool = self.pool();
        // No place is taken yet, because clients that send slowly could then take all places.
        if pool.places.available_permits() == 0 {
            return busy();
        }
        let body = match request.body.read_all(self.limit).await {
            Ok(body) => body,
            Err(error) => return error.into(),
        };
        let OwnedRequest { head, shifted, .. } = request.into_owned();
        let request = BlockingRequest { head, shifted, body, peer: session.peer.clone() };
        let Ok(place) = pool.places.clone().try_acquire_owned() else { return busy() };
        // If the client goes away during this wait, the future is dropped, and with it the permit `place`.
        let (Ok(turn), Some(runtime)) = (pool.turns.clone().acquire_owned().await, &pool.runtime) else {
            return Response::from_error("cannot start the threads of a handler made by `blocking`");
        };
        let function = self.function.clone();
        let answer = runtime.spawn_blocking(move || {
            // Both permits are released before the response is sent, because the client may send its next request at once.
            let _held = (place, turn);
            function(request)
        });
        match answer.await.map_err(JoinError::try_into_panic) {
            Ok(answer) => answer.into_response(),
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(error)) => Response::from_error(error),
        }
    }
}

/// Returns the response for a request that finds all threads busy and the queue full.
fn busy() -> Response {
    let text = "the server is busy: all threads of this handler are in use, try again later\n";
    Error::new(503, text).header("retry-after", 1).into()
}

impl Drop for Pool {
    /// Shuts the runtime down without waiting for running functions. Dropping the runtime would wait for these functions, and
    /// would panic in an async task.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl<R> fmt::Debug for Blocking<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking")
            .field("limit", &self.limit)
            .field("threads", &self.threads)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// The argument of a [`blocking`] function: a request with its whole body and its peer.
pub struct BlockingRequest {
    head: RequestHead,
    shifted: usize,
    /// The whole body.
    pub body: Bytes,
    peer: Peer,
}

owned_head!(BlockingRequest);

impl BlockingRequest {
    /// Returns the address of the peer: see [`Session::address`].
    pub const fn address(&self) -> &Address {
        &self.peer.address
    }

    /// Returns the credentials of the process at the other end of a Unix socket: see [`Session::credentials`].
    pub const fn credentials(&self) -> Option<Credentials> {
        self.peer.credentials
    }

    /// Returns the identity that the peer proved with its certificate: see [`Session::identity`].
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.peer.identity.as_deref()
    }
}

impl fmt::Debug for BlockingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingRequest")
            .field("head", &self.head)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}
