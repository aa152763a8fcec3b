//! Peers, apps and moments that are meant to hurt.

use std::cell::Cell;
use std::future::Future;
use std::io::{ErrorKind, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::common::{Raw, Running, failed};
use degu_server::{
    Address, App, Body, BoxError, Chunk, Error, Incoming, Limits, Part, Request, Response, Server, Session, Source,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
const LAST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine";
const TCP: Address = Address::IPV6_LOOPBACK;

async fn fine(_: &mut Session, _: Request<'_>) -> &'static str {
    "fine"
}

/// Bytes that are read while `on_connect` decides are not waited for again.
#[test]
fn a_request_that_comes_before_its_connection_is_wanted() {
    for address in [TCP, Address::ABSTRACT] {
        let (sent, sends) = mpsc::channel();
        let sends = Arc::new(std::sync::Mutex::new(sends));
        let options = Server::options().workers(1).on_connect(async move |_: &mut Session| {
            // The request is here, and the connection looks at it several times.
            sends.lock().unwrap().recv().unwrap();
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            true
        });
        let server = Running::with(options, address, fine);
        let mut raw = server.connect();
        raw.send(GET);
        sent.send(()).unwrap();
        raw.expect(FINE);
        raw.send(GET);
        raw.expect(FINE);
    }
}

#[test]
fn a_head_that_has_begun_is_waited_for_by_a_shutdown() {
    for address in [TCP, Address::ABSTRACT] {
        let server = Running::new(address, fine);
        let mut raw = server.connect();
        raw.send(GET);
        raw.expect(FINE);
        let (begin, end) = GET.split_at(20);
        raw.send(begin);
        let mut other = server.connect();
        other.send(GET);
        other.expect(FINE);
        let stopped = std::thread::spawn(move || server.shut_down());
        // The idle one is closed, so the shutdown has begun.
        assert_eq!(other.rest(), "");
        raw.send(end);
        raw.expect(LAST);
        assert_eq!(raw.rest(), "");
        stopped.join().unwrap();
    }
}

#[test]
fn a_response_that_is_made_during_a_shutdown_is_the_last() {
    let (begun, begins) = mpsc::channel();
    let app = async move |session: &mut Session, _: Request<'_>| {
        begun.send(()).unwrap();
        session.closing().await;
        "fine"
    };
    let server = Running::new(TCP, app);
    let mut raw = server.connect();
    raw.send(GET);
    begins.recv().unwrap();
    server.shut_down();
    assert_eq!(raw.rest(), LAST);
}

#[test]
fn servers_that_follow_each_other_on_one_path_keep_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let rounds = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while rounds.load(Ordering::Relaxed) < 100 {
                    let Ok(listener) = Server::options().listener(Address::unix(&path)) else {
                        std::thread::yield_now();
                        continue;
                    };
                    rounds.fetch_add(1, Ordering::Relaxed);
                    // The one before may still be busy with its end.
                    for _ in 0..20 {
                        std::thread::yield_now();
                    }
                    assert!(path.exists(), "the file of a server that listens");
                    drop(listener);
                }
            });
        }
    });
    // A server that cannot take the lock within 100 ms does not unlink its file. The next server replaces and unlinks it.
    drop(Server::options().listener(Address::unix(&path)).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_lock_file_that_says_something_is_somebody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("socket.lock");
    std::fs::write(&lock, "1234").unwrap();
    drop(Server::options().listener(Address::unix(folder.path().join("socket"))).unwrap());
    assert_eq!(std::fs::read(&lock).unwrap(), b"1234");
    std::fs::write(&lock, "").unwrap();
    drop(Server::options().listener(Address::unix(folder.path().join("socket"))).unwrap());
    assert!(!lock.exists(), "one that was left behind");
}

/// Always has more, and takes its time to make it.
struct Busy;

impl Source for Busy {
    fn poll_part(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(200) {}
        Poll::Ready(Some(Ok(Chunk::new(vec![0; 8 * 1024]).into())))
    }
}

/// Takes all that has come of the request whenever it is asked, counts it, and has something to say whatever that was.
struct Talks(Incoming, Arc<AtomicUsize>);

impl Source for Talks {
    fn poll_part(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        while let Poll::Ready(Some(part)) = Pin::new(&mut self.0).poll_part(cx) {
            let Part::Data(data) = part? else { panic!("a body with a length has data only") };
            self.1.fetch_add(data.len(), Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(Chunk::new(vec![0; 64 * 1024]).into())))
    }
}

