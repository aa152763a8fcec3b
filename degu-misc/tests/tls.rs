//! TLS over real sockets: who is let in, who learns why not, and what a connection's end means.
#![cfg(all(feature = "tls", target_os = "linux"))]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use degu_client::{Cause, Client, Error, Fault, blocking};
use degu_misc::{Leaf, TempPki, TempSSLServer};
use degu_server::{Address, BoxError, Request, Server, Session};
use degu_tls::error::Kind;
use degu_tls::{ClientTls, PeerIdentity};

fn ca(peer: Option<&PeerIdentity>) -> &str {
    peer.and_then(PeerIdentity::ca).unwrap_or("nobody")
}

async fn who(session: &mut Session, _: Request<'_>) -> String {
    let name = session.peer().and_then(|peer| peer.dns_names().next());
    format!("{} of {}", name.unwrap_or("nameless"), ca(session.peer()))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn addresses(pki: &TempPki) -> [Address; 4] {
    let path = Address::unix(pki.folder().join("tls.sock"));
    [Address::IPV4_LOOPBACK, Address::IPV6_LOOPBACK, path, Address::ABSTRACT]
}

#[test]
fn both_sides_know_each_other() -> Result<(), BoxError> {
    let pki = TempPki::new();
    for address in addresses(&pki) {
        let server = TempSSLServer::new(&pki, address, who);
        let mut connection = server.client().connect()?;
        assert_eq!(ca(connection.peer()), "server-ca");
        for _ in 0..3 {
            assert_eq!(connection.get("/")?.body.read_all(100)?, "client.example of client-ca");
        }
        run(async {
            let mut connection = server.async_client().connect().await?;
            assert_eq!(ca(connection.peer()), "server-ca");
            for _ in 0..3 {
                assert_eq!(connection.get("/").await?.body.read_all(100).await?, "client.example of client-ca");
            }
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

/// What becomes of one connection with one request.
fn ask(client: &blocking::Client) -> Result<(), Error> {
    client.connect()?.get("/")?.body.read_all(100).map(drop)
}

async fn ask_async(client: &Client) -> Result<(), Error> {
    client.connect().await?.get("/").await?.body.read_all(100).await.map(drop)
}

fn assert_refused(refused: Result<(), Error>, alert: &str) {
    let error = refused.expect_err(alert);
    let Cause::Tls(tls) = error.cause() else { panic!("{alert}: {error}") };
    assert_eq!(tls.kind(), Kind::Refused, "{error}");
    assert!(error.to_string().contains(alert), "{alert}: {error}");
    assert!(!error.is_retryable());
}

#[test]
fn a_refused_client_reads_why_200_times_of_200() {
    let pki = TempPki::new();
    for address in [Address::IPV6_LOOPBACK, Address::ABSTRACT] {
        let server = TempSSLServer::new(&pki, address, who);
        let nobody = ClientTls::private(pki.servers()).build().unwrap();
        for (tls, alert) in [
            (pki.client_tls_as(Leaf::OtherClient), "unknown_ca"),
            (pki.client_tls_as(Leaf::ExpiredClient), "certificate_expired"),
            (pki.client_tls_as(Leaf::RevokedClient), "certificate_revoked"),
            (nobody, "certificate_required"),
        ] {
            let client = server.client_with(tls);
            let blocking = blocking::Client::from(client.clone());
            for _ in 0..25 {
                assert_refused(ask(&blocking), alert);
            }
            run(async {
                for _ in 0..25 {
                    assert_refused(ask_async(&client).await, alert);
                }
            });
        }
        assert!(server.client().connect().is_ok(), "others are served as before");
    }
}

#[test]
fn a_client_refuses_what_is_no_server_of_its_ca() -> Result<(), BoxError> {
    let pki = TempPki::new();
    let good = pki.server_tls();
    for (leaf, kind) in [
        (Leaf::OtherServer, Kind::UnknownIssuer),
        (Leaf::ExpiredServer, Kind::Expired),
        (Leaf::RevokedServer, Kind::Revoked),
    ] {
        let next = degu_tls::ServerTls::builder(pki.identity(leaf)).require_clients(pki.clients()).build()?;
        good.replace(&next)?;
        let server = Server::options().workers(1).tls(good.clone()).bind(Address::IPV6_LOOPBACK, who)?.spawn()?;
        let client = Client::options().tls(pki.client_tls()).client(server.address());
        for refused in [ask(&client.clone().into()), run(ask_async(&client))] {
            let error = refused.unwrap_err();
            assert_eq!(error.tls().map(degu_tls::Error::kind), Some(kind), "{error}");
        }
        while server.stats().handshake_failures < 2 {
            std::thread::yield_now();
        }
        server.shutdown_blocking();
    }
    Ok(())
}

#[test]
fn a_name_that_is_missing_is_an_error_that_says_what_to_call() {
    let pki = TempPki::new();
    for address in [Address::unix("/run/no.sock"), "[fe80::1%1]:443".parse().unwrap()] {
        let client = Client::options().tls(pki.client_tls()).client(address);
        for refused in [ask(&client.clone().into()), run(ask_async(&client))] {
            let error = refused.unwrap_err();
            assert_eq!(error.tls().map(degu_tls::Error::kind), Some(Kind::NameMissing));
            let text = error.to_string();
            assert!(text.contains("set `server_name`") && text.contains("without_name_check"), "{text}");
        }
    }
}

#[test]
fn host_leaves_out_the_port_of_https() -> Result<(), BoxError> {
    let pki = TempPki::new();
    let host = |port| -> Result<_, BoxError> {
        let options = Client::options().tls(pki.client_tls());
        Ok(options.client(Address::from_host("device.example", port)?).host().to_owned())
    };
    assert_eq!(host(443)?, "device.example");
    assert_eq!(host(80)?, "device.example:80");
    Ok(())
}

#[test]
fn reload_under_load_drops_nobody() -> Result<(), BoxError> {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV6_LOOPBACK, who);
    let serial =
        |client: &blocking::Client| Ok::<_, Error>(client.connect()?.peer().map(|peer| peer.serial().to_vec()));
    let before = serial(&server.client())?;
    let (done, begun) = (AtomicBool::new(false), std::sync::Barrier::new(4));
    let exchanges = std::thread::scope(|scope| -> Result<usize, BoxError> {
        let load = |_| {
            scope.spawn(|| -> Result<usize, Error> {
                let mut kept = server.client().connect()?;
                let mut count = 0;
                kept.get("/")?.body.read_all(100)?;
                begun.wait();
                while !done.load(Relaxed) {
                    kept.get("/")?.body.read_all(100)?;
                    ask(&server.client())?;
                    count += 2;
                }
                Ok(count)
            })
        };
        let threads: Vec<_> = (0..3).map(load).collect();
        begun.wait();
        let reloads = (|| -> Result<(), BoxError> {
            for _ in 0..10 {
                pki.renew(Leaf::Server);
                server.tls().reload()?;
                ask(&server.client())?;
            }
            // One of the two files is new.
            let certificate = std::fs::read(pki.certificate(Leaf::Server))?;
            pki.renew(Leaf::Server);
            std::fs::write(pki.certificate(Leaf::Server), certificate)?;
            let now = serial(&server.client())?;
            let error = server.tls().reload().expect_err("a half-written pair");
            assert_eq!(error.kind(), Kind::KeyMismatch);
            assert!(error.explain().contains("server.pem"), "{}", error.explain());
            assert_eq!(serial(&server.client())?, now, "nothing has changed");
            assert_ne!(now, before);
            Ok(())
        })();
        done.store(true, Relaxed);
        let mut exchanges = 0;
        for thread in threads {
            exchanges += thread.join().expect("no thread panics")?;
        }
        reloads?;
        Ok(exchanges)
    })?;
    assert!(exchanges > 0);
    Ok(())
}

/// A server that answers one request with `response`, and ends the connection with or without a close_notify.
fn answer_once(pki: &TempPki, response: &'static [u8], notify: bool) -> (Address, std::thread::JoinHandle<()>) {
    use degu_tls::drive::Progress;
    let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    let tls = pki.server_tls();
    let thread = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut socket, _) = listener.accept().unwrap();
            let mut handshake = tls.accept().handshake().unwrap();
            while handshake.advance(&mut socket).unwrap() == Progress::Blocked {}
            let mut secured = handshake.secure().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let _ = secured.read(&mut socket, |octets| {
                    request.extend_from_slice(octets);
                    octets.len()
                });
            }
            assert_eq!(secured.write(&mut socket, [response, &[], &[]]).unwrap(), response.len());
            if notify {
                secured.close(&mut socket).unwrap();
            }
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = socket.read_to_end(&mut Vec::new());
        }
    });
    (address, thread)
}

