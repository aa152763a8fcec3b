//! Handlers that block, on threads of their own.
//!
//! ```text
//!   connection's task                            pool
//!   read the body ─▶ Job { request, answer } ─▶ queue ─▶ thread: function(request)
//!        │                   (full: 503)                        │
//!        ◀──────────────────── oneshot ─────────────────────────┘
//! ```

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;
use degu_wire::Address;
use degu_wire::machine::RequestHead;
use tokio::sync::oneshot;

use crate::report::Peer;
use crate::request::owned_head;
use crate::{App, Credentials, IntoResponse, Request, Response, Session};

/// Returns an app that calls an ordinary function for each request, on a pool of threads of its own. It is for handlers that
/// block, on a database or a device for example. While the function blocks, other apps of the same server go on.
///
/// The body of the request is read first, up to `limit` bytes; if there is more, the client gets 413. The function gets the
/// request as one value. It returns the same types as an async handler, if they are `Send`: a status, a tuple, text, a
/// `Result` of these. [`Response`] is not `Send`.
///
/// ```
/// use degu_server::{Address, BlockingRequest, Error, Method, Server, blocking};
///
/// fn notes(request: BlockingRequest) -> Result<(u16, String), Error> {
///     match (request.method(), &request.segments()[..]) {
///         (Method::Get, ["notes", name]) => {
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
/// A request waits in a queue while all threads are busy. If the queue is full, the client gets 503 with `retry-after: 1`. If the
/// client goes away while its request is in the queue, the request is dropped. A running function cannot be stopped: it runs to
/// its end, even if the client goes away or the server ends. If the function panics, the client gets 500, and the thread
/// goes on.
pub fn blocking<F, R>(limit: usize, function: F) -> Blocking<R>
where
    F: Fn(BlockingRequest) -> R + Send + Sync + 'static,
    R: IntoResponse + Send + 'static,
{
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).max(4);
    let pool = Pool { function: Box::new(function), queue: Mutex::default(), arrived: Condvar::new() };
    Blocking { pool: Arc::new(pool), limit, threads, queue: 64 }
}

/// An app that calls an ordinary function for each request: see [`blocking`].
pub struct Blocking<R> {
    pool: Arc<Pool<R>>,
    limit: usize,
    threads: usize,
    queue: usize,
}

impl<R: IntoResponse + Send + 'static> Blocking<R> {
    /// Sets the maximum number of threads that run the function, at least one. They start when requests need them, and end with
    /// the app. Default: one for each core, and at least four, because a blocked thread uses no CPU time.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Sets how many requests may wait for a thread. Each of them has its body in memory. Default: 64.
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests;
        self
    }

    /// Adds a job to the queue. Returns `false` if the queue is full.
    ///
    /// # Errors
    ///
    /// The pool has no thread, and none could be started.
    fn submit(&self, job: Job<R>) -> io::Result<bool> {
        let mut queue = self.pool.lock();
        let has_room = |queue: &Queue<R>| queue.jobs.len() < queue.idle + (self.threads - queue.threads) + self.queue;
        if !has_room(&queue) {
            queue.jobs.retain(|job| !job.answer.is_closed());
            if !has_room(&queue) {
                return Ok(false);
            }
        }
        if queue.idle <= queue.jobs.len() && queue.threads < self.threads {
            let pool = self.pool.clone();
            match thread::Builder::new().name("degu-blocking".into()).spawn(move || pool.work()) {
                Ok(_) => (queue.threads, queue.idle) = (queue.threads + 1, queue.idle + 1),
                // Another thread of the pool will take the job.
                Err(_) if queue.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        queue.jobs.push_back(job);
        self.pool.arrived.notify_one();
        Ok(true)
    }
}

impl<R: IntoResponse + Send + 'static> App for Blocking<R> {
    async fn handle(&self, session: &mut Session, mut request: Request<'_>) -> Response {
        let body = match request.body.read_all(self.limit).await {
            Ok(body) => body,
            Err(error) => return Response::from_error(error),
        };
        let (answer, answered) = oneshot::channel();
        let (head, shifted) = request.into_head();
        let request = BlockingRequest { head, shifted, body, peer: session.peer.clone() };
        match self.submit(Job { request, answer }) {
            Ok(true) => {}
            Ok(false) => {
                return (
                    503,
                    [("retry-after", "1")],
                    "the server is busy: all threads of this handler are in use, try again later\n",
                )
                    .into();
            }
            Err(error) => return Response::from_error(error),
        }
        match answered.await {
            Ok(Ok(answer)) => answer.into_response(),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Response::from_error("the thread of a blocking handler ended without a response"),
        }
    }
}

impl<R> Drop for Blocking<R> {
    fn drop(&mut self) {
        self.pool.lock().is_closed = true;
        self.pool.arrived.notify_all();
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

/// The threads of an app, and the jobs that wait for them.
struct Pool<R> {
    function: Box<dyn Fn(BlockingRequest) -> R + Send + Sync>,
    queue: Mutex<Queue<R>>,
    arrived: Condvar,
}

struct Queue<R> {
    jobs: VecDeque<Job<R>>,
    threads: usize,
    /// The number of threads that are not running the function.
    idle: usize,
    is_closed: bool,
}

struct Job<R> {
    request: BlockingRequest,
    answer: oneshot::Sender<Result<R, Box<dyn Any + Send>>>,
}

impl<R> Default for Queue<R> {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), threads: 0, idle: 0, is_closed: false }
    }
}

impl<R> Pool<R> {
    fn lock(&self) -> MutexGuard<'_, Queue<R>> {
        // Nothing panics under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs jobs until the app is dropped.
    fn work(&self) {
        let mut queue = self.lock();
        loop {
            let Some(Job { request, answer }) = queue.jobs.pop_front() else {
                if queue.is_closed {
                    return;
                }
                queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if answer.is_closed() {
                continue;
            }
            queue.idle -= 1;
            drop(queue);
            let result = catch_unwind(AssertUnwindSafe(|| (self.function)(request)));
            // Before the result is sent, because the client may send its next request at once.
            self.lock().idle += 1;
            // If the connection is gone, the result is dropped here. Its type belongs to the app, and its drop may panic.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(answer.send(result))));
            queue = self.lock();
        }
    }
}

/// The argument of a [`blocking`] handler: a request with its whole body and its peer. It borrows nothing.
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
