//! Pools of connections, of both clients.

use std::{
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};

use crate::common::{Kind, Server, Wire};
use degu_client::{Body, BoxError, Chunk, Client, Error, Method, Pool, Response, Stats, Timeout, blocking};

const LIMIT: usize = 1024;
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers so many requests.
fn answer(wire: &mut Wire, requests: usize) {
    for _ in 0..requests {
        wire.head();
        wire.send(OK);
    }
}

fn counts(stats: Stats) -> [u64; 7] {
    let Stats { open, idle, waiting, dialled, reused, stale, retried, .. } = stats;
    [open as u64, idle as u64, waiting as u64, dialled, reused, stale, retried]
}

async fn text(response: Result<Response<'_>, Error>) -> Result<String, Error> {
    Ok(String::from_utf8_lossy(&response?.body.read_all(LIMIT).await?).into_owned())
}

/// A pool of each client, whose requests are made in the same words. The script can tell the client that it has come to a
/// point.
macro_rules! both {
    ($(#[$doc:meta])* $name:ident, |$accept:ident, $tell:ident| $script:block, |$options:ident| $configure:expr, |$pool:ident, $told:ident| $body:block) => {
        mod $name {
            use super::*;

            $(#[$doc])*
            #[test]
            fn blocking() {
                let ($tell, $told) = mpsc::channel::<()>();
                let server = Server::new(Kind::Path, move |$accept| $script);
                let $options = blocking::Client::options();
                let $pool = $configure.client(&server.address).pool();
                macro_rules! wait { ($done:expr) => { $done } }
                $body
            }

            $(#[$doc])*
            #[tokio::test]
            async fn tasks() {
                let ($tell, $told) = mpsc::channel::<()>();
                let server = Server::new(Kind::Path, move |$accept| $script);
                let $options = Client::options();
                let $pool = $configure.client(&server.address).pool();
                macro_rules! wait { ($done:expr) => { $done.await } }
                $body
            }
        }
    };
}

both!(
    /// A response keeps its connection until the end of its body, and not longer than that.
    a_connection_goes_back_at_the_end_of_the_body,
    |accept, _tell| {
        answer(&mut accept.next(), 4);
    },
    |options| options.max_connections(1).timeout(Duration::from_secs(10)),
    |pool, _told| {
        let mut read = wait!(pool.get("/1")).unwrap();
        assert_eq!(counts(pool.stats()), [1, 0, 0, 1, 0, 0, 0]);
        assert_eq!(wait!(read.body.next_data()).unwrap().unwrap(), "ok");
        assert!(wait!(read.body.next_data()).unwrap().is_none());
        assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 0, 0, 0]);
        // The response is still there.
        let mut whole = wait!(pool.get("/2")).unwrap();
        assert_eq!((read.status, wait!(whole.body.read_all(LIMIT)).unwrap().as_ref()), (200, &b"ok"[..]));
        // All of it has been received.
        drop(wait!(pool.put("/3", "x")).unwrap());
        assert_eq!(wait!(pool.post("/4", "x")).unwrap().status, 200);
        assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 3, 0, 0]);
    }
);

both!(
    a_connection_with_an_unread_body_is_closed,
    |accept, _tell| {
        let mut wire = accept.next();
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok");
        wire.expect_end();
        let mut wire = accept.next();
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
        wire.expect_end();
        answer(&mut accept.next(), 1);
    },
    |options| options.max_connections(1),
    |pool, _told| {
        drop(wait!(pool.get("/1")).unwrap());
        assert_eq!(counts(pool.stats()), [0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(wait!(wait!(pool.get("/2")).unwrap().body.read_all(LIMIT)).unwrap(), "ok");
        assert_eq!(counts(pool.stats()), [0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(wait!(pool.get("/3")).unwrap().status, 200);
        assert_eq!(counts(pool.stats()), [1, 1, 0, 3, 0, 0, 0]);
    }
);

both!(
    a_pool_without_a_limit_on_connections_counts_them,
    |accept, _tell| {
        answer(&mut accept.next(), 2);
    },
    |options| options.max_connections(usize::MAX),
    |pool, _told| {
        assert_eq!(wait!(pool.get("/1")).unwrap().status, 200);
        assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 0, 0, 0]);
        assert_eq!(wait!(pool.get("/2")).unwrap().status, 200);
        assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 1, 0, 0]);
    }
);

