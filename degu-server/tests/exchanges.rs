//! Requests and responses as bytes, over every kind of address.

use crate::common::{Raw, Running, refusal};
use degu_server::{Address, App, Body, BoxError, Chunk, Method, Part, Request, Response, Server, Session};

async fn echo(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    request.body.read_ahead(64 * 1024).await?;
    Ok((200, request.body).into())
}

async fn small(_: &mut Session, request: Request<'_>) -> Response {
    match (request.method(), request.segments()) {
        (Method::Get, ["example"]) => "hello, world".into(),
        (Method::Get, ["empty"]) => 204.into(),
        (Method::Get, _) => 404.into(),
        (Method::Head, _) => "never sent".into(),
        _ => 405.into(),
    }
}

fn addresses(folder: &tempfile::TempDir) -> [Address; 5] {
    [
        Address::IPV4_LOOPBACK,
        Address::IPV6_LOOPBACK,
        "[::1%lo]:0".parse().unwrap(),
        Address::unix(folder.path().join("socket")),
        Address::ABSTRACT,
    ]
}

#[test]
fn one_exchange_over_every_kind_of_address() {
    let folder = tempfile::tempdir().unwrap();
    for address in addresses(&folder) {
        let server = Running::new(address, small);
        let mut raw = server.connect();
        for _ in 0..3 {
            raw.send("GET /example HTTP/1.1\r\nHost: a\r\n\r\n");
            raw.expect("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nhello, world");
        }
        raw.send("GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(raw.rest(), "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
}

#[test]
fn methods_and_statuses_without_bodies() {
    let server = Running::new(Address::IPV6_LOOPBACK, small);
    assert_eq!(
        server.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\n\r\n"),
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    );
    assert_eq!(
        server.ask("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"),
        refusal("501 Not Implemented", "a method that is not implemented")
    );
}

#[test]
fn bodies_come_back_as_they_were_sent() {
    let folder = tempfile::tempdir().unwrap();
    let chunks = "5;seq=1;note=\"a b\"\r\nhello\r\n1\r\n,\r\n0;end\r\nx-sum: 7\r\n\r\n";
    for address in addresses(&folder) {
        let server = Running::new(address, echo);
        let mut raw = server.connect();
        raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        raw.expect("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
        raw.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        raw.expect(&format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"));
        raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        raw.expect("HTTP/1.1 100 Continue\r\n\r\n");
        raw.send("again");
        raw.expect("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nagain");
    }
}

#[test]
fn rest_of_a_chunk_is_passed_on_as_a_chunk_of_its_own() {
    let rest = async |_: &mut Session, mut request: Request<'_>| {
        request.body.next_data().await?;
        Ok::<_, BoxError>((200, request.body))
    };
    let server = Running::new(Address::IPV6_LOOPBACK, rest);
    let mut raw = server.connect();
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;seq=1\r\nhe");
    // The body has been asked for more before the head goes out.
    raw.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    raw.send("llo\r\n1;seq=2\r\n,\r\n0\r\n\r\n");
    raw.expect("3\r\nllo\r\n1;seq=2\r\n,\r\n0\r\n\r\n");
}

#[test]
fn data_is_never_empty_though_a_read_of_its_chunk_was_given_up() {
    let (gave_up, gives_up) = std::sync::mpsc::channel();
    let app = async move |_: &mut Session, mut request: Request<'_>| {
        tokio::select! {
            biased;
            chunk = request.body.next_chunk() => panic!("only the line of {chunk:?} was sent"),
            () = std::future::ready(()) => gave_up.send(())?,
        }
        Ok::<_, BoxError>(format!("{:?}", request.body.next_data().await?))
    };
    let server = Running::new(Address::IPV6_LOOPBACK, app);
    let mut raw = server.connect();
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n");
    gives_up.recv().unwrap();
    raw.send("hello\r\n0\r\n\r\n");
    raw.expect("HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nSome(b\"hello\")");
}

#[test]
fn large_bodies_flow_through() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    for address in addresses(&folder) {
        let server = Running::new(address, echo);
        let mut reader = server.connect();
        let mut writer = match &reader {
            Raw::Tcp(stream) => Raw::Tcp(stream.try_clone().unwrap()),
            Raw::Unix(stream) => Raw::Unix(stream.try_clone().unwrap()),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2 {
                    writer.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", bytes.len()));
                    writer.send(&bytes);
                }
            });
            for _ in 0..2 {
                reader.expect(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len()));
                let mut got = vec![0; bytes.len()];
                let mut at = 0;
                while at < got.len() {
                    let read = reader.read_some(&mut got[at..]).unwrap();
                    assert!(read > 0, "closed after {at} bytes");
                    at += read;
                }
                assert!(got == bytes);
            }
        });
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Running::new(Address::IPV6_LOOPBACK, echo);
    let mut requests = String::new();
    let mut responses = String::new();
    for n in 0..1000 {
        let body = "x".repeat(n % 300);
        requests += &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        responses += &format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    }
    let mut raw = server.connect();
    raw.send(&requests);
    raw.expect(&responses);
}

