//! Sessions that are resumed, and those that are not any more.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use degu_client::{Client, ErrorKind, blocking};
use degu_misc::{Leaf, TempPki, TempSSLServer};
use degu_server::{Address, Method, Request, Response, Server, Session, Tunnel};
use degu_tls::error::Kind;
use degu_tls::rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use degu_tls::rustls::pki_types::UnixTime;
use degu_tls::rustls::time_provider::TimeProvider;
use degu_tls::rustls::{HandshakeKind, SupportedCipherSuite, Tls12CipherSuite};
use degu_tls::{CaSet, ClientTls, ServerTls};

use super::assert_refused;
use super::kit::{Bare, CLIENT, End, REQUEST, Version, both, client, one_thread, run, serve, until, who};

/// The last hour of the certificates of a [`TempPki`].
const LAST_HOUR: u64 = 32_503_680_000 - 3_600;

#[derive(Debug)]
struct Clock(AtomicU64);

impl Clock {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(LAST_HOUR)))
    }

    fn next_day(&self) {
        self.0.store(LAST_HOUR + 86_400, Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Relaxed))))
    }
}

/// A client of rustls that has a session then, and what it was told.
fn meet(server: &Address, tls: &ClientTls) -> (HandshakeKind, String, End) {
    let mut bare = Bare::connect(server, tls);
    bare.send(REQUEST.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    let (text, end) = bare.rest();
    let body = text.split("\r\n\r\n").nth(1).unwrap_or(&text).to_owned();
    (bare.connection.handshake_kind().unwrap(), body, end)
}

#[test]
fn a_resumed_session_knows_its_peer() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), who);
    for version in Version::BOTH {
        let tls = version.client_tls(&pki);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            assert_eq!(meet(server.address(), &tls), (kind, CLIENT.to_owned(), End::Told), "{version:?}");
        }
    }
}

#[test]
fn both_clients_resume() {
    let pki = TempPki::new();
    for version in Version::BOTH {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let tls = pki.server_tls();
        let server = std::thread::spawn(move || {
            [(); 4].map(|()| {
                let mut bare = Bare::accept(&listener, &tls);
                bare.read_until("\r\n\r\n");
                bare.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                assert_eq!(bare.rest().1, End::Told);
                bare.connection.handshake_kind().unwrap()
            })
        });
        let client = client(&address, &version.client_tls(&pki));
        for answer in [both(&client), both(&client)].into_iter().flatten() {
            assert_eq!(answer.unwrap(), "ok");
        }
        use HandshakeKind::{Full, Resumed};
        assert_eq!(server.join().unwrap(), [Full, Resumed, Resumed, Resumed], "{version:?}");
    }
}

#[test]
fn pools_resume() {
    let pki = TempPki::new();
    for version in Version::BOTH {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let tls = pki.server_tls();
        let server = std::thread::spawn(move || {
            [(); 4].map(|()| {
                let mut bare = Bare::accept(&listener, &tls);
                for field in ["", "connection: close\r\n"] {
                    bare.read_until("\r\n\r\n");
                    bare.send(format!("HTTP/1.1 200 OK\r\n{field}content-length: 2\r\n\r\nok"));
                }
                assert_eq!(bare.rest().1, End::Told);
                bare.connection.handshake_kind().unwrap()
            })
        });
        let client = client(&address, &version.client_tls(&pki));
        let (threads, tasks) = (blocking::Client::from(client.clone()).pool(), client.pool());
        for _ in 0..4 {
            assert_eq!(threads.get("/").unwrap().body.read_all(100).unwrap(), "ok");
        }
        run(async {
            for _ in 0..4 {
                assert_eq!(tasks.get("/").await.unwrap().body.read_all(100).await.unwrap(), "ok");
            }
        });
        for stats in [threads.stats(), tasks.stats()] {
            assert_eq!((stats.open, stats.dialled, stats.reused, stats.stale), (0, 2, 2, 0), "{version:?}");
        }
        use HandshakeKind::{Full, Resumed};
        assert_eq!(server.join().unwrap(), [Full, Resumed, Resumed, Resumed], "{version:?}");
    }
}

#[test]
fn expired_client_is_cut_before_its_first_resumed_request() {
    let pki = TempPki::new();
    for version in Version::BOTH {
        let clock = Clock::new();
        let builder = ServerTls::builder(pki.identity(Leaf::Server));
        let clients = CaSet::from_pem_file(pki.client_ca()).unwrap();
        let tls = builder.require_clients(clients).clock(clock.clone()).build().unwrap();
        let server = serve(one_thread(), &tls, who);
        let tls = version.client_tls(&pki);
        assert_eq!(meet(server.address(), &tls), (HandshakeKind::Full, CLIENT.to_owned(), End::Told));
        assert!(both(&client(server.address(), &tls)).iter().all(Result::is_ok));
        clock.next_day();
        // rustls asks nobody: the client is done, and does not know.
        assert_eq!(meet(server.address(), &tls), (HandshakeKind::Resumed, String::new(), End::Cut), "{version:?}");
        assert!(both(&client(server.address(), &tls)).iter().all(Result::is_err));
        until(|| server.stats().handshake_failures == 3);
        assert_eq!(server.stats().requests, 3);
    }
}