both!(
    /// The check before the request finds the connection closed. No byte was sent, so even a POST goes over a new
    /// connection.
    a_stale_connection_is_replaced_before_anything_is_sent,
    |accept, tell| {
        for _ in 0..3 {
            answer(&mut accept.next(), 1);
            tell.send(()).unwrap();
        }
    },
    |options| options,
    |pool, told| {
        assert_eq!(wait!(pool.get("/1")).unwrap().status, 200);
        for _ in 0..2 {
            told.recv().unwrap();
            assert_eq!(wait!(pool.post("/2", "x")).unwrap().status, 200);
        }
        assert_eq!(counts(pool.stats()), [1, 1, 0, 3, 0, 2, 0]);
    }
);

both!(
    a_get_is_sent_again_once_over_a_new_connection,
    |accept, _tell| {
        let mut wire = accept.next();
        answer(&mut wire, 1);
        wire.head();
        drop(wire);
        let mut wire = accept.next();
        answer(&mut wire, 1);
        for _ in 0..2 {
            wire.head();
            drop(wire);
            wire = accept.next();
        }
        answer(&mut wire, 1);
    },
    |options| options,
    |pool, _told| {
        assert_eq!(wait!(pool.get("/1")).unwrap().status, 200);
        assert_eq!(wait!(pool.put("/2", "x")).unwrap().status, 200);
        assert_eq!(counts(pool.stats()), [1, 1, 0, 2, 1, 1, 1]);
        let error = wait!(pool.get("/3")).unwrap_err();
        assert!(error.is_retryable() && !error.is_connect(), "{error}");
        assert_eq!(counts(pool.stats()), [0, 0, 0, 3, 2, 2, 2]);
        assert_eq!(wait!(pool.get("/4")).unwrap().status, 200);
    }
);

both!(
    /// After the restart only the first attempt fails. This failure closes all connections from before the restart.
    a_restarted_server_costs_one_failed_attempt,
    |accept, _tell| {
        let mut wires = [(); 3].map(|()| {
            let mut wire = accept.next();
            answer(&mut wire, 1);
            wire
        });
        // The connection that was returned last is used first.
        wires[2].head();
        drop(wires);
        answer(&mut accept.next(), 4);
    },
    |options| options.max_connections(3),
    |pool, _told| {
        let held = [wait!(pool.get("/1")), wait!(pool.get("/2")), wait!(pool.get("/3"))];
        held.into_iter().for_each(|response| assert_eq!(response.unwrap().status, 200));
        assert_eq!(counts(pool.stats()), [3, 3, 0, 3, 0, 0, 0]);
        for _ in 0..2 {
            assert_eq!(wait!(pool.get("/")).unwrap().status, 200);
            assert_eq!(wait!(pool.post("/", "x")).unwrap().status, 200);
        }
        assert_eq!(counts(pool.stats()), [1, 1, 0, 4, 4, 3, 1]);
    }
);

both!(
    a_post_is_not_sent_again_after_its_first_byte,
    |accept, _tell| {
        let mut wire = accept.next();
        answer(&mut wire, 1);
        wire.head();
        drop(wire);
        answer(&mut accept.next(), 1);
    },
    |options| options,
    |pool, _told| {
        assert_eq!(wait!(pool.get("/1")).unwrap().status, 200);
        let error = wait!(pool.post("/2", "x")).unwrap_err();
        assert!(!error.is_retryable() && !error.is_connect(), "{error}");
        assert_eq!(counts(pool.stats()), [0, 0, 0, 1, 1, 0, 0]);
        assert_eq!(wait!(pool.post("/3", "x")).unwrap().status, 200);
    }
);

