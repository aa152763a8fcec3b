//! A row of small exchanges allocates nothing once it is warm: neither driver, over neither kind of socket, however it
//! waits.

use std::io::Read;
use std::time::Duration;

use crate::common::{Kind, Server};
use degu_client::{Client, Connection, Error, Pool, Spin, blocking};

const WAYS: [(Kind, Spin); 4] = [
    (Kind::V6, Spin::Off),
    (Kind::Path, Spin::Off),
    (Kind::V6, Spin::Fixed(Duration::from_secs(10))),
    (Kind::Path, Spin::Fixed(Duration::from_secs(10))),
];
const REQUEST: &str = "POST /counter HTTP/1.1\r\nhost: example.org\r\ncontent-length: 5\r\n\r\nhello";
const RESPONSE: &str =
    "HTTP/1.1 200 OK\r\nserver: x\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\nhello, world";

fn server(kind: Kind) -> Server {
    Server::once(kind, |wire| {
        let mut request = [0; REQUEST.len()];
        while wire.read_exact(&mut request).is_ok() {
            assert_eq!(&request, REQUEST.as_bytes());
            wire.send(RESPONSE);
        }
    })
}

fn blocking_row(connection: &mut blocking::Connection, exchanges: usize) -> Result<(), Error> {
    for _ in 0..exchanges {
        let mut response = connection.post("/counter", "hello")?;
        assert_eq!((response.status, response.headers.get("server")), (200, Some("x")));
        assert_eq!(response.body.read_all(100)?, "hello, world");
    }
    Ok(())
}

async fn async_row(connection: &mut Connection, exchanges: usize) -> Result<(), Error> {
    for _ in 0..exchanges {
        let mut response = connection.post("/counter", "hello").await?;
        assert_eq!((response.status, response.headers.get("server")), (200, Some("x")));
        assert_eq!(response.body.read_all(100).await?, "hello, world");
    }
    Ok(())
}

fn blocking_pool_row(pool: &blocking::Pool, exchanges: usize) -> Result<(), Error> {
    for _ in 0..exchanges {
        let mut response = pool.post("/counter", "hello")?;
        assert_eq!((response.status, response.headers.get("server")), (200, Some("x")));
        assert_eq!(response.body.read_all(100)?, "hello, world");
    }
    Ok(())
}

async fn async_pool_row(pool: &Pool, exchanges: usize) -> Result<(), Error> {
    for _ in 0..exchanges {
        let mut response = pool.post("/counter", "hello").await?;
        assert_eq!((response.status, response.headers.get("server")), (200, Some("x")));
        assert_eq!(response.body.read_all(100).await?, "hello, world");
    }
    Ok(())
}

#[test]
fn pooled_exchanges_do_not_allocate() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = || Client::options().host("example.org").spin(Spin::Off);
    for kind in [Kind::V6, Kind::Path] {
        let server = server(kind);
        let pool = blocking::Client::from(options().client(&server.address)).pool();
        blocking_pool_row(&pool, 200).unwrap();
        let counted = allocation_counter::measure(|| blocking_pool_row(&pool, 1000).unwrap());
        assert_eq!(counted.count_total, 0, "{kind:?}");
        drop(pool);
    }
    for kind in [Kind::V6, Kind::Path] {
        let server = server(kind);
        let pool = options().client(&server.address).pool();
        runtime.block_on(async_pool_row(&pool, 200)).unwrap();
        let count = |exchanges| {
            allocation_counter::measure(|| runtime.block_on(async_pool_row(&pool, exchanges)).unwrap()).count_total
        };
        let (many, one) = (count(1000), count(1));
        assert!(many <= one, "{kind:?}: {many} and {one}");
    }
}