#[test]
fn a_server_that_has_expired_since_is_not_talked_to() {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV6_LOOPBACK, who);
    for version in Version::BOTH {
        let clock = Clock::new();
        let servers = CaSet::from_pem_file(pki.server_ca()).unwrap();
        let builder = ClientTls::private(servers).identity(pki.identity(Leaf::Client)).clock(clock.clone());
        let client = server.client_with(builder.build_with(version.provider()).unwrap());
        for answer in both(&client) {
            assert_eq!(answer.unwrap(), CLIENT);
        }
        clock.next_day();
        for refused in both(&client) {
            let error = refused.unwrap_err();
            assert_eq!(error.tls().map(degu_tls::Error::kind), Some(Kind::Expired), "{error}");
        }
    }
}

#[test]
fn who_was_revoked_since_is_refused_after_the_reload() {
    for version in Version::BOTH {
        let pki = TempPki::new();
        let options = Server::options().close_revoked(false);
        let server = TempSSLServer::with_options(&pki, options, Address::IPV6_LOOPBACK, who);
        let client = server.client_with(version.client_tls(&pki));
        let mut kept = degu_client::blocking::Client::from(client.clone()).connect().unwrap();
        for answer in both(&client) {
            assert_eq!(answer.unwrap(), CLIENT);
        }
        pki.revoke(Leaf::Client);
        assert!(both(&client).iter().all(Result::is_ok), "nothing has been read yet");
        server.tls().reload().unwrap();
        for refused in both(&client) {
            assert_refused(refused, "certificate_revoked");
        }
        assert_eq!(kept.get("/").unwrap().body.read_all(100).unwrap(), CLIENT, "open connections are left alone");

        // The other way round.
        let pki = TempPki::new();
        let server = TempSSLServer::new(&pki, Address::IPV6_LOOPBACK, who);
        let tls = version.client_tls(&pki);
        let client = server.client_with(tls.clone());
        assert!(both(&client).iter().all(Result::is_ok));
        pki.revoke(Leaf::Server);
        tls.reload().unwrap();
        for refused in both(&client) {
            let error = refused.unwrap_err();
            assert_eq!(error.tls().map(degu_tls::Error::kind), Some(Kind::Revoked), "{error}");
        }
    }
}

/// One exchange on a connection that stays.
fn exchange(bare: &mut Bare) {
    bare.send(REQUEST);
    bare.read_until("\r\n\r\nok");
}

/// Revokes one of two certificates of a client. Both connections with this certificate end: the idle connection, and
/// the connection with a request in progress.
fn one_of_two_clients_is_revoked(server: &Address, policy: &ServerTls, pki: &TempPki) {
    let mut stays = Bare::connect(server, &pki.client_tls());
    exchange(&mut stays);
    pki.renew(Leaf::Client);
    let (mut idle, mut waits) = (Bare::connect(server, &pki.client_tls()), Bare::connect(server, &pki.client_tls()));
    exchange(&mut idle);
    exchange(&mut waits);
    waits.send(REQUEST.replace("GET", "PUT"));
    pki.revoke(Leaf::Client);
    assert!(policy.reload().unwrap().is_empty());
    assert_eq!(idle.rest(), (String::new(), End::Told));
    assert_eq!(waits.rest().0, "");
    exchange(&mut stays);
}

#[test]
fn an_open_connection_ends_when_its_client_is_revoked() {
    async fn app(_: &mut Session, request: Request<'_>) -> &'static str {
        if request.method() == Method::Put {
            std::future::pending::<()>().await;
        }
        "ok"
    }
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV6_LOOPBACK, app);
    one_of_two_clients_is_revoked(server.address(), server.tls(), &pki);
}

#[test]
fn a_tunnel_ends_when_its_client_is_revoked() {
    async fn app(_: &mut Session, request: Request<'_>) -> Response {
        let wait = async |_: &mut Session, _: Tunnel<'_>| {
            std::future::pending::<()>().await;
            Ok(())
        };
        request.upgrade("raw").map_or_else(|| "no tunnel".into(), |offer| offer.accept([("x-kind", "raw")], wait))
    }
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV6_LOOPBACK, app);
    let mut tunnel = Bare::connect(server.address(), &pki.client_tls());
    tunnel.send(REQUEST.replace("\r\n\r\n", "\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n"));
    assert!(tunnel.read_until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    pki.revoke(Leaf::Client);
    server.tls().reload().unwrap();
    assert_eq!(tunnel.rest().0, "");
}