both!(
    /// The server says that it closes the connection a second after it was used last.
    an_idle_connection_is_closed_before_the_server_closes_it,
    |accept, _tell| {
        let mut wire = accept.next();
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nkeep-alive: max=9, Timeout=0\r\ncontent-length: 2\r\n\r\nok");
        wire.expect_end();
        let mut wire = accept.next();
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nkeep-alive: timeout=9\r\ncontent-length: 2\r\n\r\nok");
        answer(&mut wire, 1);
    },
    |options| options,
    |pool, _told| {
        assert_eq!(wait!(pool.post("/1", "x")).unwrap().status, 200);
        assert_eq!(wait!(pool.post("/2", "x")).unwrap().status, 200);
        assert_eq!(counts(pool.stats()), [1, 1, 0, 2, 0, 0, 0]);
        assert_eq!(wait!(pool.post("/3", "x")).unwrap().status, 200);
        assert_eq!(counts(pool.stats()), [1, 1, 0, 2, 1, 0, 0]);
    }
);

both!(
    timeout_ends_the_wait_for_a_response,
    |accept, _tell| {
        accept.next().expect_end();
    },
    |options| options,
    |pool, _told| {
        let soon = Duration::from_millis(500);
        let error = wait!(pool.with_timeout(soon).get("/1")).unwrap_err();
        assert_eq!((error.timeout(), error.is_retryable()), (Some(Timeout::Exchange(soon)), false));
        assert_eq!(counts(pool.stats()), [0, 0, 0, 1, 0, 0, 0]);
    }
);

both!(
    a_request_without_time_leaves_the_kept_connection,
    |accept, _tell| {
        answer(&mut accept.next(), 2);
    },
    |options| options,
    |pool, _told| {
        assert_eq!(wait!(pool.get("/1")).unwrap().status, 200);
        let error = wait!(pool.with_timeout(Duration::ZERO).get("/2")).unwrap_err();
        assert_eq!(error.timeout(), Some(Timeout::Exchange(Duration::ZERO)));
        assert!(error.is_connect() && error.is_retryable(), "{error}");
        assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 0, 0, 0]);
        assert_eq!(wait!(pool.post("/3", "x")).unwrap().status, 200);
        assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 1, 0, 0]);
    }
);

both!(
    a_request_fails_with_the_reason_where_no_server_is,
    |_accept, _tell| {},
    |options| options.max_connections(1),
    |pool, _told| {
        let error = loop {
            // The socket is there until the script has ended.
            if let Err(error) = wait!(pool.post("/", "x"))
                && error.is_connect()
            {
                break error;
            }
        };
        assert!(error.is_retryable() && error.to_string().starts_with("no server listens"), "{error}");
        assert_eq!((pool.stats().open, pool.stats().waiting), (0, 0));
    }
);

/// A kept connection ends when the first chunk of a second request has come. A body that can be made again is sent
/// again. If the body cannot be made again, the request fails.
#[tokio::test]
async fn a_body_is_sent_again_if_it_can_be_made_again() {
    let chunks =
        || Body::try_unfold(0, |n| async move { Ok::<_, BoxError>((n < 2).then(|| (Chunk::new("abc"), n + 1))) });
    let server = Server::new(Kind::Path, |accept| {
        let mut wire = accept.next();
        for _ in 0..2 {
            answer(&mut wire, 1);
            wire.head();
            wire.expect("3\r\nabc\r\n");
            drop(wire);
            wire = accept.next();
            if !wire.head().starts_with("GET") {
                wire.expect("3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n");
            }
            wire.send(OK);
        }
    });
    let pool = Client::new(&server.address).pool();
    pool.get("/").await.unwrap();
    let body = Body::from_fn(move || Ok(chunks())).unwrap();
    assert_eq!(text(pool.put("/made", body).await).await.unwrap(), "ok");
    assert_eq!(counts(pool.stats()), [1, 1, 0, 2, 1, 1, 1]);
    pool.get("/").await.unwrap();
    let error = pool.put("/once", chunks()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(counts(pool.stats()), [0, 0, 0, 2, 3, 1, 1]);
    assert_eq!(text(pool.get("/").await).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_function_makes_a_body_once_if_one_attempt_is_enough() {
    let server = Server::new(Kind::Path, |accept| answer(&mut accept.next(), 2));
    let pool = Client::new(&server.address).pool();
    pool.get("/").await.unwrap();
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let body = Body::from_fn(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok("x".into())
    });
    assert_eq!(text(pool.put("/", body.unwrap()).await).await.unwrap(), "ok");
    assert_eq!((pool.stats().reused, made.load(Ordering::Relaxed)), (1, 1));
}

/// A server that answers each request when it is told to.
fn gated(connections: usize) -> (Server, mpsc::Sender<()>) {
    let (open, gate) = mpsc::channel();
    let server = Server::new(Kind::Path, move |accept| {
        let mut wires: Vec<_> = (0..connections).map(|_| accept.next()).collect();
        for (at, ()) in gate.iter().enumerate() {
            answer(&mut wires[at % connections], 1);
        }
    });
    (server, open)
}

#[tokio::test]
async fn requests_wait_in_order_and_a_dropped_one_frees_its_turn() {
    let (server, open) = gated(1);
    let pool = Client::options().max_connections(1).client(&server.address).pool();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut requests = Vec::new();
    for number in 0..5 {
        let (pool, order) = (pool.clone(), Arc::clone(&order));
        requests.push(tokio::spawn(async move {
            assert_eq!(text(pool.get("/").await).await.unwrap(), "ok");
            order.lock().unwrap().push(number);
        }));
    }
    while pool.stats().waiting < 4 {
        tokio::task::yield_now().await;
    }
    let dropped = requests.remove(2);
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    (0..4).for_each(|_| open.send(()).unwrap());
    for request in requests {
        request.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 3, 4]);
    assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 3, 0, 0]);
}