#[test]
fn an_idle_connection_of_a_pool_keeps_no_large_buffer() {
    const LARGE: usize = 8 * 1024 * 1024;
    let server = || {
        Server::once(Kind::Path, |wire| {
            wire.head();
            wire.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"));
            wire.send(&"x".repeat(LARGE));
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
        })
    };
    // The buffer and the scratch of a short message take 8 KiB each.
    let most = 20 * 1024;

    let blocking = server();
    let pool = blocking::Client::options().client(&blocking.address).pool();
    let exchange = || pool.get("/").unwrap().body.read_all(LARGE).unwrap().len();
    let counted = allocation_counter::measure(|| assert_eq!([exchange(), exchange()], [LARGE, 5]));
    assert!(pool.stats().idle == 1 && counted.bytes_current < most, "{counted:?}");

    let tasks = server();
    let pool = Client::options().client(&tasks.address).pool();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let exchange = async || pool.get("/").await.unwrap().body.read_all(LARGE).await.unwrap().len();
    let both = async || [exchange().await, exchange().await];
    let counted = allocation_counter::measure(|| assert_eq!(runtime.block_on(both()), [LARGE, 5]));
    assert!(pool.stats().idle == 1 && counted.bytes_current < most, "{counted:?}");
}

#[test]
fn long_head_leaves_no_large_buffer_in_a_pool() {
    let server = || {
        Server::once(Kind::Path, |wire| {
            wire.head();
            wire.send(&format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 5\r\n\r\nhello", "x".repeat(30_000)));
        })
    };
    // The buffer and the scratch of a short message take 8 KiB each.
    let most = 20 * 1024;

    let blocking = server();
    let pool = blocking::Client::options().client(&blocking.address).pool();
    let counted = allocation_counter::measure(|| assert_eq!(pool.get("/").unwrap().body.read_all(5).unwrap(), "hello"));
    assert!(pool.stats().idle == 1 && counted.bytes_current < most, "{counted:?}");

    let tasks = server();
    let pool = Client::options().client(&tasks.address).pool();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let exchange = async || pool.get("/").await.unwrap().body.read_all(5).await.unwrap();
    let counted = allocation_counter::measure(|| assert_eq!(runtime.block_on(exchange()), "hello"));
    assert!(pool.stats().idle == 1 && counted.bytes_current < most, "{counted:?}");
}

/// The pool keeps the body for a second attempt, and lends it to the first.
#[test]
fn a_pool_does_not_allocate_for_a_string_that_it_keeps() {
    let server = server(Kind::Path);
    let options = blocking::Client::options().host("example.org").spin(Spin::Off);
    let pool = options.client(&server.address).pool();
    blocking_pool_row(&pool, 200).unwrap();
    let bodies: Vec<_> = (0..1000).map(|_| String::from("hello")).collect();
    let counted = allocation_counter::measure(|| {
        for body in bodies {
            assert_eq!(pool.post("/counter", body).unwrap().body.read_all(100).unwrap(), "hello, world");
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn blocking_exchanges_do_not_allocate() {
    for (kind, spin) in WAYS {
        let server = server(kind);
        let client = blocking::Client::options().host("example.org").spin(spin).client(&server.address);
        let mut connection = client.connect().unwrap();
        blocking_row(&mut connection, 200).unwrap();
        let counted = allocation_counter::measure(|| blocking_row(&mut connection, 1000).unwrap());
        assert_eq!(counted.count_total, 0, "{kind:?}, {spin:?}");
    }
}

#[test]
fn async_exchanges_do_not_allocate() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (kind, spin) in WAYS {
        let server = server(kind);
        let options = Client::options().host("example.org").spin(spin);
        // The one timer of a connection is made when it first sleeps, which may be late where it looks before.
        let options = if spin == Spin::Off { options } else { options.head_timeout(None) };
        let client = options.client(&server.address);
        let mut connection = runtime.block_on(client.connect()).unwrap();
        runtime.block_on(async_row(&mut connection, 200)).unwrap();
        let mut count = |exchanges| {
            allocation_counter::measure(|| runtime.block_on(async_row(&mut connection, exchanges)).unwrap()).count_total
        };
        // Whatever entering the runtime costs is in both. Its list of those who let others have their turn is made when
        // the first does, which is the one more.
        let (many, one) = (count(1000), count(1));
        assert!(many <= one + 1, "{kind:?}, {spin:?}: {many} and {one}");
    }
}
