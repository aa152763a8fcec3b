//! The bytes that a peer gets from apps that fail, panic, or contradict themselves; and that no other peer notices.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::common::{Running, failed, refusal};
use degu_server::{Address, Body, BoxError, Chunk, Part, Request, Response, Server, Session, Source};

/// Gives these parts, and then fails or ends.
struct Parts(Vec<Option<Part>>);

impl Source for Parts {
    fn poll_part(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        let parts = &mut self.get_mut().0;
        if parts.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(parts.remove(0).ok_or_else(|| "the disk is on fire".into())))
    }
}

fn parts(parts: impl IntoIterator<Item = Option<&'static str>>) -> Pin<Box<Parts>> {
    Box::pin(Parts(parts.into_iter().map(|part| part.map(|text| Part::Data(text.into()))).collect()))
}

fn chunks(parts: impl IntoIterator<Item = Option<&'static str>>) -> Pin<Box<Parts>> {
    Box::pin(Parts(parts.into_iter().map(|part| part.map(|text| Chunk::new(text).into())).collect()))
}

async fn app(_: &mut Session, request: Request<'_>) -> Result<Response, BoxError> {
    let path: &[&str] = request.segments();
    Ok(match path {
        ["panic"] => panic!("an app that panics"),
        ["panic-later"] => {
            tokio::task::yield_now().await;
            panic!("an app that panics after a while")
        }
        ["error"] => return Err("an app that fails".into()),
        ["header"] => (200, [("x", "a\r\nb: c")], "text").into(),
        ["status"] => (199, "No Such", (), "text").into(),
        ["reason"] => (200, "O\r\nK", (), "text").into(),
        ["no-content"] => (204, "text").into(),
        ["length"] => (200, [("content-length", "5")], "text").into(),
        ["short"] => (200, Body::from_source(10, parts([Some("seven "), None.or(Some("!"))]))).into(),
        ["long"] => (200, Body::from_source(10, parts([Some("seven "), Some("eleven"), Some("more")]))).into(),
        ["broken"] => (200, Body::from_source(10, parts([Some("seven "), None]))).into(),
        ["broken-chunks"] => (200, Body::chunks_from_source(chunks([Some("chunk"), None]))).into(),
        ["bad-chunk"] => {
            let bad = Chunk::new("chunk").with_extension("a b", 1);
            (200, Body::chunks_from_source(Box::pin(Parts(vec![Some(bad.into())])))).into()
        }
        ["panic-in-body"] => {
            let body = Body::try_unfold(0, async |n| match n {
                0 => Ok(Some((Chunk::new("chunk"), 1))),
                _ => panic!("a body that panics"),
            });
            (200, body).into()
        }
        _ => "fine".into(),
    })
}

const HEAD: &str = "HTTP/1.1 200 OK\r\n";

#[test]
fn failure_before_the_head_gets_500_and_after_it_cuts() {
    for address in [Address::IPV6_LOOPBACK, Address::ABSTRACT] {
        let server = Running::new(address, app);
        let mut bystander = server.connect();
        for (path, expected) in [
            ("panic", failed()),
            ("panic-later", failed()),
            ("error", failed()),
            ("header", failed()),
            ("status", failed()),
            ("reason", failed()),
            ("no-content", failed()),
            ("length", failed()),
            ("short", format!("{HEAD}content-length: 10\r\n\r\nseven !")),
            ("long", format!("{HEAD}content-length: 10\r\n\r\nseven ")),
            ("broken", format!("{HEAD}content-length: 10\r\n\r\nseven ")),
            ("broken-chunks", format!("{HEAD}transfer-encoding: chunked\r\n\r\n5\r\nchunk\r\n")),
            ("bad-chunk", format!("{HEAD}transfer-encoding: chunked\r\n\r\n")),
            ("panic-in-body", format!("{HEAD}transfer-encoding: chunked\r\n\r\n5\r\nchunk\r\n")),
        ] {
            // What was pipelined behind it is not answered.
            let request = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(server.ask(request.repeat(2)), expected, "{path}");
            bystander.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            bystander.expect(&format!("{HEAD}content-length: 4\r\n\r\nfine"));
        }
    }
}

#[test]
fn responses_before_the_failure_arrive() {
    let server = Running::new(Address::IPV6_LOOPBACK, app);
    assert_eq!(
        server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /error HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("{HEAD}content-length: 4\r\n\r\nfine{}", failed())
    );
    assert_eq!(
        server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        format!("{HEAD}content-length: 4\r\n\r\nfine{}", refusal("400 Bad Request", "a request without Host"))
    );
}

#[test]
fn a_body_without_framing_that_fails_does_not_look_whole() {
    let server = Running::with(Server::options().workers(1), Address::IPV6_LOOPBACK, app);
    let mut raw = server.connect();
    raw.send("GET /broken-chunks HTTP/1.0\r\n\r\n");
    let mut buffer = [0; 1024];
    let end = loop {
        match raw.read_some(&mut buffer) {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    assert_eq!(end, Some(std::io::ErrorKind::ConnectionReset), "an end would be a success");
}

#[test]
fn handles_on_bodies_die_with_their_exchange() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let app = async move |_: &mut Session, request: Request<'_>| {
        let sender = sender.clone();
        let mut request = request.into_owned();
        // It outlives its exchange.
        drop(tokio::task::spawn_local(async move {
            let first = request.body.next_data().await;
            let second = request.body.next_data().await;
            sender.send((first, second)).unwrap();
        }));
        tokio::task::yield_now().await;
        "early"
    };
    let server = Running::new(Address::IPV6_LOOPBACK, app);
    let mut raw = server.connect();
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
    raw.expect(&format!("{HEAD}content-length: 5\r\n\r\nearly"));
    raw.shut_down_writing();
    assert_eq!(raw.rest(), "");
    let (first, second) = receiver.recv().unwrap();
    assert_eq!(first.unwrap().unwrap(), "abc");
    assert!(second.unwrap_err().is_over());
}