/// The turn of a request that is dropped when it has it goes to the next one.
#[tokio::test]
async fn a_turn_that_is_not_taken_goes_on() {
    let (server, open) = gated(1);
    let pool = Client::options().max_connections(1).client(&server.address).pool();
    let held = {
        open.send(()).unwrap();
        pool.get("/").await.unwrap()
    };
    let (mut second, mut third) = (Box::pin(pool.get("/")), pin!(pool.get("/")));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(second.as_mut().poll(&mut cx).is_pending() && third.as_mut().poll(&mut cx).is_pending());
    // The second has its turn now, and has not seen it.
    drop(held);
    assert_eq!(counts(pool.stats()), [1, 0, 1, 1, 1, 0, 0]);
    drop(second);
    open.send(()).unwrap();
    assert_eq!(third.await.unwrap().status, 200);
    assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 1, 0, 0]);
}

/// A request gets its turn, and looks only when its time is over.
#[tokio::test]
async fn a_turn_that_comes_too_late_goes_on() {
    let (server, open) = gated(1);
    let pool = Client::options().max_connections(1).client(&server.address).pool();
    open.send(()).unwrap();
    let held = pool.get("/").await.unwrap();
    let limit = Duration::from_secs(1);
    let soon = pool.with_timeout(limit);
    let (mut late, mut next) = (Box::pin(soon.get("/")), pin!(pool.get("/")));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(late.as_mut().poll(&mut cx).is_pending() && next.as_mut().poll(&mut cx).is_pending());
    drop(held);
    tokio::time::pause();
    tokio::time::advance(2 * limit).await;
    let error = late.await.unwrap_err();
    assert_eq!(error.timeout(), Some(Timeout::Pool(limit)), "{error}");
    tokio::time::resume();
    open.send(()).unwrap();
    assert_eq!(next.await.unwrap().status, 200);
    assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 1, 0, 0]);
}

#[tokio::test]
async fn the_wait_for_a_turn_is_no_part_of_the_head_timeout() {
    let (server, open) = gated(1);
    let limit = Duration::from_secs(10);
    let pool = Client::options().max_connections(1).head_timeout(limit).client(&server.address).pool();
    open.send(()).unwrap();
    let held = pool.get("/").await.unwrap();
    let mut next = pin!(pool.get("/"));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut cx).is_pending());
    tokio::time::pause();
    tokio::time::advance(2 * limit).await;
    drop(held);
    assert!(next.as_mut().poll(&mut cx).is_pending());
    tokio::time::resume();
    open.send(()).unwrap();
    assert_eq!(next.await.unwrap().status, 200);
    assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 1, 0, 0]);
}

