//! Handlers that block, on threads of their own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use degu_server::{
    Address, App, BlockingRequest, Error, Exchange, Request, Response, Server, Session, blocking, own_credentials,
};

use crate::common::{Raw, Running, failed, refusal};

/// Longer than any machine needs: a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn plain(request: BlockingRequest) -> Result<(u16, String), Error> {
    match &request.segments()[..] {
        ["panic"] => panic!("a function that panics"),
        ["error"] => Err(Error::new(400, "not so\n")),
        _ => {
            let (query, body) = (request.query_value("q"), request.body.len());
            let is_me = request.credentials() == Some(own_credentials());
            Ok((201, format!("{} {} {query:?} {body} {is_me}", request.method(), request.path())))
        }
    }
}

#[test]
fn function_gets_the_whole_request_and_its_faults_are_answered() {
    let server = Running::new(Address::ABSTRACT, blocking(5, plain).threads(1));
    for (request, end) in [
        ("POST /a?q=%C3%A9 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "POST /a Some(\"é\") 5 true"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "POST / None 2 true"),
        (&get("/error"), "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n\r\nnot so\n"),
        (&get("/panic"), &failed()),
        (&get("/"), "GET / None 0 true"),
    ] {
        let answer = server.ask(request);
        assert!(answer.ends_with(end), "{request}: {answer}");
    }
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello!",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n",
    ] {
        let too_large = refusal("413 Content Too Large", "");
        assert!(server.ask(request).starts_with(too_large.split_once("\r\n").unwrap().0), "{request}");
    }
}

/// Blocks in the function until the gate is opened, answers `/async` at once, and reports what was answered.
struct Gated {
    blocking: degu_server::Blocking<String>,
}

impl App for Gated {
    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response {
        match request.segments() {
            ["async"] => "at once".into(),
            _ => self.blocking.handle(session, request).await,
        }
    }
}

