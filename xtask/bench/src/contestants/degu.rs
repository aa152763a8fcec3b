//! Degu: the server with the given number of workers, the client on tokio's current-thread runtime, and the blocking
//! client. All have their default deadlines.

use std::iter::{Cycle, Zip};
use std::rc::Rc;
use std::slice::Iter;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::thread;

use degu_client::{Connection, Headers, Method, Pool, blocking};
use degu_server::{Body, BoxError, Bytes, Chunk, Error, Part, Request, Response, Server, Session};
use tokio::runtime::Runtime;

use super::{Client, Dial, PIECE, Ready, Setup, check, client_runtime, large};
use crate::Result;
use crate::message::{POSTS, Post, TRACE};

/// More than any suite opens.
const CONNECTIONS: usize = 100_000;

/// More than any response has.
const LIMIT: usize = 4096;

pub(super) fn serve(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    let mut options = Server::options().workers(setup.threads).spin(setup.spin).max_connections(CONNECTIONS);
    if let Some(policy) = setup.degu_server_tls()? {
        options = options.tls(policy);
    }
    let server = options.bind(setup.address.parse::<degu_server::Address>()?, answer)?;
    ready(server.address().to_string())?;
    server.serve_forever()?;
    Err("the server ended".into())
}

async fn answer(_: &mut Session, mut request: Request<'_>) -> std::result::Result<Response, Error> {
    if request.method() == Method::Get {
        return Ok(match large(request.target()) {
            Some((chunked, pieces)) => (200, pieces_of(chunked, pieces)).into(),
            None => (200, request.target().to_owned()).into(),
        });
    }
    Ok((200, request.body.read_all(LIMIT).await?).into())
}

/// A large body of pieces that are not copied.
fn pieces_of(chunked: bool, pieces: usize) -> Body {
    let mut left = pieces;
    let next = move |_: &mut Context<'_>| {
        let Some(rest) = left.checked_sub(1) else { return Poll::Ready(None) };
        left = rest;
        let piece = Bytes::from_static(PIECE);
        Poll::Ready(Some(Ok::<_, BoxError>(if chunked { Part::from(Chunk::new(piece)) } else { Part::Data(piece) })))
    };
    if chunked {
        Body::chunks_from_source(Box::pin(next))
    } else {
        Body::from_source((pieces * PIECE.len()) as u64, Box::pin(next))
    }
}

fn options(setup: &Setup) -> Result<(degu_client::Options, degu_client::Address)> {
    let options = degu_client::Client::options().host("localhost").spin(setup.spin);
    let options = match setup.degu_client_tls()? {
        Some(policy) => options.tls(policy),
        None => options,
    };
    Ok((options, setup.address.parse()?))
}

/// The fields of each message, made before the first is sent. A connection shares them.
static FIELDS: LazyLock<Vec<Headers>> = LazyLock::new(|| {
    let fields = POSTS.iter().map(|post| Headers::try_from([(TRACE, &post.trace)]));
    fields.collect::<std::result::Result<_, _>>().unwrap_or_else(|error| panic!("{error}"))
});

/// The messages of a connection.
type Requests = Cycle<Zip<Iter<'static, Post>, Iter<'static, Headers>>>;

fn requests() -> Requests {
    POSTS.iter().zip(FIELDS.iter()).cycle()
}

struct Async {
    // Before the runtime, which has to outlive its sockets.
    connection: Connection,
    runtime: Rc<Runtime>,
    requests: Requests,
}

struct Blocking {
    connection: blocking::Connection,
    requests: Requests,
}

/// A pool, and the messages of each task or thread that uses it.
struct AsyncPool {
    // Before the runtime, which has to outlive its sockets.
    pool: Pool,
    runtime: Rc<Runtime>,
    requests: Vec<Requests>,
}

struct BlockingPool {
    pool: blocking::Pool,
    requests: Vec<Requests>,
}

pub(super) fn client(setup: &Setup) -> Result<Dial> {
    let ((options, address), runtime) = (options(setup)?, client_runtime(true)?);
    let client = options.client(address);
    Ok(Box::new(move || {
        let connection = runtime.block_on(client.connect())?;
        Ok(Box::new(Async { connection, runtime: Rc::clone(&runtime), requests: requests() }))
    }))
}