#[test]
fn an_end_without_close_notify_is_none_where_it_decides() {
    let pki = TempPki::new();
    for (response, notify, fault) in [
        (&b"HTTP/1.1 200 OK\r\n\r\nall of it"[..], true, None),
        (b"HTTP/1.1 200 OK\r\n\r\nall of it?", false, Some(Fault::TruncatedBody)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot all", true, Some(Fault::TruncatedBody)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot all", false, Some(Fault::TruncatedBody)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall of it", false, None),
        (b"", false, Some(Fault::NoResponse)),
    ] {
        let (address, server) = answer_once(&pki, response, notify);
        let client = Client::options().tls(pki.client_tls()).client(address);
        for read in [ask(&client.clone().into()), run(ask_async(&client))] {
            let text = String::from_utf8_lossy(response);
            let found = read.err().map(|error| error.remote().unwrap_or_else(|| panic!("{text}: {error}")).fault);
            assert_eq!(found, fault, "{text:?}, close_notify: {notify}");
        }
        server.join().unwrap();
    }
}

/// The output of another program, if this machine has it.
fn program(command: &mut Command, input: &str) -> Option<String> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no {}", command.get_program().display());
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    // One that refuses the server does not read.
    let _ = stdin.write_all(input.as_bytes());
    let mut text = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while stdout.read_line(&mut text).unwrap() > 0 {}
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    drop(stdin);
    child.wait().unwrap();
    Some(text)
}