#[test]
fn beyond_the_queue_is_503_and_async_handlers_go_on() {
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let (most, running) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let (behind, seen) = (gate.clone(), most.clone());
    let (began, begun) = channel();
    let function = move |_: BlockingRequest| {
        seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let _ = began.send(());
        drop(behind.read());
        running.fetch_sub(1, Ordering::SeqCst);
        String::from("done")
    };
    let (send, statuses) = channel();
    let options = Server::options().workers(1).on_response(move |exchange: &Exchange| {
        let _ = send.send(exchange.status());
    });
    let server =
        Running::with(options, Address::ABSTRACT, Gated { blocking: blocking(0, function).threads(4).queue(8) });
    let mut clients: Vec<Raw> = (0..64).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    for _ in 0..64 - 12 {
        assert_eq!(statuses.recv_timeout(PATIENCE).unwrap(), Some(503));
    }
    for _ in 0..10 {
        assert!(server.ask(get("/async")).ends_with("at once"));
        assert_eq!(statuses.recv_timeout(PATIENCE).unwrap(), Some(200), "none of the others is answered");
    }
    // All four threads have to be at the gate before it opens.
    (0..4).for_each(|_| begun.recv_timeout(PATIENCE).unwrap());
    drop(closed);
    let answers = clients.iter_mut().map(|client| {
        client.shut_down_writing();
        client.rest()
    });
    let (done, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.ends_with("done"));
    assert_eq!((done.len(), refused.len()), (12, 52));
    assert!(refused.iter().all(|answer| answer.contains("\r\nretry-after: 1\r\n")), "{refused:?}");
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

#[test]
fn a_full_queue_is_503_before_the_body_is_read() {
    let (started, start) = channel();
    let (open, gate) = channel::<()>();
    let (started, gate) = (Mutex::new(started), Mutex::new(gate));
    let function = move |_: BlockingRequest| {
        started.lock().unwrap().send(()).unwrap();
        gate.lock().unwrap().recv().unwrap();
        String::from("done")
    };
    let server = Running::new(Address::ABSTRACT, blocking(8, function).threads(1).queue(0));
    let mut first = server.connect();
    first.send(get("/"));
    start.recv_timeout(PATIENCE).unwrap();
    let mut second = server.connect();
    second.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    let head = second.response_head().unwrap();
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nretry-after: 1\r\n"), "{head}");
    open.send(()).unwrap();
    assert!(first.response_head().unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn thread_is_free_for_the_next_request_when_its_answer_is_out() {
    let function = |_: BlockingRequest| String::from("done");
    let server = Running::new(Address::ABSTRACT, blocking(0, function).threads(1).queue(0));
    let mut client = server.connect();
    for _ in 0..2000 {
        client.send(get("/"));
        let head = client.response_head().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client.expect("done");
    }
}

/// An answer whose destructor panics, unless it was sent.
struct Fragile {
    is_sent: bool,
}

impl From<Fragile> for Response {
    fn from(mut answer: Fragile) -> Self {
        answer.is_sent = true;
        "done".into()
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(self.is_sent, "an answer that panics when it is dropped");
    }
}

#[test]
fn thread_outlives_an_answer_that_nobody_takes() {
    let (started, start) = channel();
    let (open, gate) = channel::<()>();
    let (started, gate) = (Mutex::new(started), Mutex::new(gate));
    let function = move |request: BlockingRequest| {
        if request.path() == "/gone" {
            started.lock().unwrap().send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
        }
        Fragile { is_sent: false }
    };
    let (send, ends) = channel();
    let options = Server::options().workers(1).on_response(move |exchange: &Exchange| {
        let _ = send.send(exchange.status());
    });
    let server = Running::with(options, Address::ABSTRACT, blocking(0, function).threads(1));
    let mut gone = server.connect();
    gone.send(get("/gone"));
    start.recv_timeout(PATIENCE).unwrap();
    drop(gone);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), None);
    open.send(()).unwrap();
    assert!(server.ask(get("/")).ends_with("done"));
}

#[test]
fn request_whose_client_is_gone_before_it_starts_is_dropped() {
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let (started, start) = channel();
    let (behind, started) = (gate.clone(), Mutex::new(started));
    let function = move |request: BlockingRequest| {
        started.lock().unwrap().send(request.path().to_owned()).unwrap();
        drop(behind.read());
        String::from("done")
    };
    let (send, ends) = channel();
    let options = Server::options().workers(1).on_response(move |exchange: &Exchange| {
        let _ = send.send((exchange.target().map(str::to_owned), exchange.status()));
    });
    let server = Running::with(options, Address::ABSTRACT, blocking(0, function).threads(1).queue(1));
    let mut first = server.connect();
    first.send(get("/first"));
    assert_eq!(start.recv_timeout(PATIENCE).unwrap(), "/first");
    let mut second = server.connect();
    second.send(get("/second"));
    // The queue is full.
    let mut refused = server.connect();
    refused.send(get("/refused"));
    let full = ends.recv_timeout(PATIENCE).unwrap();
    let gone = match &full {
        (Some(target), Some(503)) if target == "/refused" => second,
        // It came before the second.
        (_, status) => {
            assert_eq!(*status, Some(503));
            refused
        }
    };
    drop(gone);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap().1, None);
    let mut third = server.connect();
    third.send(get("/third"));
    drop(closed);
    third.expect("HTTP/1.1 200 OK\r\n");
    first.expect("HTTP/1.1 200 OK\r\n");
    assert_eq!(start.recv_timeout(PATIENCE).unwrap(), "/third");
}

#[test]
fn function_may_use_a_runtime_of_its_own() {
    let function = |_: BlockingRequest| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            tokio::spawn(async { String::from("done") }).await.unwrap()
        })
    };
    let server = Running::new(Address::ABSTRACT, blocking(0, function));
    assert!(server.ask(get("/")).ends_with("done"));
}
