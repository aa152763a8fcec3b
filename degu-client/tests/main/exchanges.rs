//! Both drivers against a server that says exactly what it is told to: `exchanges/suite.rs` and the files
//! next to it, once for each.

use std::sync::mpsc;

use crate::common::{Kind, Server};

/// Starts a server that answers this number of requests and takes no more. When the returned function is called, the
/// server sends `unasked`, or ends its side if `unasked` is empty.
fn unasked_after(kind: Kind, answers: usize, unasked: &'static str) -> (Server, impl FnOnce()) {
    let (go, when) = mpsc::channel();
    let (done, came) = mpsc::channel();
    let server = Server::once(kind, move |wire| {
        for _ in 0..answers {
            let body = if wire.head().starts_with("HEAD") { "" } else { "ok" };
            wire.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}"));
        }
        when.recv().unwrap();
        match unasked {
            "" => wire.shut(),
            _ => wire.send(unasked),
        }
        done.send(()).unwrap();
        assert!(matches!(std::io::Read::read(wire, &mut [0]), Ok(0) | Err(_)), "no more requests");
    });
    let send = move || {
        go.send(()).unwrap();
        came.recv().unwrap();
    };
    (server, send)
}

#[cfg(feature = "async")]
mod asynchronous {
    use degu_client::{Body, Client};

    macro_rules! wait {
        ($future:expr) => {
            $future.await
        };
    }

    macro_rules! case {
        ($(#[$attribute:meta])* fn $name:ident() $body:block) => {
            #[tokio::test]
            $(#[$attribute])*
            async fn $name() $body
        };
    }

    /// Chunks out of an iterator.
    fn chunks(parts: impl IntoIterator<Item = degu_client::Part, IntoIter: Send + Unpin + 'static>) -> Body {
        Body::chunks_from_source(Box::pin(Parts(parts.into_iter())))
    }

    /// So many bytes, in pieces.
    fn bytes(length: u64) -> Body {
        const PIECE: u64 = 100_000;
        let pieces = (0..length.div_ceil(PIECE)).map(move |n| {
            let piece = PIECE.min(length - n * PIECE) as usize;
            degu_client::Part::Data(vec![b'x'; piece].into())
        });
        Body::from_source(length, Box::pin(Parts(pieces)))
    }

    struct Parts<I>(I);

    impl<I: Iterator<Item = degu_client::Part> + Unpin> degu_client::Source for Parts<I> {
        fn poll_part(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<degu_client::Part, degu_client::BoxError>>> {
            std::task::Poll::Ready(self.0.next().map(Ok))
        }
    }

    include!("exchanges/suite.rs");
    include!("exchanges/unasked.rs");
    #[cfg(feature = "json")]
    mod json {
        use super::*;
        use degu_client::Json;
        include!("exchanges/json.rs");
    }
    include!("exchanges/devices.rs");
    include!("exchanges/statuses.rs");
    include!("exchanges/timeouts.rs");

    #[tokio::test]
    async fn silent_source_is_cut_by_the_timeout_of_the_exchange() {
        struct Silent;

        impl degu_client::Source for Silent {
            fn poll_part(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<degu_client::Part, degu_client::BoxError>>> {
                std::task::Poll::Pending
            }
        }

        let (_server, mut connection) = connect!(Kind::Path, |wire| wire.expect_end());
        connection.set_timeout(SHORT);
        let error = connection.put("/", Body::chunks_from_source(Box::pin(Silent))).await.unwrap_err();
        assert_eq!(error.timeout(), Some(Timeout::Exchange(SHORT)));
    }
}

mod blocking {
    use std::sync::mpsc;

    use degu_client::blocking::{Body, Client};

    macro_rules! wait {
        ($done:expr) => {
            $done
        };
    }

    macro_rules! case {
        ($(#[$attribute:meta])* fn $name:ident() $body:block) => {
            #[test]
            $(#[$attribute])*
            fn $name() $body
        };
    }

    /// Chunks out of an iterator.
    fn chunks(parts: impl IntoIterator<Item = degu_client::Part, IntoIter: 'static>) -> Body {
        Body::from_chunks(parts)
    }

    /// So many bytes.
    fn bytes(length: u64) -> Body {
        Body::from_reader(length, std::io::repeat(b'x'))
    }

    include!("exchanges/suite.rs");
    include!("exchanges/unasked.rs");
    #[cfg(feature = "json")]
    mod json {
        use super::*;
        use degu_client::Json;
        include!("exchanges/json.rs");
    }
    include!("exchanges/devices.rs");
    include!("exchanges/statuses.rs");
    include!("exchanges/timeouts.rs");

    #[test]
    fn what_comes_unasked_is_noticed_in_a_row_of_requests() {
        const ROW: usize = 40;
        let (server, send) = super::unasked_after(Kind::Path, ROW, EVIL);
        let mut connection = Client::new(&server.address).connect().unwrap();
        for _ in 0..ROW {
            assert_eq!(connection.get("/").unwrap().body.read_all(2).unwrap(), "ok");
        }
        send();
        let error = connection.post("/pay", ()).unwrap_err();
        assert!(error.is_retryable() && connection.is_closed(), "{error}");
    }

    #[test]
    fn a_source_that_blocks_holds_nothing_back() {
        let (go, gone) = mpsc::channel();
        let (_server, mut connection) = connect!(Kind::Path, move |wire| {
            wire.head();
            for _ in 0..3 {
                go.send(()).unwrap();
                wire.expect("5\r\nhello\r\n");
            }
            go.send(()).unwrap();
            wire.expect("0\r\n\r\n");
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
        });
        let mut left = 3;
        let body = Body::from_chunks(std::iter::from_fn(move || {
            // Until the server has everything before.
            gone.recv_timeout(Duration::from_secs(60)).unwrap();
            left -= 1;
            (left >= 0).then(|| Chunk::new("hello"))
        }));
        assert_eq!(connection.post("/", body).unwrap().status, 204);
    }
}
