// What nobody asked for is no answer: a part of the suite, whose macros and imports it shares.

const EVIL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";

case! {
    fn what_comes_unasked_closes_the_connection() {
        for unasked in [EVIL, "\n", ""] {
            for kind in KINDS {
                let (server, send) = super::unasked_after(kind, 1, unasked);
                let mut connection = wait!(Client::new(&server.address).connect()).unwrap();
                assert_eq!(wait!(wait!(connection.get("/")).unwrap().body.read_all(2)).unwrap(), "ok");
                send();
                let error = wait!(connection.post("/", "a")).unwrap_err();
                assert!(error.is_retryable() && connection.is_closed(), "{error}");
                assert_eq!(error.remote().is_some(), !unasked.is_empty());
            }
        }
    }
}

case! {
    fn what_came_unasked_before_an_end_was_noticed_is_not_an_answer() {
        // More than once, since it is about who is fast.
        for _ in 0..20 {
            let (server, send) = super::unasked_after(Kind::Path, 1, EVIL);
            let client = Client::options().spin(degu_client::Spin::Off).client(&server.address);
            let mut connection = wait!(client.connect()).unwrap();
            let mut response = wait!(connection.get("/")).unwrap();
            send();
            assert_eq!(wait!(response.body.read_all(2)).unwrap(), "ok");
            let error = wait!(connection.post("/", ())).unwrap_err();
            assert!(error.is_retryable() && connection.is_closed(), "{error}");
        }
    }
}

case! {
    fn what_a_read_had_no_room_for_is_not_an_answer() {
        for spin in [degu_client::Spin::Off, degu_client::Spin::Adaptive] {
            for _ in 0..20 {
                let server = Server::once(Kind::Path, |wire| {
                    wire.head();
                    // As much as is read at first, and something behind it.
                    let head = "HTTP/1.1 200 OK\r\ncontent-length: 8151\r\n\r\n";
                    let body = "x".repeat(8192 - head.len());
                    wire.send(&format!("{head}{body}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"));
                    assert!(matches!(wire.read(&mut [0]), Ok(0) | Err(_)), "no second request");
                });
                let client = Client::options().spin(spin).client(&server.address);
                let mut connection = wait!(client.connect()).unwrap();
                assert_eq!(wait!(wait!(connection.get("/")).unwrap().body.read_all(8192)).unwrap().len(), 8151);
                let error = wait!(connection.post("/", ())).unwrap_err();
                assert!(error.is_retryable() && connection.is_closed(), "{error}");
            }
        }
    }
}

case! {
    fn many_requests_do_not_hide_bytes_after_an_answer_to_head() {
        const ROW: usize = 40;
        let (server, send) = super::unasked_after(Kind::Path, ROW + 1, EVIL);
        let mut connection = wait!(Client::new(&server.address).connect()).unwrap();
        for _ in 0..ROW {
            assert_eq!(wait!(wait!(connection.get("/")).unwrap().body.read_all(2)).unwrap(), "ok");
        }
        assert_eq!(wait!(connection.head("/")).unwrap().status, 200);
        send();
        let error = wait!(connection.get("/")).unwrap_err();
        assert!(error.is_retryable() && connection.is_closed(), "{error}");
    }
}

case! {
    fn bytes_behind_a_response_are_not_the_next() {
        let (_server, mut connection) = connect!(Kind::Path, |wire| {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            wire.expect_end();
        });
        assert_eq!(wait!(wait!(connection.get("/")).unwrap().body.read_all(2)).unwrap(), "ok");
        assert!(connection.is_closed());
    }
}