#[test]
fn a_peer_that_sends_and_never_reads_is_not_read_for_ever() {
    let read = Arc::new(AtomicUsize::new(0));
    let counter = read.clone();
    let app = async move |_: &mut Session, request: Request<'_>| match request.query() {
        Some(_) => Body::chunks_from_source(Box::pin(Talks(request.body, counter.clone()))),
        None => Body::from("fine"),
    };
    let server = Running::new(Address::ABSTRACT, app);
    let (Raw::Unix(mut talker), mut other) = (server.connect(), server.connect()) else { panic!("a Unix socket") };
    talker.write_all(b"POST /?talk HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
    talker.set_nonblocking(true).unwrap();
    let (bytes, mut taken, mut refused) = (vec![0; 64 * 1024], 0, 0);
    // The worker has been at both connections when it has answered on the other one.
    while refused < 20 && taken < 100_000_000 {
        match talker.write(&bytes) {
            Ok(count) => (taken, refused) = (taken + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refused += 1;
                other.send(GET);
                other.expect(FINE);
            }
        }
    }
    // 64 KiB, a read of up to 512 KiB, and what the socket itself holds.
    let unread = taken - read.load(Ordering::Relaxed);
    assert!(unread < 1024 * 1024, "{unread} bytes of {taken} were taken and not read");
}

#[test]
fn an_endless_body_leaves_room_for_others() {
    for address in [TCP, Address::ABSTRACT] {
        let app = async |_: &mut Session, request: Request<'_>| match request.query() {
            Some(_) => Body::chunks_from_source(Box::pin(Busy)),
            None => Body::from("fine"),
        };
        let server = Running::new(address, app);
        let mut busy = server.connect();
        busy.send("GET /?busy HTTP/1.1\r\nHost: a\r\n\r\n");
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while busy.read_some(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
        });
        for _ in 0..3 {
            let mut raw = server.connect();
            raw.send(GET);
            raw.expect(FINE);
        }
        drop(server);
        reader.join().unwrap();
    }
}

/// Always has more, as long as nobody else on its thread has run.
struct Selfish {
    others: Rc<Cell<bool>>,
    parts: usize,
}

impl Source for Selfish {
    fn poll_part(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        if self.parts == 0 {
            let others = self.others.clone();
            tokio::task::spawn_local(async move { others.set(true) });
        }
        self.parts += 1;
        Poll::Ready(match self.others.get() {
            true => None,
            // Far less than what is collected before it is written, or what a socket takes.
            false if self.parts > 1000 => Some(Err("nobody else has run".into())),
            false => Some(Ok(Chunk::new("x").into())),
        })
    }
}

#[test]
fn a_body_of_many_small_parts_gives_way_before_anything_is_full() {
    for address in [TCP, Address::ABSTRACT] {
        let app = async |_: &mut Session, _: Request<'_>| {
            Body::chunks_from_source(Box::pin(Selfish { others: Rc::default(), parts: 0 }))
        };
        let server = Running::new(address, app);
        let response = server.ask(GET);
        assert!(response.ends_with("\r\n0\r\n\r\n"), "{} bytes, and no end", response.len());
    }
}