/// The time of one request may be over while it connects, which says nothing of the requests that wait.
#[tokio::test]
async fn a_request_whose_time_is_over_while_it_connects_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    listener.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let listener = UnixListener::from(OwnedFd::from(listener));
    // The backlog is full.
    let first = UnixStream::connect(&path).unwrap();
    let pool = Client::options().max_connections(1).client(degu_client::Address::unix(&path)).pool();
    let limit = Duration::from_millis(300);
    let soon = pool.with_timeout(limit);
    let (connecting, mut waiting) = (soon.get("/"), pin!(pool.get("/")));
    let mut connecting = pin!(connecting);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(connecting.as_mut().poll(&mut cx).is_pending() && waiting.as_mut().poll(&mut cx).is_pending());
    assert_eq!(pool.stats().waiting, 1);
    let error = connecting.await.unwrap_err();
    assert_eq!(error.timeout(), Some(Timeout::Exchange(limit)), "{error}");

    drop(first);
    thread::spawn(move || {
        drop(listener.accept().unwrap());
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(OK.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(text(waiting.await).await.unwrap(), "ok");
}

#[test]
fn threads_wait_within_their_deadline() {
    let (server, open) = gated(1);
    let pool = blocking::Client::options().max_connections(1).client(&server.address).pool();
    let soon = Duration::from_millis(20);
    thread::scope(|scope| {
        open.send(()).unwrap();
        let held = pool.get("/").unwrap();
        let late = pool.with_timeout(soon).get("/").unwrap_err();
        assert_eq!((late.timeout(), late.is_retryable()), (Some(Timeout::Pool(soon)), true));
        assert_eq!(
            late.to_string(),
            format!("no connection of the pool became free within 20ms, while connecting to {}", server.address)
        );
        let other = scope.spawn(|| pool.get("/").map(|response| response.status));
        while pool.stats().waiting == 0 {
            thread::yield_now();
        }
        open.send(()).unwrap();
        drop(held);
        assert_eq!(other.join().unwrap().unwrap(), 200);
    });
    assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 1, 0, 0]);
}

/// A connection of a runtime that has ended would never be ready.
#[test]
fn each_runtime_uses_its_own_connections() {
    let server = Server::new(Kind::Path, |accept| {
        let mut first = accept.next();
        answer(&mut first, 2);
        answer(&mut accept.next(), 1);
        first.expect_end();
    });
    let pool = Client::options().max_connections(1).client(&server.address).pool();
    for requests in [2, 1] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for _ in 0..requests {
            assert_eq!(runtime.block_on(async { text(pool.get("/").await).await }).unwrap(), "ok");
        }
    }
    assert_eq!(counts(pool.stats()), [1, 1, 0, 2, 1, 0, 0]);
}

#[test]
fn a_body_read_in_a_runtime_that_ends_leaves_a_good_connection() {
    let (open, opened) = mpsc::channel::<()>();
    let server = Server::once(Kind::Path, move |wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
        opened.recv().unwrap();
        wire.send("ok");
        wire.head();
        opened.recv().unwrap();
        wire.send(OK);
    });
    /// Polls once, so the connection waits, and then lets the server continue.
    async fn waits<F: Future>(future: F, open: &mpsc::Sender<()>) -> F::Output {
        let mut future = pin!(future);
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        open.send(()).unwrap();
        future.await
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pool = Client::new(&server.address).pool();
    let mut response = runtime.block_on(pool.get("/1")).unwrap();
    assert_eq!(other.block_on(waits(response.body.read_all(LIMIT), &open)).unwrap(), "ok");
    drop(other);
    assert_eq!(runtime.block_on(waits(pool.get("/2"), &open)).unwrap().status, 200);
    assert_eq!(counts(pool.stats()), [1, 1, 0, 1, 1, 0, 0]);
}

#[test]
fn debug_shows_limits_and_counts_and_no_value_of_a_field() {
    let options = Client::options().authorization("Bearer secret").unwrap().timeout(Duration::from_secs(2));
    let text = format!("{:?}", options.client(degu_client::Address::unix("/nowhere")).pool());
    for part in
        ["/nowhere", "max_connections: 16", "idle_timeout: Some(4s)", "timeout: Some(2s)", "open: 0", "retried: 0"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

/// Threads and tasks share a pool.
#[test]
fn a_pool_is_shared() {
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    fn is_sent<T: Send>(_: T) {}
    is_shared::<Pool>();
    is_shared::<blocking::Pool>();
    let pool = Client::new(degu_client::Address::unix("/nowhere")).pool();
    is_sent(pool.request(Method::Get, "/", [("a", "b")], "x"));
    is_sent(pool.get("/"));
}