#[test]
fn faults_get_their_status_and_the_connection_ends() {
    let server = Running::new(Address::IPV6_LOOPBACK, echo);
    for (bytes, status, why) in [
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request", "a request without Host"),
        ("\x16\x03\x01", "400 Bad Request", "bytes that do not begin an HTTP message"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n",
            "417 Expectation Failed",
            "an Expect field other than `100-continue` (at byte 33)",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "400 Bad Request",
            "a malformed chunk size",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfour",
            "400 Bad Request",
            "an incomplete body, because the connection ended",
        ),
    ] {
        assert_eq!(server.ask(bytes), refusal(status, why), "{bytes:?}");
    }
    // The text is not sent to HEAD, also where the method of the request was not understood yet.
    let refused = server.ask("HEAD / HTTP/1.1\r\n\r\n");
    assert!(refused.ends_with("\r\ncontent-length: 36\r\nconnection: close\r\n\r\n"), "{refused}");
}

#[test]
fn each_response_has_a_date_if_the_option_is_on() {
    let server = Running::with(Server::options().date(true), Address::IPV6_LOOPBACK, small);
    for (request, status) in [
        ("GET /example HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "200 OK"),
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "501 Not Implemented"),
    ] {
        let response = server.ask(request);
        assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{response}");
        assert_eq!(response.matches("\r\ndate: ").count(), 1, "{response}");
    }
}

#[test]
fn chunks_are_sent_as_they_are_made() {
    let app = async |_: &mut Session, _: Request<'_>| {
        let chunks =
            Body::try_unfold(0, async |n| Ok((n < 2).then(|| (Chunk::new("tick").with_extension("n", n), n + 1))));
        (200, [("content-type", "text/plain")], chunks)
    };
    let server = Running::new(Address::ABSTRACT, app);
    assert_eq!(
        server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n\
         4;n=0\r\ntick\r\n4;n=1\r\ntick\r\n0\r\n\r\n"
    );
}

#[test]
fn sessions_know_their_peer_and_what_was_stored() {
    let app = async |session: &mut Session, _: Request<'_>| {
        let before = session.insert(format!("request {}", session.requests()));
        let pid = session.credentials().map_or(0, |peer| peer.pid);
        format!("{} {} {before:?}", session.address(), pid == std::process::id() as i32)
    };
    let options = Server::options().on_connect(async |session: &mut Session| session.credentials().is_some());
    let server = Running::with(options, Address::ABSTRACT, app);
    let answers = server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answers.contains("\r\n\r\nunix:@ true NoneHTTP"), "{answers}");
    assert!(answers.ends_with("unix:@ true Some(\"request 1\")"), "{answers}");

    let options = Server::options().on_connect(async |session: &mut Session| session.credentials().is_some());
    let server = Running::with(options, Address::IPV4_LOOPBACK, small);
    assert_eq!(server.ask(""), "", "no credentials, no connection");
}

