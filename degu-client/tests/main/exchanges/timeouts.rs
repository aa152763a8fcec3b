// The timeout of a whole exchange: a part of the suite, whose macros and imports it shares.

const DRIP: Duration = Duration::from_millis(50);
const SHORT: Duration = Duration::from_millis(200);

/// Sends one byte after the other, each within every other timeout, until the client is gone. Returns how many it took.
fn drip(wire: &mut crate::common::Wire, bytes: impl IntoIterator<Item = u8>) -> usize {
    let sent = bytes.into_iter().take_while(|byte| {
        std::thread::sleep(DRIP);
        wire.write_all(&[*byte]).is_ok()
    });
    sent.count()
}

case! {
    fn a_dripping_head_does_not_put_off_the_timeout_of_the_exchange() {
        for kind in KINDS {
            let server = Server::once(kind, |wire| {
                wire.head();
                wire.try_send("HTTP/1.1 200 OK\r\nx: ");
                assert!(drip(wire, [b'x'; 200]) < 200);
            });
            let client = Client::options().timeout(SHORT).client(&server.address);
            let mut connection = wait!(client.connect()).unwrap();
            let error = wait!(connection.get("/")).unwrap_err();
            assert_eq!(error.timeout(), Some(Timeout::Exchange(SHORT)));
            assert!(error.is_timeout() && !error.is_retryable() && !error.is_connect() && connection.is_closed());
        }
    }
}

case! {
    fn a_dripping_body_does_not_put_off_the_timeout_of_the_exchange() {
        for head in ["content-length: 1000", "transfer-encoding: chunked"] {
            let server = Server::once(Kind::Path, move |wire| {
                wire.head();
                wire.try_send(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"));
                // As chunks: one of a byte, again and again.
                assert!(drip(wire, b"1\r\n1\r\n".repeat(50)) < 300);
            });
            let mut connection = wait!(Client::new(&server.address).connect()).unwrap();
            connection.set_timeout(SHORT);
            let error = match wait!(connection.get("/")) {
                Ok(mut response) => wait!(response.body.read_all(1000)).unwrap_err(),
                // On a slow machine, the timeout may expire before the head arrives.
                Err(error) => error,
            };
            assert_eq!(error.timeout(), Some(Timeout::Exchange(SHORT)));
            assert!(connection.is_closed());
        }
    }
}

case! {
    fn a_body_without_pauses_does_not_outlast_the_timeout() {
        let server = Server::once(Kind::Path, |wire| {
            wire.head();
            wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000000000\r\n\r\n");
            while wire.write_all(&[b'x'; 65536]).is_ok() {}
        });
        let client = Client::options().timeout(SHORT).client(&server.address);
        let mut connection = wait!(client.connect()).unwrap();
        let error = match wait!(connection.get("/")) {
            Ok(mut response) => loop {
                match wait!(response.body.next_data()) {
                    Ok(data) => assert!(data.is_some()),
                    Err(error) => break error,
                }
            },
            // On a slow machine, the timeout may expire before the head arrives.
            Err(error) => error,
        };
        assert_eq!(error.timeout(), Some(Timeout::Exchange(SHORT)));
    }
}

case! {
    fn an_upload_without_pauses_does_not_outlast_the_timeout() {
        let server = Server::once(Kind::V4, |wire| {
            wire.head();
            wire.expect_end();
        });
        let client = Client::options().timeout(SHORT).client(&server.address);
        let mut connection = wait!(client.connect()).unwrap();
        let error = wait!(connection.put("/", bytes(1 << 50))).unwrap_err();
        assert_eq!(error.timeout(), Some(Timeout::Exchange(SHORT)));
        assert!(connection.is_closed());
    }
}

case! {
    fn a_timeout_does_not_count_while_the_connection_is_idle() {
        let limit = Duration::from_secs(2);
        let server = Server::once(Kind::Path, move |wire| {
            for _ in 0..2 {
                wire.head();
                wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            }
            wire.head();
            std::thread::sleep(SHORT + DRIP);
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
        });
        let client = Client::options().timeout(limit).client(&server.address);
        let mut connection = wait!(client.connect()).unwrap();
        assert_eq!(wait!(connection.get("/")).unwrap().status, 204);
        std::thread::sleep(limit + DRIP);
        assert_eq!(wait!(connection.get("/")).unwrap().status, 204);
        connection.set_timeout(SHORT);
        connection.set_timeout(None);
        assert_eq!(wait!(connection.get("/")).unwrap().status, 204);
    }
}

case! {
    fn connecting_takes_no_longer_than_an_exchange_may() {
        let folder = tempfile::tempdir().unwrap();
        let address = degu_client::Address::unix(folder.path().join("busy"));
        let listener = std::os::unix::net::UnixListener::bind(address.as_path().unwrap()).unwrap();
        // A queue that is as short as can be.
        socket2::SockRef::from(&listener).listen(0).unwrap();
        let client = Client::options().timeout(DRIP).client(&address);
        let mut queued = Vec::new();
        let error = loop {
            match wait!(client.connect()) {
                Ok(connection) => queued.push(connection),
                Err(error) => break error,
            }
        };
        assert_eq!(error.timeout(), Some(Timeout::Exchange(DRIP)));
        assert!(error.is_connect() && error.is_retryable());
    }
}
