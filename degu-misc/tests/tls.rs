//! TLS over real sockets: who is let in, who learns why not, and what a connection's end means.
#![cfg(all(feature = "tls", target_os = "linux"))]

use degu_client::Error;
use degu_misc::{TempPki, TempSSLServer};
use degu_server::{Address, BoxError, Request, Session};
use degu_tls::PeerIdentity;

fn ca(peer: Option<&PeerIdentity>) -> &str {
    peer.and_then(PeerIdentity::ca).unwrap_or("nobody")
}

async fn who(session: &mut Session, _: Request<'_>) -> String {
    let name = session.peer().and_then(|peer| peer.dns_names().next());
    format!("{} of {}", name.unwrap_or("nameless"), ca(session.peer()))
}

/// One thread for the client, as in the server.
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