/// Each certificate of a client, and what others say of the alert that it gets.
const OTHERS: [(Leaf, &str); 4] = [
    (Leaf::Client, "client.example of client-ca"),
    (Leaf::OtherClient, "unknown ca"),
    (Leaf::ExpiredClient, "certificate expired"),
    (Leaf::RevokedClient, "certificate revoked"),
];

#[test]
fn openssl_agrees() {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV4_LOOPBACK, who);
    for (version, (leaf, expected)) in ["-tls1_2", "-tls1_3"].into_iter().flat_map(|v| OTHERS.map(|other| (v, other))) {
        let mut command = Command::new("openssl");
        command.args(["s_client", version, "-quiet", "-verify_return_error", "-verify_hostname", "localhost"]);
        command.arg("-connect").arg(server.address().to_string()).arg("-CAfile").arg(pki.server_ca());
        command.arg("-cert").arg(pki.certificate(leaf)).arg("-key").arg(pki.key(leaf));
        let request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let Some(text) = program(&mut command, request) else { return };
        assert!(text.contains(expected), "{version}, {leaf:?}: {text}");
    }
    let mut command = Command::new("openssl");
    command.args(["s_client", "-tls1_1", "-connect"]).arg(server.address().to_string());
    let text = program(&mut command, "").unwrap_or_default();
    assert!(!text.contains("Protocol version: TLSv1.1\n") && !text.contains("HTTP/1.1"), "{text}");
}

#[test]
fn curl_agrees() {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV4_LOOPBACK, who);
    let url = format!("https://localhost:{}/", server.address().port().unwrap());
    let curl = |leaf: Leaf, ca: std::path::PathBuf| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "-4"]).arg("--cacert").arg(ca);
        command.arg("--cert").arg(pki.certificate(leaf)).arg("--key").arg(pki.key(leaf)).arg(&url);
        program(&mut command, "")
    };
    for (leaf, expected) in OTHERS {
        let Some(text) = curl(leaf, pki.server_ca()) else { return };
        assert!(text.contains(expected), "{leaf:?}: {text}");
    }
    let refused = curl(Leaf::Client, pki.other_ca()).unwrap_or_default();
    assert!(refused.contains("curl: (60)"), "a server of another CA: {refused}");
}
