//! The shapes in which users write apps: a type with methods, a feed, an app that fails.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{Running, failed, refusal};
use degu_server::{Address, Body, BoxError, Chunk, Method, Request, Response, Server, Session, own_credentials};
use tokio::sync::watch;

#[derive(Default)]
struct Counter(AtomicU64);

impl Counter {
    async fn answer(&self, session: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
        Ok(match (request.method(), request.segments()) {
            (Method::Get, ["counter"]) => (200, self.0.load(Ordering::Relaxed).to_string()).into(),
            (Method::Post, ["counter"]) => {
                let body = request.body.read_all(32).await?;
                let Ok(step) = std::str::from_utf8(&body)?.trim().parse::<u64>() else {
                    return Ok((400, "a number, please\n").into());
                };
                assert_eq!(session.credentials().map(|c| c.uid), Some(own_credentials().uid));
                (200, (self.0.fetch_add(step, Ordering::Relaxed) + step).to_string()).into()
            }
            (_, ["counter"]) => 405.into(),
            _ => 404.into(),
        })
    }
}

#[test]
fn a_counter_for_this_user_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counter.sock");
    let me = own_credentials().uid;
    let counter = Counter::default();
    let options = Server::options()
        .socket_mode(0o600)
        .on_connect(async move |session: &mut Session| session.credentials().is_some_and(|peer| peer.uid == me));
    let server =
        Running::with(options, Address::unix(&path), async move |session: &mut Session, request: Request<'_>| {
            counter.answer(session, request).await
        });
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o600);
    for (bytes, end) in [
        ("POST /counter HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n7", "\r\n\r\n7"),
        ("POST /counter HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n5", "\r\n\r\n12"),
        ("POST /counter HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "a number, please\n"),
        ("GET /counter HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n12"),
        ("PUT /counter HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n"),
    ] {
        let answer = server.ask(bytes);
        assert!(answer.ends_with(end), "{bytes:?}: {answer:?}");
    }
    drop(server);
    assert!(!path.exists(), "the file goes with the server");
}

#[test]
fn a_feed_of_chunks_that_never_ends() {
    let (log, feed) = watch::channel(vec!["one".to_string()]);
    let app = async move |_: &mut Session, request: Request<'_>| {
        let Ok(since) = request.query_value("since").as_deref().unwrap_or("0").parse::<usize>() else {
            return Response::from((400, "since: a number\n"));
        };
        let documents = Body::try_unfold((feed.clone(), since), |(mut feed, seq)| async move {
            let document = feed.wait_for(|log| log.len() > seq).await.ok().map(|log| log[seq].clone());
            Ok(document.map(|document| (Chunk::new(document).with_extension("seq", seq + 1), (feed, seq + 1))))
        });
        (200, documents).into()
    };
    let server = Running::new(Address::IPV6_LOOPBACK, app);
    let mut raw = server.connect();
    raw.send("GET /changes?since=0 HTTP/1.1\r\nHost: a\r\n\r\n");
    raw.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;seq=1\r\none\r\n");
    log.send_modify(|all| all.push("two".into()));
    raw.expect("3;seq=2\r\ntwo\r\n");
    drop(log);
    raw.expect("0\r\n\r\n");
    assert!(server.ask("GET /changes?since=x HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

#[test]
fn an_app_that_fails_is_answered_for() {
    let shout = async |_: &mut Session, mut request: Request<'_>| -> Result<Response, BoxError> {
        if request.method() != Method::Post {
            return Ok(405.into());
        }
        let text = request.body.read_all(8).await?;
        Ok((200, String::from_utf8(text.to_vec())?.to_uppercase()).into())
    };
    let server = Running::new(Address::IPV6_LOOPBACK, shout);
    for (body, answer) in [
        (&b"hello"[..], "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHELLO".to_string()),
        (b"\xff", failed()),
        (b"longer than eight", refusal("413 Content Too Large", "a body longer than the limit of its reader")),
    ] {
        let mut bytes = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        assert_eq!(server.ask(bytes), answer);
    }
}
