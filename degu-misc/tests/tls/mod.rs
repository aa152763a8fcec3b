//! TLS over real sockets: who is let in, who learns why not, and what a connection's end means.

mod ends;
mod handshakes;
mod hostile;
mod kit;
mod mixed;
mod others;
mod reload;
mod sessions;
mod tunnels;

use degu_client::{Client, Error, ErrorKind, blocking};
use degu_misc::{Leaf, TempPki, TempSSLServer};
use degu_server::{Address, App, BoxError, Request, Response, Server, Session};
use degu_tls::ClientTls;
use degu_tls::error::Kind;
use kit::{CLIENT, both, ca, client, one_thread, run, serve, until, who};

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
        assert_eq!(ca(connection.identity()), "server-ca");
        for _ in 0..3 {
            assert_eq!(connection.get("/")?.body.read_all(100)?, CLIENT);
        }
        run(async {
            let mut connection = server.async_client().connect().await?;
            assert_eq!(ca(connection.identity()), "server-ca");
            for _ in 0..3 {
                assert_eq!(connection.get("/").await?.body.read_all(100).await?, CLIENT);
            }
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

/// An app that serves one kind of clients only, and decides before their first request.
struct Only(&'static str);

impl App for Only {
    async fn on_connect(&self, session: &mut Session) -> bool {
        ca(session.identity()) == self.0
    }

    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response {
        who(session, request).await.into()
    }
}

#[test]
fn app_and_on_connect_reject_a_peer_before_its_first_request() {
    let pki = TempPki::new();
    let identity = pki.identity(Leaf::Server);
    let clients = pki.clients().with_pem_file(pki.other_ca()).unwrap();
    let clients = clients.with_crl_file(pki.folder().join("other-ca.crl")).unwrap();
    let tls = degu_tls::ServerTls::builder(identity).require_clients(clients).build().unwrap();
    let by_app = serve(one_thread(), &tls, Only("client-ca"));
    let options = one_thread().on_connect(async |session: &mut Session| ca(session.identity()) == "client-ca");
    let by_options = serve(options, &tls, who);
    for server in [by_app, by_options] {
        for answer in both(&client(server.address(), &pki.client_tls())) {
            assert_eq!(answer.unwrap(), CLIENT);
        }
        // The handshake is fine, and nothing is said.
        for answer in both(&client(server.address(), &pki.client_tls_as(Leaf::OtherClient))) {
            assert!(answer.unwrap_err().tls().is_none());
        }
        assert_eq!((server.stats().requests, server.stats().handshake_failures), (2, 0));
    }
}

#[test]
fn on_connect_of_a_client_knows_the_server() {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV6_LOOPBACK, who);
    for (wanted, comes) in [("server-ca", true), ("other-ca", false)] {
        let options = Client::options().tls(pki.client_tls()).on_connect(move |peer| ca(peer.identity()) == wanted);
        for answer in both(&options.client(server.address())) {
            match answer {
                Ok(text) => assert!(comes && text == CLIENT),
                Err(error) => assert!(!comes && matches!(error.kind(), ErrorKind::Refused), "{error}"),
            }
        }
    }
}

pub(crate) fn assert_refused(refused: Result<String, Error>, alert: &str) {
    let error = refused.expect_err(alert);
    let ErrorKind::Tls(tls) = error.kind() else { panic!("{alert}: {error}") };
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
                assert_refused(kit::ask(&blocking), alert);
            }
            run(async {
                for _ in 0..25 {
                    assert_refused(kit::ask_async(&client).await, alert);
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
        for refused in both(&client) {
            let error = refused.unwrap_err();
            assert_eq!(error.tls().map(degu_tls::Error::kind), Some(kind), "{error}");
        }
        until(|| server.stats().handshake_failures == 2);
        server.shutdown_blocking();
    }
    Ok(())
}

#[test]
fn a_name_that_is_missing_is_an_error_that_says_what_to_call() {
    let pki = TempPki::new();
    for address in [Address::unix("/run/no.sock"), "[fe80::1%1]:443".parse().unwrap()] {
        for refused in both(&Client::options().tls(pki.client_tls()).client(address)) {
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

/// A pool of hyper-util over connections of ours.
#[tokio::test]
async fn a_pool_dials_with_tls() {
    use degu_client::{Bytes, Connector};
    use http_body_util::{BodyExt, Empty};
    use hyper_util::{client::legacy, rt::TokioExecutor};

    let pki = TempPki::new();
    for address in addresses(&pki) {
        let server = TempSSLServer::new(&pki, address, who);
        let pool = |tls| -> legacy::Client<_, Empty<Bytes>> {
            legacy::Client::builder(TokioExecutor::new()).build(Connector::new(server.client_with(tls)))
        };
        let pooled = pool(pki.client_tls());
        for _ in 0..3 {
            let response = pooled.get("http://localhost/".parse().unwrap()).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), CLIENT);
        }
        let strange = pool(pki.client_tls_as(Leaf::OtherClient));
        let error = strange.get("http://localhost/".parse().unwrap()).await.unwrap_err();
        assert!(text(&error).contains("unknown_ca"), "{}", text(&error));
    }
}

/// Returns the text of an error with all of its causes.
fn text(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(text);
    format!("{error}: {}", cause.unwrap_or_default())
}
