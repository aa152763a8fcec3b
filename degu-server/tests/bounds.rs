//! Every bound of a server that has no test of its own elsewhere, reached over a socket.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::common::{Running, refusal};
use degu_server::{Address, App, Body, BoxError, Chunk, ErrorReply, Options, Request, Response, Server, Session, sse};

const SECOND: Option<Duration> = Some(Duration::from_secs(1));

async fn app(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    Ok(match request.segments() {
        ["never"] => std::future::pending().await,
        _ => request.body.read_all(1024).await?.into(),
    })
}

fn server(options: Options) -> Running {
    Running::with(options.workers(1), Address::IPV6_LOOPBACK, app)
}

/// Sends these bytes, then waits. Returns all that the server sends.
fn stalled(server: &Running, bytes: &str) -> String {
    let mut raw = server.connect();
    raw.send(bytes);
    raw.rest()
}

#[test]
fn a_head_that_does_not_end() {
    let server = server(Server::options().head_timeout(SECOND));
    assert_eq!(
        stalled(&server, "GET / HTTP/1.1\r\nhost:"),
        refusal("408 Request Timeout", "the client sent the head of a request too slowly")
    );
}

#[test]
fn a_connection_without_a_request() {
    let server = server(Server::options().idle_timeout(SECOND));
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(stalled(&server, ""), ""));
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(stalled(&server, "GET / HTTP/1.1\r\nhost: a\r\n\r\n"), whole);
    });
}

#[test]
fn a_body_that_does_not_get_on() {
    let server = server(Server::options().progress(1024, SECOND));
    let request = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf";
    assert_eq!(
        stalled(&server, request),
        refusal("408 Request Timeout", "the client sent the body of a request too slowly")
    );
}

#[test]
fn a_body_whose_handler_lets_it_come_slowly() {
    let slow = async |_: &mut Session, mut request: Request<'_>| {
        request.body.set_progress(2, Some(Duration::from_secs(3)));
        Ok::<_, BoxError>(request.body.read_all(1024).await?)
    };
    let server = Running::with(Server::options().workers(1).progress(1024, SECOND), Address::IPV6_LOOPBACK, slow);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let request = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nh";
            assert_eq!(
                stalled(&server, request),
                refusal("408 Request Timeout", "the client sent the body of a request too slowly")
            );
        });
        let mut raw = server.connect();
        raw.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n");
        // All writes take longer than the window. In each window two bytes would be enough.
        for byte in b"very slow!" {
            std::thread::sleep(Duration::from_millis(500));
            raw.send([*byte]);
        }
        raw.expect("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nvery slow!");
    });
}

/// This app answers, whatever time it takes, although nothing comes of the body.
fn answers_without_a_body(app: impl App) {
    let options = Server::options().workers(1).progress(1024, SECOND);
    let server = Running::with(options, Address::IPV6_LOOPBACK, app);
    let mut raw = server.connect();
    raw.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n");
    raw.expect("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
}

#[test]
fn a_body_that_nobody_waits_for_any_more() {
    let patient = async |_: &mut Session, mut request: Request<'_>| {
        let given_up = tokio::time::timeout(Duration::from_millis(1), request.body.next_data()).await;
        assert!(given_up.is_err(), "nothing of the body has come");
        // The peer is owed nothing meanwhile, however long it takes.
        tokio::time::sleep(Duration::from_secs(4)).await;
        "done"
    };
    answers_without_a_body(patient);
}

#[test]
fn a_body_that_a_task_of_its_own_waits_for_no_more() {
    let patient = async |_: &mut Session, request: Request<'_>| {
        let mut body = request.body;
        let task = tokio::task::spawn_local(async move {
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
                data = body.next_data() => panic!("{data:?}, and nothing of the body has come"),
            }
            // The connection hears of it, although what waited is gone without another poll.
            tokio::time::sleep(Duration::from_secs(4)).await;
            drop(body);
        });
        task.await.map(|()| "done").map_err(BoxError::from)
    };
    answers_without_a_body(patient);
}

