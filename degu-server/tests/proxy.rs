//! A server in front of a server.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::common::{Raw, Running, refusal};
use degu_client::Client;
use degu_server::applib::{ProxyApp, Router, set_forwarded_for};
use degu_server::{Address, Body, BoxError, Chunk, Headers, Limits, Part, Request, Response, Server, Session};

async fn echo(session: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    request.body.read_ahead(1024).await?;
    let mut headers = Headers::new();
    headers.set("x-target", request.target())?;
    headers.set("x-host", request.headers().get("host").unwrap_or("none"))?;
    headers.set("x-requests", session.requests())?;
    let disguised = ["x_forwarded_for", "x-forwarded_for", "content_length", "transfer_encoding"];
    for name in ["x-forwarded-for", "te", "keep-alive", "x-listed", "x-kept", "x_kept"].into_iter().chain(disguised) {
        if let Some(value) = request.headers().get(name) {
            headers.set(&format!("got-{name}"), value)?;
        }
    }
    headers.set("keep-alive", "timeout=5")?;
    Ok((200, "Fine", headers, request.body).into())
}

fn forwarded(_: &Session, headers: &mut Headers) -> Result<(), BoxError> {
    Ok(headers.set("x-forwarded-for", "from the proxy")?)
}

fn front(behind: &Address) -> Running {
    let proxy = ProxyApp::new(Client::new(behind)).with_request_headers(forwarded);
    Running::new(Address::IPV6_LOOPBACK, Router::new().mount("api", proxy))
}