#[test]
fn every_form_of_app_is_served() {
    struct Type(&'static str);
    impl App for Type {
        async fn handle(&self, _: &mut Session, _: Request<'_>) -> Response {
            self.0.into()
        }
    }
    fn wrapped(inner: impl App) -> impl App {
        async move |session: &mut Session, request: Request<'_>| inner.handle(session, request).await
    }
    // Neither `Send` futures nor `Send` bodies are asked for.
    let local = async |_: &mut Session, _: Request<'_>| {
        let text = std::rc::Rc::new(String::from("local"));
        tokio::task::yield_now().await;
        text.to_string()
    };
    let text = String::from("captured");
    let captures = async move |_: &mut Session, _: Request<'_>| text.clone();
    let spawns = async |_: &mut Session, request: Request<'_>| {
        let mut request = request.into_owned();
        let task = tokio::task::spawn_local(async move { request.body.read_all(10).await });
        task.await.map_err(BoxError::from)?.map_err(BoxError::from)
    };
    for (app, expected) in [
        (degu_server::BoxedApp::new(Type("type")), "type"),
        (degu_server::BoxedApp::new(wrapped(Type("wrapped"))), "wrapped"),
        (degu_server::BoxedApp::new(local), "local"),
        (degu_server::BoxedApp::new(captures), "captured"),
        (degu_server::BoxedApp::new(spawns), "spawned"),
    ] {
        let server = Running::new(Address::ABSTRACT, app);
        let answer = server.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nspawned");
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
    }
}

/// A read that is given up keeps what it has for whoever reads on, whichever way.
#[test]
fn a_chunk_that_was_given_up_is_read_in_parts() {
    let (given_up, was_given_up) = std::sync::mpsc::channel();
    let app = async move |_: &mut Session, mut request: Request<'_>| {
        let body = &mut request.body;
        {
            let mut chunk = std::pin::pin!(body.next_chunk());
            std::future::poll_fn(|cx| {
                assert!(chunk.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        given_up.send(())?;
        let mut parts = Vec::new();
        while let Some(part) = body.next_part().await? {
            parts.push(match part {
                Part::Chunk { size, extensions, data } => format!("{size}{extensions} {data:?}"),
                part => format!("{part:?}"),
            });
        }
        Ok::<_, BoxError>(format!("{} and {} more", parts[0], parts.len() - 1))
    };
    let server = Running::new(Address::ABSTRACT, app);
    let mut raw = server.connect();
    raw.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5;a\r\nhe");
    was_given_up.recv().unwrap();
    raw.send("llo\r\n0\r\n\r\n");
    let rest = raw.rest();
    assert!(rest.ends_with("5;a b\"he\" and 1 more"), "{rest}");
}

#[test]
fn queries_are_decoded_pair_by_pair() {
    async fn app(_: &mut Session, request: Request<'_>) -> String {
        let pairs: Vec<_> = request.query_pairs().collect();
        let (first, all) = (request.query_value("a b"), request.query_values("a b").collect::<Vec<_>>());
        let shown = format!("{:?} {pairs:?} {first:?} {all:?}", request.query());
        let owned = request.into_owned();
        assert_eq!(owned.query_pairs().collect::<Vec<_>>(), pairs);
        assert_eq!((owned.query_value("a b"), owned.query_values("a b").collect()), (first, all));
        shown
    }
    let server = Running::new(Address::ABSTRACT, app);
    for (target, shown) in [
        ("/", r#"None [] None []"#),
        ("/?", r#"Some("") [] None []"#),
        (
            "/?a%20b=x+y&n&a+b=%C3%A9",
            r#"Some("a%20b=x+y&n&a+b=%C3%A9") [("a b", "x y"), ("n", ""), ("a b", "é")] Some("x y") ["x y", "é"]"#,
        ),
        (
            "/?a+b=%ff%zz=1&&",
            "Some(\"a+b=%ff%zz=1&&\") [(\"a b\", \"\u{fffd}%zz=1\")] Some(\"\u{fffd}%zz=1\") [\"\u{fffd}%zz=1\"]",
        ),
    ] {
        let answer = server.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, shown, "{target}");
    }
}