#[test]
fn a_body_without_framing_that_is_aborted_does_not_look_whole() {
    let app = async |_: &mut Session, _: Request<'_>| {
        Body::try_unfold(true, async |first| {
            if !first {
                std::future::pending::<()>().await;
            }
            Ok(Some((Chunk::new("some"), false)))
        })
    };
    let server = Running::with(Server::options().workers(1), TCP, app);
    let mut raw = server.connect();
    raw.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    raw.response_head().unwrap();
    raw.expect("some");
    drop(server);
    let end = raw.read_some(&mut [0; 10]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

/// Panics before there is a future.
struct Eager;

impl App for Eager {
    fn handle(&self, _: &mut Session, request: Request<'_>) -> impl Future<Output = Response> {
        assert!(request.query().is_none(), "an app that panics early");
        std::future::ready("fine".into())
    }
}

#[test]
fn an_app_that_panics_before_it_is_polled_is_answered_for() {
    let server = Running::new(TCP, Eager);
    let bad = "GET /?bad HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(server.ask([GET, bad, GET].concat()), [FINE, &failed()].concat());
    assert_eq!(server.ask(GET), FINE);
}

/// Tells when it is dropped.
struct Tell(mpsc::Sender<()>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_peer_that_is_gone_is_noticed_behind_what_nobody_reads() {
    let body = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n{}", "x".repeat(150_000));
    let (dropped, drops) = mpsc::channel();
    let app = async move |_: &mut Session, _: Request<'_>| {
        let _tell = Tell(dropped.clone());
        std::future::pending::<&'static str>().await
    };
    let server = Running::new(Address::ABSTRACT, app);
    let mut raw = server.connect();
    raw.send(&body);
    drop(raw);
    drops.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn the_rest_of_a_chunk_has_the_bound_of_a_chunk() {
    let (read, reads) = mpsc::channel();
    let app = async move |_: &mut Session, mut request: Request<'_>| {
        request.body.next_data().await?;
        read.send(()).unwrap();
        let chunk = request.body.next_chunk().await?;
        Ok::<_, Error>(chunk.map_or(0, |chunk| chunk.data.len()).to_string())
    };
    let limits = Limits { max_chunk: 1000, ..Limits::default() };
    let server = Running::with(Server::options().workers(1).limits(limits), TCP, app);
    let mut raw = server.connect();
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\nx");
    reads.recv().unwrap();
    raw.send("x".repeat(1001));
    assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 413 "));
}

#[tokio::test(flavor = "local")]
async fn a_reader_hears_of_an_abort() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let app = async move |_: &mut Session, request: Request<'_>| {
        let (sender, mut request) = (sender.clone(), request.into_owned());
        drop(tokio::task::spawn_local(async move {
            for _ in 0..2 {
                let _ = sender.send(request.body.next_data().await).await;
            }
        }));
        std::future::pending::<&'static str>().await
    };
    let options = Server::options().shutdown_grace(Duration::ZERO);
    let server = options.bind(Address::ABSTRACT, app).unwrap();
    let address = server.address().clone();
    let serving = tokio::task::spawn_local(server.serve_local());
    let mut raw = tokio::task::spawn_blocking(move || Raw::connect(&address)).await.unwrap();
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(receiver.recv().await.unwrap().unwrap().unwrap(), "abc");
    serving.abort();
    assert!(receiver.recv().await.unwrap().unwrap_err().is_over());
}

/// A peer that sends hundreds of requests at once has the thread for no more of them than a turn.
#[tokio::test(flavor = "local")]
async fn peer_that_sends_hundreds_of_requests_does_not_delay_others() {
    let served = Arc::new(AtomicU64::new(0));
    let count = served.clone();
    let app = async move |_: &mut Session, _: Request<'_>| {
        count.fetch_add(1, Ordering::Relaxed);
        "fine"
    };
    let server = Server::options().bind(Address::ABSTRACT, app).unwrap();
    let address = server.address().clone();
    let serving = tokio::task::spawn_local(server.serve_local());
    let peer = tokio::task::spawn_blocking(move || {
        let mut raw = Raw::connect(&address);
        for _ in 0..20 {
            raw.send(GET.repeat(500));
            for _ in 0..500 {
                raw.expect(FINE);
            }
        }
    });
    let (mut before, mut most) = (0, 0);
    while !peer.is_finished() {
        let now = served.load(Ordering::Relaxed);
        (before, most) = (now, most.max(now - before));
        tokio::task::yield_now().await;
    }
    peer.await.unwrap();
    assert!((2..=32).contains(&most), "{most} requests in a turn");
    serving.abort();
}

/// A body that is passed back, and is looked at once more when it is dropped.
struct LooksBack(Incoming);

impl Source for LooksBack {
    fn poll_part(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        Pin::new(&mut self.0).poll_part(cx)
    }
}

impl Drop for LooksBack {
    fn drop(&mut self) {
        let _ = Pin::new(&mut self.0).poll_part(&mut Context::from_waker(Waker::noop()));
    }
}

#[test]
fn source_that_is_dropped_unasked_may_read_the_request() {
    let server = Running::new(TCP, async |_: &mut Session, request: Request<'_>| {
        Body::from_source(4, Box::pin(LooksBack(request.body)))
    });
    let mut raw = server.connect();
    for _ in 0..2 {
        raw.send("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfine");
        raw.expect("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
    }
}
