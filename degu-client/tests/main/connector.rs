//! hyper-util's pooled client over every kind of address.

use crate::common::{KINDS, Kind, Server};
use degu_client::{Bytes, Client, Connector, ErrorKind};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy, rt::TokioExecutor};

#[tokio::test]
async fn a_pool_dials_every_kind_of_address() {
    for kind in KINDS {
        // Both requests on one connection: the pool is theirs, and works.
        let server = Server::once(kind, |wire| {
            for _ in 0..2 {
                assert!(wire.head().starts_with("GET /a HTTP/1.1\r\n"));
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        });
        let connector = Connector::new(Client::new(&server.address));
        let pooled: legacy::Client<_, Empty<Bytes>> = legacy::Client::builder(TokioExecutor::new()).build(connector);
        for _ in 0..2 {
            let response = pooled.get("http://example.org/a".parse().unwrap()).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_refused() {
    let server = Server::new(Kind::V6, |accept| accept.next().expect_end());
    let client = Client::options().on_connect(|_| false).client(&server.address);
    let error =
        tower_service::Service::call(&mut Connector::new(client), "http://a/".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused), "{error}");
}