pub(super) fn blocking_client(setup: &Setup) -> Result<Dial> {
    let (options, address) = options(setup)?;
    let client = blocking::Client::from(options.client(address));
    Ok(Box::new(move || Ok(Box::new(Blocking { connection: client.connect()?, requests: requests() }))))
}

/// A pool for each client. The number of tasks that use it is the number of threads of the setup.
pub(super) fn pool(setup: &Setup) -> Result<Dial> {
    let ((options, address), threads) = (options(setup)?, setup.threads);
    let (client, runtime) = (options.client(address), client_runtime(true)?);
    Ok(Box::new(move || {
        let requests = (0..threads).map(|_| requests()).collect();
        Ok(Box::new(AsyncPool { pool: client.pool(), runtime: Rc::clone(&runtime), requests }))
    }))
}

/// The same with threads.
pub(super) fn blocking_pool(setup: &Setup) -> Result<Dial> {
    let ((options, address), threads) = (options(setup)?, setup.threads);
    let client = blocking::Client::from(options.client(address));
    Ok(Box::new(move || {
        let requests = (0..threads).map(|_| requests()).collect();
        Ok(Box::new(BlockingPool { pool: client.pool(), requests }))
    }))
}

/// Round trips with the next messages, with `.await` or without.
macro_rules! trips {
    ($connection:expr, $requests:expr, $count:expr, [$($wait:tt)*]) => {{
        for (post, headers) in $requests.by_ref().take($count as usize) {
            let mut response = $connection.request(Method::Post, &post.path, headers, post.body.as_slice())$($wait)*?;
            check(response.status, response.body.read_all(LIMIT)$($wait)*?.len(), post.body.len())?;
        }
        Ok(())
    }};
}

macro_rules! fetch {
    ($connection:expr, $target:expr, [$($wait:tt)*]) => {{
        let (mut body, mut received) = ($connection.get($target)$($wait)*?.body, 0);
        while let Some(piece) = body.next_data()$($wait)*? {
            received += piece.len() as u64;
        }
        Ok(received)
    }};
}

impl Client for Async {
    fn trips(&mut self, count: u64) -> Result {
        let Self { connection, runtime, requests } = self;
        runtime.block_on(async { trips!(connection, requests, count, [.await]) })
    }

    fn fetch(&mut self, target: &str) -> Result<u64> {
        let Self { connection, runtime, .. } = self;
        runtime.block_on(async { fetch!(connection, target, [.await]) })
    }
}

impl Client for Blocking {
    fn trips(&mut self, count: u64) -> Result {
        trips!(self.connection, self.requests, count, [])
    }

    fn fetch(&mut self, target: &str) -> Result<u64> {
        fetch!(self.connection, target, [])
    }
}

async fn trips(pool: &Pool, requests: &mut Requests, count: u64) -> Result {
    trips!(pool, requests, count, [.await])
}

fn blocking_trips(pool: &blocking::Pool, requests: &mut Requests, count: u64) -> Result {
    trips!(pool, requests, count, [])
}

impl Client for AsyncPool {
    fn trips(&mut self, count: u64) -> Result {
        let Self { pool, runtime, requests } = self;
        let share = count.div_ceil(requests.len() as u64);
        let start = |mut requests| {
            let pool = pool.clone();
            tokio::spawn(async move { trips(&pool, &mut requests, share).await.map(|()| requests) })
        };
        runtime.block_on(async {
            if let [only] = &mut requests[..] {
                return trips(pool, only, count).await;
            }
            let tasks: Vec<_> = requests.drain(..).map(start).collect();
            for task in tasks {
                requests.push(task.await??);
            }
            Ok(())
        })
    }
}

impl Client for BlockingPool {
    fn trips(&mut self, count: u64) -> Result {
        let Self { pool, requests } = self;
        let share = count.div_ceil(requests.len() as u64);
        if let [only] = &mut requests[..] {
            return blocking_trips(pool, only, count);
        }
        let pool = &*pool;
        thread::scope(|scope| {
            let start = |requests| scope.spawn(move || blocking_trips(pool, requests, share));
            let threads: Vec<_> = requests.iter_mut().map(start).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
        })
    }
}