#[test]
fn what_is_read_ahead_is_counted_with_what_it_takes_to_keep_it() {
    let ahead = async |_: &mut Session, mut request: Request<'_>| {
        request.body.read_ahead(16 * 1024).await?;
        Ok::<_, BoxError>("fine")
    };
    let server = Running::new(Address::IPV6_LOOPBACK, ahead);
    let ask = |chunks: String| {
        let answer = server.ask(format!("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}?"));
        answer.lines().next().unwrap_or_default().to_owned()
    };
    // What is wrong with a body is found if it is read so far.
    assert_eq!(ask("1\r\nx\r\n".repeat(10)), "HTTP/1.1 400 Bad Request");
    assert_eq!(ask("1\r\nx\r\n".repeat(1000)), "HTTP/1.1 200 OK");
    let said = format!("1;{}\r\nx\r\n", "n".repeat(1000));
    assert_eq!(ask(said.repeat(10)), "HTTP/1.1 400 Bad Request");
    assert_eq!(ask(said.repeat(100)), "HTTP/1.1 200 OK");
}

#[test]
fn a_handler_that_does_not_answer() {
    let server = server(Server::options().handler_timeout(SECOND));
    let request = "GET /never HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(stalled(&server, request), refusal("503 Service Unavailable", "the app took too long"));
}

#[test]
fn a_response_that_nobody_takes() {
    let (dropped, is_dropped) = channel();
    let endless = async move |_: &mut Session, _: Request<'_>| {
        let dropped: Sender<()> = dropped.clone();
        Body::try_unfold(dropped, async |dropped| Ok(Some((Chunk::new(vec![b'x'; 1 << 16]), dropped))))
    };
    cuts_what_nobody_takes(endless, &is_dropped);
}

#[test]
fn events_that_nobody_takes() {
    let (dropped, is_dropped) = channel();
    let endless = async move |session: &mut Session, _: Request<'_>| {
        let dropped: Sender<()> = dropped.clone();
        sse::response(session, dropped, async |dropped| Ok(Some((sse::Event::new("x".repeat(1 << 10)), dropped))))
    };
    cuts_what_nobody_takes(endless, &is_dropped);
}

/// Serves a response without an end to a client that does not read it, until the server cuts it. Uses a Unix socket, because over
/// TCP the kernel's user timeout would also end the connection.
fn cuts_what_nobody_takes(endless: impl App, is_dropped: &Receiver<()>) {
    let options = Server::options().workers(1).progress(1024, SECOND);
    let mut raw = {
        let server = Running::with(options, Address::ABSTRACT, endless);
        let mut raw = server.connect();
        raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let begun = Instant::now();
        while server.handle().stats().deadlines == 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", server.handle().stats());
            std::thread::yield_now();
        }
        raw
    };
    assert!(is_dropped.recv().is_err(), "the body is gone, and the app with its server");
    // What had left before is there, without an end: by a reset, where the system has one to send.
    let mut bytes = vec![0; 1 << 20];
    let mut tail = Vec::new();
    while let Ok(count @ 1..) = raw.read_some(&mut bytes) {
        tail.extend_from_slice(&bytes[..count]);
        tail.drain(..tail.len().saturating_sub(5));
    }
    assert_ne!(tail, b"0\r\n\r\n");
}

#[test]
fn what_is_read_behind_the_last_word() {
    let server = server(Server::options());
    // A peer that says no more is not waited for.
    let mut silent = server.connect();
    silent.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(silent.rest(), refusal("400 Bad Request", "a request without Host"));
    while server.handle().stats().open > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_fault_that_is_not_answered() {
    let server = server(Server::options().error_reply(ErrorReply::Silent));
    assert_eq!(server.ask("GET / HTTP/1.1\r\n\r\n"), "");
    assert_eq!(server.ask("GET / HTTP/1.1\nhost: a\n\n"), "");
    // An answer that it comes behind is not lost, though the fault is found before all has been read.
    let mut raw = server.connect();
    raw.send(format!("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET  {}", " ".repeat(100_000)));
    assert_eq!(raw.rest(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn methods_that_are_not_listed() {
    let server = server(Server::options().methods(["PURGE"]));
    for (method, expected) in [
        ("PURGE", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()),
        ("purge", refusal("501 Not Implemented", "a method that is not implemented")),
        ("PROPFIND", refusal("501 Not Implemented", "a method that is not implemented")),
        ("TRACE", refusal("501 Not Implemented", "a method that is not implemented")),
    ] {
        assert_eq!(server.ask(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")), expected, "{method}");
    }
}