#[test]
fn an_open_connection_of_hyper_ends_when_its_client_is_revoked() {
    use axum::routing::get;

    let (pki, listener) = (TempPki::new(), Server::options().listener(Address::IPV6_LOOPBACK).unwrap());
    let (tls, address) = (pki.server_tls(), listener.address().clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = axum::Router::new().route("/", get(async || "ok").put(std::future::pending::<()>));
    let options = Server::options().tls(tls.clone()).shutdown_grace(Duration::ZERO);
    let server = std::thread::spawn(move || {
        run(degu_server::hyper::serve(listener, options, router, async { drop(stopped.await) }))
    });
    one_of_two_clients_is_revoked(&address, &tls, &pki);
    drop(stop);
    server.join().unwrap().unwrap();
}

#[test]
fn log_line_has_the_subject_of_the_client_in_quotes() {
    let pki = TempPki::new();
    let (tell, told) = std::sync::mpsc::channel();
    let options = one_thread().on_response(move |exchange| tell.send(exchange.to_string()).unwrap());
    let server = serve(options, &pki.server_tls(), who);
    for answer in both(&client(server.address(), &pki.client_tls())) {
        assert_eq!(answer.unwrap(), CLIENT);
        let line = told.recv().unwrap();
        assert!(line.ends_with(" \"CN=client\""), "{line}");
    }
}

#[test]
fn a_session_is_of_one_policy() {
    let pki = TempPki::new();
    for version in Version::BOTH {
        let tls = version.client_tls(&pki);
        let first = serve(one_thread(), &pki.server_tls(), who);
        assert_eq!(meet(first.address(), &tls).0, HandshakeKind::Full);
        assert_eq!(meet(first.address(), &tls).0, HandshakeKind::Resumed);
        // It is the same server to the client, which goes by the name.
        let same = serve(one_thread(), &pki.server_tls(), who);
        assert_eq!(meet(same.address(), &tls), (HandshakeKind::Full, CLIENT.to_owned(), End::Told), "{version:?}");
        let other = ServerTls::builder(pki.identity(Leaf::Server)).require_clients(pki.others()).build().unwrap();
        let other = serve(one_thread(), &other, who);
        for refused in both(&client(other.address(), &tls)) {
            assert_refused(refused, "unknown_ca");
        }
        // Nor is one of a client resumed by another client with another certificate.
        let nobody = Client::options().tls(pki.client_tls_as(Leaf::OtherClient)).server_name("localhost");
        for refused in both(&nobody.client(first.address())) {
            assert_refused(refused, "unknown_ca");
        }
    }
}

/// Returns a provider for TLS 1.2 whose keys are almost used up after two records.
fn short_lived_keys() -> Arc<CryptoProvider> {
    let mut provider = (*Version::Tls12.provider()).clone();
    for suite in &mut provider.cipher_suites {
        let SupportedCipherSuite::Tls12(whole) = *suite else { unreachable!() };
        // The last 4,096 records are for the last message, and 16 are for handshake and alerts.
        let common = CipherSuiteCommon { confidentiality_limit: 4096 + 16 + 2, ..whole.common };
        let Tls12CipherSuite { prf_provider, kx, sign, aead_alg, .. } = *whole;
        let short = Tls12CipherSuite { common, prf_provider, kx, sign, aead_alg };
        *suite = SupportedCipherSuite::Tls12(Box::leak(Box::new(short)));
    }
    Arc::new(provider)
}

/// Returns the policy of a server whose keys are almost used up after two records.
fn short_lived_server_tls(pki: &TempPki) -> ServerTls {
    ServerTls::builder(pki.identity(Leaf::Server))
        .require_clients(pki.clients())
        .build_with(short_lived_keys())
        .unwrap()
}

/// Counts the responses on one connection, until the connection is closed.
fn count_responses(address: &Address, tls: &ClientTls) -> usize {
    let mut connection = blocking::Client::from(client(address, tls)).connect().unwrap();
    let mut ask = || connection.get("/")?.body.read_all(100);
    let answered = (0..10).take_while(|_| ask().is_ok_and(|body| body == CLIENT)).count();
    assert!(matches!(ask().unwrap_err().kind(), ErrorKind::Closed));
    answered
}

#[test]
fn a_connection_is_not_reused_when_its_keys_are_almost_used_up() {
    let pki = TempPki::new();
    let client = ClientTls::private(pki.servers()).identity(pki.identity(Leaf::Client));
    let client = client.build_with(short_lived_keys()).unwrap();
    // The server still sends a last response with `connection: close`. The client closes without a further request.
    let server = serve(one_thread(), &short_lived_server_tls(&pki), who);
    assert_eq!(count_responses(server.address(), &pki.client_tls()), 4);
    let server = serve(one_thread(), &pki.server_tls(), who);
    assert_eq!(count_responses(server.address(), &client), 3);
}

#[test]
fn a_connection_of_hyper_ends_when_its_keys_are_almost_used_up() {
    let (pki, listener) = (TempPki::new(), Server::options().listener(Address::IPV6_LOOPBACK).unwrap());
    let address = listener.address().clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = axum::Router::new().fallback(async || CLIENT);
    let options = Server::options().tls(short_lived_server_tls(&pki));
    let server = std::thread::spawn(move || {
        run(degu_server::hyper::serve(listener, options, router, async { drop(stopped.await) }))
    });
    assert_eq!(count_responses(&address, &pki.client_tls()), 4);
    drop(stop);
    server.join().unwrap().unwrap();
}