#[test]
fn requests_and_answers_pass_with_what_is_theirs() {
    let behind = Running::new(Address::ABSTRACT, echo);
    let server = front(&behind.address);
    let mut raw = server.connect();
    raw.send(
        "POST /api/a//b?c=d HTTP/1.1\r\nHost: example.org\r\nX-Forwarded-For: forged\r\nTE: trailers\r\n\
         X_Forwarded_For: forged\r\nX-Forwarded_For: forged\r\nContent_Length: 6\r\nTransfer_Encoding: chunked\r\n\
         Connection: x-listed\r\nX-Listed: 1\r\nKeep-Alive: 5\r\nX-Kept: yes\r\nX_Kept: too\r\n\
         Content-Length: 5\r\n\r\nhello",
    );
    raw.expect(
        "HTTP/1.1 200 Fine\r\nx-target: /a//b?c=d\r\nx-host: example.org\r\nx-requests: 1\r\n\
         got-x-forwarded-for: from the proxy\r\ngot-x-kept: yes\r\ngot-x_kept: too\r\ncontent-length: 5\r\n\r\nhello",
    );
    // The connection behind is kept; a chunked body comes through as it is, over a connection of its own, which is kept then.
    raw.send("GET /api HTTP/1.1\r\nHost: a\r\n\r\n");
    raw.expect("HTTP/1.1 200 Fine\r\nx-target: /\r\nx-host: a\r\nx-requests: 2\r\n");
    raw.expect("got-x-forwarded-for: from the proxy\r\ncontent-length: 0\r\n\r\n");
    let chunks = "5;seq=1;note=\"a b\"\r\nhello\r\n1\r\n,\r\n0;end\r\nx-sum: 7\r\n\r\n";
    raw.send(format!("PUT /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    raw.expect("HTTP/1.1 200 Fine\r\nx-target: /x\r\nx-host: a\r\nx-requests: 1\r\n");
    raw.expect(&format!("got-x-forwarded-for: from the proxy\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"));
    raw.send("HEAD /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = raw.rest();
    assert!(answer.contains("x-requests: 2\r\n") && answer.ends_with("\r\nconnection: close\r\n\r\n"), "{answer}");
}

#[test]
fn streamed_requests_leave_one_connection_to_the_upstream() {
    let behind = Running::new(Address::ABSTRACT, echo);
    let server = front(&behind.address);
    let mut raw = server.connect();
    for _ in 0..20 {
        raw.send("POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert!(raw.response_head().unwrap().contains("x-requests: 1\r\n"));
        raw.expect("0\r\n\r\n");
    }
    raw.send("GET /api HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(raw.response_head().unwrap().contains("x-requests: 2\r\n"), "the last connection is kept");
    // The upstream notices the end of the others a moment later.
    let (began, open) = (Instant::now(), || behind.handle().stats().open);
    while open() > 1 {
        assert!(began.elapsed() < Duration::from_secs(60), "{} connections are open", open());
        std::thread::yield_now();
    }
}

#[test]
fn what_a_sender_must_not_generate_is_not_passed_on() {
    let behind = Running::new(Address::ABSTRACT, echo);
    let server = front(&behind.address);
    let mut raw = server.connect();
    let padded = "5 ; seq =\t1 ;note = \"a b\"\r\nhello\r\n0 ; end\r\n\r\n";
    raw.send(format!("PUT /api HTTP/1.1\r\nHost: [fe80::1%eth0]:80\r\nTransfer-Encoding: chunked\r\n\r\n{padded}"));
    raw.expect("HTTP/1.1 200 Fine\r\nx-target: /\r\nx-host: [fe80::1]:80\r\nx-requests: 1\r\n");
    raw.expect("got-x-forwarded-for: from the proxy\r\ntransfer-encoding: chunked\r\n\r\n");
    raw.expect("5;seq=1;note=\"a b\"\r\nhello\r\n0;end\r\n\r\n");
}

#[test]
fn requests_say_through_whom_they_came() {
    let behind = Running::new(Address::ABSTRACT, async |_: &mut Session, request: Request<'_>| {
        let lines = request.headers().get_all("via").map(|line| String::from_utf8_lossy(line));
        lines.collect::<Vec<_>>().join("; ")
    });
    let to = |address: &Address| ProxyApp::new(Client::new(address));
    let first = Running::new(Address::ABSTRACT, to(&behind.address));
    let hides = |_: &Session, headers: &mut Headers| {
        headers.remove("via");
        Ok(())
    };
    let app = Router::new()
        .mount("one", to(&behind.address))
        .mount("two", to(&first.address).with_pseudonym("front.example:443"))
        .mount("none", to(&behind.address).with_request_headers(hides));
    let front = Running::with(Server::options().workers(1), Address::IPV6_LOOPBACK, app);
    for (line, fields, via) in [
        ("/one HTTP/1.1", "", "1.1 degu"),
        ("/one HTTP/1.1", "Via: 1.0 fred, 2 (b)\r\nVia: 1.1 c\r\n", "1.0 fred, 2 (b); 1.1 c; 1.1 degu"),
        ("/two HTTP/1.1", "", "1.1 front.example:443; 1.1 degu"),
        ("/none HTTP/1.1", "Via: 1.1 a\r\n", ""),
    ] {
        let request = format!("GET {line}\r\nHost: a\r\n{fields}\r\n");
        let expected = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{via}", via.len());
        assert_eq!(front.ask(request), expected, "{line}");
    }
    let old = front.ask("GET /one HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(old.ends_with("\r\n\r\n1.0 degu"), "{old}");
}

#[test]
fn a_request_that_has_no_room_for_more_is_too_large() {
    let wide = || {
        let limits = Limits { max_head: Limits::MAX_HEAD, max_fields: 20_000, ..Limits::default() };
        Server::options().workers(1).limits(limits)
    };
    let behind = Running::with(wide(), Address::ABSTRACT, async |_: &mut Session, _: Request<'_>| "fine");
    let front = Running::with(wide(), Address::ABSTRACT, ProxyApp::new(Client::new(&behind.address)));
    for fields in ["a:b\r\n".repeat(13_000), format!("a:{}\r\n", "b".repeat(65_490))] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(behind.ask(&request), "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine");
        let answer = front.ask(&request);
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[test]
fn a_pseudonym_is_a_name_with_or_without_a_port() {
    let named = |pseudonym: &'static str| {
        std::panic::catch_unwind(|| drop(ProxyApp::new(Client::new(Address::unix("/a"))).with_pseudonym(pseudonym)))
    };
    for pseudonym in ["degu", "a.example", "a.example:80", "_!"] {
        assert!(named(pseudonym).is_ok(), "{pseudonym:?}");
    }
    for pseudonym in ["", ":80", "a b", "a, 1.1 b", "a:b", "(a)", "a\r\nb: c", "\u{e9}"] {
        assert!(named(pseudonym).is_err(), "{pseudonym:?}");
    }
}

#[test]
fn large_chunked_bodies_flow_through() {
    let behind = Running::new(Address::ABSTRACT, echo);
    let server = front(&behind.address);
    let chunk = format!("{:x};n=1\r\n{}\r\n", 100_000, "x".repeat(100_000));
    let mut reader = server.connect();
    let mut writer = match &reader {
        Raw::Tcp(stream) => Raw::Tcp(stream.try_clone().unwrap()),
        Raw::Unix(stream) => Raw::Unix(stream.try_clone().unwrap()),
    };
    std::thread::scope(|scope| {
        let chunk = &chunk;
        scope.spawn(move || {
            writer.send("POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            (0..200).for_each(|_| writer.send(chunk));
            writer.send("0\r\n\r\n");
        });
        assert!(reader.response_head().unwrap().contains("transfer-encoding: chunked"));
        (0..200).for_each(|_| reader.expect(chunk));
        reader.expect("0\r\n\r\n");
    });
}

#[test]
fn a_server_behind_that_goes_and_comes_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = Address::unix(folder.path().join("behind"));
    let server = front(&path);
    let mut raw = server.connect();
    let get = "GET /api HTTP/1.1\r\nHost: a\r\n\r\n";
    raw.send(get);
    raw.expect("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    for _ in 0..2 {
        let behind =
            Running::with(Server::options().workers(1), path.clone(), async |_: &mut Session, _: Request<'_>| "up");
        for _ in 0..2 {
            raw.send(get);
            raw.expect("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nup");
        }
        // The connection that is kept goes stale.
        behind.shut_down();
    }
    raw.send(get);
    raw.expect("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
}

/// Starts a server behind that gives these answers, each to a request on a connection of its own.
fn answering(answers: &[&str]) -> (tempfile::TempDir, Address, std::thread::JoinHandle<()>) {
    use std::io::{BufRead, BufReader, Write};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("behind");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let answers: Vec<String> = answers.iter().map(|answer| format!("HTTP/1.1 {answer}")).collect();
    let behind = std::thread::spawn(move || {
        for answer in answers {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            assert!((&mut stream).lines().any(|line| line.unwrap().is_empty()), "a request");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    (folder, Address::unix(path), behind)
}

#[test]
fn answers_without_a_body_come_through_whatever_length_they_say() {
    use std::io::{BufRead, BufReader, Write};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("behind");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let answers = [
        ("204 No Content\r\ncontent-length: 0\r\n\r\n", "204 No Content\r\n\r\n"),
        ("304 Not Modified\r\ncontent-length: 5\r\n\r\n", "304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        ("205 Reset Content\r\ncontent-length: 0\r\n\r\n", "205 Reset Content\r\ncontent-length: 0\r\n\r\n"),
    ];
    let behind = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        for (answer, _) in answers {
            assert!((&mut stream).lines().any(|line| line.unwrap().is_empty()), "a request");
            write!(stream.get_mut(), "HTTP/1.1 {answer}").unwrap();
        }
    });
    let server = front(&Address::unix(&path));
    let mut raw = server.connect();
    for (_, expected) in answers {
        raw.send("GET /api HTTP/1.1\r\nHost: a\r\n\r\n");
        raw.expect(&format!("HTTP/1.1 {expected}"));
    }
    behind.join().unwrap();
}

#[test]
fn responses_of_devices_are_passed_on_strictly() {
    const BAD: &str = "502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";
    const RESET: &str = "205 Reset Content\r\ncontent-length: 0\r\n\r\n";
    let answers = [
        (
            "200 OK\r\nServer : lwIP\r\nX-Policy: a;\r\n\t b\r\nContent-Length: 2\r\n\r\nok",
            "200 OK\r\nServer: lwIP\r\nX-Policy: a; b\r\ncontent-length: 2\r\n\r\nok",
        ),
        (
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2   \r\nok\r\n0  \r\n\r\n",
            "200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        ("204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "204 No Content\r\n\r\n"),
        ("205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", RESET),
        ("205 Reset Content\r\n\r\n", RESET),
        ("205 Reset Content\r\nContent-Length: 2\r\n\r\nok", RESET),
        (
            "200 OK\r\nContent-Type: a/b\r\ncontent-type: a/b\r\nX: y\r\nX: y\r\nContent-Length: 2\r\n\r\nok",
            "200 OK\r\nContent-Type: a/b\r\nX: y\r\nX: y\r\ncontent-length: 2\r\n\r\nok",
        ),
        ("200 OK\r\nContent-Type: a/b\r\nContent-Type: a/c\r\nContent-Length: 2\r\n\r\nok", BAD),
        ("200 OK\r\nContent-Length : 2\r\n\r\nok", BAD),
        ("200 OK\r\nConnection: keep-alive,\r\n close\r\nContent-Length: 2\r\n\r\nok", BAD),
    ];
    let (_folder, behind, thread) = answering(&answers.map(|(answer, _)| answer));
    let server = front(&behind);
    let mut raw = server.connect();
    for (_, expected) in answers {
        raw.send("GET /api HTTP/1.1\r\nHost: a\r\n\r\n");
        raw.expect(&format!("HTTP/1.1 {expected}"));
    }
    thread.join().unwrap();
}

/// Answers after a pause or never, or with a body of two parts with a pause between them, or without the second part.
async fn slow(_: &mut Session, request: Request<'_>) -> Response {
    const PAUSE: Duration = Duration::from_millis(400);
    let pausing = |n: u8| async move {
        if n == 1 {
            tokio::time::sleep(PAUSE).await;
        }
        Ok((n < 2).then(|| (Chunk::new("x"), n + 1)))
    };
    match request.target() {
        "/head" => {
            tokio::time::sleep(PAUSE).await;
            "late".into()
        }
        "/no-head" => std::future::pending().await,
        "/feed" => (200, Body::try_unfold(0, pausing)).into(),
        target => {
            let is_half = target == "/half";
            let (mut left, mut pause) = (2, Box::pin(tokio::time::sleep(PAUSE)));
            let data = move |cx: &mut Context<'_>| {
                if left == 1 && is_half {
                    return Poll::Pending;
                }
                if left == 1 {
                    ready!(pause.as_mut().poll(cx));
                }
                left -= 1;
                Poll::Ready(Some(Ok::<_, BoxError>(Part::Data("x".into()))))
            };
            Body::from_source(2, Box::pin(data)).into()
        }
    }
}

#[test]
fn deadlines_are_options_of_the_proxy_and_a_feed_has_none() {
    const SHORT: Option<Duration> = Some(Duration::from_millis(100));
    let behind = Running::new(Address::ABSTRACT, slow);
    let ask = |proxy: ProxyApp, target: &str| {
        let front = Running::new(Address::ABSTRACT, proxy);
        front.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    };
    let proxy = || ProxyApp::new(Client::new(&behind.address));
    // That of the client can be shorter, and longer.
    let short_head = || ProxyApp::new(Client::options().head_timeout(SHORT).client(&behind.address));
    let short_body = || ProxyApp::new(Client::options().body_timeout(SHORT).client(&behind.address));
    for (proxy, target, answer) in [
        (proxy(), "/head", "200 OK\r\n"),
        (proxy().with_head_timeout(SHORT), "/no-head", "504 Gateway Timeout\r\n"),
        (short_head(), "/no-head", "504 Gateway Timeout\r\n"),
        (short_head().with_head_timeout(None), "/head", "200 OK\r\n"),
    ] {
        let found = ask(proxy, target);
        assert!(found.starts_with(&format!("HTTP/1.1 {answer}")), "{found}");
    }
    for (proxy, target, is_whole) in [
        (proxy(), "/length", true),
        (proxy().with_body_timeout(SHORT), "/half", false),
        (short_body(), "/half", false),
        (short_body().with_body_timeout(None), "/length", true),
    ] {
        let found = ask(proxy, target);
        assert!(found.starts_with("HTTP/1.1 200 OK\r\n") && found.ends_with("xx") == is_whole, "{found}");
    }
    for proxy in [proxy(), proxy().with_body_timeout(SHORT), short_body()] {
        let found = ask(proxy, "/feed");
        assert!(found.ends_with("\r\n\r\n1\r\nx\r\n1\r\nx\r\n0\r\n\r\n"), "{found}");
    }
    // Nobody listens there, and a socket whose backlog is full keeps its client waiting.
    let full = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full");
    full.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    full.listen(0).unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&socket2::SockAddr::unix(&path).unwrap());
            socket
        })
        .collect();
    let found = ask(ProxyApp::new(Client::new(Address::unix(&path))).with_connect_timeout(SHORT), "/");
    assert!(found.starts_with("HTTP/1.1 504 "), "{found}");
    drop(waiting);
}

#[test]
fn x_forwarded_for_is_an_ip_address_and_nothing_from_outside() {
    let behind = Running::new(Address::ABSTRACT, async |_: &mut Session, request: Request<'_>| {
        let fields = request.headers().iter().filter(|(name, _)| name.to_lowercase().contains("forwarded"));
        fields.map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect::<Vec<_>>().join(" ")
    });
    // The same without a proxy, whose fields are dropped before.
    let alone = async |session: &mut Session, request: Request<'_>| {
        let mut headers = request.headers().clone();
        set_forwarded_for(session, &mut headers)?;
        headers.remove("host");
        headers.remove("connection");
        let fields = headers.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
        Ok::<_, BoxError>(fields.collect::<Vec<_>>().join(" "))
    };
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nForwarded: for=x\r\nX-Forwarded-For: 10.0.0.1\r\n\
                   x_forwarded_for: y\r\nX-Forwarded-Host: z\r\nx-forwarded_port: 1\r\n\r\n";
    for (listen, expected) in [
        (Address::IPV4_LOOPBACK, "x-forwarded-for=127.0.0.1"),
        (Address::IPV6_LOOPBACK, "x-forwarded-for=::1"),
        (Address::IPV6_ANY, "x-forwarded-for=127.0.0.1"),
        (Address::ABSTRACT, ""),
    ] {
        let proxy = ProxyApp::new(Client::new(&behind.address)).with_request_headers(set_forwarded_for);
        for front in [Running::new(listen.clone(), proxy), Running::new(listen.clone(), alone)] {
            let address = match front.address.port() {
                // Over IPv4, which an IPv6 socket shows as ::ffff:127.0.0.1.
                Some(port) if listen == Address::IPV6_ANY => Address::IPV4_LOOPBACK.with_port(port),
                _ => front.address.clone(),
            };
            let mut raw = Raw::connect(&address);
            raw.send(request);
            let answer = raw.rest();
            assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, expected, "{listen}");
        }
    }
}

#[test]
fn faults_of_the_client_are_its_own() {
    let behind = Running::new(Address::ABSTRACT, echo);
    let server = front(&behind.address);
    assert_eq!(
        server.ask("POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX"),
        refusal("400 Bad Request", "chunk data that is not followed by CRLF")
    );
}
